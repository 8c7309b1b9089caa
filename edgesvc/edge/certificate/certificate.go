// Package certificate holds the server certificates that an edge shows to the public: one
// for each endpoint that it serves, got from the control plane and kept on disk, or one for
// all that somebody configured.
//
// What lives here: getting, renewing and keeping them, and choosing one in a handshake.
// What may not: which endpoints are served (package replica says so), and the edge's own
// certificate (package identity). Only edgesvc/edge/member imports it.
package certificate

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/edge/labels"
	"github.com/mezusphere/mezu/trust"
	"github.com/mezusphere/mezu/trust/statedir"
)

// Folder is the one in the state directory for the certificates, <label>.pem.
const Folder = "certs"

const (
	// issuers is how many certificates are got at the same time. An edge with an empty
	// disk needs one for each endpoint and must not occupy the control plane.
	issuers = 4
	// handshakeWait bounds how long a handshake waits for a certificate that is
	// being got: clients give up after some seconds.
	handshakeWait = 3 * time.Second
	// sweepInterval is how often certificates that are due for renewal are looked for.
	sweepInterval = time.Minute
)

// ErrUnknownServer ends a handshake for a server name that is none of ours.
var ErrUnknownServer = errors.New("no certificate for this server name")

// Identity is what is asked of who the edge is.
type Identity interface {
	// Client calls the control plane as this edge.
	Client() *api.Client
	// Domain is what endpoints are labels under, empty before enrolment.
	Domain() string
	// Label is what stands before the domain in a host.
	Label(host string) (label string, ok bool)
}

// Config says where certificates come from.
type Config struct {
	Identity Identity
	// CertFile and KeyFile are files with the chain and key that serve all hosts under the
	// domain; they are read again when they change. If both are empty, each endpoint gets
	// a certificate of the internal CA.
	CertFile, KeyFile string
	// Log and Now are required.
	Log *slog.Logger
	Now func() time.Time
}

// Store holds the certificates. It is safe for concurrent use.
type Store struct {
	cfg     Config
	dir     *statedir.Dir // set by SetDir
	pair    *pair         // nil without a configured certificate
	entries *labels.Table[entry]
	wake    chan struct{} // of the goroutines that work the queue off

	changing sync.Mutex // held by whoever changes entries

	mu    sync.Mutex // guards the queue and the orders
	queue []*entry
}

// entry is an endpoint that is served. There is one for as long as the endpoint is.
type entry struct {
	label string
	cert  atomic.Pointer[tls.Certificate] // nil while there is none
	order order
}

// New reads the configured certificate, if there is one.
func New(cfg Config) (*Store, error) {
	s := &Store{cfg: cfg, entries: labels.New[entry](), wake: make(chan struct{}, 1)}
	if cfg.CertFile != "" || cfg.KeyFile != "" {
		p, err := openPair(cfg.CertFile, cfg.KeyFile, cfg.Now)
		if err != nil {
			return nil, err
		}
		s.pair = p
	}
	return s, nil
}

// SetDir says where certificates are kept. It is called once, before anything but New.
func (s *Store) SetDir(dir *statedir.Dir) { s.dir = dir }

func file(label string) string { return filepath.Join(Folder, label+".pem") }

