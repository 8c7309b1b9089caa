package trust_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/trust"
)

// tunnel is an edge and a Warpgate that believe the same authority.
type tunnel struct {
	*authority
	edge, warpgate           mezu.Identity
	edgeAnchor, gateAnchor   *trust.Anchor
	edgeConfig, gateConfig   *tls.Config
	edgeCurrent, gateCurrent atomic.Pointer[tls.Certificate]
}

func newTunnel(t *testing.T) *tunnel {
	t.Helper()
	a := newAuthority(t, newClock())
	u := &tunnel{authority: a, edge: newEdge(), warpgate: newWarpgate(), edgeAnchor: a.anchor(), gateAnchor: a.anchor()}
	u.edgeCurrent.Store(a.leaf(u.edge, nil))
	u.gateCurrent.Store(a.leaf(u.warpgate, nil))
	u.edgeConfig = u.edgeAnchor.ServerTLS(current(&u.edgeCurrent), mezu.PeerWarpgate, mezu.ProtocolControl, mezu.ProtocolData)
	u.gateConfig = u.gateAnchor.EdgeTLS(current(&u.gateCurrent), u.edge.ID, mezu.ProtocolData)
	return u
}

func current(p *atomic.Pointer[tls.Certificate]) trust.Certificate {
	return func() (*tls.Certificate, error) { return p.Load(), nil }
}

func (u *tunnel) connect() outcome { return connect(u.t, u.edgeConfig, u.gateConfig) }

// good checks that a connection came about.
func good(t *testing.T, o outcome) {
	t.Helper()
	if o.serverErr != nil || o.clientErr != nil {
		t.Fatalf("server: %v; client: %v", o.serverErr, o.clientErr)
	}
}

func TestHandshake(t *testing.T) {
	u := newTunnel(t)
	o := u.connect()
	good(t, o)
	if got, err := u.edgeAnchor.VerifyPeer(o.server, mezu.PeerWarpgate); err != nil || got != u.warpgate {
		t.Errorf("the edge sees %v, %v", got, err)
	}
	if got, err := u.gateAnchor.VerifyPeer(o.client, ""); err != nil || got != u.edge {
		t.Errorf("the Warpgate sees %v, %v", got, err)
	}
	if o.server.NegotiatedProtocol != mezu.ProtocolData || o.server.ServerName != mezu.TunnelServerName {
		t.Errorf("protocol %q, server name %q", o.server.NegotiatedProtocol, o.server.ServerName)
	}
	if len(o.server.PeerCertificates) == 0 || trust.Serial(o.server.PeerCertificates[0]) != trust.Serial(u.gateCurrent.Load().Leaf) {
		t.Error("serial differs")
	}
}

func TestHandshakeEd25519(t *testing.T) {
	u := newTunnel(t)
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	u.gateCurrent.Store(u.leafFor(key, u.warpgate, nil))
	good(t, u.connect())
}

func TestTLS12Refused(t *testing.T) {
	u := newTunnel(t)
	old := u.gateConfig.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	refused(t, connect(t, u.edgeConfig, old).serverErr, "version")
	old = u.edgeConfig.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	refused(t, connect(t, old, u.gateConfig).clientErr, "version")
	_, err := u.edgeAnchor.VerifyPeer(tls.ConnectionState{Version: tls.VersionTLS12, PeerCertificates: []*x509.Certificate{u.gateCurrent.Load().Leaf}}, "")
	refused(t, err, "TLS 1.2", "TLS 1.3 is required")
}

func TestForeignCA(t *testing.T) {
	u := newTunnel(t)
	foreign := newAuthority(t, u.clock)
	u.gateCurrent.Store(foreign.leaf(u.warpgate, nil))
	o := u.connect()
	refused(t, o.serverErr, u.warpgate.String(), "not signed by this installation's certificate authority")
	refused(t, o.clientErr)
	u = newTunnel(t)
	u.edgeCurrent.Store(foreign.leaf(u.edge, nil))
	refused(t, u.connect().clientErr, u.edge.String(), "not signed by this installation's certificate authority")
}

