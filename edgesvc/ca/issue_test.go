package ca_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/ca"
	"github.com/mezusphere/mezu/trust"
)

// TestK10Leaf: life, backdating and serial numbers are as decided.
func TestK10Leaf(t *testing.T) {
	i := created(t)
	_, _, csr := request(t)
	id := warpgateID()
	seen := make(map[string]bool)
	longest := 0
	for range 20 {
		issued, err := i.ca.IssuePeer(csr, id)
		if err != nil {
			t.Fatal(err)
		}
		c := chain(t, issued.Chain)
		if len(c) != 2 || c[0].CheckSignatureFrom(c[1]) != nil {
			t.Fatalf("a chain of %d", len(c))
		}
		leaf := c[0]
		if !leaf.NotBefore.Equal(i.now().Add(-mezu.LeafBackdate)) || !leaf.NotAfter.Equal(i.now().Add(mezu.LeafLife)) {
			t.Fatalf("valid from %s to %s", leaf.NotBefore, leaf.NotAfter)
		}
		if seen[issued.Serial] || leaf.SerialNumber.Sign() <= 0 {
			t.Fatalf("serial %s", issued.Serial)
		}
		seen[issued.Serial] = true
		longest = max(longest, leaf.SerialNumber.BitLen())
	}
	// 20 random numbers of 128 bits are all shorter than 121 with a chance of 2^-160.
	if longest > 128 || longest < 121 {
		t.Errorf("the longest serial has %d bits", longest)
	}
}

// TestFromPolicyOnly: nothing that a request asks for is in the certificate.
func TestFromPolicyOnly(t *testing.T) {
	i := created(t)
	key, _, _ := request(t)
	extension := func(id asn1.ObjectIdentifier, value any) pkix.Extension {
		der, err := asn1.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		return pkix.Extension{Id: id, Critical: true, Value: der}
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject:  pkix.Name{CommonName: "mezu://control/ctl_1", Organization: []string{"evil"}},
		DNSNames: []string{"evil.test"}, EmailAddresses: []string{"a@evil.test"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, URIs: []*url.URL{edgeID().URI()},
		ExtraExtensions: []pkix.Extension{
			extension(asn1.ObjectIdentifier{2, 5, 29, 19}, struct{ CA bool }{true}),
			extension(asn1.ObjectIdentifier{2, 5, 29, 15}, asn1.BitString{Bytes: []byte{0x06}, BitLength: 7}),
			extension(asn1.ObjectIdentifier{2, 5, 29, 37}, []asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 3}, {2, 5, 29, 37, 0}}),
			extension(asn1.ObjectIdentifier{1, 2, 3, 4}, "private"),
		},
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	csr := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
	id := warpgateID()
	issued, err := i.ca.IssuePeer(csr, id)
	if err != nil {
		t.Fatal(err)
	}
	leaf := chain(t, issued.Chain)[0]
	both := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	if len(leaf.URIs) != 1 || leaf.URIs[0].String() != id.String() {
		t.Errorf("URIs %v", leaf.URIs)
	}
	if len(leaf.DNSNames)+len(leaf.EmailAddresses)+len(leaf.IPAddresses)+len(leaf.Subject.Names) != 0 {
		t.Errorf("%v %v %v %v", leaf.DNSNames, leaf.EmailAddresses, leaf.IPAddresses, leaf.Subject)
	}
	if leaf.IsCA || leaf.KeyUsage != x509.KeyUsageDigitalSignature || !slices.Equal(leaf.ExtKeyUsage, both) || len(leaf.UnknownExtKeyUsage) != 0 {
		t.Errorf("CA %t, usage %v, %v", leaf.IsCA, leaf.KeyUsage, leaf.ExtKeyUsage)
	}
	for _, e := range leaf.Extensions {
		if e.Id.Equal(asn1.ObjectIdentifier{1, 2, 3, 4}) {
			t.Error("the private extension is in it")
		}
	}
	if !key.Public().(*ecdsa.PublicKey).Equal(leaf.PublicKey) {
		t.Error("another key")
	}
}

func TestIssueRefuses(t *testing.T) {
	i := created(t)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	csrOf := func(key crypto.Signer) string {
		csr, err := trust.CSR(key)
		if err != nil {
			t.Fatal(err)
		}
		return csr
	}
	_, _, good := request(t)
	block, _ := pem.Decode([]byte(good))
	block.Bytes[len(block.Bytes)-1] ^= 1
	forged := string(pem.EncodeToMemory(block))
	_, keyPEM, _ := request(t)
	for name, csr := range map[string]string{
		"RSA":           csrOf(rsaKey),
		"P-384":         csrOf(p384),
		"bad signature": forged,
		"empty":         "",
		"garbage":       "garbage",
		"broken DER":    "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
		"two requests":  good + good,
		"a key":         string(keyPEM),
		"too long":      good + strings.Repeat("\n", 64<<10),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := i.ca.IssuePeer(csr, warpgateID())
			if mezu.CodeOf(err) != mezu.CodeInvalid {
				t.Errorf("for a peer: %v", err)
			}
			_, err = i.ca.IssueServer(csr, []string{"a.test"}, nil)
			if mezu.CodeOf(err) != mezu.CodeInvalid {
				t.Errorf("for a server: %v", err)
			}
		})
	}
	for _, id := range []mezu.Identity{
		{}, {Role: mezu.PeerEdge}, {Role: mezu.PeerEdge, ID: "edg_1"}, {Role: "admin", ID: edgeID().ID},
		{Role: mezu.PeerWarpgate, ID: warpgateID().ID}, {Role: mezu.PeerEdge, ID: edgeID().ID, Organization: "org_1"},
	} {
		_, err := i.ca.IssuePeer(good, id)
		refused(t, err, "is not an identity")
	}
}

