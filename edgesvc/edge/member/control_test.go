package member_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/ca"
	"github.com/mezusphere/mezu/edgesvc/edgepart"
	"github.com/mezusphere/mezu/testkit"
	"github.com/mezusphere/mezu/trust"
)

const testDomain = "edge.example"

// vault keeps the authority's records in memory.
type vault struct {
	mu      sync.Mutex
	records map[string][]byte
}

func (v *vault) Load(_ context.Context, name string) ([]byte, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if data, ok := v.records[name]; ok {
		return slices.Clone(data), nil
	}
	return nil, fs.ErrNotExist
}

func (v *vault) Save(_ context.Context, name string, data []byte) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.records[name] = slices.Clone(data)
	return nil
}

// statement is one current document of the fake control plane.
type statement struct {
	key    string // of two with one key the later counts
	kind   api.StreamKind
	at     mezu.Position
	signed mezu.Signed
}

// control is a control plane that says what a test wants.
type control struct {
	t         *testing.T
	clock     *testkit.Clock
	vault     *vault
	offline   string
	authority *ca.Authority
	anchor    *trust.Anchor
	caFile    string
	server    *httptest.Server

	mu         sync.Mutex
	changed    chan struct{} // closed and replaced at each change
	at         mezu.Position
	statements []statement
	domain     string // for enrolments; if empty, testDomain
	says       bool   // what an edge must have
	tokens     map[string]bool
	refuse     map[string]*mezu.Error // by operation
	calls      map[string]int
	resumed    []mezu.Position
	reports    []api.EdgeReport
	takes      bool            // what edges hand up, as a control plane of this version
	faster     bool            // another edge handed up the same a moment before
	handed     [][]mezu.Signed // by call
	hosts      []string
	serials    []string             // of client certificates on the stream
	enrolled   map[string][2]string // hash of the key and id by name
	sealing    map[string][]byte    // keys that secrets are encrypted to, by the edges' ids
	noSealing  bool                 // a control plane of the version before, which takes none
	meanwhile  func()               // runs when an edge has registered its key, before the answer
}

func newControl(t *testing.T) *control {
	t.Helper()
	c := &control{t: t, clock: &testkit.Clock{}, vault: &vault{records: map[string][]byte{}}, offline: t.TempDir(), changed: make(chan struct{}),
		at: mezu.Position{Epoch: 1, Revision: 1}, tokens: map[string]bool{}, refuse: map[string]*mezu.Error{}, calls: map[string]int{},
		enrolled: map[string][2]string{}, sealing: map[string][]byte{}}
	ctx := t.Context()
	must(t, ca.Create(ctx, c.vault, c.offline, c.clock.Now))
	var err error
	c.authority, err = ca.Open(ctx, c.vault, c.clock.Now)
	must(t, err)
	c.anchor = trust.New(c.authority.TrustRoot(), c.clock.Now)
	_, err = c.anchor.AcceptKeyset(c.authority.Keyset())
	must(t, err)
	c.caFile = filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(c.caFile, c.authority.RootsPEM(), 0o600))
	c.start("127.0.0.1:0")
	t.Cleanup(func() { c.stop() })
	return c
}

// start listens, with a certificate of the time of the test.
func (c *control) start(address string) {
	c.t.Helper()
	key, keyPEM, err := trust.NewKey()
	must(c.t, err)
	csr, err := trust.CSR(key)
	must(c.t, err)
	issued, err := c.authority.IssueServer(csr, nil, []net.IP{net.IPv4(127, 0, 0, 1)})
	must(c.t, err)
	cert, err := trust.KeyPair([]byte(issued.Chain), keyPEM)
	must(c.t, err)
	l, err := net.Listen("tcp", address)
	must(c.t, err)
	c.server = httptest.NewUnstartedServer(c)
	c.server.Listener.Close()
	c.server.Listener = l
	c.server.EnableHTTP2 = true
	c.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	c.server.TLS = &tls.Config{MinVersion: tls.VersionTLS13, ClientAuth: tls.RequestClientCert, Time: c.clock.Now,
		Certificates: []tls.Certificate{*cert}}
	c.server.StartTLS()
}

// stop takes the control plane away, with all connections. The listener goes first: Close
// waits for requests, and would wait for ever for the stream of an edge that had come back
// before it.
func (c *control) stop() {
	c.server.Listener.Close()
	c.server.CloseClientConnections()
	c.server.Close()
}

// restart brings it back at the same address.
func (c *control) restart() { c.start(c.server.Listener.Addr().String()) }

