package e2e

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/preface"
	"github.com/mezusphere/mezu/tunnel"
)

// evilEdge is an edge with a true certificate, to which real Warpgates come
// because the control plane lists it, and which sends what it likes.
type evilEdge struct {
	*peer
	hub *tunnel.Hub
	l   net.Listener
	wg  sync.WaitGroup
}

func (w *world) newEvilEdge(t *testing.T) *evilEdge {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &evilEdge{peer: w.enrolEdge(t, "evil", l.Addr().String()), l: l}
	e.hub = tunnel.NewHub(tunnel.HubConfig{Edge: func() string { return e.ID }, Log: slog.New(slog.DiscardHandler)})
	e.wg.Go(e.accept)
	t.Cleanup(func() {
		l.Close()
		e.hub.Close()
		e.wg.Wait()
	})
	return e
}

func (e *evilEdge) accept() {
	control := e.anchor.ServerTLS(e.certificate, mezu.PeerWarpgate, mezu.ProtocolControl)
	data := e.anchor.ServerTLS(e.certificate, mezu.PeerWarpgate, mezu.ProtocolData)
	either := &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		if slices.Contains(h.SupportedProtos, mezu.ProtocolControl) {
			return control, nil
		}
		return data, nil
	}}
	for {
		raw, err := e.l.Accept()
		if err != nil {
			return
		}
		e.wg.Go(func() { e.serve(tls.Server(raw, either)) })
	}
}

func (e *evilEdge) serve(conn *tls.Conn) {
	conn.SetDeadline(time.Now().Add(patience))
	if conn.Handshake() != nil {
		conn.Close()
		return
	}
	conn.SetDeadline(time.Time{})
	id, err := e.anchor.VerifyPeer(conn.ConnectionState(), mezu.PeerWarpgate)
	switch {
	case err != nil:
		conn.Close()
	case conn.ConnectionState().NegotiatedProtocol == mezu.ProtocolControl:
		e.hub.ServeControl(context.Background(), conn, id)
	default:
		e.hub.ServeData(conn, id)
	}
}

// reply is what a Warpgate answers on a data connection.
type reply struct {
	kind   byte // 0: it closed the connection instead
	code   mezu.Code
	detail string
	rest   string // what follows the typed head, as far as it came with it
}

// exchange sends a typed head and whatever follows it.
func (e *evilEdge) exchange(t *testing.T, environment string, first []byte, raw string) reply {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var s *tunnel.Session
	eventually(t, "a Warpgate at the evil edge", func() error {
		if s = e.hub.PickBut(environment, nil); s == nil {
			return fmt.Errorf("there is none")
		}
		return nil
	})
	conn, err := s.Checkout(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Discard()
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write(append(slices.Clip(first), raw...)); err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 4)
	if _, err := io.ReadFull(conn, head); err != nil {
		return reply{}
	}
	payload := make([]byte, int(head[1])<<16|int(head[2])<<8|int(head[3]))
	if _, err := io.ReadFull(conn, payload); err != nil {
		t.Fatal(err)
	}
	r := reply{kind: head[0]}
	if r.kind == preface.KindFailure {
		n := int(payload[1])
		r.code, r.detail = mezu.Code(payload[2:2+n]), string(payload[2+n:])
		return r
	}
	answer := make([]byte, 64<<10)
	n, _ := conn.Read(answer)
	r.rest = string(answer[:n])
	return r
}

// told is the typed head of a request.
func told(id, client string, at mezu.Position, grant string) []byte {
	info := preface.Request{ID: id, Position: at}
	if client != "" {
		info.Client = netip.MustParseAddr(client)
	}
	if grant != "" {
		info.Grant = []byte(grant)
	}
	return preface.AppendRequest(nil, &info)
}

