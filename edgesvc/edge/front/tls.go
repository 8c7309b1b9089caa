package front

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
	"slices"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/admission"
)

// fallbackLife is longer than an edge runs without a restart. Nobody trusts the
// certificate, so its end means nothing.
const fallbackLife = 10 * 365 * 24 * time.Hour

// nobodys is the owner of connections to servers that nobody has.
const nobodys = "-"

var (
	// errNoPlace ends the handshake of a client for whom there is no place.
	errNoPlace = errors.New("no place for another public connection")
	// errPeer is in the chain of what ends a peer's handshake before it is known who the
	// peer is.
	errPeer = errors.New("no tunnel for this handshake")
)

// publicTLS is the configuration of every handshake, until it is known whether a peer
// wants it. Records are always full-sized: Go's dynamic sizing would cut the usual small
// response in two.
func (f *Front) publicTLS() *tls.Config {
	return &tls.Config{
		MinVersion:                  tls.VersionTLS12,
		CipherSuites:                publicSuites,
		NextProtos:                  f.cfg.Public.Protocols,
		GetCertificate:              f.certificate,
		GetConfigForClient:          f.configForClient,
		DynamicRecordSizingDisabled: true,
	}
}

// publicSuites are those of TLS 1.2 with forward secrecy and an AEAD, as RFC 9325 (4.2)
// has it; TLS 1.3 has no others. What speaks none of them is older than ten years.
var publicSuites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// peers reports whether a protocol is one of peers.
func (f *Front) peers(protocol string) bool {
	return slices.Contains(f.cfg.Peers.Protocols, protocol)
}

// configForClient tells peers from the public, and gives each its own configuration. It
// returns when the handshake may compute.
func (f *Front) configForClient(hello *tls.ClientHelloInfo) (c *tls.Config, err error) {
	if slices.ContainsFunc(hello.SupportedProtos, f.peers) {
		c, err = f.peerConfig(hello)
	} else {
		err = f.admitPublic(hello)
	}
	if err != nil {
		return nil, err
	}
	return c, hello.Conn.(*handshaking).begin()
}

// admitPublic gives a client a place among those of the environment that it asks for,
// before its handshake costs anything. On a listener for peers it gets none.
func (f *Front) admitPublic(hello *tls.ClientHelloInfo) error {
	admitted := admission.Of(hello.Conn)
	if admitted.Among(f.cfg.PeersArriving) {
		return fmt.Errorf("%w: it came to the listener for Warpgates", errNoPlace)
	}
	if f.cfg.Public.NoConnection(admitted.Address()) {
		return errNoPlace
	}
	owner := f.cfg.Public.Owner(hello.ServerName)
	if owner == "" {
		owner = nobodys
	}
	if !admitted.Move(f.cfg.Public.Places, owner) {
		return errNoPlace
	}
	if hello.ServerName != "" {
		h := hello.Conn.(*handshaking)
		h.cert, h.known, h.err = f.cfg.Public.Certificate(hello)
	}
	return nil
}

// peerConfig is the configuration of a peer's handshake.
func (f *Front) peerConfig(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	refuse := func(why string) (*tls.Config, error) { return nil, fmt.Errorf("%w: %s", errPeer, why) }
	switch {
	case hello.ServerName != f.cfg.Peers.ServerName:
		return refuse("it must name the server " + f.cfg.Peers.ServerName)
	case len(hello.SupportedProtos) != 1:
		return refuse("it must offer one protocol")
	case !slices.Contains(hello.SupportedVersions, tls.VersionTLS13):
		return refuse("it must offer TLS 1.3")
	case f.draining.Load():
		return refuse("the edge is draining")
	}
	c := f.cfg.Peers.TLS(hello.SupportedProtos[0])
	if c == nil {
		return refuse("the edge is not enrolled yet")
	}
	return c, nil
}

// certificate is the certificate for a handshake with the public. To give none and no
// error ends the handshake with unrecognized_name: no name, no environment. For a name
// that nobody has it is the fallback.
func (f *Front) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if hello.ServerName == "" {
		return nil, nil
	}
	h := hello.Conn.(*handshaking)
	if !h.known {
		return f.fallback, nil
	}
	return h.cert, h.err
}

// newFallback makes a certificate of no name that nobody trusts. Handshakes for names that
// no environment has get it, so that a client that goes on learns "unknown_host". It is
// never a tenant's.
func newFallback(now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the fallback key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: mezu.NoEnvironmentName},
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
