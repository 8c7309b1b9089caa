package inspect_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/forward"
	"github.com/mezusphere/mezu/daemon/inspect"
	"github.com/mezusphere/mezu/grant"
	"github.com/mezusphere/mezu/grant/granttest"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/preface"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	// patience bounds every wait of a test that has gone wrong.
	patience = time.Minute

	environment = "env_00000000000000000000000001"
	directory   = "dir_00000000000000000000000001"
)

var (
	position = mezu.Position{Epoch: 1, Revision: 7}
	client   = netip.MustParseAddr("203.0.113.7")
)

// world is a Warpgate's server with a recorder, and an edge before it.
type world struct {
	t        testing.TB
	i        *inspect.Inspector
	recorder *inspect.Recorder
	f        *forward.Forwarder
	auth     *granttest.Authority
	uses     *grant.Index
	grant    []byte // that comes with each request
	edge     *http.Server
	url      string // of the edge
	ids      atomic.Int64
}

// newWorld has an edge before a workload. Changes of the configuration may be nil.
func newWorld(t testing.TB, workload string, i *inspect.Inspector, change func(*forward.Config)) *world {
	t.Helper()
	w := &world{t: t, i: i}
	w.recorder = i.Recorder(inspect.Tunnel{ID: "tun_1", Name: func() string { return "shop/dev" }})
	w.auth = granttest.New(t, time.Now)
	w.uses = grant.NewIndex(w.auth.Anchor.GrantRevoked)
	table, err := policy.Compile(&mezu.Bundle{
		Position: position, Environment: environment, Directory: directory, Endpoint: "shop-acme", Enabled: true, Issued: time.Unix(0, 0),
		Roles:  map[string]mezu.ProjectRole{"staff": {}},
		Routes: []mezu.Route{{Prefix: "/"}, {Prefix: "/private/", Auth: mezu.AuthRequired}, {Prefix: "/small/", MaxBody: 10}},
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg := forward.Config{Grants: grant.NewVerifier(w.auth.Anchor), Uses: w.uses, Table: func() *policy.Table { return table },
		Serves: func(host string) bool { return host == "shop-acme.edge.example" }, Domain: func() string { return "edge.example" }, Log: slog.New(slog.DiscardHandler), Recorder: w.recorder, Warpgate: "wgt_1"}
	if workload != "" {
		if cfg.Upstream, err = mezu.ParseUpstream(workload); err != nil {
			t.Fatal(err)
		}
	}
	if change != nil {
		change(&cfg)
	}
	w.f = forward.New(cfg)
	t.Cleanup(w.f.Close)
	l := listen(t)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	w.edge = &http.Server{Handler: http.HandlerFunc(w.carry), Protocols: protocols}
	served := make(chan struct{})
	go func() { defer close(served); w.edge.Serve(l) }()
	t.Cleanup(func() { w.edge.Close(); <-served })
	w.url = "http://" + l.Addr().String()
	return w
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// link makes a data connection.
func (w *world) link() net.Conn {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		w.t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		w.t.Fatal(err)
	}
	a.SetDeadline(time.Now().Add(patience))
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.f.ServeConn(context.Background(), b, "fra-1")
		b.Close()
	}()
	w.t.Cleanup(func() { a.Close(); <-done })
	return a
}

// head is the typed head of a request.
func (w *world) head() []byte {
	return preface.AppendRequest(nil, &preface.Request{Client: client, ID: fmt.Sprintf("id-%d", w.ids.Add(1)), Position: position, Grant: w.grant})
}

// carry is the edge: each request goes over a data connection of its own.
func (w *world) carry(rw http.ResponseWriter, r *http.Request) {
	http.NewResponseController(rw).EnableFullDuplex()
	conn := w.link()
	defer conn.Close()
	r.Host = "shop-acme.edge.example"
	if r.Header.Get("Upgrade") != "" {
		w.switchOver(conn, rw, r)
		return
	}
	go func() {
		conn.Write(w.head())
		out := r.Clone(r.Context())
		out.URL = &url.URL{Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
		out.RequestURI = ""
		out.Write(conn)
	}()
	from := bufio.NewReader(conn)
	resp, err := w.response(from, r)
	if err != nil {
		if code, ok := errors.AsType[*mezu.Error](err); ok {
			http.Error(rw, string(code.Code), code.Code.Status())
			return
		}
		panic(http.ErrAbortHandler)
	}
	for name, values := range resp.Header {
		rw.Header()[name] = values
	}
	rw.WriteHeader(resp.StatusCode)
	buf := make([]byte, 32<<10)
	for {
		n, err := resp.Body.Read(buf)
		if n > 0 {
			rw.Write(buf[:n])
			http.NewResponseController(rw).Flush()
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			panic(http.ErrAbortHandler)
		}
	}
	for name, values := range resp.Trailer {
		for _, v := range values {
			rw.Header().Add(http.TrailerPrefix+name, v)
		}
	}
}

// response reads a response behind its typed head, and passes over 1xx.
func (w *world) response(from *bufio.Reader, r *http.Request) (*http.Response, error) {
	for {
		kind, payload, err := preface.Read(from)
		if err != nil {
			return nil, err
		}
		if kind == preface.KindFailure {
			f, err := preface.ParseFailure(payload)
			if err != nil {
				return nil, err
			}
			return nil, &mezu.Error{Code: f.Code, Detail: f.Detail}
		}
		resp, err := http.ReadResponse(from, r)
		if err != nil || resp.StatusCode >= 200 || resp.StatusCode == 101 {
			return resp, err
		}
	}
}

// switchOver carries a request that asks for another protocol.
func (w *world) switchOver(conn net.Conn, rw http.ResponseWriter, r *http.Request) {
	visitor, _, err := http.NewResponseController(rw).Hijack()
	if err != nil {
		w.t.Error(err)
		return
	}
	defer visitor.Close()
	var head strings.Builder
	fmt.Fprintf(&head, "GET %s HTTP/1.1\r\nHost: %s\r\n", r.URL.RequestURI(), r.Host)
	r.Header.Write(&head)
	conn.Write(append(w.head(), head.String()+"\r\n"...))
	from := bufio.NewReader(conn)
	if kind, payload, err := preface.Read(from); err != nil || kind != preface.KindResponse {
		w.t.Logf("an upgrade is answered by %d %q, %v", kind, payload, err)
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.Copy(conn, visitor)
		conn.(*net.TCPConn).CloseWrite()
	}()
	io.Copy(visitor, from)
	visitor.Close()
	<-done
}

// eventually waits until a condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for !holds() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("never: ", what)
		}
	}
}

// last gives the exchange that began last, once it has ended.
func (w *world) last() *inspect.Record {
	w.t.Helper()
	var r *inspect.Record
	eventually(w.t, "the exchange ends", func() bool {
		page, _, _ := w.i.List(inspect.Query{Most: 1})
		if len(page) == 0 || page[0].Open {
			return false
		}
		r = page[0]
		return true
	})
	return r
}

// get sends a request.
func (w *world) get(path string) (int, string) {
	w.t.Helper()
	return w.do(http.MethodGet, path, nil)
}

func (w *world) do(method, path string, body io.Reader) (int, string) {
	w.t.Helper()
	r, err := http.NewRequest(method, w.url+path, body)
	if err != nil {
		w.t.Fatal(err)
	}
	resp, err := visitor.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// visitor keeps no connection.
var visitor = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}
