package warpgate_test

import (
	"bufio"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/daemon/warpgate"
	"github.com/mezusphere/mezu/testkit"
	"github.com/mezusphere/mezu/trust"
	"github.com/mezusphere/mezu/tunnel"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = time.Minute

// world is a control plane and edges, as far as a Warpgate can tell.
type world struct {
	t    *testing.T
	real testkit.Clock // the control plane's and the edges'

	rootKey  ed25519.PrivateKey
	keys     map[mezu.Purpose]ed25519.PrivateKey
	caKey    *ecdsa.PrivateKey
	ca       *x509.Certificate
	anchor   *trust.Anchor
	org, prj string
	env      string
	key      string // the one good service account key

	mu        sync.Mutex
	keyset    mezu.Signed
	bundle    mezu.Signed
	edgeDoc   mezu.Signed
	revoked   []mezu.Signed
	revision  uint64
	serials   int64
	edges     []*edge
	refuse    func(op string) *mezu.Error // what the API answers instead
	registers []api.RegisterRequest
	keyEnds   time.Time // of the key that registrations come by; zero if never
	renewals  int
	said      []api.WarpgateTargetsRequest
	unheard   mezu.Code         // what the API answers to that instead
	unsaid    int               // how often
	serial    string            // of the last Warpgate's certificate
	root      ed25519.PublicKey // presented at registration
	known     map[string]bool   // Warpgate ids
	// enrolments are enrolment tokens that are good, each for one registration of the key
	// with this hash.
	enrolments map[string]string

	// dead is the silence after which edges that start from now on and their Warpgates give
	// one another up.
	dead time.Duration

	api    *http.Server
	addr   string
	caFile string
}

// edge is one edge: a hub behind TLS.
type edge struct {
	info mezu.EdgeInfo
	hub  *tunnel.Hub
	ln   net.Listener
	stop context.CancelFunc
	done sync.WaitGroup
	// mistaken makes the edge take Warpgates for something else, and refuse
	// them for good.
	mistaken atomic.Bool
}

func newWorld(t *testing.T, edges int) *world {
	t.Helper()
	w := &world{t: t, keys: map[mezu.Purpose]ed25519.PrivateKey{}, key: mezu.NewKey(), known: map[string]bool{}, enrolments: map[string]string{}, dead: 2 * time.Second}
	now := time.Now()
	w.org, w.prj, w.env = mezu.NewID("org", now), mezu.NewID("prj", now), mezu.NewID("env", now)
	_, w.rootKey, _ = ed25519.GenerateKey(nil)
	w.root = w.rootKey.Public().(ed25519.PublicKey)
	w.makeCA()
	w.makeKeyset(1)
	w.anchor = trust.New(w.root, w.real.Now)
	if _, err := w.anchor.AcceptKeyset(w.keyset); err != nil {
		t.Fatal(err)
	}
	w.setBundle(w.env, "/")
	for range edges {
		w.addEdge()
	}
	w.setEdges(w.edges...)
	w.startAPI("127.0.0.1:0")
	t.Cleanup(w.stopAPI)
	return w
}

func (w *world) makeCA() {
	w.caKey, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, NotBefore: time.Now().Add(-time.Hour * 24 * 365), NotAfter: time.Now().Add(time.Hour * 24 * 3650),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, w.caKey.Public(), w.caKey)
	if err != nil {
		w.t.Fatal(err)
	}
	w.ca, _ = x509.ParseCertificate(der)
	w.caFile = filepath.Join(w.t.TempDir(), "ca.pem")
	if err := os.WriteFile(w.caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// issue makes a leaf as the CA does.
func (w *world) issue(key crypto.PublicKey, id *mezu.Identity) (string, *x509.Certificate) {
	w.serials++
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1000 + w.serials), NotBefore: w.real.Now().Add(-mezu.LeafBackdate), NotAfter: w.real.Now().Add(mezu.LeafLife),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}, KeyUsage: x509.KeyUsageDigitalSignature}
	if id != nil {
		tmpl.URIs = []*url.URL{id.URI()}
	} else {
		tmpl.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
		tmpl.NotBefore, tmpl.NotAfter = w.ca.NotBefore, w.ca.NotAfter
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, w.ca, key, w.caKey)
	if err != nil {
		w.t.Fatal(err)
	}
	leaf, _ := x509.ParseCertificate(der)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), leaf
}

