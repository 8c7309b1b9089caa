package api_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// selfSigned is a server certificate that is its own authority, valid for a time.
func selfSigned(t *testing.T, name string, dns []string, from, until time.Time) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: dns, NotBefore: from, NotAfter: until,
		BasicConstraintsValid: true, IsCA: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

// explained is what a call to a server says of its failure.
func explained(t *testing.T, address string, roots *x509.CertPool, timeout time.Duration) (what, hint string) {
	t.Helper()
	c, err := api.NewClient(api.ClientConfig{BaseURL: address, TLS: &tls.Config{RootCAs: roots}, Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseIdle()
	_, err = api.Invoke[api.Self](t.Context(), c, api.OpSelf, nil)
	var unreachable *api.UnreachableError
	if !errors.As(err, &unreachable) {
		t.Fatalf("%s: %v", address, err)
	}
	what, hint = unreachable.Explain()
	return what, hint
}

// serveWith serves with a certificate.
func serveWith(t *testing.T, cert tls.Certificate, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
}

// Each cause has a sentence and a next thing to try of its own.
func TestUnreachable_Certificates(t *testing.T) {
	now := time.Now()
	good, roots := selfSigned(t, "", []string{"localhost"}, now.Add(-time.Hour), now.Add(time.Hour))
	other, otherRoots := selfSigned(t, "", []string{"control.example.com"}, now.Add(-time.Hour), now.Add(time.Hour))
	early, earlyRoots := selfSigned(t, "", []string{"localhost"}, now.Add(time.Hour), now.Add(2*time.Hour))
	ended, endedRoots := selfSigned(t, "", []string{"localhost"}, now.Add(-2*time.Hour), now.Add(-time.Hour))
	edge, _ := selfSigned(t, mezu.NoEnvironmentName, nil, now.Add(-time.Hour), now.Add(time.Hour))
	none := func(http.ResponseWriter, *http.Request) {}
	for name, c := range map[string]struct {
		cert       tls.Certificate
		roots      *x509.CertPool
		what, hint string
	}{
		"untrusted": {good, otherRoots, "can't be trusted: x509", "--ca-file FILE with the installation's ca.pem"},
		"name":      {other, otherRoots, "has a certificate for control.example.com, and not for localhost", "--api with one of these names"},
		"early":     {early, earlyRoots, "not valid yet by the clock of this machine", "set the clock"},
		"ended":     {ended, endedRoots, "ended by the clock of this machine", "set the clock if it is wrong"},
		"edge":      {edge, roots, "is an edge, and no control plane", "--api with the address of the control plane"},
	} {
		what, hint := explained(t, serveWith(t, c.cert, none), c.roots, time.Minute)
		if !strings.Contains(what, c.what) || !strings.HasPrefix(hint, c.hint) {
			t.Errorf("%s: %q, try %q", name, what, hint)
		}
	}
	// An edge that is reached by the name of an endpoint.
	refusing := serveWith(t, good, func(w http.ResponseWriter, _ *http.Request) { problem(w, api.Problem{Code: mezu.CodeNoRoute}) })
	if what, hint := explained(t, refusing, roots, time.Minute); !strings.Contains(what, "is an edge, and no control plane") || !strings.HasPrefix(hint, "--api with the address") {
		t.Errorf("an endpoint: %q, try %q", what, hint)
	}
	// Whoever has another flag for the address is told of that.
	c, err := api.NewClient(api.ClientConfig{BaseURL: refusing, TLS: &tls.Config{RootCAs: roots}, AddressFlag: "--control"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseIdle()
	if _, err := api.Invoke[api.Self](t.Context(), c, api.OpSelf, nil); err == nil || !strings.Contains(err.Error(), "(--control with the address of the control plane") {
		t.Errorf("an edge is told: %v", err)
	}
	if _, err := c.Stream(t.Context(), mezu.Position{}); err == nil || !strings.Contains(err.Error(), "(--control with the address of the control plane") {
		t.Errorf("an edge is told of its stream: %v", err)
	}
	// Another server, and an answer that is cut off.
	for body, want := range map[string]string{"hello": "check that --control is the address", "": "check the port of --control"} {
		c, err := api.NewClient(api.ClientConfig{BaseURL: serveWith(t, good, func(w http.ResponseWriter, _ *http.Request) {
			if body == "" {
				w.Header().Set("Content-Length", "10")
			}
			_, _ = io.WriteString(w, body)
		}), TLS: &tls.Config{RootCAs: roots}, AddressFlag: "--control"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := api.Invoke[api.Self](t.Context(), c, api.OpSelf, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", body, err)
		}
		c.CloseIdle()
	}
}

func TestUnreachable_Connections(t *testing.T) {
	// Whoever listens and says nothing, and whoever closes at once.
	listen := func(serve func(net.Conn)) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				serve(c)
				c.Close()
			}
		}()
		t.Cleanup(func() { l.Close(); <-done })
		return "https://" + l.Addr().String()
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	plain.Config.ErrorLog = log.New(io.Discard, "", 0)
	for name, c := range map[string]struct{ address, what, hint string }{
		"refused": {"https://" + closed.Addr().String(), "nothing listens there", "is the control plane running? mezu dev starts one"},
		"cut":     {listen(func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) }), "closed without an answer", "check the port"},
		"silent":  {listen(func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }), "no answer in time", "--timeout allows more time"},
		"an edge": {listen(func(c net.Conn) {
			_ = tls.Server(c, &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }}).Handshake()
		}), "does not know this name, as an edge says", "--api with the address of the control plane"},
		"plain": {strings.Replace(plain.URL, "http:", "https:", 1), "speaks no TLS", "check the port of --api"},
	} {
		timeout := time.Minute
		if name == "silent" {
			timeout = 200 * time.Millisecond
		}
		what, hint := explained(t, c.address, nil, timeout)
		if !strings.Contains(what, c.what) || !strings.HasPrefix(hint, c.hint) {
			t.Errorf("%s: %q, try %q", name, what, hint)
		}
	}
}

// What a test can't bring about is explained by the error that the system gives.
func TestUnreachable_Explain(t *testing.T) {
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	for _, c := range []struct {
		err        error
		what, hint string
	}{
		{dial(&net.DNSError{Err: "no such host", Name: "control.example.com", IsNotFound: true}), "no such host", "the name does not resolve here; check --api"},
		{dial(&net.DNSError{Err: "i/o timeout", Name: "control.example.com", IsTimeout: true}), "the name server does not answer", "nslookup control.example.com"},
		{dial(syscall.ECONNREFUSED), "nothing listens there", "is the control plane running there? check the port of --api"},
		{dial(syscall.EHOSTUNREACH), "no way to control.example.com", "is this machine online?"},
		{dial(context.DeadlineExceeded), "nobody answers there", "check --api; a firewall"},
		{&net.OpError{Op: "remote error", Err: tls.AlertError(112)}, "does not know this name", "--api with the address of the control plane"},
		{&net.OpError{Op: "proxyconnect", Err: dial(syscall.ECONNREFUSED)}, "by the proxy", "HTTPS_PROXY names that proxy; NO_PROXY=control.example.com"},
	} {
		e := &api.UnreachableError{URL: "https://control.example.com:7443", Err: c.err}
		what, hint := e.Explain()
		if !strings.Contains(what, c.what) || !strings.HasPrefix(hint, c.hint) || !strings.HasPrefix(what, e.URL) {
			t.Errorf("%v: %q, try %q", c.err, what, hint)
		}
		if want := fmt.Sprintf("%s (%s)", what, hint); e.Error() != want {
			t.Errorf("%q, want %q", e.Error(), want)
		}
	}
}
