package e2e

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// world is one installation: a control plane, edges, Warpgates, and a project
// with an environment.
type world struct {
	t       *testing.T
	dir     string
	api     string // address of the API
	token   string // the operator's
	client  *api.Client
	roots   *x509.CertPool
	control *process
	admin   string // of the control plane: health and metrics
	edges   []*edgeNode
	host    string
	key     string // of the service account
	plane   string // where the control plane comes from; if empty, binaries
	faulty  string // where edges and Warpgates come from; if empty, binaries
}

// program is the file of an edge's or a Warpgate's program.
func (w *world) program(name string) string { return filepath.Join(cmp.Or(w.faulty, binaries), name) }

// path of the environment in the API.
func (w *world) path(more ...string) []string {
	return append([]string{"acme", "shop", "production"}, more...)
}

type edgeNode struct {
	w                 *world
	name              string
	https, admin, dir string
	args, env         []string
	*process
}

type gate struct {
	w      *world
	health string
	args   []string
	*process
}

// newWorld starts a control plane and so many edges, and makes an environment
// with these routes.
func newWorld(t *testing.T, edges int, routes ...mezu.Route) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), api: freeAddr(t)}
	w.startControl()
	w.bootstrap()
	for i := range edges {
		w.addEdge(fmt.Sprintf("edge-%d", i+1))
	}
	w.makeProject(routes)
	return w
}

func (w *world) startControl() { w.startControlIn("control") }

// startControlIn starts the control plane on the state in another folder.
func (w *world) startControlIn(folder string, more ...string) {
	w.t.Helper()
	w.runControl(folder, more...)
	healthy(w.t, w.admin)
}

// runControl is startControlIn, and waits for nothing.
func (w *world) runControl(folder string, more ...string) {
	w.t.Helper()
	w.admin = freeAddr(w.t)
	w.control = startWith(w.t, folder, nil, filepath.Join(cmp.Or(w.plane, binaries), "mezusphere"), append([]string{"control", "--state", filepath.Join(w.dir, folder), "--api-addr", w.api,
		"--admin-addr", w.admin, "--domain", "localhost"}, more...)...)
}

func (w *world) caFile() string { return filepath.Join(w.dir, "control", "ca.pem") }

