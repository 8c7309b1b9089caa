// Package replica is an edge's own copy of what the control plane says: its
// identity, the keyset, the bundles of the environments, the list of edges,
// revocations and the server certificates of endpoints, verified, kept on disk
// and served from memory. With the control plane away an edge goes on from here,
// restarts included.
//
// What lives here: enrolment, renewal, the edge stream, reports of presence, and
// the files of the state directory. What may not: listeners, tunnels, requests,
// decisions (package policy) and what may be believed (package trust). Only
// edgesvc/edge imports it.
package replica

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/atomicfile"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/trust"
	"github.com/mezusphere/mezu/trust/ledger"
)

// Config says whose copy this is and who is told of changes.
type Config struct {
	// Control is the control plane's https URL; of several all, with commas between.
	Control string
	// CAFile holds the roots, in PEM, under which Control is verified; if empty,
	// the system's. A file that is missing or holds anything else is an error.
	CAFile string
	// JoinToken gives the single-use token of the enrolment. It is asked only
	// when there is no usable certificate; if nil, there is none.
	JoinToken func() (string, error)
	// StateDir belongs to this replica alone for as long as it is open.
	StateDir string

	// Name, TunnelAddress, PublicAddress and Version are what the edge says of
	// itself.
	Name, TunnelAddress, PublicAddress, Version string

	// TLSCert and TLSKey are files with the chain and key that serve all hosts
	// under the domain; they are read again when they change. If both are empty, each
	// endpoint gets a certificate of the internal CA.
	TLSCert, TLSKey string

	// Log; if nil, nothing is logged.
	Log *slog.Logger
	// Now decides on validity; if nil, time.Now.
	Now func() time.Time
	// Dial replaces the dialler towards the control plane; if nil, TCP.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// OnDocument gets each statement that took effect and is no revocation, in order;
	// environment is empty for those that concern all. It must not block. If nil,
	// nobody is told.
	OnDocument func(environment string, doc mezu.Signed)
	// OnRevocation gets each new revocation once, and the statement that it was
	// opened from. It must not block.
	OnRevocation func(*mezu.Revocation, mezu.Signed)
	// Presence lists the Warpgates that the edge holds now, for full reports; if
	// nil, none.
	Presence func() []mezu.Presence
}

// Replica is the open copy. It is safe for concurrent use.
type Replica struct {
	cfg  Config
	now  func() time.Time
	log  *slog.Logger
	lock io.Closer

	self  atomic.Pointer[self] // nil before enrolment
	hosts *hostTable
	pair  *pair // nil without a configured certificate

	// revoked is the log of revocations; it is there before self is.
	revoked *ledger.Ledger
	start   start

	connected atomic.Bool
	counters  counters

	mu    sync.RWMutex
	state state
	disk  waiting

	stop     atomic.Pointer[context.CancelCauseFunc] // of the open stream
	reporter reporter
	hand     handing
	issuer   issuer
}

// state is what the replica's lock guards.
type state struct {
	documents map[string]*document // by environment
	edges     *document            // nil before the first
	gone      mezu.Position        // as mezu.EdgeList has it
	// bundles are the documents, tombstones included; served those that are none.
	bundles, served api.StatementSet
	// directories are the environments that name a directory, by its id.
	directories map[string]map[string]bool
	// lost are the kinds of statements of which something was here that is not any
	// more, until everything has come again.
	lost []string
	// cursor is from where the stream resumes, as the control plane said.
	cursor mezu.Position
	// settled is the cursor of which every file was written, or tried in vain.
	settled mezu.Position
	// head is the highest position seen.
	head mezu.Position
	// incomplete: a statement was lost on disk or rejected, so that the next
	// start, and the next keyset, must ask for everything.
	incomplete bool
	// dirty: the cursor in memory is not the one on disk.
	dirty bool
	// snapshots counts the times that everything was asked for; unnamed are the
	// environments of which the last one said nothing.
	snapshots uint64
	unnamed   int
	// whole: not all that was asked for has come; streams may break meanwhile.
	whole bool
	// envs counts the documents that are no tombstones.
	envs int
}

// document is one statement in force.
type document struct {
	signed    mezu.Signed
	position  mezu.Position
	label     string // of a bundle
	directory string // that it names
	removed   bool   // a bundle's last word
	named     uint64 // the last snapshot that spoke of it
}

// counters of Metrics.
type counters struct {
	rejected, backwards, unsaved, reconnects atomic.Uint64
}