// TestAttackSecondLine is the second line of defence: an edge with a true
// certificate gets nothing past a Warpgate that its bundle forbids, and no
// statement that the control plane did not make for it.
func TestAttackSecondLine(t *testing.T) {
	t.Parallel()
	a := &target{world: newWorld(t, 1, attackRoutes()...), rec: newRecorder(t), books: map[string]delivery{}}
	a.edge = a.edges[0]
	invoke[mezu.Environment](a.world, a.client, api.OpCreateEnvironment, mezu.Environment{Name: "staging"}, "acme", "shop")
	invoke[api.RoutesState](a.world, a.client, api.OpReplaceRoutes, api.RoutesReplace{Routes: []mezu.Route{open}}, "acme", "shop", "staging")
	evil := a.newEvilEdge(t)
	a.gate = a.addGate("gate", a.rec.addr(), "--json")
	t.Run("requests", func(t *testing.T) { forbiddenRequests(t, a, evil) })
	t.Run("statements", func(t *testing.T) { forgedStatements(t, a, evil) })
	t.Run("disabled", func(t *testing.T) { disabledEnvironment(t, a, evil) })
	a.settle(t)
}

// bundleOf is the newest bundle of an environment in a list of statements.
func bundleOf(t *testing.T, all []mezu.Signed, environment string) (mezu.Signed, *mezu.Bundle) {
	t.Helper()
	for _, s := range all {
		var b mezu.Bundle
		if s.Purpose == mezu.PurposeBundle && json.Unmarshal(s.Payload, &b) == nil && b.EnvironmentName == environment {
			return s, &b
		}
	}
	t.Fatalf("no bundle of %s", environment)
	return mezu.Signed{}, nil
}