// pair is a certificate with its key, for TLS.
func (w *world) pair(id *mezu.Identity) *tls.Certificate {
	key, _, err := trust.NewKey()
	if err != nil {
		w.t.Fatal(err)
	}
	_, leaf := w.issue(key.Public(), id)
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
}

func (w *world) makeKeyset(version uint64) {
	ks := mezu.Keyset{Version: version, IssuedAt: time.Now(), NotAfter: time.Now().Add(365 * 24 * time.Hour),
		CARoots: []string{string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.ca.Raw}))}}
	for _, p := range []mezu.Purpose{mezu.PurposeBundle, mezu.PurposeEdges, mezu.PurposeRevocation, mezu.PurposeGrant, mezu.PurposeAssertions} {
		if w.keys[p] == nil {
			_, w.keys[p], _ = ed25519.GenerateKey(nil)
		}
		ks.Keys = append(ks.Keys, mezu.PublicKey{ID: string(p) + "-1", Purpose: p, Key: w.keys[p].Public().(ed25519.PublicKey), NotAfter: ks.NotAfter})
	}
	var err error
	if w.keyset, err = mezu.Sign(mezu.PurposeKeyset, "root", w.rootKey, ks); err != nil {
		w.t.Fatal(err)
	}
}

// sign signs a statement as the control plane does.
func (w *world) sign(p mezu.Purpose, statement any) mezu.Signed {
	w.t.Helper()
	s, err := mezu.Sign(p, string(p)+"-1", w.keys[p], statement)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// next is the next position of the installation.
func (w *world) next() mezu.Position {
	w.revision++
	return mezu.Position{Epoch: 1, Revision: w.revision}
}

// makeBundle is a bundle of one public prefix at the next position.
func (w *world) makeBundle(env, prefix string) mezu.Signed {
	return w.sign(mezu.PurposeBundle, mezu.Bundle{Position: w.next(), Organization: w.org, Project: w.prj, Environment: env, ProjectName: "shop",
		EnvironmentName: "production", Endpoint: "shop-acme", Enabled: true, Routes: []mezu.Route{{Prefix: prefix}}, Issued: w.real.Now()})
}

// setBundle makes it the current one, and pushes it to the edges.
func (w *world) setBundle(env, prefix string) mezu.Signed {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bundle = w.makeBundle(env, prefix)
	return w.bundle
}

// setEdges makes these the list.
func (w *world) setEdges(edges ...*edge) mezu.Signed {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := mezu.EdgeList{Position: w.next()}
	for _, e := range edges {
		l.Edges = append(l.Edges, e.info)
	}
	w.edgeDoc = w.sign(mezu.PurposeEdges, l)
	return w.edgeDoc
}

// revoke makes a revocation of a certificate.
func (w *world) revoke(serial string) mezu.Signed {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.sign(mezu.PurposeRevocation, mezu.Revocation{Position: w.next(), Kind: mezu.RevokeCertificate, Subject: serial, Until: w.real.Now().Add(mezu.LeafLife)})
	w.revoked = append(w.revoked, s)
	return s
}

// documents is what an edge has, in the order in which it sends.
func (w *world) documents(string) []mezu.Signed {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append(append([]mezu.Signed{w.keyset}, w.revoked...), w.edgeDoc, w.bundle)
}

// addEdge starts an edge.
func (w *world) addEdge() *edge {
	w.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	e := w.startEdge(ln, mezu.NewID("edg", time.Now()))
	w.edges = append(w.edges, e)
	return e
}

func (w *world) startEdge(ln net.Listener, id string) *edge {
	e := &edge{info: mezu.EdgeInfo{ID: id, Name: "edge-" + id[len(id)-4:], TunnelAddress: ln.Addr().String()}, ln: ln}
	var ctx context.Context
	ctx, e.stop = context.WithCancel(context.Background())
	e.hub = tunnel.NewHub(tunnel.HubConfig{Edge: func() string { return e.info.ID }, Statements: w.documents,
		Limits: tunnel.Limits{Heartbeat: 100 * time.Millisecond, Dead: w.dead, RetryAfter: 10 * time.Millisecond}})
	cert := w.pair(&mezu.Identity{Role: mezu.PeerEdge, ID: e.info.ID})
	config := w.anchor.ServerTLS(func() (*tls.Certificate, error) { return cert, nil }, mezu.PeerWarpgate, mezu.ProtocolControl, mezu.ProtocolData)
	e.done.Go(func() {
		for {
			raw, err := ln.Accept()
			if err != nil {
				return
			}
			e.done.Go(func() { e.serve(ctx, w.anchor, tls.Server(raw, config)) })
		}
	})
	w.t.Cleanup(e.kill)
	return e
}

func (e *edge) serve(ctx context.Context, anchor *trust.Anchor, conn *tls.Conn) {
	conn.SetDeadline(time.Now().Add(patience))
	if conn.HandshakeContext(ctx) != nil {
		conn.Close()
		return
	}
	conn.SetDeadline(time.Time{})
	id, err := anchor.VerifyPeer(conn.ConnectionState(), mezu.PeerWarpgate)
	if err != nil {
		conn.Close()
		return
	}
	if conn.ConnectionState().NegotiatedProtocol == mezu.ProtocolData {
		e.hub.ServeData(conn, id)
		return
	}
	if e.mistaken.Load() {
		id.Role = mezu.PeerEdge
	}
	e.hub.ServeControl(ctx, conn, id)
}

// kill ends the edge at once. It is idempotent.
func (e *edge) kill() {
	e.ln.Close()
	e.stop()
	e.hub.Close()
	e.done.Wait()
}

// startAPI serves the two operations of Warpgates.
func (w *world) startAPI(addr string) {
	w.t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		w.t.Fatal(err)
	}
	cert := w.pair(nil)
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+api.OpRegisterWarpgate.Path, w.register)
	mux.HandleFunc("POST "+api.OpRenewWarpgate.Path, w.renew)
	mux.HandleFunc(api.OpWarpgateTargets.Method+" "+api.OpWarpgateTargets.Path, w.says)
	w.api = &http.Server{Handler: mux, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{*cert}, ClientAuth: tls.RequestClientCert}}
	w.addr = ln.Addr().String()
	go w.api.ServeTLS(ln, "", "")
}