func TestNoCertificate(t *testing.T) {
	u := newTunnel(t)
	none := u.gateConfig.Clone()
	none.GetClientCertificate = nil
	refused(t, connect(t, u.edgeConfig, none).serverErr, "certificate")
	_, err := u.edgeAnchor.VerifyPeer(tls.ConnectionState{Version: tls.VersionTLS13}, "")
	refused(t, err, "presented 0 certificates")
	long := make([]*x509.Certificate, 100)
	_, err = u.edgeAnchor.VerifyPeer(tls.ConnectionState{Version: tls.VersionTLS13, PeerCertificates: long}, "")
	refused(t, err, "presented 100 certificates")
}

// TestK8: a certificate of one role opens nothing of another's.
func TestK8(t *testing.T) {
	u := newTunnel(t)
	u.gateCurrent.Store(u.leaf(newEdge(), nil))
	refused(t, u.connect().serverErr, `role "edge" where "warpgate" is expected`)
	u = newTunnel(t)
	u.edgeCurrent.Store(u.leaf(newWarpgate(), nil))
	refused(t, u.connect().clientErr, `role "warpgate" where "edge" is expected`)
	u = newTunnel(t)
	other := newEdge()
	u.edgeCurrent.Store(u.leaf(other, nil))
	refused(t, u.connect().clientErr, other.String(), u.edge.ID)
}

// TestT5: a certificate for the same name of a CA that is not ours is refused,
// whatever the system trusts, and so is a plain server certificate of ours.
func TestT5(t *testing.T) {
	u := newTunnel(t)
	public := newAuthority(t, u.clock)
	plain := func(c *x509.Certificate) {
		c.URIs, c.DNSNames = nil, []string{mezu.TunnelServerName}
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	u.edgeCurrent.Store(public.leaf(u.edge, plain))
	roots := x509.NewCertPool()
	roots.AddCert(public.root.cert)
	system := &tls.Config{RootCAs: roots, ServerName: mezu.TunnelServerName, Time: u.clock.Now, MinVersion: tls.VersionTLS13}
	open := u.edgeConfig.Clone()
	open.ClientAuth, open.VerifyConnection = tls.NoClientCert, nil
	good(t, connect(t, open, system)) // a public client would believe it

	refused(t, u.connect().clientErr, "not signed by this installation's certificate authority")
	u.edgeCurrent.Store(u.leaf(u.edge, plain))
	refused(t, u.connect().clientErr, "extended key usages")
}

// TestExpired: the log line says whose certificate, since when, and what the
// clock says; our own is not even presented.
func TestExpired(t *testing.T) {
	u := newTunnel(t)
	good(t, u.connect()) // known to be good until then
	u.clock.Advance(mezu.LeafLife + time.Second)
	refused(t, u.connect().serverErr, "presenting our certificate", u.edge.String(), "expired")
	u.edgeCurrent.Store(u.leaf(u.edge, nil))
	refused(t, u.connect().clientErr, "presenting our certificate", u.warpgate.String(), "expired 2026-03-08T12:00:00Z", "clock says 2026-03-08T12:00:01Z")

	lax := u.gateConfig.Clone()
	lax.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return u.gateCurrent.Load(), nil }
	refused(t, connect(t, u.edgeConfig, lax).serverErr, "verifying the peer", u.warpgate.String(), "expired 2026-03-08T12:00:00Z", "clock says 2026-03-08T12:00:01Z")
}

// TestClock: within the backdating nothing happens; a day off, whoever's clock it
// is, says so.
func TestClock(t *testing.T) {
	behind := newClock()
	behind.Advance(-mezu.LeafBackdate + time.Second)
	u := newTunnel(t)
	slow := trust.New(u.trustRoot.Public().(ed25519.PublicKey), behind.Now)
	if _, err := slow.AcceptKeyset(u.keyset(1)); err != nil {
		t.Fatal(err)
	}
	client := slow.EdgeTLS(current(&u.gateCurrent), u.edge.ID, mezu.ProtocolData)
	good(t, connect(t, u.edgeConfig, client))

	behind.Advance(-24 * time.Hour)
	refused(t, connect(t, u.edgeConfig, client).clientErr, u.edge.String(), "not valid before 2026-03-01T11:55:00Z", "this machine's clock says 2026-02-28", "check it")
	server := slow.ServerTLS(current(&u.edgeCurrent), mezu.PeerWarpgate, mezu.ProtocolData)
	refused(t, connect(t, server, u.gateConfig).serverErr, "clock")
}

