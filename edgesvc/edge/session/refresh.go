package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

const (
	// refreshTimeout bounds a refresh, and therefore how long a request waits for one.
	refreshTimeout = 10 * time.Second
	// maxFlights is how many refreshes may be under way, and maxEnvironmentFlights how many
	// of one environment. At 20 ms each they are 12,000 in a second.
	maxFlights            = 256
	maxEnvironmentFlights = 64
	// maxKept bounds what is remembered of refreshes: 30 MiB, if each has the largest grant.
	maxKept = 8192
	// keepRenewed is how long a newer grant is given to requests that still show the old
	// one. A browser that asks once a minute gets it with its next request.
	keepRenewed = time.Minute
	// repeatSecret is the same for one with a new secret: as long as the control plane
	// repeats it (RFC 9700, 4.14.2, would have none). Requests that were sent beside one
	// another are all served by then.
	repeatSecret = 10 * time.Second
	// failedFor is how long a session is not asked for again that could not be. A request
	// must not wait for the control plane each time.
	failedFor = 5 * time.Second
	// lostFor is how long it is believed that no control plane can be reached since the last
	// try. Until then one request in failedFor tries beside, and none waits.
	lostFor = time.Minute
	// maxRefreshed bounds the control plane's answer.
	maxRefreshed = 8 << 10
)

// outcome is what became of a refresh.
type outcome int

const (
	renewed outcome = iota
	refused         // the session is over
	away            // no control plane could be reached
	failed          // anything else
	outcomes
)

func (o outcome) String() string { return [...]string{"renewed", "refused", "away", "failed"}[o] }

// refreshes are those under way, and the last outcome of each session.
type refreshes struct {
	s      *Sessions
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu        sync.Mutex
	closed    bool
	bySession map[string]*flight
	under     int
	byHost    map[string]int // under way, by environment
	ends      [outcomes]uint64
	answers   uint64    // how many refreshes a control plane has answered
	lost      time.Time // until when none can be reached, as far as is known
	tryAt     time.Time // when it is worth to try again meanwhile
}

// flight is one refresh of a session. What stands below done is read only once that is
// closed.
type flight struct {
	done    chan struct{}
	answers uint64    // those of the refreshes when it began
	until   time.Time // when the outcome is forgotten
	outcome outcome
	renewal *renewal
}

// renewal is how a session goes on.
type renewal struct {
	grant   *mezu.Grant
	compact []byte
	secret  []byte // nil if it stays the same
}

func (r *refreshes) init(s *Sessions) {
	r.s, r.bySession, r.byHost = s, map[string]*flight{}, map[string]int{}
	r.ctx, r.cancel = context.WithCancel(context.Background())
}

// close ends the refreshes under way, and begins no others.
func (r *refreshes) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cancel()
	r.wg.Wait()
}

// ended reports whether the outcome is known.
func (f *flight) ended() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// look gives the refresh that serves a session of which somebody has shown a grant, and begins
// one if need be. It is nil if there are too many already. If no control plane can be reached,
// lost says so: then it is no use to wait.
func (r *refreshes) look(g *mezu.Grant, compact []byte, revoked bool, now time.Time) (f *flight, lost bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	lost = now.Before(r.lost)
	if f := r.bySession[g.Session]; f != nil && f.serves(g, compact, revoked, now) {
		return f, lost
	}
	if lost && now.Before(r.tryAt) || r.closed || r.under >= maxFlights || r.byHost[g.Environment] >= maxEnvironmentFlights || !r.room(now) {
		return nil, lost
	}
	r.tryAt = now.Add(failedFor)
	f = &flight{done: make(chan struct{}), answers: r.answers}
	r.bySession[g.Session] = f
	r.under++
	r.byHost[g.Environment]++
	compact = bytes.Clone(compact)
	r.wg.Go(func() { r.fly(f, g, compact) })
	return f, lost
}

// serves reports whether a refresh says how a session goes on from a grant.
func (f *flight) serves(g *mezu.Grant, compact []byte, revoked bool, now time.Time) bool {
	switch {
	case !f.ended():
		return true
	case now.After(f.until):
		return false
	case f.outcome != renewed:
		return true
	case bytes.Equal(f.renewal.compact, compact):
		// It is new, whatever this machine's clock makes of its times.
		return !revoked
	}
	return !f.renewal.grant.IssuedAt.Before(g.IssuedAt)
}

