// Package replica is an edge's own copy of the control plane's signed statements: the
// keyset, the bundles of the environments, the list of edges and revocations, verified,
// kept on disk and served from memory. With the control plane away an edge goes on from
// here, restarts included.
//
// What lives here: the stream from the control plane, which statement is in force, and
// their files. What may not: who the edge is (package identity), certificates of endpoints
// (package certificate), listeners, tunnels, requests, decisions (package policy) and what
// may be believed (package trust). Only edgesvc/edge/member imports it.
package replica

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/edge/labels"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/trust"
	"github.com/mezusphere/mezu/trust/ledger"
	"github.com/mezusphere/mezu/trust/statedir"
)

// Identity is what is asked of who the edge is.
type Identity interface {
	// Trust is what the edge believes, nil before enrolment. It stays the same afterwards.
	Trust() *trust.Anchor
	// Client calls the control plane as this edge, nil before enrolment.
	Client() *api.Client
	// Insist makes a call until the control plane has answered it, or never will.
	Insist(ctx context.Context, call api.Call, out any) error
	// Label is what stands before the edge domain in a host.
	Label(host string) (label string, ok bool)
	// OpenPart decrypts what edges alone get of an environment; nil if it is not encrypted to
	// this edge.
	OpenPart(p *mezu.EdgePart) (*mezu.EdgeContent, error)
}

// Certificates are told which endpoints need one.
type Certificates interface {
	// Add and Drop say that an endpoint is served from now on, and that it isn't any more:
	// after Drop its certificate is not shown. Neither may block.
	Add(label string)
	Drop(label string)
	// Remove takes the certificate of a dropped endpoint off the disk.
	Remove(label string)
	// Order asks for the certificate of an endpoint, if it isn't there.
	Order(label string)
	// Retry says that the control plane is in reach again.
	Retry()
}

// Config says whose copy this is and who is told of changes.
type Config struct {
	Identity     Identity
	Certificates Certificates
	// Log and Now are required.
	Log *slog.Logger
	Now func() time.Time

	// OnStatement gets each statement that took effect and is no revocation, in order;
	// environment is empty for those that concern all. It must not block.
	OnStatement func(environment string, statement mezu.Signed)
	// OnRevocation gets each new revocation once, and the statement that it was
	// opened from. It must not block.
	OnRevocation func(*mezu.Revocation, mezu.Signed)
	// OnContent gets what edges alone know of an environment, when it takes effect; nil if
	// there is none any more. It must not block.
	OnContent func(environment string, content *mezu.EdgeContent)
	// OnConnected is called when a stream from the control plane has begun.
	OnConnected func()
	// OnDurable is called when Durable has changed.
	OnDurable func()
}

// Replica is the copy. It is safe for concurrent use.
type Replica struct {
	cfg   Config
	now   func() time.Time
	log   *slog.Logger
	dir   *statedir.Dir // set by Load
	hosts *labels.Table[endpoint]

	// revoked is the log of revocations. It is there before the identity has an anchor.
	revoked  *ledger.Ledger
	catchUp  catchUp
	handover handover

	connected atomic.Bool
	counters  counters

	mu    sync.RWMutex
	state state
	// flushing is held by whoever writes the cursor.
	flushing sync.Mutex

	stop atomic.Pointer[context.CancelCauseFunc] // of the open stream
}

// state is what the replica's lock guards.
type state struct {
	bundles map[string]*bundle // by environment
	keys    map[string]*keys   // likewise
	parts   map[string]*part
	edges   *trust.InForce // nil before the first
	gone    mezu.Position  // as mezu.EdgeList has it
	// known sums up the bundles, served those among them that are no tombstones, keySet the
	// keys, partSet the parts.
	known, served, keySet, partSet api.StatementSet
	// directories are the environments that name a directory, by its id.
	directories map[string]map[string]bool
	// lost are the kinds of statements of which the disk has lost some, until everything
	// has come again.
	lost []string
	// cursor is the position from which the stream resumes, as the control plane said.
	cursor mezu.Position
	// durable is the last cursor with every file up to it written, or tried in vain.
	durable mezu.Position
	// head is the highest position seen.
	head mezu.Position
	// incomplete: a statement was lost on disk or rejected. The next start, and the next
	// keyset, must ask for everything.
	incomplete bool
	// dirty: the cursor in memory is not the one on disk.
	dirty bool
	// snapshots counts how often everything was asked for. unnamed is how many environments
	// the last snapshot did not name.
	snapshots uint64
	unnamed   int
	// snapshot: everything was asked for and has not all come yet. When a stream breaks
	// meanwhile, the next one goes on with it.
	snapshot bool
	// envs counts the bundles that are no tombstones.
	envs int
}

// bundle is the statement in force of one environment.
type bundle struct {
	trust.InForce
	label     string // of its endpoint, empty of a tombstone
	directory string // that it names
	removed   bool   // it is a tombstone: the environment is gone
	named     uint64 // the last snapshot that named the environment
}

// endpoint is one label under the edge domain. It stays the same for as long as the label
// is served, while what it points to changes.
type endpoint struct {
	label       string
	environment string        // written under the replica's lock
	position    mezu.Position // written under the replica's lock
	site        policy.Site
}

// counters of Metrics.
type counters struct {
	rejected, backwards, unsaved, reconnects atomic.Uint64
}

