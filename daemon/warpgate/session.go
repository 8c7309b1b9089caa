package warpgate

import (
	"context"
	"crypto/tls"
	"errors"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/backoff"
	"github.com/mezusphere/mezu/daemon/state"
	"github.com/mezusphere/mezu/grant"
	"github.com/mezusphere/mezu/tunnel"
)

// session is what runs while the Warpgate has one identity: a link to each edge, and the
// server of their data connections.
type session struct {
	gate   *Warpgate
	server server
	dialer *proxyDialer
	uses   *grant.Index // what sessions of users let in
	// hard ends when every link has to be cut.
	hard context.Context
	ends chan error // holds the error that ends the session; the first one counts
	// tasks are the goroutines of all links, also of those that drain.
	tasks sync.WaitGroup

	changes sync.Mutex // held while a change is an event, so that events come in order

	mu     sync.Mutex
	links  map[string]*link // by edge id
	closed bool
	up     int       // links that are registered at their edges
	since  time.Time // when up became zero
}

// link is the tunnel to one edge.
type link struct {
	s    *session
	edge mezu.EdgeInfo
	// cut ends when the link has to; stop ends it.
	cut  context.Context
	stop context.CancelFunc
	done chan struct{}
	made time.Time

	registered bool // guarded by s.mu

	mu      sync.Mutex
	current *tunnel.Link
	// refused is why the edge refused the Warpgate for good, and since when it does; nil
	// if it doesn't. It is asked again after a while.
	refused      error
	refusedSince time.Time
}

// serve runs a session until ctx ends, the Warpgate becomes another one, or an error ends
// it. Then it drains, or cuts everything if the certificate was revoked.
func (g *Warpgate) serve(ctx context.Context) error {
	hard, cut := context.WithCancel(g.hard)
	defer cut()
	forwarding, uses := g.forwarding(), grant.NewIndex(g.state.Anchor().GrantRevoked)
	forwarding.Grants, forwarding.Uses = grant.NewVerifier(g.state.Anchor()), uses
	srv := g.targets.serve(g.newServer, forwarding)
	s := &session{gate: g, server: srv, uses: uses, dialer: &proxyDialer{proxy: g.cfg.Proxy}, hard: hard, ends: make(chan error, 1),
		links: map[string]*link{}, since: time.Now()}
	g.session.Store(s)
	g.log.Info("serving", "identity", g.state.Identity().String(), "upstream", g.targets.upstream(), "bundle", g.state.Applied().String())
	s.follow()

	keeping, stopKeeping := context.WithCancel(hard)
	var keeper sync.WaitGroup
	keeper.Go(func() { s.runKeeper(keeping) })
	keeper.Go(func() { s.sayTargets(keeping) })
	keeper.Go(func() { uses.Run(hard, g.now, g.grantEpoch) })
	g.state.OnRevocation(s.revoked)
	defer g.state.OnRevocation(nil)
	var err error
	select {
	case <-ctx.Done():
	case err = <-s.ends:
	}
	stopKeeping()
	links := s.close()
	if !errors.Is(err, state.ErrRevoked) {
		g.drain(links)
	}
	cut()
	keeper.Wait()
	s.tasks.Wait()
	g.targets.served()
	srv.Close()
	g.session.Store(nil)
	return err
}

// revoked cuts what a revocation ends.
func (s *session) revoked(r *mezu.Revocation) {
	if n := s.uses.Ended(r); n > 0 {
		s.gate.log.Info("requests of ended sessions were cut", "kind", r.Kind, "subject", r.Subject, "requests", n)
	}
}

// grantEpoch is the epoch below which grants are void, as far as is known here.
func (g *Warpgate) grantEpoch() uint64 {
	if t := g.state.Table(); t != nil {
		return t.Position().Epoch
	}
	return 0
}

// runKeeper ends the session when the keeper says so.
func (s *session) runKeeper(ctx context.Context) {
	if err := s.keep(ctx); err != nil {
		s.end(err)
	}
}

// end ends the session with err, unless another error has ended it.
func (s *session) end(err error) {
	select {
	case s.ends <- err:
	default:
	}
}