func (c *control) token() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	token := mezu.NewToken(mezu.TokenJoin)
	c.tokens[token] = true
	return token
}

// wake tells the streams that there is something new; c.mu is held.
func (c *control) wake() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// next gives the next position; c.mu is held.
func (c *control) next() mezu.Position {
	c.at.Revision++
	return c.at
}

// put adds a statement under the current position; c.mu is held.
func (c *control) put(key string, kind api.StreamKind, signed mezu.Signed) {
	c.statements = slices.DeleteFunc(c.statements, func(s statement) bool { return s.key == key })
	c.statements = append(c.statements, statement{key, kind, c.at, signed})
	c.wake()
}

// bundle publishes a bundle with one public route for each prefix.
func (c *control) bundle(environment, label string, prefixes ...string) mezu.Position {
	c.t.Helper()
	b := newBundle(environment, label, prefixes...)
	return c.publish(b)
}

func newBundle(environment, label string, prefixes ...string) *mezu.Bundle {
	b := &mezu.Bundle{Organization: mezu.NewID(mezu.PrefixOrganization, time.Now()), Project: mezu.NewID(mezu.PrefixProject, time.Now()),
		Environment: environment, ProjectName: "shop", EnvironmentName: "production", Endpoint: label, Enabled: true, Issued: time.Now()}
	for _, p := range prefixes {
		b.Routes = append(b.Routes, mezu.Route{Prefix: p})
	}
	return b
}

// publish signs a bundle at the next position.
func (c *control) publish(b *mezu.Bundle) mezu.Position {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	b.Position = c.next()
	c.put(b.Environment, api.StreamBundle, c.sign(mezu.PurposeBundle, b))
	return b.Position
}

// raw publishes a statement as it is.
func (c *control) raw(key string, kind api.StreamKind, signed mezu.Signed) mezu.Position {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.next()
	c.put(key, kind, signed)
	return at
}

// keys publishes a list with one new key of a Warpgate of an environment.
func (c *control) keys(environment string) mezu.AssertionKey {
	c.t.Helper()
	public, _, err := ed25519.GenerateKey(nil)
	must(c.t, err)
	k := mezu.AssertionKey{Key: public, Warpgate: mezu.NewID(mezu.PrefixWarpgate, time.Now())}
	c.mu.Lock()
	defer c.mu.Unlock()
	list := mezu.AssertionKeys{Position: c.next(), Environment: environment, Keys: []mezu.AssertionKey{k}}
	c.put("keys of "+environment, api.StreamAssertions, c.sign(mezu.PurposeAssertions, list))
	return k
}

func (c *control) sign(p mezu.Purpose, statement any) mezu.Signed {
	c.t.Helper()
	signed, err := c.authority.Sign(p, statement)
	must(c.t, err)
	return signed
}

// revoke publishes a revocation.
func (c *control) revoke(r mezu.Revocation) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	r.Position = c.next()
	c.put("revocation "+r.Position.String(), api.StreamRevocation, c.sign(mezu.PurposeRevocation, r))
}

// edges publishes the list of edges.
func (c *control) edges(ids ...string) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	l := mezu.EdgeList{Position: c.next()}
	for _, id := range ids {
		l.Edges = append(l.Edges, mezu.EdgeInfo{ID: id, Name: "e", TunnelAddress: "127.0.0.1:1"})
	}
	c.put("edges", api.StreamEdges, c.sign(mezu.PurposeEdges, l))
}

// refused makes an operation fail; nil ends that.
func (c *control) refused(op api.Operation, e *mezu.Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e == nil {
		delete(c.refuse, op.ID)
	} else {
		c.refuse[op.ID] = e
	}
}

func (c *control) count(op api.Operation) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[op.ID]
}

// look reads the fake's state.
func look[T any](c *control, f func() T) T {
	c.mu.Lock()
	defer c.mu.Unlock()
	return f()
}