// TestIssuerExpired: the issuer's end is told from the leaf's.
func TestIssuerExpired(t *testing.T) {
	u := newTunnel(t)
	u.clock.Advance(300 * 24 * time.Hour)
	forever := func(c *x509.Certificate) { c.NotAfter = start.AddDate(3, 0, 0) }
	cert := u.leaf(u.warpgate, forever)
	long := func(version uint64) mezu.Signed {
		return u.sign(mezu.PurposeKeyset, u.trustRoot, mezu.Keyset{Version: version, NotAfter: start.AddDate(3, 0, 0), CARoots: []string{u.root.pem()}})
	}
	if _, err := u.edgeAnchor.AcceptKeyset(long(2)); err != nil {
		t.Fatal(err)
	}
	u.clock.Advance(100 * 24 * time.Hour)
	_, err := u.edgeAnchor.VerifyPeer(tls.ConnectionState{Version: tls.VersionTLS13, PeerCertificates: []*x509.Certificate{cert.Leaf, u.issuer.cert}}, "")
	refused(t, err, u.warpgate.String(), "issuer that is out of its time", "clock")
}

func TestRevokedSerial(t *testing.T) {
	u := newTunnel(t)
	good(t, u.connect())
	u.revoke(u.edgeAnchor, u.gateCurrent.Load())
	refused(t, u.connect().serverErr, u.warpgate.String(), trust.Serial(u.gateCurrent.Load().Leaf), "is revoked")
	u.gateCurrent.Store(u.leaf(u.warpgate, nil))
	good(t, u.connect())
	u.revoke(u.gateAnchor, u.edgeCurrent.Load())
	refused(t, u.connect().clientErr, u.edge.String(), "is revoked")
}

func (u *tunnel) revoke(by *trust.Anchor, c *tls.Certificate) {
	u.t.Helper()
	if !by.Revoke(&mezu.Revocation{Kind: mezu.RevokeCertificate, Subject: trust.Serial(c.Leaf), Until: c.Leaf.NotAfter}) {
		u.t.Fatal("revocation not added")
	}
}

// resumed makes a connection and resumes its session.
func (u *tunnel) resumed() {
	u.t.Helper()
	good(u.t, u.connect())
	o := u.connect()
	good(u.t, o)
	if !o.server.DidResume || !o.client.DidResume {
		u.t.Fatal("the session was not resumed: this test would prove nothing")
	}
	if id, err := u.edgeAnchor.VerifyPeer(o.server, mezu.PeerWarpgate); err != nil || id != u.warpgate {
		u.t.Fatalf("a resumed connection is %v, %v", id, err)
	}
}

// TestP33Revoked: a ticket from before a revocation opens nothing.
func TestP33Revoked(t *testing.T) {
	u := newTunnel(t)
	u.resumed()
	u.revoke(u.edgeAnchor, u.gateCurrent.Load())
	refused(t, u.connect().serverErr, u.warpgate.String(), "is revoked")
}

// TestP33CARemoved: a ticket from before a CA removal opens nothing, at either
// end; with new certificates the peers meet again.
func TestP33CARemoved(t *testing.T) {
	u := newTunnel(t)
	u.resumed()
	u.newRoot()
	if _, err := u.edgeAnchor.AcceptKeyset(u.keyset(2)); err != nil {
		t.Fatal(err)
	}
	refused(t, u.connect().serverErr, u.warpgate.String(), "not signed by this installation's")
	if _, err := u.gateAnchor.AcceptKeyset(u.keyset(2)); err != nil {
		t.Fatal(err)
	}
	refused(t, u.connect().clientErr, u.edge.String(), "not signed by this installation's")
	u.edgeCurrent.Store(u.leaf(u.edge, nil))
	u.gateCurrent.Store(u.leaf(u.warpgate, nil))
	o := u.connect()
	good(t, o)
	if o.server.DidResume {
		t.Error("resumed from before the removal")
	}
}

