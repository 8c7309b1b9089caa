package member_test

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/edge/member"
	"github.com/mezusphere/mezu/trust"
)

func (e *edge) certificate(name string) (*tls.Certificate, error) {
	return e.PublicCertificate(&tls.ClientHelloInfo{ServerName: name})
}

func TestPublicCertificates(t *testing.T) {
	c := newControl(t)
	dir := t.TempDir()
	c.bundle(newEnvironment(), "shop-acme", "/")
	e := c.startEdge(dir)
	host := "shop-acme." + testDomain
	first, err := e.certificate(host)
	must(t, err)
	must(t, first.Leaf.VerifyHostname(host))
	if upper, err := e.certificate("Shop-Acme.EDGE.example"); err != nil || upper != first {
		t.Errorf("a name in capitals: %v", err)
	}
	for _, name := range []string{"", "nobody." + testDomain, testDomain, "x." + host, "shop-acme.other.example", "127.0.0.1"} {
		if _, err := e.certificate(name); !errors.Is(err, member.ErrUnknownServer) {
			t.Errorf("server name %q: %v", name, err)
		}
	}
	for _, asked := range look(c, func() []string { return c.hosts }) {
		if asked != host {
			t.Errorf("a stranger made the edge ask for %q", asked)
		}
	}
	// A handshake over a real connection.
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetCertificate: e.PublicCertificate, Time: c.clock.Now})
	must(t, err)
	defer l.Close()
	served := make(chan error, 1)
	go acceptOne(l, served)
	conn, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{ServerName: host, RootCAs: c.authority.Roots()})
	must(t, err)
	conn.Close()
	must(t, <-served)

	// With the control plane away it is served from disk.
	path := filepath.Join(dir, "certs", "shop-acme.pem")
	eventually(t, "it is on disk", func() bool { info, err := os.Stat(path); return err == nil && info.Mode().Perm() == 0o600 })
	e.stop()
	c.stop()
	again := open(t, e.cfg)
	cert, err := again.certificate(host)
	must(t, err)
	if trust.Serial(cert.Leaf) != trust.Serial(first.Leaf) {
		t.Error("another certificate after the restart")
	}
	if n := testing.AllocsPerRun(100, func() { again.Host(host) }); n >= 1 {
		t.Errorf("%v allocations", n)
	}
}

func acceptOne(l net.Listener, served chan<- error) {
	conn, err := l.Accept()
	if err == nil {
		err = conn.(*tls.Conn).Handshake()
		conn.Close()
	}
	served <- err
}

func TestPublicCertificateIsRenewedInTheBackground(t *testing.T) {
	c := newControl(t)
	dir := t.TempDir()
	c.bundle(newEnvironment(), "shop-acme", "/")
	host := "shop-acme." + testDomain
	e := c.startEdge(dir)
	first, err := e.certificate(host)
	must(t, err)
	e.stop()
	c.clock.Advance(mezu.RenewAge + 4*time.Hour)
	c.stop()
	c.restart()
	c.refused(api.OpPublicCertificate, mezu.Errorf(mezu.CodeUnavailable, "not now"))
	again := open(t, e.cfg)
	again.run()
	eventually(t, "a renewal was tried", func() bool { return again.log.has("getting the certificate of an endpoint; trying again") })
	cert, err := again.certificate(host)
	must(t, err)
	if trust.Serial(cert.Leaf) != trust.Serial(first.Leaf) {
		t.Error("the certificate at hand is not served meanwhile")
	}
	c.refused(api.OpPublicCertificate, nil)
	c.server.CloseClientConnections() // a reconnect forgets the pause
	eventually(t, "renewed", func() bool {
		cert, err := again.certificate(host)
		return err == nil && trust.Serial(cert.Leaf) != trust.Serial(first.Leaf)
	})
}

func TestManyHandshakesAskOnce(t *testing.T) {
	c := newControl(t)
	host := "shop-acme." + testDomain
	c.refused(api.OpPublicCertificate, mezu.Errorf(mezu.CodeUnavailable, "not now"))
	c.bundle(newEnvironment(), "shop-acme", "/")
	e := c.startEdge(t.TempDir())
	eventually(t, "asked in vain", func() bool { return e.log.has("getting the certificate of an endpoint; trying again") })
	asked := c.count(api.OpPublicCertificate)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := e.certificate(host); err == nil {
				t.Error("a certificate out of nothing")
			}
		})
	}
	wg.Wait()
	if n := c.count(api.OpPublicCertificate) - asked; n > 1 {
		t.Errorf("50 handshakes asked the control plane %d times", n)
	}
	c.refused(api.OpPublicCertificate, nil)
	c.clock.Advance(10 * time.Minute) // past the pause
	_, err := e.certificate(host)
	must(t, err)
}

