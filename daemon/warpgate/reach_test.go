package warpgate_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/warpgate"
)

// proxy is an HTTP proxy that answers each CONNECT as told.
type proxy struct {
	ln     net.Listener
	asked  chan *http.Request
	answer string // if empty, the tunnel is made
	count  atomic.Int32
	done   chan struct{}
}

func startProxy(t *testing.T, answer string, config *tls.Config) *proxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if config != nil {
		ln = tls.NewListener(ln, config)
	}
	p := &proxy{ln: ln, asked: make(chan *http.Request, 1000), answer: answer, done: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(p.done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go p.serve(ctx, conn)
		}
	}()
	t.Cleanup(func() { ln.Close(); cancel(); <-p.done })
	return p
}

func (p *proxy) serve(ctx context.Context, conn net.Conn) {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	defer conn.Close()
	br := bufio.NewReader(conn)
	req, err := http.ReadRequest(br)
	if err != nil {
		return
	}
	p.asked <- req
	if p.answer == "silence" {
		io.Copy(io.Discard, conn)
		return
	}
	if p.answer != "" {
		io.WriteString(conn, p.answer)
		return
	}
	up, err := net.Dial("tcp", req.Host)
	if err != nil {
		return
	}
	defer up.Close()
	io.WriteString(conn, "HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")
	p.count.Add(1)
	go func() { io.Copy(up, br); up.Close() }()
	io.Copy(conn, up)
}

func TestThroughProxy(t *testing.T) {
	w := newWorld(t, 1)
	p := startProxy(t, "", nil)
	cfg := w.config(t.TempDir())
	cfg.Proxy = func(u *url.URL) (*url.URL, error) {
		if u.Scheme != "https" || u.Host != w.edges[0].info.TunnelAddress {
			t.Errorf("asked for %v", u)
		}
		return &url.URL{Scheme: "http", User: url.UserPassword("u", "p"), Host: p.ln.Addr().String()}, nil
	}
	g := w.start(cfg)
	g.ready()
	w.edges[0].ping(t, w.env)
	if p.count.Load() < 2 {
		t.Errorf("%d connections through the proxy", p.count.Load())
	}
	req := <-p.asked
	if user, password, ok := (&http.Request{Header: http.Header{"Authorization": req.Header["Proxy-Authorization"]}}).BasicAuth(); !ok || user != "u" || password != "p" {
		t.Errorf("authorization %q", req.Header)
	}
	if strings.Contains(g.log.String(), "u:p@") {
		t.Error("the proxy's password is in the log")
	}
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
}

func TestProxyThatDoesNot(t *testing.T) {
	for name, c := range map[string]struct{ answer, want string }{
		"refuses":      {"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", "407"},
		"is none":      {"SSH-2.0-OpenSSH\r\n", "malformed"},
		"hangs up":     {"HTTP/1.1 200", "EOF"},
		"speaks first": {"HTTP/1.1 200 OK\r\n\r\nhello", "before the tunnel"},
		"never ends":   {"HTTP/1.1 200 OK\r\n" + strings.Repeat("X: "+strings.Repeat("y", 1000)+"\r\n", 100), "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			p := startProxy(t, c.answer, nil)
			u := &url.URL{Scheme: "http", User: url.UserPassword("u", "secret"), Host: p.ln.Addr().String()}
			conn, err := warpgate.DialThrough(t.Context(), u, nil, "edge.example:443")
			if err == nil {
				conn.Close()
				t.Fatal("connected")
			}
			if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
	t.Run("is silent", func(t *testing.T) {
		p := startProxy(t, "silence", nil)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-p.asked; cancel() }()
		if conn, err := warpgate.DialThrough(ctx, &url.URL{Scheme: "http", Host: p.ln.Addr().String()}, nil, "edge.example:443"); err == nil {
			conn.Close()
			t.Fatal("connected")
		}
	})
	t.Run("is of another kind", func(t *testing.T) {
		if _, err := warpgate.DialThrough(t.Context(), &url.URL{Scheme: "socks5", Host: "127.0.0.1:1"}, nil, "edge.example:443"); err == nil || !strings.Contains(err.Error(), "socks5") {
			t.Errorf("error %v", err)
		}
	})
}

func TestHTTPSProxy(t *testing.T) {
	w := newWorld(t, 0)
	target, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	p := startProxy(t, "", &tls.Config{Certificates: []tls.Certificate{*w.pair(nil)}})
	u := &url.URL{Scheme: "https", Host: p.ln.Addr().String()}
	if _, err := warpgate.DialThrough(t.Context(), u, x509.NewCertPool(), target.Addr().String()); err == nil {
		t.Error("a proxy with an unknown certificate is used")
	}
	roots := x509.NewCertPool()
	roots.AddCert(w.ca)
	conn, err := warpgate.DialThrough(t.Context(), u, roots, target.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	far, err := target.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	if _, err := fmt.Fprint(conn, "x"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(far, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}

func TestWorkloadHint(t *testing.T) {
	empty := fstest.MapFS{}
	docker := fstest.MapFS{".dockerenv": {}}
	podman := fstest.MapFS{"run/.containerenv": {}}
	cgroup := fstest.MapFS{"proc/1/cgroup": {Data: []byte("12:pids:/docker/0123456789ab\n")}}
	host := fstest.MapFS{"proc/1/cgroup": {Data: []byte("0::/init.scope\n")}}
	pod := map[string]string{"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
	for _, c := range []struct {
		upstream string
		files    fstest.MapFS
		env      map[string]string
		want     string
	}{
		{"localhost:8080", docker, nil, "host.docker.internal:8080"},
		{"127.0.0.1:8080", podman, nil, "host.docker.internal:8080"},
		{"http://[::1]:8080", cgroup, nil, "host.docker.internal:8080"},
		{"8080", docker, pod, "same pod"},
		{"app:8080", docker, nil, "check host and port"},
		{"x.localhost:8080", docker, nil, "check host and port"},
		{"localhost:8080", host, nil, "start the workload, or check the port"},
		{"localhost:8080", empty, nil, "start the workload, or check the port"},
		{"unix:/run/app.sock", docker, nil, "mount its socket"},
	} {
		u, err := mezu.ParseUpstream(c.upstream)
		if err != nil {
			t.Fatal(err)
		}
		if got := warpgate.HintFor(u, c.files, c.env); !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.upstream, got, c.want)
		}
	}
}