// TestP33OtherEnd: a ticket that one listener gave is nothing to another, though
// the server name is the same.
func TestP33OtherEnd(t *testing.T) {
	u := newTunnel(t)
	u.resumed()
	other := u.edgeAnchor.ServerTLS(current(&u.edgeCurrent), mezu.PeerWarpgate, mezu.ProtocolData)
	o := connect(t, other, u.gateConfig)
	good(t, o)
	if o.server.DidResume {
		t.Error("resumed at another listener")
	}
	u.resumed()
	edges := u.edgeAnchor.ServerTLS(current(&u.edgeCurrent), mezu.PeerEdge, mezu.ProtocolData)
	refused(t, connect(t, edges, u.gateConfig).serverErr, `"edge" is expected`)
}

// TestP33Expired: a ticket outlives no certificate.
func TestP33Expired(t *testing.T) {
	u := newTunnel(t)
	u.gateCurrent.Store(u.leaf(u.warpgate, func(c *x509.Certificate) { c.NotAfter = c.NotBefore.Add(time.Hour) }))
	u.resumed()
	u.clock.Advance(2 * time.Hour)
	refused(t, u.connect().clientErr, "presenting our certificate", "expired")
}

// TestRenewedCertificateIsPresented: no session of the old one is resumed.
func TestRenewedCertificateIsPresented(t *testing.T) {
	u := newTunnel(t)
	u.resumed()
	u.gateCurrent.Store(u.leaf(u.warpgate, nil))
	o := u.connect()
	good(t, o)
	if got, want := trust.Serial(o.server.PeerCertificates[0]), trust.Serial(u.gateCurrent.Load().Leaf); got != want {
		t.Errorf("presented serial %s, not %s", got, want)
	}
	u.resumed()
}

func TestProtocol(t *testing.T) {
	u := newTunnel(t)
	for _, offered := range [][]string{nil, {"h2"}} {
		client := u.gateConfig.Clone()
		client.NextProtos, client.VerifyConnection = offered, nil
		refused(t, connect(t, u.edgeConfig, client).serverErr, "protocol")
	}
	free := u.edgeAnchor.ServerTLS(current(&u.edgeCurrent), mezu.PeerWarpgate)
	client := u.gateAnchor.EdgeTLS(current(&u.gateCurrent), "")
	good(t, connect(t, free, client))
}

// TestP34: whatever a certificate of our own CA looks like, it is an error or a
// peer, and never a panic.
func TestP34(t *testing.T) {
	warpgate := newWarpgate()
	uri := func(texts ...string) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.URIs = nil
			for _, s := range texts {
				u, err := url.Parse(s)
				if err != nil {
					t.Fatal(err)
				}
				c.URIs = append(c.URIs, u)
			}
		}
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		key    crypto.Signer
		change func(*x509.Certificate)
		words  string
	}{
		"no SAN":           {nil, uri(), "0 URIs"},
		"two URIs":         {nil, uri(warpgate.String(), newWarpgate().String()), "2 URIs"},
		"the same twice":   {nil, uri(warpgate.String(), warpgate.String()), "2 URIs"},
		"URI and name":     {nil, func(c *x509.Certificate) { c.DNSNames = []string{"a.test"} }, "1 other"},
		"URI and address":  {nil, func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)} }, "1 other"},
		"URI and mail":     {nil, func(c *x509.Certificate) { c.EmailAddresses = []string{"a@b.test"} }, "1 other"},
		"foreign scheme":   {nil, uri("spiffe" + strings.TrimPrefix(warpgate.String(), "mezu")), "names nobody"},
		"with a query":     {nil, uri(warpgate.String() + "?x"), "names nobody"},
		"with a user":      {nil, uri(strings.Replace(warpgate.String(), "//", "//a@", 1)), "names nobody"},
		"escaped":          {nil, uri(strings.Replace(warpgate.String(), "/warpgate/", "/warpg%61te/", 1)), "names nobody"},
		"name in subject":  {nil, func(c *x509.Certificate) { c.URIs = nil; c.Subject.CommonName = warpgate.String() }, "0 URIs"},
		"no EKU":           {nil, func(c *x509.Certificate) { c.ExtKeyUsage = nil }, "extended key usages"},
		"server EKU only":  {nil, func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[1:] }, "extended key usages"},
		"client EKU only":  {nil, func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] }, "extended key usages"},
		"any EKU":          {nil, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }, "extended key usages"},
		"code signing EKU": {nil, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} }, "not valid"},
		"P-384":            {p384, nil, "P-256 or Ed25519"},
		"RSA":              {rsaKey, nil, "P-256 or Ed25519"},
	} {
		t.Run(name, func(t *testing.T) {
			u := newTunnel(t)
			if c.key == nil {
				c.key = p256(t)
			}
			u.gateCurrent.Store(u.leafFor(c.key, warpgate, c.change))
			refused(t, u.connect().serverErr, "verifying the peer", c.words)
		})
	}
}

