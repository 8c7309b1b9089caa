package forward_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/assertion"
	"github.com/mezusphere/mezu/daemon/forward"
	"github.com/mezusphere/mezu/grant"
	"github.com/mezusphere/mezu/grant/granttest"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/preface"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	// patience bounds every wait of a test that has gone wrong.
	patience = time.Minute
	// brief is the time-out of routes that are meant to run into it. A busy machine may
	// stall a test for most of it, so the tests wait for it beside one another.
	brief = time.Second
)

const (
	environment = "env_00000000000000000000000001"
	directory   = "dir_00000000000000000000000001"
)

var (
	position = mezu.Position{Epoch: 1, Revision: 7}
	client   = netip.MustParseAddr("203.0.113.7")
)

// compile makes the table of the routes that all tests share.
func compile(t testing.TB, at mezu.Position, more ...mezu.Route) *policy.Table {
	t.Helper()
	no := false
	b := &mezu.Bundle{
		Position: at, Environment: environment, Directory: directory, Endpoint: "shop-acme", Enabled: true, Issued: time.Unix(0, 0),
		Roles: map[string]mezu.ProjectRole{"staff": {}},
		Routes: append([]mezu.Route{
			{Prefix: "/"},
			{Prefix: "/internal/", AllowIPs: []string{"198.51.100.0/24"}},
			{Prefix: "/private/", Auth: mezu.AuthRequired},
			{Prefix: "/staff/", Auth: mezu.AuthRequired, Roles: []string{"staff"}},
			{Prefix: "/optional/", Auth: mezu.AuthOptional},
			{Prefix: "/posted/", Methods: []string{"POST"}},
			{Prefix: "/small/", MaxBody: 10},
			{Prefix: "/brief/", Timeout: mezu.Duration(brief), IdleTimeout: mezu.Duration(brief)},
			{Prefix: "/plain/", WebSocket: &no},
			{Prefix: "/inner/", HostHeader: "inner.example"},
			{Prefix: "/foreign/", Upstream: "127.0.0.1:9"},
			{Prefix: "/closed/", Auth: mezu.AuthRequired, AuthMethods: []string{"basic"}},
			{Regexp: "/only/[0-9]+"},
		}, more...),
	}
	table, err := policy.Compile(b)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// world is a Forwarder with a data connection, of which the test is the edge.
type world struct {
	t      testing.TB
	f      *forward.Forwarder
	table  atomic.Pointer[policy.Table]
	events chan mezu.Event
	log    logBuffer
	auth   *granttest.Authority
	uses   *grant.Index
	minter *assertion.Minter

	mu       sync.Mutex
	failures map[mezu.Cause]int
}

// assert signs who a user is.
func (w *world) assert(g *grant.Verified) []byte {
	text, err := g.Assertion.Get(w.minter, g.Grant, time.Now())
	if err != nil {
		w.t.Error(err)
	}
	return text
}

// failed is how many requests ended by a cause.
func (w *world) failed(cause mezu.Cause) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failures[cause]
}

// logBuffer keeps a log.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newWorld(t testing.TB, upstream string, allow ...string) *world {
	t.Helper()
	w := &world{t: t, events: make(chan mezu.Event, 10_000), failures: map[mezu.Cause]int{}}
	w.auth = granttest.New(t, time.Now)
	w.uses = grant.NewIndex(w.auth.Anchor.GrantRevoked)
	w.minter = assertion.NewMinter(w.auth.Key, "https://app.example", environment)
	cfg := forward.Config{
		Grants: grant.NewVerifier(w.auth.Anchor), Uses: w.uses, Assert: w.assert, Domain: func() string { return "edge.example" },
		Targets: forward.Targets{Upstream: parse(t, upstream)}, Table: w.table.Load, Log: slog.New(slog.NewTextHandler(&w.log, nil)),
		Failed: func(c mezu.Cause) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.failures[c]++
		},
		Requests: told{ended: func(e mezu.Event) { w.events <- e }},
	}
	for _, a := range allow {
		cfg.Allow = append(cfg.Allow, parse(t, a))
	}
	var routes []mezu.Route
	for i, a := range allow {
		routes = append(routes, mezu.Route{Prefix: fmt.Sprintf("/allowed%d/", i), Upstream: a})
	}
	w.table.Store(compile(t, position, routes...))
	w.f = forward.New(cfg)
	t.Cleanup(w.f.Close)
	return w
}