// follow makes the links agree with the list of edges. It starts new ones before it
// retires old ones, so that there is always a tunnel.
func (s *session) follow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	edges := s.gate.state.Edges()
	for _, e := range edges {
		old := s.links[e.ID]
		if old != nil && old.edge == e {
			continue
		}
		l := &link{s: s, edge: e, done: make(chan struct{}), made: s.gate.now()}
		l.cut, l.stop = context.WithCancel(s.hard)
		s.links[e.ID] = l
		s.tasks.Go(func() { l.run(old) })
	}
	for id, l := range s.links {
		if !slices.ContainsFunc(edges, func(e mezu.EdgeInfo) bool { return e.ID == id }) {
			delete(s.links, id)
			s.gate.log.Info("edge is no longer on the list", "edge", l.edge.Name)
			s.tasks.Go(l.retire)
		}
	}
}

// run keeps the tunnel up until l.cut ends. before, if not nil, is the link to the same
// edge at its former address. It is drained first, because an edge holds one session of
// a Warpgate.
func (l *link) run(before *link) {
	defer close(l.done)
	if before != nil {
		before.retire()
	}
	for {
		woken := l.s.gate.woken.Rung()
		err := l.next().Run(l.cut)
		l.changed(false)
		if l.cut.Err() != nil {
			return
		}
		// The link goes on after a pause: one edge cannot end a Warpgate, only a
		// signed statement can.
		l.s.gate.log.Error("refused for good by an edge", "edge", l.edge.Name, "error", err)
		if pause := l.s.gate.pace.refused; backoff.SleepOr(l.cut, pause/2+rand.N(pause/2+1), woken) != nil {
			return
		}
	}
}

// next makes this end of the tunnel for another run.
func (l *link) next() *tunnel.Link {
	g := l.s.gate
	configs := map[string]*tls.Config{}
	for _, protocol := range []string{mezu.ProtocolControl, mezu.ProtocolData} {
		configs[protocol] = g.state.Anchor().EdgeTLS(g.certificate, l.edge.ID, protocol)
	}
	t := tunnel.NewLink(tunnel.LinkConfig{
		Edge:      l.edge,
		Dial:      l.s.dialer.DialContext,
		TLS:       func(protocol string) *tls.Config { return configs[protocol] },
		Epoch:     g.state.Epoch,
		Version:   g.cfg.Version,
		Serve:     func(ctx context.Context, conn net.Conn) { l.s.server.ServeConn(ctx, conn, l.edge.Name) },
		Statement: l.statement,
		Told:      func() mezu.Told { return g.state.Told(l.edge.ID) },
		Current:   l.noteTold,
		Applied:   g.state.Applied,
		Room:      g.cfg.Room,
		State:     l.state,
		Log:       g.log,
		Now:       g.now,

		RetryWithin: g.cfg.RetryWithin,
	})
	l.mu.Lock()
	l.current = t
	l.mu.Unlock()
	return t
}

// tunnel is this end of the tunnel, nil before the first run.
func (l *link) tunnel() *tunnel.Link {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.current
}

// retire tells the edge to send nothing new, waits for what is in flight, and
// ends the link.
func (l *link) retire() {
	ending := l.s.gate.ending
	ctx, cancel := context.WithTimeout(l.cut, ending.time())
	defer cancel()
	defer context.AfterFunc(ending.passed, cancel)()
	if t := l.tunnel(); t != nil {
		if err := t.Drain(ctx); err != nil {
			l.s.gate.log.Warn("draining a tunnel", "edge", l.edge.Name, "error", err)
		}
	}
	l.stop()
	<-l.done
}

// note keeps whether the edge refuses the Warpgate for good, until something else is known.
func (l *link) note(st tunnel.LinkState, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var refusal *tunnel.RefusedError
	switch {
	case errors.As(err, &refusal) && refusal.Permanent:
		if l.refused == nil {
			l.refusedSince = l.s.gate.now()
		}
		l.refused = err
	case err != nil || st == tunnel.LinkConnected:
		l.refused = nil
	}
}

