package trust

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
)

// maxChain bounds the certificates that a peer may present: its own and one
// intermediate, with room for a second one.
const maxChain = 3

// maxShown bounds how much of a stranger's certificate an error repeats.
const maxShown = 40

// sessionCacheSize is how many servers a client configuration keeps a session
// ticket of. A configuration is made for one server, and sessions relies on that.
const sessionCacheSize = 1

// Serial is a certificate's serial number in lower-case hexadecimal without
// leading zeros, as it stands in records and revocations.
func Serial(c *x509.Certificate) string { return c.SerialNumber.Text(16) }

// RenewAt is when a certificate is old enough to be renewed: at mezu.RenewAge, or half
// way through a life that its issuer's end cut short.
func RenewAt(leaf *x509.Certificate) time.Time {
	return leaf.NotBefore.Add(mezu.LeafBackdate + min(mezu.RenewAge, leaf.NotAfter.Sub(leaf.NotBefore)/2))
}

// VerifyPeer decides who is at the other end of a TLS connection, resumed ones included.
// It asks for TLS 1.3 and for a certificate
//   - with a chain to a root of the keyset in force, valid now by the anchor's clock,
//   - with a key of an allowed type and the usages of a peer,
//   - with exactly one subject alternative name, the URI of an identity,
//   - that is not revoked, and
//   - in the wanted role; if role is empty, in any.
//
// The error is written to be logged: it names the certificate, and the clock if the time
// decided.
func (a *Anchor) VerifyPeer(cs tls.ConnectionState, role mezu.PeerRole) (mezu.Identity, error) {
	id, err := a.verify(cs, role)
	if err != nil {
		return mezu.Identity{}, fmt.Errorf("verifying the peer: %w", err)
	}
	return id, nil
}

func (a *Anchor) verify(cs tls.ConnectionState, role mezu.PeerRole) (mezu.Identity, error) {
	var nobody mezu.Identity
	if cs.Version != tls.VersionTLS13 {
		return nobody, fmt.Errorf("it speaks %s where TLS 1.3 is required", tls.VersionName(cs.Version))
	}
	if n := len(cs.PeerCertificates); n == 0 || n > maxChain {
		return nobody, fmt.Errorf("it presented %d certificates where 1 to %d are expected", n, maxChain)
	}
	now := a.now()
	force, err := a.inForce(now)
	if err != nil {
		return nobody, err
	}
	leaf := cs.PeerCertificates[0]
	if err := force.verifyChain(cs.PeerCertificates, now); err != nil {
		return nobody, err
	}
	id, err := identity(leaf)
	switch {
	case err != nil:
		return nobody, err
	case a.CertificateRevoked(Serial(leaf)):
		return nobody, fmt.Errorf("%s (serial %s) is revoked", name(leaf), Serial(leaf))
	case role != "" && id.Role != role:
		return nobody, fmt.Errorf("%s is of a peer in the role %q where %q is expected", name(leaf), id.Role, role)
	}
	return id, nil
}

// identity reads who a certificate of the CA is for, and checks that it is made
// as the CA makes those of peers.
func identity(leaf *x509.Certificate) (mezu.Identity, error) {
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} {
		// An absent list means any usage to crypto/x509, and none to us.
		if !slices.Contains(leaf.ExtKeyUsage, usage) {
			return mezu.Identity{}, fmt.Errorf("%s is not for both ends of a connection between peers: its extended key usages are %v", name(leaf), leaf.ExtKeyUsage)
		}
	}
	if !KeyAllowed(leaf.PublicKey) {
		return mezu.Identity{}, fmt.Errorf("%s has a key of type %s where P-256 or Ed25519 is required", name(leaf), leaf.PublicKeyAlgorithm)
	}
	if len(leaf.URIs) != 1 || len(leaf.DNSNames)+len(leaf.IPAddresses)+len(leaf.EmailAddresses) != 0 {
		return mezu.Identity{}, fmt.Errorf("%s has %d URIs and %d other subject alternative names where one URI is expected",
			name(leaf), len(leaf.URIs), len(leaf.DNSNames)+len(leaf.IPAddresses)+len(leaf.EmailAddresses))
	}
	id, err := mezu.ParseIdentity(leaf.URIs[0])
	if err != nil {
		return mezu.Identity{}, fmt.Errorf("%s names nobody: %w", name(leaf), err)
	}
	return id, nil
}

