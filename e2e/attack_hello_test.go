package e2e

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

func attackP31(t *testing.T, a *target) {
	get := func(host string) string {
		return "GET /public/31 HTTP/1.1\r\nHost: " + host + "\r\nX-Request-Id: refused-31\r\n\r\n"
	}
	t.Run("no name", func(t *testing.T) {
		if cert, err := a.certificate(t, &tls.Config{}); err == nil || cert != nil {
			t.Errorf("handshake without a server name: %v", err)
		}
	})
	t.Run("unknown name", func(t *testing.T) {
		c := a.dialName(t, "nobody.localhost")
		if err := c.ConnectionState().PeerCertificates[0].VerifyHostname(a.host); err == nil {
			t.Error("a stranger is shown the tenant's certificate")
		}
		c.send(get("nobody.localhost") + get(a.host))
		for _, code := range []string{"unknown_host", "wrong_host"} {
			if got := c.must("GET"); got.code != code {
				t.Errorf("answer is %d %s, want %s", got.status, got.code, code)
			}
		}
	})
	t.Run("address", func(t *testing.T) {
		// Go's client sends no address as a name, so the hello is edited on its
		// way; in TLS 1.2 the certificate can be seen nevertheless.
		from := "namelikes"
		cert, _ := a.certificateThrough(t, &tls.Config{ServerName: from, MaxVersion: tls.VersionTLS12}, func(hello []byte) [][]byte {
			return [][]byte{bytes.Replace(hello, []byte(from), []byte("127.0.0.1"), 1)}
		})
		if cert != nil && cert.VerifyHostname(a.host) == nil {
			t.Error("a tenant's certificate is shown for an address")
		}
	})
	t.Run("capitals", func(t *testing.T) {
		c := a.dialName(t, strings.ToUpper(a.host))
		if err := c.ConnectionState().PeerCertificates[0].VerifyHostname(a.host); err != nil {
			t.Error(err)
		}
		id := a.newID()
		a.expect(id, delivery{method: "GET", target: "/public/31", route: "public", status: 200})
		c.send(strings.Replace(get(a.host), "refused-31", id, 1))
		if got := c.must("GET"); got.status != 200 {
			t.Errorf("answer is %d %s", got.status, got.code)
		}
	})
	t.Run("another host", func(t *testing.T) {
		c := a.dial(t)
		c.send(get("other.localhost") + get("localhost"))
		for range 2 {
			if got := c.must("GET"); got.code != "wrong_host" || got.status != 421 {
				t.Errorf("answer is %d %s", got.status, got.code)
			}
		}
	})
}

// certificate is what the edge shows in a handshake, if one is shown, and how it
// ended.
func (a *target) certificate(t *testing.T, cfg *tls.Config) (*x509.Certificate, error) {
	t.Helper()
	return a.certificateThrough(t, cfg, nil)
}

// certificateThrough lets the first flight be changed into other writes.
func (a *target) certificateThrough(t *testing.T, cfg *tls.Config, change func([]byte) [][]byte) (shown *x509.Certificate, err error) {
	t.Helper()
	raw, err := net.Dial("tcp", a.edge.https)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(patience))
	cfg.InsecureSkipVerify = true
	cfg.VerifyPeerCertificate = func(chain [][]byte, _ [][]*x509.Certificate) (err error) {
		shown, err = x509.ParseCertificate(chain[0])
		return err
	}
	err = tls.Client(&changedConn{Conn: raw, change: change}, cfg).Handshake()
	return shown, err
}

// changedConn makes several writes of the first.
type changedConn struct {
	net.Conn
	change func([]byte) [][]byte
}

func (c *changedConn) Write(p []byte) (int, error) {
	if c.change == nil {
		return c.Conn.Write(p)
	}
	parts := c.change(bytes.Clone(p))
	c.change = nil
	for _, part := range parts {
		if _, err := c.Conn.Write(part); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// segments cuts bytes into so many parts.
func segments(p []byte, n int) (out [][]byte) {
	n = min(n, len(p))
	for i := range n {
		out = append(out, p[i*len(p)/n:(i+1)*len(p)/n])
	}
	return out
}

// records cuts the one TLS record of a hello into so many.
func records(p []byte, n int) (out [][]byte) {
	for _, part := range segments(p[5:], n) {
		out = append(out, append([]byte{p[0], p[1], p[2], byte(len(part) >> 8), byte(len(part))}, part...))
	}
	return out
}

func attackP32(t *testing.T, a *target) {
	for _, n := range []int{2, 3, 17, 200} {
		for kind, cut := range map[string]func([]byte, int) [][]byte{"segments": segments, "records": records} {
			for _, long := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d %s, long %v", n, kind, long), func(t *testing.T) { splitHello(t, a, n, long, cut) })
			}
		}
	}
}

// splitHello shakes hands with a hello in parts and checks that the policy is
// that of the name in it.
func splitHello(t *testing.T, a *target, n int, long bool, cut func([]byte, int) [][]byte) {
	cfg := &tls.Config{RootCAs: a.roots, ServerName: a.host, NextProtos: []string{"http/1.1"}}
	if long {
		for i := range 100 {
			cfg.NextProtos = append(cfg.NextProtos, fmt.Sprintf("x-padding-%d", i))
		}
	}
	raw, err := net.Dial("tcp", a.edge.https)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(patience))
	size := 0
	conn := tls.Client(&changedConn{Conn: raw, change: func(p []byte) [][]byte { size = len(p); return cut(p, n) }}, cfg)
	if err := conn.Handshake(); err != nil {
		t.Fatalf("handshake with a hello of %d bytes: %v", size, err)
	}
	if long && size < 1800 {
		t.Errorf("the hello has %d bytes only", size)
	}
	id := a.newID()
	a.expect(id, delivery{method: "GET", target: "/public/32", route: "public", status: 200})
	for _, try := range []struct {
		host, id string
		status   int
	}{{"other.localhost", "refused-32", 421}, {a.host, id, 200}} {
		if _, err := fmt.Fprintf(conn, "GET /public/32 HTTP/1.1\r\nHost: %s\r\nX-Request-Id: %s\r\n\r\n", try.host, try.id); err != nil {
			t.Fatal(err)
		}
	}
	answers := make([]byte, 4096)
	got := ""
	for strings.Count(got, "HTTP/1.1 ") < 2 || !strings.HasSuffix(got, "GET /public/32\n") {
		k, err := conn.Read(answers)
		got += string(answers[:k])
		if err != nil {
			t.Fatalf("after %q: %v", got, errors.Join(err))
		}
	}
	if !strings.HasPrefix(got, "HTTP/1.1 421 ") || !strings.Contains(got, "HTTP/1.1 200 ") {
		t.Errorf("answers are %q", got)
	}
}