func (w *world) stopAPI() { w.api.Close() }

func (w *world) url() string { return "https://" + w.addr }

func (w *world) register(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var req api.RegisterRequest
	json.NewDecoder(r.Body).Decode(&req)
	w.registers = append(w.registers, req)
	if !w.keyEnds.IsZero() {
		rw.Header().Set(api.HeaderCredentialEnds, w.keyEnds.Format(time.RFC3339))
	}
	if w.refuse != nil {
		if e := w.refuse("register"); e != nil {
			problem(rw, e)
			return
		}
	}
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	key, enrols := w.enrolments[token]
	switch {
	case token == w.key:
	case !enrols:
		problem(rw, mezu.Errorf(mezu.CodeUnauthenticated, "the key is not known"))
		return
	case keyHash(req.CSR) != key:
		problem(rw, mezu.Errorf(mezu.CodeForbidden, "the enrolment token is bound to another key"))
		return
	}
	if req.Warpgate != "" && !w.known[req.Warpgate] {
		problem(rw, mezu.Errorf(mezu.CodeNotFound, "no such Warpgate"))
		return
	}
	id := req.Warpgate
	if id == "" {
		id = mezu.NewID("wgt", time.Now())
	}
	w.known[id] = true
	delete(w.enrolments, token)
	w.answer(rw, req.CSR, id)
}

// enrolment makes an enrolment token for a key.
func (w *world) enrolment(key string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	token := fmt.Sprintf("%s%030d", mezu.TokenEnrolment, len(w.registers)*100+len(w.enrolments))
	w.enrolments[token] = key
	return token
}