// Metrics is the state of a replica in numbers.
type Metrics struct {
	// Environments are those served, disabled ones included.
	Environments int
	// Unnamed are those among them of which the last snapshot of the control
	// plane said nothing: they are kept, but it may have lost them.
	Unnamed int
	// Rejected counts statements that did not verify or compile, Backwards those
	// older than what is in force, Unsaved writes to disk that failed,
	// Reconnects streams that ended.
	Rejected, Backwards, Unsaved, Reconnects uint64
	// Unwritten are the files that are still to be written, in a moment or because
	// the last try failed.
	Unwritten int
	// Applied is the position up to which the stream has been applied.
	Applied mezu.Position
	// CertificateNotAfter ends the peer certificate; zero before enrolment.
	CertificateNotAfter time.Time
	// Revocations are those in the log. Lost are the kinds of statements of which
	// something is missing from the disk and was not fetched yet. Compared says that
	// what is here was compared with the control plane since the start, Differs that
	// something else was here even after all had come.
	Revocations, Lost int
	Compared, Differs bool
	// PublicCertificates are the server certificates at hand.
	PublicCertificates int
	// Connected says that the stream from the control plane is up.
	Connected bool
}

// Open makes and locks the state directory and loads what is on disk; it serves
// from that at once. Files that do not verify are set aside. It fails when the
// directory can't be used, when a configured file is bad, and with a *mezu.Error
// when the directory holds an identity that can't be read.
func Open(cfg Config) (*Replica, error) {
	r := &Replica{cfg: cfg, now: cfg.Now, log: cfg.Log, hosts: newHostTable()}
	if r.now == nil {
		r.now = time.Now
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	r.state.documents, r.state.directories = map[string]*document{}, map[string]map[string]bool{}
	r.start.init()
	r.disk.init()
	r.reporter.init()
	r.hand.init()
	r.issuer.init()
	if cfg.TLSCert != "" || cfg.TLSKey != "" {
		p, err := openPair(cfg.TLSCert, cfg.TLSKey, r.now)
		if err != nil {
			return nil, err
		}
		r.pair = p
	}
	if _, err := r.newClient("", nil); err != nil {
		return nil, err
	}
	if err := atomicfile.EnsureOwnDir(cfg.StateDir); err != nil {
		return nil, unusableState(cfg.StateDir, err)
	}
	lock, err := atomicfile.Lock(cfg.StateDir)
	if err != nil {
		return nil, unusableState(cfg.StateDir, err)
	}
	r.lock = lock
	if err := r.load(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// unusableState says what is wrong with the state directory.
func unusableState(dir string, cause error) error {
	if errors.Is(cause, atomicfile.ErrLocked) {
		return &mezu.Error{Code: mezu.CodeConflict, Detail: fmt.Sprintf("the state directory %s is in use by another process", dir),
			Hint: "stop the other edge, or give this one a directory of its own with --state", Cause: cause}
	}
	return &mezu.Error{Code: mezu.CodeInvalid, Field: "state", Detail: fmt.Sprintf("the state directory can't be used: %v", cause),
		Hint: cmp.Or(atomicfile.Remedy(cause), "make it a directory that this user may write, or name another with --state"), Cause: cause}
}

// Close gives the state directory back. Call it after Run has returned; it is
// idempotent.
func (r *Replica) Close() error {
	var err error
	if r.revoked != nil {
		err = r.revoked.Close()
	}
	return errors.Join(err, r.lock.Close())
}

// Run enrols if there is no usable certificate, then follows the control plane,
// reports and renews until ctx ends, and returns nil. Before enrolment it
// returns a *mezu.Error when trying again is no use; after it, nothing that the
// control plane does or fails to do ends it.
func (r *Replica) Run(ctx context.Context) error {
	if err := r.ensureEnrolled(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	var wg sync.WaitGroup
	defer r.start.begin(r.connected.Load, r.away)()
	start := func(f func(context.Context)) { wg.Go(func() { f(ctx) }) }
	start(r.follow)
	start(r.persist)
	start(r.report)
	start(r.handUp)
	start(r.renew)
	start(r.maintain)
	if r.pair == nil {
		for range issuers {
			start(r.issue)
		}
	}
	wg.Wait()
	r.flush()
	return nil
}

// maintainInterval is how often unwritten state goes to disk: so much of the
// stream is sent again after a kill -9, which does no harm.
const maintainInterval = time.Second

// sweepInterval is how often expired revocations are dropped and certificates
// that are due for renewal are looked for.
const sweepInterval = time.Minute

// maintain writes what is unwritten and looks after what grows old.
func (r *Replica) maintain(ctx context.Context) {
	ticker := time.NewTicker(maintainInterval)
	defer ticker.Stop()
	var swept time.Time
	for {
		if since := time.Since(swept); swept.IsZero() || since >= sweepInterval {
			swept = time.Now()
			r.forgetRevocations()
			r.orderCertificates()
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			r.flush()
		}
	}
}

// Host finds the table of a canonical host of the form "<label>.<domain>"; nil if
// there is none. It allocates nothing.
func (r *Replica) Host(host string) *policy.Table {
	if e := r.endpoint(host); e != nil {
		return e.table.Load()
	}
	return nil
}

// endpoint finds a canonical host.
func (r *Replica) endpoint(host string) *endpoint {
	s := r.self.Load()
	if s == nil {
		return nil
	}
	n := len(host) - len(s.suffix)
	if n <= 0 || host[n:] != s.suffix {
		return nil
	}
	return r.hosts.get(host[:n])
}

// Documents are the statements that a Warpgate of the environment must have beside
// revocations: keyset, edges and bundle, as far as there are any.
func (r *Replica) Documents(environment string) []mezu.Signed {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := make([]mezu.Signed, 0, 3)
	if anchor := r.Trust(); anchor != nil {
		if signed, keyset := anchor.Keyset(); keyset != nil {
			out = append(out, signed)
		}
	}
	if r.state.edges != nil {
		out = append(out, r.state.edges.signed)
	}
	if d := r.state.documents[environment]; d != nil {
		out = append(out, d.signed)
	}
	return out
}

// Trust is what the edge believes; nil before enrolment. It stays the same
// afterwards.
func (r *Replica) Trust() *trust.Anchor {
	if s := r.self.Load(); s != nil {
		return s.anchor
	}
	return nil
}

// PeerCertificate is the edge's certificate of the internal CA, or an error if
// there is none or it has ended. It fits the functions of package trust.
func (r *Replica) PeerCertificate() (*tls.Certificate, error) {
	s := r.self.Load()
	switch {
	case s == nil:
		return nil, errors.New("this edge has not enrolled yet")
	case r.now().After(s.cert.Leaf.NotAfter):
		return nil, fmt.Errorf("this edge's certificate ended at %s", s.cert.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return s.cert, nil
}

// ID is the edge's id; empty before enrolment.
func (r *Replica) ID() string {
	if s := r.self.Load(); s != nil {
		return s.id
	}
	return ""
}

// Domain is the edge domain, under which endpoints are labels; empty before
// enrolment.
func (r *Replica) Domain() string {
	if s := r.self.Load(); s != nil {
		return s.suffix[1:]
	}
	return ""
}

// Head is the highest position that the replica has seen.
func (r *Replica) Head() mezu.Position {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.state.head
}

// settledAt is the position up to which the stream is in force for good.
func (r *Replica) settledAt() mezu.Position {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.state.settled
}

// applied is the position up to which the stream has been applied.
func (r *Replica) applied() mezu.Position {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.state.cursor
}

// Metrics reads the counters. It walks over all endpoints and is meant for
// scrapes, not for requests.
func (r *Replica) Metrics() Metrics {
	m := Metrics{
		Rejected: r.counters.rejected.Load(), Backwards: r.counters.backwards.Load(),
		Unsaved: r.counters.unsaved.Load(), Reconnects: r.counters.reconnects.Load(),
		Unwritten: r.disk.len(),
		Applied:   r.applied(), Connected: r.connected.Load(),
	}
	if s := r.self.Load(); s != nil {
		m.CertificateNotAfter = s.cert.Leaf.NotAfter
	}
	r.mu.RLock()
	m.Environments, m.Unnamed, m.Lost = r.state.envs, r.state.unnamed, len(r.state.lost)
	r.mu.RUnlock()
	m.Compared, m.Differs = r.start.compared.Load(), r.start.differs.Load()
	if r.self.Load() != nil {
		m.Revocations = r.revoked.Len()
		if _, failed := r.revoked.Unwritten(); failed {
			m.Unwritten++
		}
	}
	for e := range r.hosts.all {
		if e.public.Load() != nil {
			m.PublicCertificates++
		}
	}
	return m
}