// writePair writes a wildcard certificate and its key.
func (c *control) writePair(certFile, keyFile string) {
	c.t.Helper()
	key, keyPEM, err := trust.NewKey()
	must(c.t, err)
	csr, err := trust.CSR(key)
	must(c.t, err)
	issued, err := c.authority.IssueServer(csr, []string{"*." + testDomain}, nil)
	must(c.t, err)
	must(c.t, os.WriteFile(certFile, []byte(issued.Chain), 0o600))
	must(c.t, os.WriteFile(keyFile, keyPEM, 0o600))
}

// A configured certificate that ends within a week is said to at the start, one that has ended to have,
// and no other.
func TestConfiguredPairEnds(t *testing.T) {
	for left, want := range map[time.Duration]string{-time.Minute: "has ended", mezu.EndNotice - time.Hour: "ends within a week", mezu.EndNotice + time.Hour: ""} {
		c := newControl(t)
		key, keyPEM, err := trust.NewKey()
		must(t, err)
		template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"*." + testDomain}, NotBefore: c.clock.Now().Add(-time.Hour), NotAfter: c.clock.Now().Add(left)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		must(t, err)
		cfg := c.configure(t.TempDir())
		cfg.JoinToken = func() (string, error) { return c.token(), nil }
		cfg.TLSCert, cfg.TLSKey = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
		must(t, os.WriteFile(cfg.TLSCert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
		must(t, os.WriteFile(cfg.TLSKey, keyPEM, 0o600))
		e := open(t, cfg)
		e.run()
		eventually(t, "enrolled", e.Ready)
		e.stop()
		for _, notice := range []string{"has ended", "ends within a week"} {
			if e.log.has(`msg="`+notice+`" what="the certificate of the endpoints" at=`) != (notice == want) {
				t.Errorf("%v before its end: not as it should be", left)
			}
		}
	}
}

func TestConfiguredPair(t *testing.T) {
	c := newControl(t)
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	c.writePair(certFile, keyFile)
	c.bundle(newEnvironment(), "shop-acme", "/")
	cfg := c.configure(t.TempDir())
	cfg.JoinToken = func() (string, error) { return c.token(), nil }
	cfg.TLSCert, cfg.TLSKey = certFile, keyFile
	e := open(t, cfg)
	e.run()
	eventually(t, "enrolled", e.Ready)
	first, err := e.certificate("shop-acme." + testDomain)
	must(t, err)
	if other, err := e.certificate("nobody." + testDomain); err != nil || other != first {
		t.Errorf("a host under the domain: %v", err)
	}
	for _, name := range []string{"", testDomain, "shop-acme.other.example"} {
		if _, err := e.certificate(name); !errors.Is(err, member.ErrUnknownServer) {
			t.Errorf("server name %q: %v", name, err)
		}
	}
	if n := c.count(api.OpPublicCertificate); n != 0 {
		t.Errorf("asked the internal CA %d times", n)
	}
	// Half a change is not taken; the whole one is, without a restart.
	must(t, os.WriteFile(certFile, []byte("torn"), 0o600))
	c.clock.Advance(2 * time.Minute)
	if cert, err := e.certificate("shop-acme." + testDomain); err != nil || cert != first {
		t.Errorf("after a bad change: %v", err)
	}
	c.writePair(certFile, keyFile)
	if cert, _ := e.certificate("shop-acme." + testDomain); cert != first {
		t.Error("looked at the files within the minute")
	}
	c.clock.Advance(2 * time.Minute)
	if cert, err := e.certificate("shop-acme." + testDomain); err != nil || cert == first {
		t.Errorf("the new pair is not in use: %v", err)
	}
	cfg.StateDir, cfg.TLSKey = t.TempDir(), certFile
	if _, err := member.Open(cfg); err == nil {
		t.Error("a pair that does not fit is taken")
	}
}