// Add makes an endpoint one that is served. Its certificate is got when Order or a handshake
// asks for it.
func (s *Store) Add(label string) {
	if s.pair != nil {
		return
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	if s.entries.Get(label) == nil {
		s.entries.Put(label, &entry{label: label})
	}
}

// Drop is the opposite of Add. The certificate is not shown any more; Remove takes it off the
// disk.
func (s *Store) Drop(label string) {
	if s.pair != nil {
		return
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	s.entries.Drop(label)
}

// Remove takes the certificate of a dropped endpoint off the disk.
func (s *Store) Remove(label string) {
	if s.pair != nil {
		return
	}
	s.remove(label)
}

func (s *Store) remove(label string) {
	if err := s.dir.Remove(file(label)); err != nil {
		s.cfg.Log.Error("tidying the state directory", "error", err)
	}
}

// Len is how many endpoints have a certificate.
func (s *Store) Len() (n int) {
	for e := range s.entries.All {
		if e.cert.Load() != nil {
			n++
		}
	}
	return n
}

// PublicCertificate gives the certificate for a TLS handshake with the public. It
// fits tls.Config.GetCertificate. Without a configured certificate only endpoints that are
// served have one; if it is missing, it is got from the control plane, for which the
// handshake waits a short time. Other names get ErrUnknownServer.
func (s *Store) PublicCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	host := hello.ServerName
	if s.pair != nil {
		suffix := "." + s.cfg.Identity.Domain()
		if suffix == "." || len(host) <= len(suffix) || !strings.EqualFold(host[len(host)-len(suffix):], suffix) {
			return nil, ErrUnknownServer
		}
		return s.pair.get(s.cfg.Log), nil
	}
	e := s.find(host)
	if e == nil {
		if e = s.find(strings.ToLower(host)); e == nil {
			return nil, ErrUnknownServer
		}
	}
	if c := e.cert.Load(); c != nil && s.cfg.Now().Before(c.Leaf.NotAfter) {
		return c, nil
	}
	return s.awaitCertificate(hello.Context(), e)
}

// find is the endpoint of a canonical host, nil if it isn't served.
func (s *Store) find(host string) *entry {
	label, ok := s.cfg.Identity.Label(host)
	if !ok {
		return nil
	}
	return s.entries.Get(label)
}

// awaitCertificate waits for a certificate that is missing or has ended.
func (s *Store) awaitCertificate(ctx context.Context, e *entry) (*tls.Certificate, error) {
	if ctx == nil {
		ctx = context.Background()
	}
	done, err := s.orderFirst(e)
	if err != nil {
		return nil, err
	}
	timer := time.NewTimer(handshakeWait)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		return nil, fmt.Errorf("getting the certificate of endpoint %s takes too long", e.label)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if c := e.cert.Load(); c != nil && s.cfg.Now().Before(c.Leaf.NotAfter) {
		return c, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return nil, fmt.Errorf("getting the certificate of endpoint %s: %w", e.label, e.order.err)
}

// Load reads the certificates of the endpoints that were added, and removes those of all
// others. So it must not be called before it is known which endpoints are served.
func (s *Store) Load() {
	if s.pair != nil {
		return
	}
	entries, err := os.ReadDir(s.dir.Path(Folder))
	if err != nil {
		s.cfg.Log.Error("reading the state directory", "folder", Folder, "error", err)
		return
	}
	domain := s.cfg.Identity.Domain()
	for _, found := range entries {
		label, ok := strings.CutSuffix(found.Name(), ".pem")
		if !ok || !found.Type().IsRegular() {
			continue
		}
		e := s.entries.Get(label)
		if e == nil {
			s.remove(label)
			continue
		}
		content, err := s.dir.ReadKey(file(label))
		var cert *tls.Certificate
		if err == nil {
			cert, err = serverPair(content, content, label+"."+domain)
		}
		if err != nil {
			s.dir.Reject(file(label), err)
			continue
		}
		e.cert.Store(cert)
	}
}

// obtain gets one certificate and keeps it.
func (s *Store) obtain(ctx context.Context, e *entry) error {
	if s.entries.Get(e.label) != e {
		return nil // it was dropped meanwhile
	}
	host := e.label + "." + s.cfg.Identity.Domain()
	key, keyPEM, err := trust.NewKey()
	if err != nil {
		return err
	}
	csr, err := trust.CSR(key)
	if err != nil {
		return err
	}
	resp, err := api.Invoke[api.PublicCertificateChain](ctx, s.cfg.Identity.Client(), api.OpPublicCertificate, api.PublicCertificateRequest{CSR: csr, Hosts: []string{host}})
	if err != nil {
		return fmt.Errorf("asking for a certificate of %s: %w", host, err)
	}
	cert, err := serverPair([]byte(resp.Certificates), keyPEM, host)
	if err != nil {
		return err
	}
	if s.entries.Get(e.label) != e {
		return nil
	}
	e.cert.Store(cert)
	_ = s.dir.Save(file(e.label), bytes.Join([][]byte{[]byte(resp.Certificates), keyPEM}, []byte("\n"))) // the directory says so, and tries again
	return nil
}

// serverPair parses a chain and key and checks that they are the host's.
func serverPair(chain, key []byte, host string) (*tls.Certificate, error) {
	cert, err := trust.KeyPair(chain, key)
	if err != nil {
		return nil, err
	}
	if err := cert.Leaf.VerifyHostname(host); err != nil {
		return nil, fmt.Errorf("judging a certificate: %w", err)
	}
	return cert, nil
}
