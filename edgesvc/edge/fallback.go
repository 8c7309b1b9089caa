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

// publicCertificate is the certificate for a handshake with the public.
func (e *Edge) publicCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	c, err := e.replica.PublicCertificate(hello)
	if errors.Is(err, replica.ErrUnknownServer) && hello.ServerName != "" {
		return e.fallback, nil
	}
	return c, err
}
