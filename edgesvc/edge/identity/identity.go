// Package identity is who an edge is: its key, its certificate of the internal CA, the
// trust root that it pinned, and the client that presents the certificate to the control
// plane.
//
// What lives here: joining the installation by a single-use token, and renewing the
// certificate. What may not: what the control plane says of environments (package
// replica). Only edgesvc/edge/member imports it.
package identity

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/atomicfile"
	"github.com/mezusphere/mezu/edgesvc/edgepart"
	"github.com/mezusphere/mezu/trust"
	"github.com/mezusphere/mezu/trust/statedir"
)

// Files of the state directory.
const (
	identityFile = "identity.json"     // storedIdentity
	joinKeyFile  = "enrolment-key.pem" // of an enrolment under way
)

// callTimeout bounds a call to the control plane. The control plane takes an edge for away
// after some silence. With less than that, another report can follow one that hangs.
const callTimeout = api.EdgeSilence - api.EdgeReportInterval

// Config says who the edge is to become and who is told.
type Config struct {
	// Control is the control plane's https URL; of several all, with commas between.
	Control string
	// CAFile holds the roots, in PEM, under which Control is verified; if empty,
	// the system's. A file that is missing or holds anything else is an error.
	CAFile string
	// JoinToken gives the single-use token of the enrolment. It is asked only
	// when there is no usable certificate; if nil, there is none.
	JoinToken func() (string, error)
	// Name, TunnelAddress, PublicAddress and Version are what the edge says of
	// itself.
	Name, TunnelAddress, PublicAddress, Version string
	// Log and Now are required.
	Log *slog.Logger
	Now func() time.Time
	// Dial replaces the dialler towards the control plane; if nil, TCP.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// OnPinned gets what the edge believes, before a certificate that is judged by it is
	// kept: at the enrolment, and the same again at each renewal. An error refuses the
	// certificate.
	OnPinned func(*trust.Anchor) error
	// OnKeyset gets a keyset that an enrolment or a renewal put in force.
	OnKeyset func(mezu.Signed)
	// OnMoved is called when an edge that had a domain has enrolled under another one.
	OnMoved func()
	// OnRenewed is called when the certificate was replaced.
	OnRenewed func()
}

// Identity is who the edge is. It is safe for concurrent use.
type Identity struct {
	cfg  Config
	now  func() time.Time
	dir  *statedir.Dir        // set by Load
	self atomic.Pointer[self] // nil before enrolment
}

// self is an identity with its certificate. A renewal replaces it as a whole.
type self struct {
	id     string
	suffix string // "." and the domain
	cert   *tls.Certificate
	key    []byte // PEM
	serial string
	// renewAt is when the renewal of cert is due.
	renewAt time.Time
	anchor  *trust.Anchor // stays the same from the enrolment on
	client  *api.Client   // presents cert
	// sealing opens what is encrypted to this edge; nil if the control plane does not know it.
	sealing *edgepart.Key
}

// storedIdentity is the content of identityFile: one file, so that key and
// certificate can't come apart.
type storedIdentity struct {
	Edge         string `json:"edge"`
	Domain       string `json:"domain"`
	TrustRoot    []byte `json:"trust_root"`
	Certificates string `json:"certificates"` // PEM, leaf first
	Key          string `json:"key"`          // PEM
	// SealingKey is that which the control plane was told of; none in files of the version before.
	SealingKey []byte `json:"sealing_key,omitempty"`
}

// New makes an identity that nobody has yet. Check and Load come next.
func New(cfg Config) *Identity { return &Identity{cfg: cfg, now: cfg.Now} }

// Check is an error if the control plane can't be called with this configuration. It opens
// no connection.
func (i *Identity) Check() error {
	_, err := i.newClient("", nil)
	return err
}

// newClient makes a client of the control plane that shows a join token or a
// certificate.
func (i *Identity) newClient(token string, cert *tls.Certificate) (*api.Client, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS13, Time: i.now}
	if i.cfg.CAFile != "" {
		roots, err := trust.LoadRoots(i.cfg.CAFile)
		if err != nil {
			return nil, &mezu.Error{Code: mezu.CodeInvalid, Field: "ca-file", Detail: err.Error(), Hint: api.HintCAFile, Cause: err}
		}
		config.RootCAs = roots
	}
	if cert != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	client, err := api.NewClient(api.ClientConfig{
		AddressFlag: "--control",
		BaseURL:     i.cfg.Control, TLS: config, Timeout: callTimeout, DialContext: i.cfg.Dial,
		UserAgent: "mezusphere-edge/" + i.cfg.Version,
		Token:     func() (string, error) { return token, nil },
	})
	if err != nil {
		return nil, fmt.Errorf("making a client of the control plane: %w", err)
	}
	return client, nil
}

// Load reads who the edge is from its state directory, if it has enrolled, and keeps there
// what it becomes. The error is a *mezu.Error.
func (i *Identity) Load(dir *statedir.Dir) error {
	i.dir = dir
	var stored storedIdentity
	err := i.dir.ReadKeyJSON(identityFile, &stored)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var s *self
	if err == nil {
		s, err = i.makeSelf(stored)
	}
	if err != nil {
		return &mezu.Error{Code: mezu.CodeInternal, Cause: err,
			Detail: fmt.Sprintf("the edge's identity in %s can't be used: %v", i.dir.Path(identityFile), err),
			Hint:   cmp.Or(atomicfile.Remedy(err), "put the file back from a backup, or enrol anew: an empty state directory and a token of mezusphere join-token create")}
	}
	if s.sealing == nil {
		s.renewAt = i.now() // which tells the control plane of a key
	}
	i.self.Store(s)
	return nil
}