// state is called when the tunnel changes state, which the tunnel has logged itself.
func (l *link) state(st tunnel.LinkState, err error) {
	g := l.s.gate
	l.note(st, err)
	what := "keeping the tunnel to edge " + l.edge.Name
	switch st {
	case tunnel.LinkConnected:
		g.counters.connects.Add(1)
		l.changed(true)
		g.resolved(what)
	case tunnel.LinkDisconnected, tunnel.LinkDraining:
		l.changed(false)
		var refusal *tunnel.RefusedError
		switch {
		case err == nil || l.cut.Err() != nil:
		case errors.As(err, &refusal) && refusal.Err.Code == mezu.CodeConflict:
			g.trouble(what, cloned(refusal)) // the tunnel's log has no hint
		default:
			g.tell(what, err)
		}
	}
}

// cloned adds the likely reason to an edge's refusal of an old epoch: two processes
// with copies of one state directory.
func cloned(refusal *tunnel.RefusedError) error {
	e := *refusal.Err
	e.Hint = "does another process run with a copy of this state directory? Each Warpgate needs its own"
	return &e
}

// changed counts the registered links. The first one and the loss of the last one are
// events.
func (l *link) changed(registered bool) {
	s := l.s
	s.changes.Lock()
	defer s.changes.Unlock()
	s.mu.Lock()
	if l.registered == registered {
		s.mu.Unlock()
		return
	}
	l.registered = registered
	before := s.up
	if registered {
		s.up++
	} else {
		s.up--
	}
	now := s.up
	if now == 0 {
		s.since = time.Now()
	}
	s.mu.Unlock()
	switch {
	case before == 0:
		s.gate.emit(s.gate.status(mezu.WarpgateConnected))
	case now == 0:
		s.gate.emit(s.gate.status(mezu.WarpgateDisconnected))
	}
}

// registered is the number of edges that hold a tunnel.
func (s *session) registered() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.up
}

// withoutTunnel is how long no edge has held a tunnel, zero if one does.
func (s *session) withoutTunnel() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.up > 0 {
		return 0
	}
	return time.Since(s.since)
}

// isClosed reports whether the drain has begun.
func (s *session) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// wake has every link prove that it is alive, or connect at once.
func (s *session) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.links {
		if t := l.tunnel(); t != nil {
			t.Wake()
		}
	}
}

// close begins the drain: from now on follow does nothing. It returns all links.
func (s *session) close() []*link {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return slices.Collect(maps.Values(s.links))
}

// drain retires all links at once.
func drain(links []*link) {
	var all sync.WaitGroup
	for _, l := range links {
		all.Go(l.retire)
	}
	all.Wait()
}

// statement verifies a signed statement that an edge relays, and applies it.
func (l *link) statement(signed mezu.Signed) {
	g := l.s.gate
	changed, err := g.state.Accept(signed)
	switch {
	case errors.Is(err, state.ErrRevoked):
		l.s.end(g.revoked())
		return
	case errors.Is(err, state.ErrBackwards):
		// The edge was away and catches up by itself, so this is no event.
		g.counters.rejected.Add(1)
		g.log.Warn("refusing a statement", "edge", l.edge.Name, "purpose", signed.Purpose, "error", err)
	case err != nil && changed:
		g.trouble(doingSave, err)
	case err != nil:
		g.counters.rejected.Add(1)
		g.trouble("judging a statement of edge "+l.edge.Name, err)
	}
	if !changed {
		return
	}
	switch signed.Purpose {
	case mezu.PurposeBundle:
		l.s.acknowledge()
		l.s.uses.Sweep(g.now(), g.grantEpoch()) // it may be the first after a restore
		pos := g.state.Table().Position()
		g.log.Info("configuration in force", "revision", pos.String(), "edge", l.edge.Name)
		g.emit(mezu.Event{Event: mezu.EventConfig, Revision: pos})
	case mezu.PurposeEdges:
		l.s.follow()
	}
}

// noteTold keeps up to which revocation the edge has sent them all.
func (l *link) noteTold(told mezu.Told) {
	if err := l.s.gate.state.NoteTold(l.edge.ID, told); err != nil {
		l.s.gate.trouble(doingSave, err)
	}
}

// refreshed acts on what an answer of the control plane changed.
func (s *session) refreshed() {
	s.acknowledge()
	s.follow()
}

// acknowledge tells every edge which bundle is in force and on the disk.
func (s *session) acknowledge() {
	pos := s.gate.state.Applied()
	if pos.IsZero() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.links {
		if t := l.tunnel(); t != nil {
			t.Ack(pos)
		}
	}
}