func parse(t testing.TB, s string) (u mezu.Upstream) {
	t.Helper()
	if s == "" {
		return u
	}
	u, err := mezu.ParseUpstream(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// edge is the edge's end of one data connection.
type edge struct {
	t      testing.TB
	conn   net.Conn
	r      *bufio.Reader
	cancel context.CancelFunc
	done   chan struct{} // ServeConn has returned
	id     atomic.Int64
}

// connect makes a data connection, over TLS if secure.
func (w *world) connect(secure bool) *edge {
	w.t.Helper()
	a, b := pair(w.t)
	if secure {
		cfg := &tls.Config{Certificates: []tls.Certificate{certificate()}, MinVersion: tls.VersionTLS13, InsecureSkipVerify: true}
		a, b = tls.Client(a, cfg), tls.Server(b, cfg)
	}
	ctx, cancel := context.WithCancel(context.Background())
	e := &edge{t: w.t, conn: a, r: bufio.NewReader(a), cancel: cancel, done: make(chan struct{})}
	go e.serve(ctx, w.f, b)
	a.SetDeadline(time.Now().Add(patience))
	w.t.Cleanup(func() {
		cancel()
		a.Close()
		<-e.done
	})
	return e
}

func (e *edge) serve(ctx context.Context, f *forward.Forwarder, conn net.Conn) {
	defer close(e.done)
	f.ServeConn(ctx, conn, "fra-1")
	conn.Close()
}

var certificate = sync.OnceValue(func() tls.Certificate {
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	return s.TLS.Certificates[0]
})

func pair(t testing.TB) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// ask sends one request with its typed head.
func (e *edge) ask(raw string) { e.t.Helper(); e.askAt(position, raw) }

func (e *edge) askAt(at mezu.Position, raw string) { e.t.Helper(); e.askWith(at, nil, raw) }

// askAs sends one with a grant beside it.
func (e *edge) askAs(grant []byte, raw string) { e.t.Helper(); e.askWith(position, grant, raw) }

func (e *edge) askWith(at mezu.Position, grant []byte, raw string) {
	e.t.Helper()
	info := preface.Request{Client: client, ID: fmt.Sprintf("id-%d", e.id.Add(1)), Position: at, Grant: grant}
	e.write(string(preface.AppendRequest(nil, &info)) + raw)
}

func (e *edge) write(raw string) {
	e.t.Helper()
	if _, err := io.WriteString(e.conn, raw); err != nil {
		e.t.Fatal(err)
	}
}

// typed reads a typed head.
func (e *edge) typed() (kind byte, payload []byte) {
	e.t.Helper()
	head := make([]byte, 4)
	if _, err := io.ReadFull(e.r, head); err != nil {
		e.t.Fatalf("reading a typed head: %v", err)
	}
	payload = make([]byte, int(head[1])<<16|int(head[2])<<8|int(head[3]))
	if _, err := io.ReadFull(e.r, payload); err != nil {
		e.t.Fatal(err)
	}
	return head[0], payload
}

// response reads a response, whose body is still to come.
func (e *edge) response(method string) *http.Response {
	e.t.Helper()
	kind, payload := e.typed()
	if kind == preface.KindFailure {
		f, err := preface.ParseFailure(payload)
		e.t.Fatalf("failure %+v, %v", f, err)
	}
	if kind != preface.KindResponse || len(payload) != 0 {
		e.t.Fatalf("typed head of kind %d", kind)
	}
	resp, err := http.ReadResponse(e.r, &http.Request{Method: method})
	if err != nil {
		e.t.Fatal(err)
	}
	return resp
}

// reads asserts on a whole response.
func (e *edge) reads(method string, status int, body string) *http.Response {
	e.t.Helper()
	resp := e.response(method)
	got, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != status || string(got) != body {
		e.t.Fatalf("status %d, %d bytes %.60q, %v; want %d, %.60q", resp.StatusCode, len(got), got, err, status, body)
	}
	return resp
}

// fails asserts on a failure.
func (e *edge) fails(code mezu.Code) *preface.Failure {
	e.t.Helper()
	kind, payload := e.typed()
	if kind != preface.KindFailure {
		head, _ := e.r.Peek(e.r.Buffered())
		e.t.Fatalf("typed head of kind %d, want the failure %s; buffered: %q", kind, code, head)
	}
	f, err := preface.ParseFailure(payload)
	if err != nil || f.Code != code {
		e.t.Fatalf("failure %+v, %v; want %s", f, err, code)
	}
	return f
}

// goesOn asserts that the connection is ready for the next exchange.
func (e *edge) goesOn() {
	e.t.Helper()
	e.write(string(preface.AppendProbe(nil)))
	if kind, _ := e.typed(); kind != preface.KindAlive {
		e.t.Fatalf("a probe is answered by kind %d", kind)
	}
}

// ends asserts that the Warpgate ends the connection without another byte.
func (e *edge) ends() {
	e.t.Helper()
	if b, err := e.r.ReadByte(); err == nil {
		e.t.Fatalf("byte %#x where the end was due", b)
	} else if ne, ok := err.(net.Error); ok && ne.Timeout() {
		e.t.Fatal("the connection stays open")
	}
	e.conn.Close() // which is what a Warpgate that has answered waits for
	receive(e.t, e.done, "end of ServeConn")
}

func receive[T any](t testing.TB, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatalf("no %s within %s", what, patience)
	}
	return v
}

// workload is a raw recording server: each connection is served by what the test
// says.
type workload struct {
	t     testing.TB
	l     net.Listener
	conns chan *served
	wg    sync.WaitGroup
}

// served is one connection that a workload has accepted.
type served struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
}