func forbiddenRequests(t *testing.T, a *target, evil *evilEdge) {
	_, bundle := bundleOf(t, a.statements(t, evil.peer), "production")
	line := func(l string) string { return l + " HTTP/1.1\r\nHost: " + a.host + "\r\n" }
	positions := map[string]mezu.Position{"now": bundle.Position, "never": {}, "the future": {Epoch: bundle.Position.Epoch, Revision: bundle.Position.Revision + 1000}}
	for when, at := range positions {
		for _, raw := range []string{
			line("GET /none") + "\r\n", line("GET /") + "\r\n", line("POST /get") + "Content-Length: 0\r\n\r\n", line("GET /admin") + "\r\n", line("GET /admin/x?y") + "\r\n",
			line("GET /public/secret") + "\r\n", line("GET /unenforced") + "\r\n", line("GET /.mezu/probe") + "\r\n", line("GET /elsewhere") + "\r\n",
			line("POST /small") + "Content-Length: 1001\r\n\r\n" + strings.Repeat("x", 1001),
		} {
			if when == "the future" && !strings.HasPrefix(raw, "GET /admin ") {
				continue // each waits 2 s for the configuration that never comes
			}
			r := evil.exchange(t, bundle.Environment, told("forbidden", "192.0.2.1", at, "forged grant"), raw)
			if r.kind != preface.KindFailure || when != "never" && r.code != mezu.CodeRefusedByWarpgate && r.code != mezu.CodeBodyTooLarge {
				t.Errorf("%s: %.80q was answered with %+v", when, raw, r)
			}
		}
	}
	now := told("forbidden", "192.0.2.1", bundle.Position, "")
	label, _, _ := strings.Cut(a.host, ".")
	for _, raw := range []string{
		line("GET //public") + "\r\n", line("GET /public/../admin") + "\r\n", line("GET /public/%61") + "\r\n", line("GET /public/%2fa") + "\r\n", line("GET /public/%00") + "\r\n",
		line("GET /s/%2f../admin") + "\r\n", line("GET https://"+a.host+"/public") + "\r\n", line("CONNECT /public") + "\r\n", line("get /public") + "\r\n",
		line("GET /public") + "X_Mezu_User_Id: root\r\n\r\n", line("GET /public") + "x_forwarded_for: 10.0.0.1\r\n\r\n", line("GET /nows/x") + handshake,
		line("GET /tier/x") + "X-Tier: gold\r\nX-Tier: free\r\n\r\n", line("GET /tier/x") + "X-Tier: free\r\nX-Tier: gold\r\n\r\n",
		"GET /public HTTP/1.1\r\nHost: evil.example\r\n\r\n", "GET /public HTTP/1.1\r\nHost: " + label + ".evil.example\r\n\r\n", "GET /public HTTP/1.1\r\nHost: " + label + "\r\n\r\n",
		"GET /public HTTP/1.1\r\nHost: x" + a.host + "\r\n\r\n", "GET /public HTTP/1.1\r\nHost: " + a.host + ".evil.example\r\n\r\n", "GET /public HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
	} {
		if r := evil.exchange(t, bundle.Environment, now, raw); r.kind != preface.KindFailure || r.code != mezu.CodeRefusedByWarpgate {
			t.Errorf("%.80q was answered with %+v", raw, r)
		}
	}
	// What is no message at all ends the connection or is refused, too.
	for _, raw := range []string{
		line("POST /p/x") + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", line("GET /p/x") + "X: a\n\r\n", "GET /p/x HTTP/1.1\r\n\r\n", line("GET /p/x") + "Host: b\r\n\r\n", "\x00\x00\x00\x00\r\n\r\n", "garbage\r\n\r\n",
		line("POST /p/x") + "Content-Length: 1, 1\r\n\r\nx", line("GET /p/x") + "X: a\r\n b\r\n\r\n",
	} {
		if r := evil.exchange(t, bundle.Environment, now, raw); r.kind != 0 && r.code != mezu.CodeRefusedByWarpgate {
			t.Errorf("%.80q was answered with %+v", raw, r)
		}
	}
	for what, first := range map[string][]byte{
		"no request id": {preface.KindRequest, 0, 0, 22, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, "cut short": {preface.KindRequest, 0, 0, 1, 4}, "unknown kind": {9, 0, 0, 0}, "a response": {preface.KindResponse, 0, 0, 0},
		"huge": {preface.KindRequest, 0xff, 0xff, 0xff}, "an id with a line end": bytes.Replace(now, []byte("forbidden"), []byte("for\r\nden:"), 1),
	} {
		if r := evil.exchange(t, bundle.Environment, first, line("GET /public")+"\r\n"); r.kind != 0 {
			t.Errorf("%s was answered with %+v", what, r)
		}
	}
	reservedFromEdge(t, a, evil, bundle)
}

// reservedFromEdge: reserved fields of an edge are dropped like those of a client,
// and a second request behind the first is nobody's.
func reservedFromEdge(t *testing.T, a *target, evil *evilEdge, bundle *mezu.Bundle) {
	var fields strings.Builder
	for _, name := range reservedFields {
		fields.WriteString(name + ": forged\r\n")
	}
	id := a.newID()
	a.expect(id, delivery{method: "GET", target: "/p/reserved", route: "p", status: 200})
	request := "GET /p/reserved HTTP/1.1\r\nHost: " + a.host + "\r\nConnection: X-Forwarded-For, X-Request-Id\r\nX-Request-Id: other\r\n" + fields.String() + "\r\n"
	hidden := "GET /p/hidden HTTP/1.1\r\nHost: " + a.host + "\r\n\r\n"
	if r := evil.exchange(t, bundle.Environment, told(id, "127.0.0.1", bundle.Position, "forged grant"), request+hidden); r.kind != preface.KindResponse {
		t.Fatalf("the answer is %+v", r)
	}
	a.truth(t, a.rec.find(t, id))
}

// forgedStatements pushes statements that the Warpgate must not take.
func forgedStatements(t *testing.T, a *target, evil *evilEdge) {
	older, before := bundleOf(t, a.statements(t, evil.peer), "production")
	routes := append(attackRoutes(), mezu.Route{Name: "new", Prefix: "/new"})
	a.applied(t, a.setRoutes(routes...).Position)
	all := a.statements(t, evil.peer)
	current, now := bundleOf(t, all, "production")
	other, _ := bundleOf(t, all, "staging")
	_, foreignKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(purpose mezu.Purpose, keyID string, statement any) mezu.Signed {
		s, err := mezu.Sign(purpose, keyID, foreignKey, statement)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	opened := *now
	opened.Position.Revision += 1000
	opened.Routes = []mezu.Route{open}
	altered := current
	altered.Payload = bytes.ReplaceAll(current.Payload, []byte(`"auth":"required"`), []byte(`"auth":"none"    `))
	if bytes.Equal(altered.Payload, current.Payload) {
		t.Fatal("nothing was altered")
	}
	relabelled := other
	relabelled.Purpose = mezu.PurposeEdges
	serial := mezu.Revocation{Position: opened.Position, Kind: mezu.RevokeCertificate, Subject: "00", Until: time.Now().Add(time.Hour)}
	for _, forged := range []struct {
		name string
		doc  mezu.Signed
		why  string
	}{
		{"altered", altered, "signature of the bundle by key"},
		{"foreign key under a known id", sign(mezu.PurposeBundle, current.KeyID, opened), "signature of the bundle by key"},
		{"foreign key", sign(mezu.PurposeBundle, "mine", opened), "has no key"},
		{"older revision", older, "older than the one in use"},
		{"another environment's", other, "belongs to another environment"},
		{"another purpose", relabelled, "has no key"},
		{"keyset", sign(mezu.PurposeKeyset, "root", mezu.Keyset{Version: 99, NotAfter: time.Now().Add(time.Hour), CARoots: []string{"x"}}), "signature of the keyset"},
		{"revocation", sign(mezu.PurposeRevocation, current.KeyID, serial), "has no key"},
		{"edges", sign(mezu.PurposeEdges, current.KeyID, mezu.EdgeList{Position: opened.Position}), "has no key"},
		{"unknown purpose", sign("coffee", current.KeyID, opened), "none that a Warpgate takes"},
		{"garbage", mezu.Signed{Purpose: mezu.PurposeBundle, KeyID: current.KeyID, Payload: []byte("{"), Signature: []byte("x")}, "signature of the bundle by key"},
	} {
		before := len(a.refusals())
		evil.hub.Push(now.Environment, forged.doc)
		eventually(t, "the Warpgate's word on a statement that is "+forged.name, func() error {
			got := a.refusals()
			if len(got) <= before {
				return fmt.Errorf("it said nothing")
			}
			if l := got[before]; !strings.Contains(l, forged.why) || !strings.Contains(l, "evil") && !strings.Contains(l, evil.ID) || !strings.Contains(l, "level=WARN") {
				t.Errorf("%s: the log says %q, want %q and the edge", forged.name, l, forged.why)
			}
			return nil
		})
	}
	if before.Position.Compare(now.Position) >= 0 {
		t.Errorf("%v is not older than %v", before.Position, now.Position)
	}
	// The good one is in force, through the honest edge and the other.
	a.accepted(t, head("GET", "/new/x")+"\r\n", "new", "GET", "/new/x", "")
	a.refused(t, head("GET", "/admin")+"\r\n", closed)
	for _, path := range []string{"/admin", "/none"} {
		r := evil.exchange(t, now.Environment, told("forbidden", "127.0.0.1", now.Position, ""), "GET "+path+" HTTP/1.1\r\nHost: "+a.host+"\r\n\r\n")
		if r.code != mezu.CodeRefusedByWarpgate {
			t.Errorf("%s was answered with %+v", path, r)
		}
	}
	if p := evil.hub.Presence(); len(p) != 1 || p[0].Bundle != now.Position {
		t.Errorf("the Warpgate runs %+v, want %v", p, now.Position)
	}
}

// refusals are the lines in which the Warpgate speaks of statements that it did
// not take.
func (a *target) refusals() (lines []string) {
	for l := range strings.Lines(a.gate.log.String()) {
		if strings.Contains(l, "judging a statement") || strings.Contains(l, "refusing a statement") {
			lines = append(lines, l)
		}
	}
	return lines
}

// disabledEnvironment: switched off is off at the Warpgate, too.
func disabledEnvironment(t *testing.T, a *target, evil *evilEdge) {
	a.setEnabled("production", false)
	_, bundle := bundleOf(t, a.statements(t, evil.peer), "production")
	a.applied(t, bundle.Position)
	a.refused(t, head("GET", "/public/off")+"\r\n", mezu.CodeEnvironmentDisabled)
	r := evil.exchange(t, bundle.Environment, told("forbidden", "127.0.0.1", bundle.Position, ""), "GET /public/off HTTP/1.1\r\nHost: "+a.host+"\r\n\r\n")
	if r.kind != preface.KindFailure || r.code != mezu.CodeRefusedByWarpgate || !strings.Contains(r.detail, string(mezu.CodeEnvironmentDisabled)) {
		t.Errorf("the answer is %+v", r)
	}
	a.setEnabled("production", true)
	_, bundle = bundleOf(t, a.statements(t, evil.peer), "production")
	a.applied(t, bundle.Position)
	a.accepted(t, head("GET", "/public/on")+"\r\n", "public", "GET", "/public/on", "")
}