// name is how errors speak of a certificate: by its identity if it has one, else by its
// serial number. The identity is only a claim if the certificate doesn't verify.
func name(c *x509.Certificate) string {
	if len(c.URIs) == 1 {
		if id, err := mezu.ParseIdentity(c.URIs[0]); err == nil {
			return "certificate of " + id.String()
		}
	}
	serial := Serial(c)
	if len(serial) > maxShown {
		serial = serial[:maxShown] + "…"
	}
	return "certificate with serial " + serial
}

// Certificate gives the certificate to present. It is called in each handshake, so it must
// not parse one.
type Certificate = func() (*tls.Certificate, error)

// ServerTLS is the configuration of the accepting end. It speaks TLS 1.3 only, and takes
// only a peer in this role that speaks one of these protocols. If none is given, none is
// negotiated. Make it once and share it: session tickets that it issued are good for as
// long as it is used. VerifyPeer decides about each resumed connection again.
func (a *Anchor) ServerTLS(cert Certificate, peer mezu.PeerRole, alpn ...string) *tls.Config {
	c := a.config(peer, "", alpn)
	c.ClientAuth = tls.RequireAnyClientCert // VerifyConnection decides
	c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return a.own(cert) }
	return c
}

// EdgeTLS is the configuration of the end that dials the tunnel to one edge, with the same
// rules. No other edge is accepted in its place; if edge is empty, any is. The server name
// that is sent decides nothing. Make one for each edge and keep it: it holds the session
// tickets.
func (a *Anchor) EdgeTLS(cert Certificate, edge string, alpn ...string) *tls.Config {
	c := a.config(mezu.PeerEdge, edge, alpn)
	c.ServerName = mezu.TunnelServerName
	c.InsecureSkipVerify = true // VerifyConnection decides
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return a.own(cert) }
	c.ClientSessionCache = &sessions{cert: cert, cache: tls.NewLRUClientSessionCache(sessionCacheSize)}
	return c
}

// config is what both ends have in common. If id is not empty, the peer must have
// it.
func (a *Anchor) config(peer mezu.PeerRole, id string, alpn []string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		MaxVersion: tls.VersionTLS13,
		NextProtos: alpn,
		Time:       a.now,
		// Go's dynamic record sizes would cut the first answers of each
		// connection in pieces.
		DynamicRecordSizingDisabled: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			got, err := a.VerifyPeer(cs, peer)
			switch {
			case err != nil:
				return &strangerError{err}
			case id != "" && got.ID != id:
				return &strangerError{fmt.Errorf("verifying the peer: it is %s where %s %s is expected", got, peer, id)}
			case len(alpn) > 0 && !slices.Contains(alpn, cs.NegotiatedProtocol):
				return fmt.Errorf("verifying the peer: %s speaks none of the protocols %s", got, strings.Join(alpn, ", "))
			}
			return nil
		},
	}
}

// strangerError says that whoever is at the other end is not who was expected, or can't prove it.
type strangerError struct{ error }

// Unwrap gives what is wrong.
func (e *strangerError) Unwrap() error { return e.error }

// Lasts says that it will be so at the next try (package backoff): nobody who restarts becomes
// somebody else.
func (e *strangerError) Lasts() bool { return true }

// own is our certificate for a handshake. One that isn't valid now ends the handshake here,
// where the error can say why.
func (a *Anchor) own(cert Certificate) (*tls.Certificate, error) {
	c, err := cert()
	if err != nil {
		return nil, fmt.Errorf("presenting our certificate: %w", err)
	}
	if c == nil || c.Leaf == nil {
		return nil, errors.New("presenting our certificate: there is none")
	}
	if err := atTime(c.Leaf, a.now()); err != nil {
		return nil, fmt.Errorf("presenting our certificate: %w", err)
	}
	return c, nil
}

// sessions is a cache of session tickets without those that were made with another
// certificate of ours. The other end takes a resumed connection for one of the certificate
// that the first handshake presented, and after a renewal that must be the new one.
type sessions struct {
	cert  Certificate
	cache tls.ClientSessionCache

	mu   sync.Mutex
	leaf *x509.Certificate // that the cached tickets were made with
}

// Get implements tls.ClientSessionCache.
func (s *sessions) Get(key string) (*tls.ClientSessionState, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, err := s.cert(); err != nil || c == nil || s.leaf == nil || !s.leaf.Equal(c.Leaf) {
		return nil, false
	}
	return s.cache.Get(key)
}

// Put implements tls.ClientSessionCache.
func (s *sessions) Put(key string, state *tls.ClientSessionState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.cert()
	if err != nil || c == nil {
		return
	}
	s.leaf = c.Leaf
	s.cache.Put(key, state)
}