func newWorkload(t testing.TB, network, address string) *workload {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	w := &workload{t: t, l: l, conns: make(chan *served, 1000)}
	w.wg.Go(w.accept)
	t.Cleanup(func() {
		l.Close()
		w.wg.Wait()
	})
	return w
}

func tcpWorkload(t testing.TB) *workload { t.Helper(); return newWorkload(t, "tcp", "127.0.0.1:0") }

func (w *workload) addr() string { return w.l.Addr().String() }

func (w *workload) accept() {
	for {
		c, err := w.l.Accept()
		if err != nil {
			return
		}
		c.SetDeadline(time.Now().Add(patience))
		w.t.Cleanup(func() { c.Close() })
		w.conns <- &served{w.t, c, bufio.NewReader(c)}
	}
}

// conn waits for the next connection.
func (w *workload) conn() *served {
	w.t.Helper()
	return receive(w.t, w.conns, "connection to the workload")
}

// quiet asserts that nobody has connected.
func (w *workload) quiet() {
	w.t.Helper()
	select {
	case <-w.conns:
		w.t.Error("the workload was reached")
	default:
	}
}

// head reads a request's head as it stands.
func (s *served) head() string {
	s.t.Helper()
	var b bytes.Buffer
	for {
		line, err := s.r.ReadBytes('\n')
		b.Write(line)
		if err != nil {
			s.t.Fatalf("workload reads %q, %v", b.String(), err)
		}
		if len(line) == 2 {
			return b.String()
		}
	}
}

// request reads a request and its body.
func (s *served) request() (*http.Request, string) {
	s.t.Helper()
	r, err := http.ReadRequest(s.r)
	if err != nil {
		s.t.Fatalf("workload: %v", err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Fatalf("workload: %v", err)
	}
	return r, string(body)
}

func (s *served) answer(raw string) {
	s.t.Helper()
	if _, err := io.WriteString(s.conn, raw); err != nil {
		s.t.Fatalf("workload: %v", err)
	}
}

// dropped asserts that the Warpgate gives the connection up.
func (s *served) dropped() {
	s.t.Helper()
	if _, err := io.Copy(io.Discard, s.r); err != nil {
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			s.t.Error("the workload's connection stays open")
		}
	}
}

const (
	ok5    = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
	newGet = "GET / HTTP/1.1\r\nHost: app.example\r\n\r\n"
)

func getOf(path string, lines ...string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: app.example\r\n" + strings.Join(append(lines, ""), "\r\n") + "\r\n"
}
