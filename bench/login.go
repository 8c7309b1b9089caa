package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/bench/inprocess"
	"github.com/mezusphere/mezu/trust"
)

// Names of what people log in to.
const (
	siteOrganization = "shop"
	siteProject      = "load"
	siteDirectory    = "visitors"
	// pathMine begins the paths that ask for a login.
	pathMine = "/my"
)

const sitePassword = "seven slow turtles dance"

// site is an installation with two edges and a Warpgate, in which people log in.
type site struct {
	in       *installation
	edges    [2]*process
	https    [2]string
	warpgate *process
	t        target // by way of the first edge
	env      mezu.Environment
	// edge calls the control plane as a third edge, which serves nobody: so visitors can come
	// from any network.
	edge *api.Client
	made int     // users, for their names
	idle float64 // KiB of the control plane before the first login

	grants  *grants
	revoked *revocable
	going   []*going
}

// site starts it once, for all measures that need it.
func (b *bench) site(ctx context.Context) (*site, error) {
	if b.logins != nil {
		return b.logins, nil
	}
	if b.bin.mezusphere == "" {
		return nil, errNotOurs
	}
	p := &site{}
	if err := p.start(ctx, b); err != nil {
		p.stop()
		return nil, err
	}
	b.logins = p
	return p, nil
}

func (p *site) start(ctx context.Context, b *bench) (err error) {
	if p.in, err = b.freshControl(ctx, "login", 0); err != nil {
		return err
	}
	host, key, err := p.in.addEnvironment(ctx, siteOrganization)
	if err != nil {
		return err
	}
	if _, err := api.Invoke[mezu.Directory](ctx, p.in.client, api.OpCreateDirectory, mezu.Directory{Name: siteDirectory}, siteOrganization, siteProject); err != nil {
		return err
	}
	if p.env, err = p.ask(ctx, mezu.EnvironmentProduction); err != nil {
		return err
	}
	p.in.host, p.in.key = host, key
	p.https[0] = p.in.https
	if p.https[1], err = freeAddr(); err != nil {
		return err
	}
	for i, name := range []string{"edge-1", "edge-2"} {
		admin, err := freeAddr()
		if err != nil {
			return err
		}
		if p.edges[i], err = p.in.startEdge(ctx, name, p.https[i], admin, "--max-conns", maxConns); err != nil {
			return err
		}
		if _, err := p.edges[i].awaitReady(ctx, admin); err != nil {
			return err
		}
	}
	p.in.edge = p.edges[0]
	if p.warpgate, err = p.in.startWarpgate("warpgate", b.upstream, false); err != nil {
		return err
	}
	p.t = p.in.target(p.warpgate)
	if _, err := awaitGood(ctx, p.t); err != nil {
		return err
	}
	if p.idle, err = p.in.control.rss(); err != nil {
		return err
	}
	return p.enrol(ctx)
}

func (p *site) stop() {
	if p == nil {
		return
	}
	p.revoked.stop()
	if p.edge != nil {
		p.edge.CloseIdle()
	}
	p.warpgate.stop()
	p.edges[1].stop()
	p.in.stop()
}

// ask has an environment ask for a login below pathMine.
func (p *site) ask(ctx context.Context, environment string) (mezu.Environment, error) {
	at := []string{siteOrganization, siteProject, environment}
	env, err := api.Invoke[mezu.Environment](ctx, p.in.client, api.OpUpdateEnvironment, map[string]any{"directory": siteDirectory}, at...)
	if err != nil {
		return env, err
	}
	routes := []mezu.Route{{Prefix: "/"}, {Prefix: pathMine + "/", Auth: mezu.AuthRequired}}
	_, err = api.Invoke[api.RoutesState](ctx, p.in.client, api.OpReplaceRoutes, api.RoutesReplace{Routes: routes}, at...)
	return env, err
}

// enrol makes the client of the third edge.
func (p *site) enrol(ctx context.Context) error {
	join, err := api.Invoke[api.JoinTokenResponse](ctx, p.in.client, api.OpCreateJoinToken, nil)
	if err != nil {
		return err
	}
	roots, err := trust.LoadRoots(p.in.ca)
	if err != nil {
		return err
	}
	signer, pem, err := trust.NewKey()
	if err != nil {
		return err
	}
	csr, err := trust.CSR(signer)
	if err != nil {
		return err
	}
	addr, err := freeAddr()
	if err != nil {
		return err
	}
	client, err := apiClient(p.in.api, &tls.Config{RootCAs: roots}, join.Token)
	if err != nil {
		return err
	}
	defer client.CloseIdle()
	got, err := api.Invoke[api.EnrolResponse](ctx, client, api.OpEnrolEdge, api.EnrolRequest{CSR: csr, Name: "edge-3", TunnelAddress: addr})
	if err != nil {
		return err
	}
	cert, err := trust.KeyPair([]byte(got.Certificates), pem)
	if err != nil {
		return err
	}
	p.edge, err = apiClient(p.in.api, &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{*cert}}, "")
	return err
}

