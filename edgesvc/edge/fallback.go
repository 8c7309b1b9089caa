package edge

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/mezusphere/mezu/edgesvc/edge/replica"
)

// fallbackLife is longer than an edge runs without a restart. Nobody trusts the
// certificate, so its end means nothing.
const fallbackLife = 10 * 365 * 24 * time.Hour

// newFallback makes a certificate of no name that nobody trusts. Handshakes for
// names that no environment has get it, so that a client that goes on learns
// "unknown_host"; it is never a tenant's.
func newFallback(now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the fallback key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: "no such environment"},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(fallbackLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("making the fallback certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// publicCertificate is the certificate for a handshake with the public. To have none
// and no error ends the handshake with unrecognized_name: no name, no environment.
func (e *Edge) publicCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if hello.ServerName == "" {
		return nil, nil
	}
	c, err := e.replica.PublicCertificate(hello)
	if errors.Is(err, replica.ErrUnknownServer) {
		return e.fallback, nil
	}
	return c, err
}

// publicSuites are those of TLS 1.2 with forward secrecy and an AEAD, as RFC 9325 (4.2)
// has it; TLS 1.3 has no others. What speaks none of them is older than ten years.
var publicSuites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}