// ServeHTTP speaks the operations of an edge.
func (c *control) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	ops := map[string]api.Operation{}
	for _, op := range []api.Operation{api.OpEnrolEdge, api.OpRenewEdge, api.OpEdgeStream, api.OpEdgeReport, api.OpEdgeRevocations, api.OpPublicCertificate} {
		ops[op.Method+" "+op.Path] = op
	}
	op, ok := ops[req.Method+" "+req.URL.Path]
	if !ok {
		http.NotFound(w, req)
		return
	}
	c.mu.Lock()
	c.calls[op.ID]++
	refusal := c.refuse[op.ID]
	c.mu.Unlock()
	if refusal != nil {
		problem(w, refusal)
		return
	}
	if op.ID == api.OpEnrolEdge.ID {
		c.enrol(w, req)
		return
	}
	id, err := c.anchor.VerifyPeer(*req.TLS, mezu.PeerEdge)
	if err != nil {
		problem(w, mezu.Errorf(mezu.CodeUnauthenticated, "no edge: %v", err))
		return
	}
	switch op.ID {
	case api.OpRenewEdge.ID:
		var in api.RenewRequest
		decode(req, &in)
		if c.takesNo(w, in.SealingKey) {
			return
		}
		c.registers(id.ID, in.SealingKey)
		issued, err := c.authority.IssuePeer(in.CSR, id)
		if err != nil {
			problem(w, mezu.Errorf(mezu.CodeInvalid, "%v", err))
			return
		}
		encode(w, api.Credentials{Certificates: issued.Chain, TrustRoot: c.authority.TrustRoot(), Keyset: c.authority.Keyset()})
	case api.OpEdgeReport.ID:
		var in api.EdgeReport
		decode(req, &in)
		c.mu.Lock()
		c.reports = append(c.reports, in)
		c.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	case api.OpEdgeRevocations.ID:
		c.handUp(w, req)
	case api.OpPublicCertificate.ID:
		c.publicCertificate(w, req)
	case api.OpEdgeStream.ID:
		c.stream(w, req)
	}
}

func (c *control) enrol(w http.ResponseWriter, req *http.Request) {
	var in api.EnrolRequest
	decode(req, &in)
	if c.takesNo(w, in.SealingKey) {
		return // before the token is spent
	}
	token := strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")
	c.mu.Lock()
	good := c.tokens[token]
	delete(c.tokens, token)
	c.mu.Unlock()
	if !good {
		problem(w, mezu.Errorf(mezu.CodeUnauthenticated, "the join token was used or has ended"))
		return
	}
	block, _ := pem.Decode([]byte(in.CSR))
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	must(c.t, err)
	c.mu.Lock()
	known, ok := c.enrolled[in.Name]
	if !ok {
		known = [2]string{mezu.HashSecret(string(csr.RawSubjectPublicKeyInfo)), mezu.NewID(mezu.PrefixEdge, c.clock.Now())}
		c.enrolled[in.Name] = known
	}
	c.mu.Unlock()
	if known[0] != mezu.HashSecret(string(csr.RawSubjectPublicKeyInfo)) {
		problem(w, mezu.Errorf(mezu.CodeConflict, "there is an edge of this name with another key"))
		return
	}
	id := mezu.Identity{Role: mezu.PeerEdge, ID: known[1]}
	c.registers(id.ID, in.SealingKey)
	issued, err := c.authority.IssuePeer(in.CSR, id)
	if err != nil {
		problem(w, mezu.Errorf(mezu.CodeInvalid, "%v", err))
		return
	}
	encode(w, api.EnrolResponse{Edge: id.ID, Domain: look(c, func() string { return cmp.Or(c.domain, testDomain) }),
		Credentials: api.Credentials{Certificates: issued.Chain, TrustRoot: c.authority.TrustRoot(), Keyset: c.authority.Keyset()}})
}

// takesNo refuses a key if the control plane is of a version that knows none.
func (c *control) takesNo(w http.ResponseWriter, key []byte) bool {
	no := key != nil && look(c, func() bool { return c.noSealing })
	if no {
		problem(w, mezu.Invalid("sealing_key", "is not a field"))
	}
	return no
}

// registers takes over the key of an edge.
func (c *control) registers(edge string, key []byte) {
	c.mu.Lock()
	meanwhile := c.meanwhile
	if key != nil {
		c.sealing[edge] = key
	}
	c.mu.Unlock()
	if meanwhile != nil {
		meanwhile()
	}
}

// part publishes a webhook's secret, encrypted to the edges that have registered a key.
func (c *control) part(environment, secret string) mezu.Position {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	p := mezu.EdgePart{Position: c.next(), Environment: environment}
	must(c.t, edgepart.Seal(&p, &mezu.EdgeContent{Webhooks: []mezu.WebhookSecrets{{Webhook: mezu.Webhook{Name: "pay", Provider: mezu.WebhookStripe}, Secrets: []string{secret}}}}, c.sealing))
	c.put("part of "+environment, api.StreamEdgePart, c.sign(mezu.PurposeEdgePart, p))
	return p.Position
}