func TestIssueEd25519(t *testing.T) {
	i := created(t)
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	csr, err := trust.CSR(key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.ca.IssuePeer(csr, edgeID()); err != nil {
		t.Fatal(err)
	}
}

func TestIssueServer(t *testing.T) {
	i := created(t)
	_, keyPEM, csr := request(t)
	issued, err := i.ca.IssueServer(csr, []string{"localhost", "*.localhost"}, []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback})
	if err != nil {
		t.Fatal(err)
	}
	if !issued.NotAfter.Equal(i.now().Add(mezu.LeafLife)) {
		t.Errorf("valid until %s", issued.NotAfter)
	}
	pair, err := trust.KeyPair([]byte(issued.Chain), keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	roots, err := trust.ParseRoots(i.ca.RootsPEM())
	if err != nil || !roots.Equal(i.ca.Roots()) {
		t.Fatal(err)
	}
	server := &tls.Config{Certificates: []tls.Certificate{*pair}, Time: i.now}
	for _, name := range []string{"localhost", "shop-acme.localhost", "127.0.0.1", "::1"} {
		if err := meet(t, server, &tls.Config{RootCAs: roots, ServerName: name, Time: i.now}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	refused(t, meet(t, server, &tls.Config{RootCAs: roots, ServerName: "a.test", Time: i.now}), "not a.test")
	client := i.anchor().EdgeTLS(present(i.peer(warpgateID())), "")
	refused(t, meet(t, server, client), "extended key usages")

	for _, names := range [][]string{nil, {""}, {"A.test"}, {"a..test"}, {"a_b.test"}, {"-a.test"}, {"a.*.test"}, {"*"}, {"a.test."}, {"a b"}, {strings.Repeat("a", 64)}, make([]string, 1000)} {
		if _, err := i.ca.IssueServer(csr, names, nil); err == nil {
			t.Errorf("issued for %q", names)
		}
	}
}

// TestPeersMeet: what the CA issues is what trust believes.
func TestPeersMeet(t *testing.T) {
	i := created(t)
	edge := edgeID()
	server := i.anchor().ServerTLS(present(i.peer(edge)), mezu.PeerWarpgate, mezu.ProtocolControl)
	client := i.anchor().EdgeTLS(present(i.peer(warpgateID())), edge.ID, mezu.ProtocolControl)
	if err := meet(t, server, client); err != nil {
		t.Fatal(err)
	}
	i.advance(mezu.LeafLife + time.Second)
	refused(t, meet(t, server, client), "expired", "clock")
}

// TestLeafEndsWithIssuer: no leaf outlives what it hangs on, and past the
// issuer's end there is none.
func TestLeafEndsWithIssuer(t *testing.T) {
	i := created(t)
	_, _, csr := request(t)
	end := i.ca.NotAfter()
	i.advance(end.Sub(i.now()) - day)
	issued, err := i.ca.IssuePeer(csr, edgeID())
	if err != nil || issued.NotAfter.After(end) {
		t.Fatalf("until %s, %v; the issuer ends %s", issued.NotAfter, err, end)
	}
	i.advance(day + time.Second)
	_, err = i.ca.IssuePeer(csr, edgeID())
	refused(t, err, "past its end", "rotate")
	_, err = i.ca.Sign(mezu.PurposeBundle, struct{}{})
	refused(t, err, "past its end", "rotate")
	_, err = ca.Open(t.Context(), i.vault, i.now)
	refused(t, err, "keyset 1 ended")
	i.change(rotate(api.RotateSigning)) // mends it at once
	if _, err = i.ca.IssuePeer(csr, edgeID()); err != nil {
		t.Fatal(err)
	}
}

func FuzzIssue(f *testing.F) {
	f.Add("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n")
	key, _, err := trust.NewKey()
	if err != nil {
		f.Fatal(err)
	}
	csr, err := trust.CSR(key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(csr)
	dir, v := f.TempDir(), new(vault)
	if err := ca.Create(f.Context(), v, dir, nil); err != nil {
		f.Fatal(err)
	}
	a, err := ca.Open(f.Context(), v, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		issued, err := a.IssuePeer(text, edgeID())
		if err == nil && len(chain(t, issued.Chain)) != 2 || err != nil && mezu.CodeOf(err) != mezu.CodeInvalid {
			t.Fatalf("%+v, %v", issued, err)
		}
	})
}