// Metrics is the state of a replica in numbers.
type Metrics struct {
	// Environments are those served, disabled ones included.
	Environments int
	// Unnamed are those among them that the last snapshot of the control plane did not name:
	// they are kept, but the control plane may have lost them.
	Unnamed int
	// Rejected counts statements that did not verify or compile, Backwards those
	// older than what is in force, Unsaved writes to disk that failed,
	// Reconnects streams that ended.
	Rejected, Backwards, Unsaved, Reconnects uint64
	// Unwritten are the files that wait to be written, those included of which the last try
	// failed.
	Unwritten int
	// Applied is the position up to which the stream has been applied.
	Applied mezu.Position
	// Revocations are those in the log. Lost are the kinds of statements of which some are
	// missing from the disk and were not fetched yet. Compared says that what is here was
	// compared with what the control plane has since the start, Differs that it was
	// something else even after everything had come.
	Revocations, Lost int
	Compared, Differs bool
	// Connected says that the stream from the control plane is up.
	Connected bool
}

// New makes an empty replica.
func New(cfg Config) *Replica {
	r := &Replica{cfg: cfg, now: cfg.Now, log: cfg.Log, hosts: labels.New[endpoint]()}
	r.state.bundles, r.state.keys, r.state.parts, r.state.directories = map[string]*bundle{}, map[string]*keys{}, map[string]*part{}, map[string]map[string]bool{}
	r.catchUp.init()
	r.handover.init()
	return r
}

// Close closes the log of revocations. Call it after Run has returned; it is idempotent.
func (r *Replica) Close() error {
	if r.revoked == nil {
		return nil
	}
	return r.revoked.Close()
}

// Run follows the control plane until ctx ends. Nothing that the control plane does or
// fails to do ends it. The edge must have enrolled.
func (r *Replica) Run(ctx context.Context) {
	defer r.catchUp.begin(r.connected.Load, r.away)()
	var wg sync.WaitGroup
	run := func(f func(context.Context)) { wg.Go(func() { f(ctx) }) }
	run(r.follow)
	run(r.persist)
	run(r.handUp)
	run(r.maintain)
	wg.Wait()
}

// maintainInterval is how often unwritten state goes to disk. What came after that is sent
// again after a kill -9, which does no harm.
const maintainInterval = time.Second

// sweepInterval is how often expired revocations are dropped.
const sweepInterval = time.Minute

// maintain writes what is unwritten and drops what has expired, until ctx ends.
func (r *Replica) maintain(ctx context.Context) {
	ticker := time.NewTicker(maintainInterval)
	defer ticker.Stop()
	var swept time.Time
	for {
		if since := time.Since(swept); swept.IsZero() || since >= sweepInterval {
			swept = time.Now()
			r.forgetRevocations()
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			r.Flush()
		}
	}
}

// Host is the table of a canonical host of the form "<label>.<domain>"; nil if
// there is none. It allocates nothing.
func (r *Replica) Host(host string) *policy.Table {
	if e := r.endpoint(host); e != nil {
		return e.site.Table()
	}
	return nil
}

// Site finds what is in force for such a host, nil if no environment has it. When the
// environment loses the host, nothing is in force there any more. It allocates nothing.
func (r *Replica) Site(host string) *policy.Site {
	if e := r.endpoint(host); e != nil {
		return &e.site
	}
	return nil
}

// endpoint is the one that a canonical host names; nil if there is none.
func (r *Replica) endpoint(host string) *endpoint {
	label, ok := r.cfg.Identity.Label(host)
	if !ok {
		return nil
	}
	return r.hosts.Get(label)
}

// Statements are those that a Warpgate of the environment must have beside
// revocations: keyset, edges, bundle and keys of Warpgates, as far as there are any.
func (r *Replica) Statements(environment string) []mezu.Signed {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := make([]mezu.Signed, 0, 4)
	if anchor := r.trust(); anchor != nil {
		if signed, keyset := anchor.Keyset(); keyset != nil {
			out = append(out, signed)
		}
	}
	if r.state.edges != nil {
		out = append(out, r.state.edges.Signed)
	}
	if d := r.state.bundles[environment]; d != nil {
		out = append(out, d.Signed)
	}
	if k := r.state.keys[environment]; k != nil {
		out = append(out, k.Signed)
	}
	return out
}

// trust is what the edge believes; nil before enrolment.
func (r *Replica) trust() *trust.Anchor { return r.cfg.Identity.Trust() }

// Head is the highest position that the replica has seen.
func (r *Replica) Head() mezu.Position {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.state.head
}

// Durable is the position up to which the stream is in force and on disk.
func (r *Replica) Durable() mezu.Position {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.state.durable
}

// applied is the position up to which the stream has been applied.
func (r *Replica) applied() mezu.Position {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.state.cursor
}

// Metrics reads the counters.
func (r *Replica) Metrics() Metrics {
	m := Metrics{
		Rejected: r.counters.rejected.Load(), Backwards: r.counters.backwards.Load(),
		Unsaved: r.dir.Failures() + r.counters.unsaved.Load(), Reconnects: r.counters.reconnects.Load(),
		Unwritten: r.dir.Waiting(),
		Applied:   r.applied(), Connected: r.connected.Load(),
	}
	r.mu.RLock()
	m.Environments, m.Unnamed, m.Lost = r.state.envs, r.state.unnamed, len(r.state.lost)
	r.mu.RUnlock()
	m.Compared, m.Differs = r.catchUp.compared.Load(), r.catchUp.differs.Load()
	if r.trust() != nil {
		m.Revocations = r.revoked.Len()
		if _, failed := r.revoked.Unwritten(); failed {
			m.Unwritten++
		}
	}
	return m
}
