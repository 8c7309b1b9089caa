package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/trust"
)

// peer is a true identity of the installation in the hands of a test: an edge
// or a Warpgate that enrolled as they do.
type peer struct {
	mezu.Identity
	cert   *tls.Certificate
	anchor *trust.Anchor
}

// certificate fits the functions of trust.
func (p *peer) certificate() (*tls.Certificate, error) { return p.cert, nil }

func newPeer(t *testing.T, c api.Credentials, key []byte) *peer {
	t.Helper()
	p := &peer{anchor: trust.New(c.TrustRoot, time.Now)}
	var err error
	if p.cert, err = trust.KeyPair([]byte(c.Certificates), key); err != nil {
		t.Fatal(err)
	}
	if _, err := p.anchor.AcceptKeyset(c.Keyset); err != nil {
		t.Fatal(err)
	}
	if p.Identity, err = mezu.ParseIdentity(p.cert.Leaf.URIs[0]); err != nil {
		t.Fatal(err)
	}
	return p
}

// newKey makes a key and a certificate request for it.
func newKey(t *testing.T) (key []byte, csr string) {
	t.Helper()
	signer, key, err := trust.NewKey()
	if err == nil {
		csr, err = trust.CSR(signer)
	}
	if err != nil {
		t.Fatal(err)
	}
	return key, csr
}

// enrolEdge makes an edge of the installation, to which Warpgates will come at
// this address.
func (w *world) enrolEdge(t *testing.T, name, address string) *peer {
	t.Helper()
	key, csr := newKey(t)
	join := invoke[api.JoinTokenResponse](w, w.client, api.OpCreateJoinToken, nil)
	got := invoke[api.EnrolResponse](w, w.newClient(join.Token), api.OpEnrolEdge, api.EnrolRequest{CSR: csr, Name: name, TunnelAddress: address})
	return newPeer(t, got.Credentials, key)
}

// enrolWarpgate makes a Warpgate of an environment.
func (w *world) enrolWarpgate(t *testing.T, environment string) *peer {
	t.Helper()
	key, csr := newKey(t)
	got := invoke[api.RegisterResponse](w, w.newClient(w.key), api.OpRegisterWarpgate, api.RegisterRequest{CSR: csr, Environment: environment})
	return newPeer(t, got.Credentials, key)
}

// calls is a client of the control plane that shows the peer's certificate.
func (w *world) calls(t *testing.T, p *peer) *api.Client {
	t.Helper()
	c, err := api.NewClient(api.ClientConfig{BaseURL: "https://" + w.api, TLS: &tls.Config{RootCAs: w.roots, Certificates: []tls.Certificate{*p.cert}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdle)
	return c
}

// statements are all that the control plane has to say to an edge.
func (w *world) statements(t *testing.T, edge *peer) (all []mezu.Signed) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := w.calls(t, edge).Stream(ctx, mezu.Position{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for {
		ev, err := s.Next()
		if err != nil {
			t.Fatal(err)
		}
		if ev.Kind == api.StreamSynced {
			return all
		}
		all = append(all, ev.Signed)
	}
}

// authority is a certificate authority of a test: a foreign one, or the
// installation's own root as it lies in the offline folder.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// foreign makes an authority that nobody trusts.
func foreign(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{t: t, key: key}
	template := &x509.Certificate{Subject: pkix.Name{CommonName: "Mezusphere root 1"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a.cert = a.sign(template, template, &key.PublicKey)
	return a
}

// offlineRoot is the installation's root.
func (w *world) offlineRoot(t *testing.T) *authority {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(w.dir, "control", "offline", "ca-root-1.pem"))
	if err != nil {
		t.Fatal(err)
	}
	first, rest := pem.Decode(text)
	second, _ := pem.Decode(rest)
	cert, err1 := x509.ParseCertificate(first.Bytes)
	key, err2 := x509.ParsePKCS8PrivateKey(second.Bytes)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	return &authority{t, cert, key.(*ecdsa.PrivateKey)}
}

func (a *authority) sign(template, parent *x509.Certificate, public *ecdsa.PublicKey) *x509.Certificate {
	a.t.Helper()
	template.SerialNumber, _ = rand.Int(rand.Reader, big.NewInt(1<<62))
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert
}

// issue makes a certificate for an identity, directly under the authority.
func (a *authority) issue(id *url.URL, notBefore, notAfter time.Time) *tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	leaf := a.sign(&x509.Certificate{URIs: []*url.URL{id}, NotBefore: notBefore, NotAfter: notAfter, KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}, a.cert, &key.PublicKey)
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
}

// serverCertificate has an edge ask for a certificate of the environment's host.
func (w *world) serverCertificate(t *testing.T, edge *peer, csr string) string {
	t.Helper()
	return invoke[api.PublicCertificateChain](w, w.calls(t, edge), api.OpPublicCertificate, api.PublicCertificateRequest{CSR: csr, Hosts: []string{w.host}}).Certificates
}
