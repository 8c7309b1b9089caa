// Package forward serves the data connections of a Warpgate: it judges each
// request a second time by the same bundle as the edge, and carries what is
// allowed to the workload.
//
// What lives here: the second line of defence, the headers that a workload may
// trust, the choice of an allowed target, connections to workloads. What may
// not: registration, tunnels, files. Packages daemon/warpgate and daemon/workload import it.
package forward

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/grant"
	"github.com/mezusphere/mezu/h2"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/underway"
)

// Times of a data connection.
const (
	// headTimeout bounds the rest of a request's head once its first bytes came,
	// and each read of a small body that is read away: the edge writes them at once.
	headTimeout = 10 * time.Second
	// wordTimeout bounds a write of what the Warpgate itself says to the edge: a failure,
	// or the answer to a probe. Both are small, and the edge waits for them. A response of
	// the workload is bounded by its route.
	wordTimeout = 10 * time.Second
	// answerTime bounds how long the edge may take to pass on the rest of an answer whose request
	// has not come to its end. It is with the edge already, so a client waits for nobody else.
	answerTime = time.Minute
	// catchUp is how long a request waits for a bundle that the edge had already when it
	// judged, and the Warpgate not yet. It is on its way on the control connection.
	catchUp = 2 * time.Second
)

// Config is what a Forwarder works by.
type Config struct {
	// Targets are those of the beginning.
	Targets
	// Table is the configuration in force, nil while there is none.
	Table func() *policy.Table
	// Serves reports whether a canonical host is that of the environment's endpoint. A
	// request for another host reaches no workload, because workloads make links of the
	// host. If nil, every host is served.
	Serves func(host string) bool
	// Grants verifies what edges say of users; if nil, nobody is one. Uses is what cuts
	// a request whose session is ended. It is there if Grants is.
	Grants *grant.Verifier
	Uses   *grant.Index
	// Assert gives the signed statement of who a user is that goes to the workload, nil
	// while there is none. If nil, there never is.
	Assert func(*grant.Verified) []byte
	// Domain is the one below which the environments of all tenants have their hosts,
	// empty while it is not known. A workload sets no cookie for it. If nil, it is never
	// known.
	Domain func() string
	// Now is the clock for what expires; if nil, time.Now.
	Now func() time.Time
	Log *slog.Logger
	// Requests is told of each request; if nil, nobody is. Warpgate is the id that events
	// name.
	Requests Requests
	Warpgate string
	// Recorder keeps what passes; if nil, nobody does.
	Recorder Recorder
	// Underway has the requests under way; if nil, nobody asks for them.
	Underway *Underway
	// Unreached is told of each request for which nothing answered at its workload's address, and
	// must not wait; if nil, nobody is.
	Unreached func(u mezu.Upstream)
	// Panicked is told of each exchange that ended in a panic; if nil, nobody is.
	Panicked func()
	// Failed is told the cause of each request whose response was not delivered in full;
	// if nil, nobody is.
	Failed func(mezu.Cause)
}

// Underway is the requests under way of one or more Forwarders.
type Underway = underway.Set

// Forwarder serves data connections. It is safe for concurrent use.
type Forwarder struct {
	cfg       Config
	targets   atomic.Pointer[targets]
	retargets sync.Mutex      // one Retarget at a time
	life      context.Context // of connections of HTTP/2, and tries of TLS
	end       context.CancelFunc
	beside    sync.WaitGroup // goroutines of both
	crew      h2.Crew

	pingAfter, pingTimeout time.Duration
}

// New makes a Forwarder. It dials nothing.
func New(cfg Config) *Forwarder {
	if cfg.Underway == nil {
		cfg.Underway = &Underway{}
	}
	f := &Forwarder{cfg: cfg, pingAfter: pingAfter, pingTimeout: pingTimeout}
	f.targets.Store(newTargets(cfg.Targets))
	f.life, f.end = context.WithCancel(context.Background())
	return f
}

// Close closes the connections to workloads. No ServeConn may run any more.
func (f *Forwarder) Close() {
	f.targets.Load().close(newTargets(Targets{}))
	f.end()
	f.beside.Wait()
	f.crew.Close()
}
