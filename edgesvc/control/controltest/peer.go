package controltest

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"testing"

	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/trust"
)

// SPKI is the SHA-256 of the public key of a certificate request, as an enrolment names it.
func SPKI(t *testing.T, csr string) string {
	t.Helper()
	block, _ := pem.Decode([]byte(csr))
	req, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(req.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

// Identity is a key and the certificate that it got.
type Identity struct {
	CSR  string
	Key  []byte
	ID   string
	Cert *tls.Certificate
}

// NewIdentity makes a key and asks for nothing yet.
func NewIdentity(t *testing.T) *Identity {
	t.Helper()
	key, pem, err := trust.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	csr, err := trust.CSR(key)
	if err != nil {
		t.Fatal(err)
	}
	return &Identity{CSR: csr, Key: pem}
}

// Take takes over the certificate that was issued.
func (i *Identity) Take(t *testing.T, chain, id string) {
	t.Helper()
	cert, err := trust.KeyPair([]byte(chain), i.Key)
	if err != nil {
		t.Fatal(err)
	}
	i.Cert, i.ID = cert, id
}

// Register registers a Warpgate by a key.
func (in *Installation) Register(key, environment string) (*Identity, api.RegisterResponse) {
	in.T.Helper()
	w := NewIdentity(in.T)
	out := Call[api.RegisterResponse](in.T, in.Client(key, nil), api.OpRegisterWarpgate, api.RegisterRequest{CSR: w.CSR, Environment: environment, Version: "1.0"})
	w.Take(in.T, out.Certificates, out.Warpgate)
	return w, out
}

// JoinToken makes a token that lets one edge in.
func (in *Installation) JoinToken(operator *api.Client) string {
	in.T.Helper()
	return in.Secret(Call[api.JoinTokenResponse](in.T, operator, api.OpCreateJoinToken, nil).Token)
}

// Enrol enrols an edge.
func (in *Installation) Enrol(operator *api.Client, name string) (*Identity, api.EnrolResponse) {
	in.T.Helper()
	e := NewIdentity(in.T)
	out := Call[api.EnrolResponse](in.T, in.Client(in.JoinToken(operator), nil), api.OpEnrolEdge,
		api.EnrolRequest{CSR: e.CSR, Name: name, TunnelAddress: "127.0.0.1:9443", Version: "1.0"})
	e.Take(in.T, out.Certificates, out.Edge)
	return e, out
}

// EnrolSealing enrols an edge under a name, with the public key to which secrets are encrypted.
func (in *Installation) EnrolSealing(operator *api.Client, name string, key []byte) (*Identity, api.EnrolResponse) {
	in.T.Helper()
	e := NewIdentity(in.T)
	out := Call[api.EnrolResponse](in.T, in.Client(in.JoinToken(operator), nil), api.OpEnrolEdge,
		api.EnrolRequest{CSR: e.CSR, Name: name, TunnelAddress: "127.0.0.1:9443", Version: "1.0", SealingKey: key})
	e.Take(in.T, out.Certificates, out.Edge)
	return e, out
}