// TestLeafIsNoCA: a leaf can't sign another leaf, though the chain leads to our
// root.
func TestLeafIsNoCA(t *testing.T) {
	u := newTunnel(t)
	honest := u.leaf(u.warpgate, nil)
	u.issuer = &caKey{honest.Leaf, honest.PrivateKey.(crypto.Signer)}
	forged := u.leaf(newWarpgate(), nil)
	forged.Certificate = append(forged.Certificate, u.root.cert.Raw)
	u.gateCurrent.Store(forged)
	refused(t, u.connect().serverErr, "verifying the peer")
}

// TestOwnCertificateMissing: without a certificate there is no handshake, and
// the error says whose fault it is.
func TestOwnCertificateMissing(t *testing.T) {
	u := newTunnel(t)
	u.gateCurrent.Store(nil)
	refused(t, u.connect().clientErr, "presenting our certificate", "there is none")
	lost := errors.New("file gone")
	u.edgeConfig = u.edgeAnchor.ServerTLS(func() (*tls.Certificate, error) { return nil, lost }, mezu.PeerWarpgate, mezu.ProtocolData)
	u.gateCurrent.Store(u.leaf(u.warpgate, nil))
	if err := u.connect().serverErr; !errors.Is(err, lost) {
		t.Error(err)
	}
}

// TestShownSerial: an error repeats no more than a bit of a stranger's
// certificate.
func TestShownSerial(t *testing.T) {
	u := newTunnel(t)
	raw, err := x509.ParseCertificate(newAuthority(t, u.clock).leaf(u.warpgate, func(c *x509.Certificate) {
		c.URIs = nil
		c.Subject.CommonName = strings.Repeat("line\n", 5000)
	}).Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	fake := &caKey{sign(t, &x509.Certificate{
		SerialNumber: serial(), RawSubject: u.issuer.cert.RawSubject, IsCA: true, BasicConstraintsValid: true, NotAfter: start.AddDate(1, 0, 0),
	}, u.root, p256(t).Public()), nil}
	_, err = u.edgeAnchor.VerifyPeer(tls.ConnectionState{Version: tls.VersionTLS13, PeerCertificates: []*x509.Certificate{raw, fake.cert}}, "")
	refused(t, err, "certificate with serial")
	if len(err.Error()) > 400 || strings.Contains(err.Error(), "\n") {
		t.Errorf("error of %d bytes", len(err.Error()))
	}
}

func BenchmarkVerifyPeer(b *testing.B) {
	t := new(testing.T)
	u := newTunnel(t)
	cs := tls.ConnectionState{Version: tls.VersionTLS13, PeerCertificates: []*x509.Certificate{u.gateCurrent.Load().Leaf, u.issuer.cert}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := u.edgeAnchor.VerifyPeer(cs, mezu.PeerWarpgate); err != nil {
			b.Fatal(err)
		}
	}
}