// makeSelf checks that key, certificate, id and domain belong together.
func (i *Identity) makeSelf(stored storedIdentity) (*self, error) {
	cert, err := trust.KeyPair([]byte(stored.Certificates), []byte(stored.Key))
	if err != nil {
		return nil, err
	}
	if len(cert.Leaf.URIs) != 1 {
		return nil, errors.New("certificate names nobody")
	}
	id, err := mezu.ParseIdentity(cert.Leaf.URIs[0])
	if err != nil {
		return nil, err
	}
	if id.Role != mezu.PeerEdge || id.ID != stored.Edge {
		return nil, fmt.Errorf("certificate is of %s, not of edge %q", id, stored.Edge)
	}
	if host, err := mezu.CanonicalHost(stored.Domain); err != nil || host != stored.Domain {
		return nil, fmt.Errorf("%q is not a domain", stored.Domain)
	}
	if len(stored.TrustRoot) != ed25519.PublicKeySize {
		return nil, errors.New("trust root is no Ed25519 key")
	}
	client, err := i.newClient("", cert)
	if err != nil {
		return nil, err
	}
	s := &self{id: id.ID, suffix: "." + stored.Domain, cert: cert, key: []byte(stored.Key), serial: trust.Serial(cert.Leaf), client: client}
	s.renewAt = trust.RenewAt(cert.Leaf).Add(rand.N(renewJitter))
	if len(stored.SealingKey) > 0 {
		if s.sealing, err = edgepart.ParseKey(stored.SealingKey); err != nil {
			return nil, err
		}
	} else if again := i.now().Add(registerAgain); again.Before(s.renewAt) {
		s.renewAt = again
	}
	if s.anchor = i.Trust(); s.anchor == nil {
		s.anchor = trust.New(stored.TrustRoot, i.now)
	} else if !bytes.Equal(s.anchor.Root(), stored.TrustRoot) {
		return nil, errors.New("control plane shows another trust root than the one pinned at enrolment")
	}
	return s, nil
}

// Trust is what the edge believes; nil before enrolment. It stays the same
// afterwards.
func (i *Identity) Trust() *trust.Anchor {
	if s := i.self.Load(); s != nil {
		return s.anchor
	}
	return nil
}

// OpenPart decrypts what edges alone get of an environment. It is nil until the control plane has
// encrypted it to this edge.
func (i *Identity) OpenPart(p *mezu.EdgePart) (*mezu.EdgeContent, error) {
	s := i.self.Load()
	if s == nil || s.sealing == nil {
		return nil, nil
	}
	content, err := s.sealing.Open(p, s.id)
	if errors.Is(err, edgepart.ErrNotForUs) {
		return nil, nil
	}
	return content, err
}

// Client calls the control plane as this edge; nil before enrolment. A renewal replaces
// it.
func (i *Identity) Client() *api.Client {
	if s := i.self.Load(); s != nil {
		return s.client
	}
	return nil
}

// PeerCertificate is the edge's certificate of the internal CA, or an error if
// there is none or it has ended. It fits the functions of package trust.
func (i *Identity) PeerCertificate() (*tls.Certificate, error) {
	s := i.self.Load()
	switch {
	case s == nil:
		return nil, errors.New("this edge has not enrolled yet")
	case i.now().After(s.cert.Leaf.NotAfter):
		return nil, fmt.Errorf("this edge's certificate ended at %s", s.cert.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return s.cert, nil
}

// NotAfter is when the certificate ends; zero before enrolment.
func (i *Identity) NotAfter() time.Time {
	if s := i.self.Load(); s != nil {
		return s.cert.Leaf.NotAfter
	}
	return time.Time{}
}

// ID is the edge's id; empty before enrolment.
func (i *Identity) ID() string {
	if s := i.self.Load(); s != nil {
		return s.id
	}
	return ""
}

// Domain is the edge domain, under which endpoints are labels; empty before
// enrolment.
func (i *Identity) Domain() string {
	if s := i.self.Load(); s != nil {
		return s.suffix[1:]
	}
	return ""
}

// Label is what stands before the edge domain in a host; ok is false for a host that is not
// below the domain, and before enrolment.
func (i *Identity) Label(host string) (label string, ok bool) {
	s := i.self.Load()
	if s == nil {
		return "", false
	}
	n := len(host) - len(s.suffix)
	if n <= 0 || host[n:] != s.suffix {
		return "", false
	}
	return host[:n], true
}

// CheckRevoked logs that the edge's own certificate is among the revoked, if it is.
func (i *Identity) CheckRevoked() {
	if s := i.self.Load(); s.anchor.CertificateRevoked(s.serial) {
		i.cfg.Log.Error("this edge's certificate has been revoked; Warpgates and the control plane refuse it. Enrol anew with an empty state directory", "edge", s.id)
	}
}