func (w *world) newClient(token string) *api.Client {
	w.t.Helper()
	c, err := api.NewClient(api.ClientConfig{BaseURL: "https://" + w.api, Token: func() (string, error) { return token, nil },
		TLS: &tls.Config{RootCAs: w.roots}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.CloseIdle)
	return c
}

// bootstrap redeems the link of the new installation.
func (w *world) bootstrap() {
	w.t.Helper()
	pem, err := os.ReadFile(w.caFile())
	if err != nil {
		w.t.Fatal(err)
	}
	w.roots = x509.NewCertPool()
	w.roots.AppendCertsFromPEM(pem)
	link, err := os.ReadFile(filepath.Join(w.dir, "control", "bootstrap"))
	if err != nil {
		w.t.Fatal(err)
	}
	_, code, _ := strings.Cut(strings.TrimSpace(string(link)), "#")
	code = strings.TrimPrefix(code, "code=") // as earlier builds write it
	got := invoke[api.TokenResponse](w, w.newClient(""), api.OpBootstrap, api.BootstrapRequest{Code: code})
	w.token = got.Token
	w.client = w.newClient(w.token)
}

func invoke[Out any](w *world, c *api.Client, op api.Operation, in any, params ...string) Out {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := api.Invoke[Out](ctx, c, op, in, params...)
	if err != nil {
		w.t.Fatalf("%s: %v", op.ID, err)
	}
	return out
}

func (w *world) addEdge(name string, more ...string) *edgeNode {
	w.t.Helper()
	return w.addEdgeIn(nil, name, more...)
}

// addEdgeIn starts an edge with further environment variables.
func (w *world) addEdgeIn(env []string, name string, more ...string) *edgeNode {
	w.t.Helper()
	token := invoke[api.JoinTokenResponse](w, w.client, api.OpCreateJoinToken, nil)
	file := w.secretFile(name+".token", token.Token)
	e := &edgeNode{w: w, name: name, env: env, https: freeAddr(w.t), admin: freeAddr(w.t), dir: filepath.Join(w.dir, name)}
	e.args = append([]string{"edge", "--control", "https://" + w.api, "--ca-file", w.caFile(), "--join-token-file", file, "--state", e.dir,
		"--name", name, "--https-addr", e.https, "--admin-addr", e.admin}, more...)
	w.edges = append(w.edges, e)
	e.run()
	healthy(w.t, e.admin)
	return e
}

func (e *edgeNode) run() {
	e.w.t.Helper()
	e.process = startWith(e.w.t, e.name, e.env, e.w.program("mezusphere"), e.args...)
}

func (w *world) secretFile(name, secret string) string {
	w.t.Helper()
	file := filepath.Join(w.dir, name)
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return file
}

func (w *world) makeProject(routes []mezu.Route) {
	w.t.Helper()
	invoke[mezu.Organization](w, w.client, api.OpCreateOrganization, mezu.Organization{Name: "acme"})
	invoke[mezu.Project](w, w.client, api.OpCreateProject, mezu.Project{Name: "shop"}, "acme")
	env := invoke[mezu.Environment](w, w.client, api.OpCreateEnvironment, mezu.Environment{Name: "production"}, "acme", "shop")
	w.host = env.Endpoint + ".localhost"
	w.setRoutes(routes...)
	w.key = invoke[api.ServiceAccountCreated](w, w.client, api.OpCreateServiceAccount,
		mezu.ServiceAccount{Name: "gate", Permissions: []mezu.Permission{mezu.PermWarpgateRegister}}, "acme", "shop").Key
}

func (w *world) setRoutes(routes ...mezu.Route) api.RoutesState {
	w.t.Helper()
	return invoke[api.RoutesState](w, w.client, api.OpReplaceRoutes, api.RoutesReplace{Routes: routes}, w.path()...)
}

// addGate starts a Warpgate and waits until it is connected.
func (w *world) addGate(name, upstream string, more ...string) *gate {
	w.t.Helper()
	g := w.startGate(name, upstream, more...)
	healthy(w.t, g.health)
	for _, e := range w.edges {
		w.reachable(e)
	}
	return g
}

func (w *world) startGate(name, upstream string, more ...string) *gate {
	w.t.Helper()
	g := &gate{w: w, health: freeAddr(w.t)}
	g.args = append([]string{"--api", "https://" + w.api, "--ca-file", w.caFile(), "--token-file", w.secretFile(name+".key", w.key),
		"--upstream", upstream, "--state", filepath.Join(w.dir, name), "--health-addr", g.health}, more...)
	g.run(name)
	return g
}

func (g *gate) run(name string) {
	g.w.t.Helper()
	g.process = startWith(g.w.t, name, nil, g.w.program("warpgate"), g.args...)
}

// reachable waits until a probe through the edge comes back from a Warpgate.
func (w *world) reachable(e *edgeNode) {
	w.t.Helper()
	client := w.http(e)
	eventually(w.t, "a probe through "+e.name, func() error {
		resp, err := client.Get("https://" + w.host + "/.mezu/probe")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != 204 {
			body, _ := io.ReadAll(resp.Body)
			return fmt.Errorf("status %d: %s", resp.StatusCode, body)
		}
		return nil
	})
}

// dialTo makes every connection go to one edge, whatever the host.
func dialTo(addr string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
}

// http is a client of HTTP/1.1 through one edge.
func (w *world) http(e *edgeNode) *http.Client { return w.httpClient(e, false) }

// http2 is a client of HTTP/2 through one edge.
func (w *world) http2(e *edgeNode) *http.Client { return w.httpClient(e, true) }

func (w *world) httpClient(e *edgeNode, h2 bool) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!h2)
	protocols.SetHTTP2(h2)
	t := &http.Transport{DialContext: dialTo(e.https), TLSClientConfig: &tls.Config{RootCAs: w.roots}, Protocols: protocols, DisableCompression: true}
	w.t.Cleanup(t.CloseIdleConnections)
	return &http.Client{Transport: t, Timeout: 5 * time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// raw is a TLS connection to an edge with nothing sent yet.
func (w *world) raw(e *edgeNode) *tls.Conn {
	w.t.Helper()
	conn, err := tls.Dial("tcp", e.https, &tls.Config{RootCAs: w.roots, ServerName: w.host, NextProtos: []string{"http/1.1"}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return conn
}

// open is the route that lets everything through.
var open = mezu.Route{Prefix: "/"}