// latest is how a session goes on from a grant, if it was refreshed lately.
func (r *refreshes) latest(g *mezu.Grant) *renewal {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f := r.bySession[g.Session]; f != nil && f.ended() && f.outcome == renewed {
		return f.renewal
	}
	return nil
}

// room reports whether one more session can be remembered. The lock is held.
func (r *refreshes) room(now time.Time) bool {
	if len(r.bySession) < maxKept {
		return true
	}
	r.forgetLocked(now)
	for id, f := range r.bySession { // in no order: any is as good as another
		if len(r.bySession) <= maxKept-maxKept/8 { // so that not each new one looks at all
			return true
		}
		if f.ended() {
			delete(r.bySession, id)
		}
	}
	return len(r.bySession) < maxKept
}

// forget forgets what is remembered no longer.
func (r *refreshes) forget(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forgetLocked(now)
}

func (r *refreshes) forgetLocked(now time.Time) {
	for id, f := range r.bySession {
		if f.ended() && now.After(f.until) {
			delete(r.bySession, id)
		}
	}
}

// fly refreshes a session.
func (r *refreshes) fly(f *flight, g *mezu.Grant, compact []byte) {
	next, err := r.call(g, compact)
	now := r.s.cfg.Now()
	switch {
	case err == nil && next.secret != nil:
		f.outcome, f.renewal, f.until = renewed, next, now.Add(repeatSecret)
	case err == nil:
		f.outcome, f.renewal, f.until = renewed, next, now.Add(keepRenewed)
	case api.SessionEnded(err):
		f.outcome, f.until = refused, g.NotAfter
	case api.Away(err):
		f.outcome, f.until = away, now.Add(failedFor)
	default:
		f.outcome, f.until = failed, now.Add(failedFor)
		r.s.cfg.Log.Warn("a session could not be refreshed", "session", g.Session, "environment", g.Environment, "error", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.under--
	if r.byHost[g.Environment]--; r.byHost[g.Environment] == 0 {
		delete(r.byHost, g.Environment)
	}
	r.ends[f.outcome]++
	switch {
	case f.outcome != away:
		r.answers++
		r.lost = time.Time{}
	case r.answers == f.answers: // nobody had an answer for as long as it waited
		r.lost, r.tryAt = now.Add(lostFor), now.Add(failedFor)
	}
	close(f.done)
}

var errNotEnrolled = &mezu.Error{Code: mezu.CodeUnavailable, Detail: "this edge has not enrolled yet"}

// call asks a control plane how a session goes on, and checks what it says.
func (r *refreshes) call(g *mezu.Grant, compact []byte) (*renewal, error) {
	client := r.s.cfg.Client()
	if client == nil {
		return nil, errNotEnrolled
	}
	ctx, cancel := context.WithTimeout(r.ctx, refreshTimeout)
	defer cancel()
	var out api.EdgeRefreshed
	err := client.Do(ctx, api.Call{Operation: api.OpEdgeRefresh, Body: api.EdgeRefreshRequest{Grant: string(compact)}, Safe: true, Timeout: refreshTimeout, MaxResponse: maxRefreshed}, &out)
	if err != nil {
		return nil, errors.Join(ctx.Err(), err) // what came too late counts as nothing
	}
	next := &renewal{compact: []byte(out.Grant)}
	known, err := r.s.verify(r.s.cfg.Trust(), next.compact, g.Environment, g.Directory)
	if err != nil {
		return nil, fmt.Errorf("the control plane's new grant: %w", err)
	}
	next.grant = known.Grant
	switch {
	case next.grant.User != g.User:
		return nil, errors.New("the control plane's new grant is of another user")
	case out.Secret == "" && (next.grant.Session != g.Session || next.grant.SecretHash != g.SecretHash):
		return nil, errors.New("the control plane's new grant is of another session, and has no secret")
	case out.Secret == "":
		return next, nil
	}
	next.secret = []byte(out.Secret)
	if _, _, ok := mezu.SplitSession([]byte(out.Secret + "." + out.Grant)); !ok || len(next.secret) != mezu.SecretLength || !next.grant.Opens(next.secret) {
		return nil, errors.New("the control plane's new secret does not open its new grant")
	}
	return next, nil
}

// counts is how many refreshes ended in which way.
func (r *refreshes) counts() map[string]uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[string]uint64{}
	for o, n := range r.ends {
		out[outcome(o).String()] = n
	}
	return out
}