// handUp takes over what it does not know, signed anew, or refuses all.
func (c *control) handUp(w http.ResponseWriter, req *http.Request) {
	var in api.EdgeRevocations
	decode(req, &in)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handed = append(c.handed, in.Revocations)
	out := api.RevocationsTaken{Refused: len(in.Revocations)}
	if c.takes {
		out.Refused = 0
		for _, doc := range in.Revocations {
			r, err := c.anchor.OpenRevocation(doc)
			must(c.t, err)
			if slices.ContainsFunc(c.statements, func(s statement) bool { return bytes.Contains(s.signed.Payload, []byte(`"subject":"`+r.Subject+`"`)) }) {
				continue
			}
			r.Position = c.next()
			c.put("revocation "+r.Subject, api.StreamRevocation, c.sign(mezu.PurposeRevocation, r))
			out.Taken++
		}
	}
	if c.faster {
		out.Taken = 0
	}
	encode(w, out)
}

func (c *control) publicCertificate(w http.ResponseWriter, req *http.Request) {
	var in api.PublicCertificateRequest
	decode(req, &in)
	issued, err := c.authority.IssueServer(in.CSR, in.Hosts, nil)
	if err != nil {
		problem(w, mezu.Errorf(mezu.CodeInvalid, "%v", err))
		return
	}
	c.mu.Lock()
	c.hosts = append(c.hosts, in.Hosts...)
	c.mu.Unlock()
	encode(w, api.PublicCertificateChain{Certificates: issued.Chain})
}

// stream sends the keyset, then what is current after the position asked for,
// then changes.
func (c *control) stream(w http.ResponseWriter, req *http.Request) {
	sent := mezu.Position{}
	if last := req.Header.Get("Last-Event-ID"); last != "" {
		var err error
		if sent, err = mezu.ParsePosition(last); err != nil {
			problem(w, mezu.Errorf(mezu.CodeInvalid, "no position"))
			return
		}
	}
	c.mu.Lock()
	c.resumed = append(c.resumed, sent)
	c.serials = append(c.serials, trust.Serial(req.TLS.PeerCertificates[0]))
	restored := !sent.IsZero() && sent.Epoch != c.at.Epoch
	c.mu.Unlock()
	if restored {
		problem(w, mezu.Errorf(mezu.CodePreconditionFailed, "restored from a backup since"))
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	event(w, api.StreamKeyset, sent, c.authority.Keyset())
	synced := false
	alive := time.NewTicker(api.StreamKeepAlive)
	defer alive.Stop()
	for {
		c.mu.Lock()
		changed, head := c.changed, c.at
		var due []statement
		for _, s := range c.statements {
			if s.at.Compare(sent) > 0 {
				due = append(due, s)
			}
		}
		c.mu.Unlock()
		for _, s := range due {
			event(w, s.kind, s.at, s.signed)
			sent = s.at
		}
		if !synced {
			synced = true
			sent = head
			data, _ := json.Marshal(api.StreamEvent{State: c.state()})
			fmt.Fprintf(w, "event: %s\nid: %s\ndata: %s\n\n", api.StreamSynced, head, data)
		}
		w.(http.Flusher).Flush()
		select {
		case <-changed:
		case <-alive.C:
			io.WriteString(w, ":\n\n") // else the edge takes it for dead
		case <-req.Context().Done():
			return
		}
	}
}

// state is what an edge must have, nil of a control plane of the version before.
func (c *control) state() *api.StreamState {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.says {
		return nil
	}
	out := &api.StreamState{At: c.clock.Now(), Keyset: sha256.Sum256(c.authority.Keyset().Payload)}
	for _, s := range c.statements {
		switch s.kind {
		case api.StreamEdges:
			out.Edges = s.at
		case api.StreamBundle:
			out.Bundles.CountBundle(s.key, s.at, 1)
		case api.StreamRevocation:
			var r mezu.Revocation
			must(c.t, json.Unmarshal(s.signed.Payload, &r))
			out.Revocations.CountRevocation(r, 1)
		}
	}
	return out
}

func event(w io.Writer, kind api.StreamKind, at mezu.Position, signed mezu.Signed) {
	data, _ := json.Marshal(api.StreamEvent{Signed: signed})
	fmt.Fprintf(w, "event: %s\nid: %s\ndata: %s\n\n", kind, at, data)
}

func problem(w http.ResponseWriter, e *mezu.Error) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(e.Code.Status())
	json.NewEncoder(w).Encode(api.Problem{Title: string(e.Code), Status: e.Code.Status(), Code: e.Code, Detail: e.Detail, Field: e.Field})
}

func encode(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

// decode reads a body; one that is cut off ends the request.
func decode(req *http.Request, v any) {
	if err := json.NewDecoder(req.Body).Decode(v); err != nil {
		panic(http.ErrAbortHandler)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
