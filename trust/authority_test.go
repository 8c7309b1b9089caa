package trust_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/testkit"
	"github.com/mezusphere/mezu/trust"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of these tests.
const patience = time.Minute

// start is when these tests begin, by their own clock.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newClock() *testkit.Clock { return testkit.StillClock(start) }

// caKey is a certificate and the key that signs with it.
type caKey struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func (k *caKey) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.cert.Raw}))
}

// authority makes statements and certificates of any shape, also those that the
// real one would never make.
type authority struct {
	t            *testing.T
	clock        *testkit.Clock
	trustRoot    ed25519.PrivateKey
	statements   ed25519.PrivateKey // for every purpose, as key "k"
	root, issuer *caKey
}

func newAuthority(t *testing.T, clock *testkit.Clock) *authority {
	t.Helper()
	a := &authority{t: t, clock: clock}
	_, a.trustRoot, _ = ed25519.GenerateKey(rand.Reader)
	_, a.statements, _ = ed25519.GenerateKey(rand.Reader)
	a.newRoot()
	return a
}

// newRoot replaces root and issuer.
func (a *authority) newRoot() {
	a.root = a.makeCA(nil)
	a.issuer = a.makeCA(a.root)
}

func (a *authority) makeCA(parent *caKey) *caKey {
	key := p256(a.t)
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: start.Add(-time.Hour), NotAfter: start.AddDate(1, 0, 0), KeyUsage: x509.KeyUsageCertSign,
	}
	if parent == nil {
		parent = &caKey{template, key}
	}
	return &caKey{sign(a.t, template, parent, key.Public()), key}
}

// keyset signs a keyset with this version and, if no other roots are given, this
// authority's.
func (a *authority) keyset(version uint64, roots ...string) mezu.Signed {
	if roots == nil {
		roots = []string{a.root.pem()}
	}
	k := mezu.Keyset{Version: version, IssuedAt: start, NotAfter: start.AddDate(1, 0, 0), CARoots: roots}
	for _, p := range []mezu.Purpose{mezu.PurposeBundle, mezu.PurposeEdges, mezu.PurposeRevocation} {
		k.Keys = append(k.Keys, mezu.PublicKey{
			ID: "k", Purpose: p, Key: a.statements.Public().(ed25519.PublicKey), NotAfter: start.AddDate(0, 6, 0),
		})
	}
	return a.sign(mezu.PurposeKeyset, a.trustRoot, k)
}

func (a *authority) sign(p mezu.Purpose, key ed25519.PrivateKey, statement any) mezu.Signed {
	a.t.Helper()
	s, err := mezu.Sign(p, "k", key, statement)
	if err != nil {
		a.t.Fatal(err)
	}
	return s
}

// anchor believes this authority and has its keyset 1.
func (a *authority) anchor() *trust.Anchor {
	a.t.Helper()
	anchor := trust.New(a.trustRoot.Public().(ed25519.PublicKey), a.clock.Now)
	if changed, err := anchor.AcceptKeyset(a.keyset(1)); err != nil || !changed {
		a.t.Fatal(changed, err)
	}
	return anchor
}

// leaf issues a certificate for id as the real authority does, but for what
// change does to it.
func (a *authority) leaf(id mezu.Identity, change func(*x509.Certificate)) *tls.Certificate {
	return a.leafFor(p256(a.t), id, change)
}

func (a *authority) leafFor(key crypto.Signer, id mezu.Identity, change func(*x509.Certificate)) *tls.Certificate {
	a.t.Helper()
	now := a.clock.Now()
	template := &x509.Certificate{
		SerialNumber: serial(), NotBefore: now.Add(-mezu.LeafBackdate), NotAfter: now.Add(mezu.LeafLife),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true, URIs: []*url.URL{id.URI()},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	if change != nil {
		change(template)
	}
	c := sign(a.t, template, a.issuer, key.Public())
	return &tls.Certificate{Certificate: [][]byte{c.Raw, a.issuer.cert.Raw}, PrivateKey: key, Leaf: c}
}

func sign(t *testing.T, template *x509.Certificate, by *caKey, public crypto.PublicKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, public, by.key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func p256(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func serial() *big.Int {
	var raw [16]byte
	rand.Read(raw[:])
	return new(big.Int).SetBytes(raw[:])
}

func newEdge() mezu.Identity {
	return mezu.Identity{Role: mezu.PeerEdge, ID: mezu.NewID(mezu.PrefixEdge, start)}
}

func newWarpgate() mezu.Identity {
	return mezu.Identity{
		Role: mezu.PeerWarpgate, ID: mezu.NewID(mezu.PrefixWarpgate, start), Organization: mezu.NewID(mezu.PrefixOrganization, start),
		Project: mezu.NewID(mezu.PrefixProject, start), Environment: mezu.NewID(mezu.PrefixEnvironment, start),
	}
}

// outcome is how a connection went at both ends.
type outcome struct {
	server, client       tls.ConnectionState
	serverErr, clientErr error
}

// connect makes a connection over loopback with a byte each way, so that the
// client learns what the server says after the client's own handshake.
func connect(t *testing.T, server, client *tls.Config) outcome {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var o outcome
	done := make(chan struct{})
	go accept(listener, server, &o, done)
	o.client, o.clientErr = dial(listener.Addr().String(), client)
	<-done
	return o
}

func accept(listener net.Listener, config *tls.Config, o *outcome, done chan<- struct{}) {
	defer close(done)
	raw, err := listener.Accept()
	if err != nil {
		o.serverErr = err
		return
	}
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(patience))
	conn := tls.Server(raw, config)
	if o.serverErr = conn.Handshake(); o.serverErr != nil {
		return
	}
	o.server = conn.ConnectionState()
	if _, o.serverErr = conn.Write([]byte{1}); o.serverErr == nil {
		_, o.serverErr = conn.Read(make([]byte, 1))
	}
}

func dial(address string, config *tls.Config) (tls.ConnectionState, error) {
	raw, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(patience))
	conn := tls.Client(raw, config)
	if err := conn.Handshake(); err != nil {
		return tls.ConnectionState{}, err
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil { // takes the session ticket too
		return tls.ConnectionState{}, err
	}
	_, err = conn.Write([]byte{1})
	return conn.ConnectionState(), err
}