// user makes a user.
func (p *site) user(ctx context.Context) (mezu.User, error) {
	p.made++
	u := mezu.User{Profile: mezu.Profile{Email: fmt.Sprintf("user.number.%d@example.com", p.made), DisplayName: fmt.Sprint("User Number ", p.made)}}
	return api.Invoke[mezu.User](ctx, p.in.client, api.OpCreateUser, u, p.directory()...)
}

func (p *site) directory(more ...string) []string {
	return append([]string{siteOrganization, siteProject, siteDirectory}, more...)
}

// join makes a user with a password.
func (p *site) join(ctx context.Context) (mezu.User, error) {
	u, err := p.user(ctx)
	if err != nil {
		return u, err
	}
	mailed, err := api.Invoke[api.UserMailed](ctx, p.in.client, api.OpResetUser, api.UserMail{}, p.directory(u.ID)...)
	if err != nil {
		return u, err
	}
	_, token, _ := strings.Cut(mailed.Link, "#")
	page, err := p.post(ctx, "reset/password", url.Values{"token": {token}, "password": {sitePassword}})
	if err == nil && page.Status != http.StatusOK {
		err = fmt.Errorf("setting a password: %d %s", page.Status, page.Body)
	}
	return u, err
}

// login logs a user in, and gives the value of the session's cookie.
func (p *site) login(ctx context.Context, u mezu.User) (string, error) {
	page, err := p.post(ctx, "login", url.Values{"email": {u.Profile.Email}, "password": {sitePassword}})
	if err != nil {
		return "", err
	}
	for _, h := range page.Header {
		if value, ok := strings.CutPrefix(h.Value, mezu.SessionCookie+"="); ok && h.Name == "Set-Cookie" {
			value, _, _ = strings.Cut(value, ";")
			return value, nil
		}
	}
	return "", fmt.Errorf("logging in: %d %s", page.Status, page.Body)
}

// post sends a form as an edge does, for a visitor from a network of its own.
func (p *site) post(ctx context.Context, path string, form url.Values) (api.EdgePage, error) {
	var client [16]byte
	_, _ = rand.Read(client[2:8])
	client[0], client[1], client[15] = 0x20, 0x01, 1
	return api.Invoke[api.EdgePage](ctx, p.edge, api.OpEdgePage, api.EdgePageRequest{
		Environment: p.env.ID, Method: http.MethodPost, Path: path, Origin: p.env.URL, FetchSite: "same-origin", FetchMode: "navigate", FetchDest: "document",
		ContentType: "application/x-www-form-urlencoded", Body: []byte(form.Encode()), UserAgent: "bench", Client: netip.AddrFrom16(client).String(), RequestID: "req_bench",
	})
}

// template is the grant of a real login, of which others are made.
func (p *site) template(ctx context.Context) (g mezu.Grant, err error) {
	u, err := p.join(ctx)
	if err != nil {
		return g, err
	}
	cookie, err := p.login(ctx, u)
	if err != nil {
		return g, err
	}
	_, compact, ok := mezu.SplitSession([]byte(cookie))
	if !ok {
		return g, errors.New("a login gave no session")
	}
	signed, err := mezu.ParseCompact(mezu.PurposeGrant, compact)
	if err != nil {
		return g, err
	}
	err = json.Unmarshal(signed.Payload, &g)
	g.Roles = []string{"staff", "admin"}
	return g, err
}

// sessions makes cookies of n sessions that begin now. with changes the n-th.
func (p *site) sessions(ctx context.Context, n int, with func(i int, g *mezu.Grant)) ([][]byte, error) {
	g, err := p.template(ctx)
	if err != nil {
		return nil, err
	}
	p.in.control.stop()
	secrets := make([]string, n)
	now := time.Now().UTC().Truncate(time.Millisecond)
	compact, err := inprocess.SignGrants(ctx, filepath.Join(p.in.dir, "control"), n, func(i int) mezu.Grant {
		next := g
		next.Session, next.User = mezu.NewID(mezu.PrefixSession, now), mezu.NewID(mezu.PrefixUser, now)
		var secret [32]byte
		_, _ = rand.Read(secret[:])
		secrets[i] = base64.RawURLEncoding.EncodeToString(secret[:])
		next.SecretHash = sha256.Sum256([]byte(secrets[i]))
		with(i, &next)
		return next
	})
	if err = errors.Join(err, p.in.control.launch(false)); err != nil {
		return nil, err
	}
	if _, err := p.in.control.awaitListening(ctx, p.in.api); err != nil {
		return nil, err
	}
	for i, c := range compact {
		compact[i] = append([]byte(secrets[i]+"."), c...)
	}
	return compact, nil
}

// cookieField is the line of a head that shows a session.
func cookieField(cookie []byte) string {
	if cookie == nil {
		return ""
	}
	return "Cookie: " + mezu.SessionCookie + "=" + string(cookie) + "\r\n"
}

// elsewhere is an address of this machine in a network that hardly anybody has come from: an
// edge counts requests for pages by the network.
func elsewhere() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(127, byte(1+mathrand.N(255)), byte(mathrand.N(256)), 1)}
}