// keyHash is that of the key of a signing request, as enrolment tokens are bound to it.
func keyHash(csr string) string {
	block, _ := pem.Decode([]byte(csr))
	parsed, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%x", sha256.Sum256(parsed.RawSubjectPublicKeyInfo))
}

func (w *world) renew(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.renewals++
	if w.refuse != nil {
		if e := w.refuse("renew"); e != nil {
			problem(rw, e)
			return
		}
	}
	var req api.RenewRequest
	json.NewDecoder(r.Body).Decode(&req)
	id, err := w.anchor.VerifyPeer(*r.TLS, mezu.PeerWarpgate)
	if err != nil {
		problem(rw, mezu.Errorf(mezu.CodeUnauthenticated, "%v", err))
		return
	}
	w.answer(rw, req.CSR, id.ID)
}

// answer certifies; w.mu is held.
func (w *world) answer(rw http.ResponseWriter, csr, id string) {
	block, _ := pem.Decode([]byte(csr))
	parsed, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		problem(rw, mezu.Invalid("csr", "%v", err))
		return
	}
	chain, leaf := w.issue(parsed.PublicKey, &mezu.Identity{Role: mezu.PeerWarpgate, ID: id, Organization: w.org, Project: w.prj, Environment: w.env})
	w.serial = trust.Serial(leaf)
	json.NewEncoder(rw).Encode(api.RegisterResponse{Credentials: api.Credentials{Certificates: chain, TrustRoot: w.root, Keyset: w.keyset}, Warpgate: id,
		Organization: "acme", Project: "shop", Environment: "production", URL: "https://shop-acme.localhost:8443", Bundle: w.bundle, Edges: w.edgeDoc,
		Revocations: w.revoked, Head: mezu.Position{Epoch: 1, Revision: w.revision}})
}

func problem(rw http.ResponseWriter, e *mezu.Error) {
	rw.Header().Set("Content-Type", "application/problem+json")
	rw.WriteHeader(e.Code.Status())
	json.NewEncoder(rw).Encode(api.Problem{Status: e.Code.Status(), Code: e.Code, Detail: e.Detail, Field: e.Field})
}

func (w *world) counts() (registers, renewals int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.registers), w.renewals
}

// gate is a running Warpgate.
type gate struct {
	*warpgate.Warpgate
	t      *testing.T
	clock  testkit.Clock
	events chan mezu.Event
	cancel context.CancelFunc
	done   chan struct{}
	err    error
	log    *testkit.Buffer
}

// config is a good one.
func (w *world) config(dir string) warpgate.Config {
	return warpgate.Config{API: w.url(), CAFile: w.caFile, Token: func() (string, error) { return w.key, nil }, Upstream: "127.0.0.1:9",
		StateDir: dir, Version: "1.2.3", DrainTimeout: 5 * time.Second}
}

// start runs a Warpgate. Its data connections answer each line with the same.
func (w *world) start(cfg warpgate.Config, change ...func(*gate)) *gate {
	w.t.Helper()
	g := watch(w.t, &cfg)
	made, err := warpgate.New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	g.is(made)
	for _, f := range change {
		f(g)
	}
	g.run(made.Run)
	return g
}

// watch has the Warpgate that cfg will make tell a gate of what it does.
func watch(t *testing.T, cfg *warpgate.Config) *gate {
	g := &gate{t: t, events: make(chan mezu.Event, 10_000), done: make(chan struct{}), log: &testkit.Buffer{}}
	if cfg.Now == nil {
		cfg.Now = g.clock.Now
	}
	cfg.Log = slog.New(slog.NewTextHandler(g.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	cfg.Events = func(e mezu.Event) { g.events <- e }
	return g
}

// is says which Warpgate it is, and prepares that for tests.
func (g *gate) is(made *warpgate.Warpgate) {
	g.Warpgate = made
	made.TestOnlyServe(echo)
	made.TestOnlyHurry()
}

// run runs it until the end of the test.
func (g *gate) run(run func(context.Context) error) {
	var ctx context.Context
	ctx, g.cancel = context.WithCancel(context.Background())
	go func() {
		defer close(g.done)
		g.err = run(ctx)
	}()
	g.t.Cleanup(func() {
		g.Close()
		g.cancel()
		<-g.done
		if g.t.Failed() {
			g.t.Log("log of the Warpgate:\n" + g.log.String())
		}
	})
}

// echo answers each line with the line. The line "slow" is answered once the
// connection's context has ended or a second line came.
func echo(ctx context.Context, conn net.Conn) {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	r := bufio.NewReader(conn)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		if line == "slow\n" {
			if line, err = r.ReadString('\n'); err != nil {
				return
			}
		}
		if _, err := conn.Write([]byte(line)); err != nil {
			return
		}
	}
}

// stop drains and returns Run's error.
func (g *gate) stop() error {
	g.cancel()
	return g.wait()
}

// wait returns Run's error.
func (g *gate) wait() error {
	g.t.Helper()
	select {
	case <-g.done:
		return g.err
	case <-time.After(2 * patience):
		g.t.Fatal("the Warpgate doesn't end")
		return nil
	}
}

// event waits for an event.
func (g *gate) event(what string, match func(mezu.Event) bool) mezu.Event {
	g.t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case e := <-g.events:
			if match(e) {
				return e
			}
		case <-deadline:
			g.t.Fatalf("no event: %s", what)
		}
	}
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not so in time: %s", what)
		}
		pause, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		<-pause.Done()
		cancel()
	}
}

// ready waits until requests can arrive.
func (g *gate) ready() {
	g.t.Helper()
	eventually(g.t, "ready", func() bool {
		select {
		case <-g.done:
			g.t.Fatalf("the Warpgate ended: %v", g.err)
		default:
		}
		ok, _ := g.Ready()
		return ok
	})
}

// ping sends a line through an edge and reads it back.
func (e *edge) ping(t *testing.T, env string) {
	t.Helper()
	c := e.checkout(t, env)
	if got := exchange(t, c, "ping\n"); got != "ping\n" {
		t.Fatalf("answer %q", got)
	}
	c.Release()
}

func (e *edge) checkout(t *testing.T, env string) *tunnel.Conn {
	t.Helper()
	var s *tunnel.Session
	eventually(t, "a session at the edge", func() bool { s = e.hub.PickBut(env, nil); return s != nil })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := s.Checkout(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(patience))
	return c
}

func exchange(t *testing.T, c net.Conn, line string) string {
	t.Helper()
	if _, err := c.Write([]byte(line)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, len(line))
	for n := 0; n < len(buf); {
		m, err := c.Read(buf[n:])
		n += m
		if err != nil {
			t.Fatalf("reading the answer: %v", err)
		}
	}
	return string(buf)
}

// applied waits until the edge has heard that the Warpgate runs this position.
func (e *edge) applied(t *testing.T, pos mezu.Position) {
	t.Helper()
	eventually(t, "acknowledged "+pos.String(), func() bool {
		for _, p := range e.hub.Presence() {
			if p.Bundle == pos {
				return true
			}
		}
		return false
	})
}

// positionOf reads the position of a signed statement.
func positionOf(t *testing.T, s mezu.Signed) mezu.Position {
	t.Helper()
	var p struct{ Position mezu.Position }
	if err := json.Unmarshal(s.Payload, &p); err != nil {
		t.Fatal(err)
	}
	return p.Position
}

func isError(code mezu.Code, text string) func(mezu.Event) bool {
	return func(e mezu.Event) bool {
		return e.Event == mezu.EventError && (code == "" || e.Code == code) && strings.Contains(e.Message+e.Hint, text)
	}
}

// sessions is how many Warpgates take exchanges of the environment.
func sessions(h *tunnel.Hub, environment string) int {
	var all []*tunnel.Session
	for s := h.PickBut(environment, nil); s != nil; s = h.PickBut(environment, nil, all...) {
		all = append(all, s)
	}
	return len(all)
}
