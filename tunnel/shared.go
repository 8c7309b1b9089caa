package tunnel

import (
	"context"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/mezusphere/mezu/preface"
	"github.com/mezusphere/mezu/tunnel/mux"
)

const (
	// DefaultShareFrom is from how many exchanges under way on small ones share a
	// connection. Below that each has a connection of its own, which is faster for one alone.
	DefaultShareFrom = 4
	// maxLends is how many connections are tried for the rest of one response: the Warpgate
	// may just have closed the first.
	maxLends = 2
	// A path that has lost leastLost segments, one of tolerable, within lossWindow is left by
	// shared exchanges for lossyPause: on one connection all wait for a segment that was lost,
	// on many connections one. One or two say nothing: a busy machine has them sent again
	// though none was lost. A shorter pause would have exchanges find that out again and again.
	tolerable  = 256
	leastLost  = 3
	lossWindow = 5 * time.Second
	lossyPause = 30 * time.Second
)

// sharing is what a session knows of its shared connection.
type sharing struct {
	able   bool // the Warpgate knows of shared connections
	conn   *mux.Conn
	nc     net.Conn // below it
	serial string   // of the certificate that it was established with
	idle   []*Conn  // streams between two exchanges, the one used last at the end
	open   int      // streams
	used   int64    // step at which an exchange began or ended
	asked  bool     // SHARE was sent
	since  int64    // step at which it was
	from   int64    // step before which it isn't used
	looked int64    // step of the last look at the path
	path   segments // when the window began in which losses count
	window int64    // step at which that was
}

// segments are what a socket has sent and received, and how many of those were lost on the
// way.
type segments struct{ all, lost uint64 }

// TryShared begins an exchange that shares a connection, or returns nil where the
// exchange had better have one of its own: few are under way, the path loses segments, the
// session drains, or there is no shared one yet. The exchange sends mux.Budget bytes at most.
func (s *Session) TryShared(client Address) *Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.why != nil || s.retired || s.leaving || s.inUse < s.hub.limits.ShareFrom:
		return nil
	case s.waiting.length > 0 && s.inUse+s.waiting.length >= s.capacity: // the places are for those that wait
		return nil
	case !s.shares():
		return nil
	}
	h := s.holder(client)
	if !s.mayHold(h) {
		s.unneeded(h)
		return nil
	}
	s.noteBegin()
	c := s.popShared()
	s.sharing.used = s.hub.step.Load()
	c.stream.Begin()
	s.hold(h, c)
	s.updateLoad()
	s.hub.shared.Add(1)
	return c
}

// shares reports whether an exchange may share a connection now, and asks for one if there is
// none. The lock is held.
func (s *Session) shares() bool {
	sh, step := &s.sharing, s.hub.step.Load()
	switch {
	case !sh.able || step < sh.from:
		return false
	case sh.conn != nil:
		return !sh.conn.Full() && !s.loses(step)
	case !sh.asked:
		sh.asked, sh.since = true, step
		s.out.send(appendEmpty(nil, frameShare))
	}
	return false
}

// loses looks once a step at how many segments the path loses, and has it left if they are too
// many. What was lost while it was left doesn't count. The lock is held.
func (s *Session) loses(step int64) bool {
	sh := &s.sharing
	if step == sh.looked {
		return false
	}
	sh.looked = step
	now, ok := segmentsOf(sh.nc)
	if ok && step-sh.window > s.hub.steps(lossWindow) {
		sh.path, sh.window = now, step
		return false
	}
	lost, all := now.lost-sh.path.lost, now.all-sh.path.all
	if ok && (lost < leastLost || lost*tolerable < all) {
		return false
	}
	sh.from = step + s.hub.steps(lossyPause)
	s.hub.log.Debug("path loses segments", "warpgate", s.id.ID, "lost", lost, "of", all)
	return true
}

// popShared takes the stream that was used last, or opens one. The lock is held.
func (s *Session) popShared() *Conn {
	sh := &s.sharing
	if n := len(sh.idle) - 1; n >= 0 {
		c := sh.idle[n]
		sh.idle[n] = nil
		sh.idle = sh.idle[:n]
		return c
	}
	c := &Conn{session: s, shared: sh.conn}
	c.stream = sh.conn.Open(
		func(ctx context.Context, number uint32) (net.Conn, error) { return s.carry(ctx, c, number) },
		func() { s.forgetShared(c) },
	)
	c.Conn = c.stream
	sh.open++
	return c
}

// adoptShared takes in the shared connection that SHARE asked for, and reads it until it
// ends.
func (s *Session) adoptShared(nc net.Conn) error {
	conn, err := mux.New(mux.Config{Conn: nc, Stall: s.hub.limits.Dead})
	if err != nil {
		return err
	}
	path, ok := segmentsOf(nc)
	s.mu.Lock()
	defer s.mu.Unlock()
	sh, serial := &s.sharing, serialOf(nc)
	switch {
	case s.why != nil || s.retired:
		return ErrGone
	case sh.conn != nil || !sh.asked:
		return fmt.Errorf("%w: %v that was not asked for", ErrProtocol, frameShared)
	case s.hub.revoked != nil && serial != "" && s.hub.revoked(serial):
		return ErrCut
	case !ok:
		sh.able = false // nothing would tell what the path loses
		return fmt.Errorf("%w: this system does not tell what a path loses", ErrGone)
	}
	if serial == s.serial {
		serial = s.serial // one copy
	}
	step := s.hub.step.Load()
	sh.conn, sh.nc, sh.serial, sh.path, sh.window, sh.used, sh.asked = conn, nc, serial, path, step, step, false
	s.hub.busy.Go(func() {
		err := conn.Run()
		abort(nc)
		s.unshare(conn, err)
		conn.Wait()
	})
	return nil
}

// unshare forgets a shared connection that has ended. Its exchanges notice by themselves.
func (s *Session) unshare(conn *mux.Conn, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sharing.conn != conn {
		return
	}
	s.endShared(err)
	s.hub.log.Debug("shared connection ended", "warpgate", s.id.ID, "error", err)
}

// endShared ends the shared connection, if there is one. Another one is asked for after a
// heartbeat's time, so that a Warpgate that ends each at once costs little. The lock is held.
func (s *Session) endShared(why error) {
	sh := &s.sharing
	if sh.conn == nil {
		return
	}
	sh.conn.Close(why)
	*sh = sharing{able: sh.able, from: max(sh.from, s.hub.step.Load()+wheelSlots)}
}

// sweepShared closes streams that were idle for long, and a shared connection without any. It
// forgets a SHARE that brought none. The lock is held.
func (s *Session) sweepShared(step int64) {
	sh, long := &s.sharing, s.hub.steps(s.hub.limits.SurplusIdle)
	n := 0
	for n < len(sh.idle) && step-sh.idle[n].used >= long {
		sh.idle[n].stream.Close()
		n++
	}
	sh.idle = slices.Delete(sh.idle, 0, n)
	sh.open -= n
	if sh.asked && step-sh.since > s.hub.steps(2*dialTimeout) {
		sh.asked, sh.from = false, step+wheelSlots
	}
	if sh.conn != nil && sh.open == 0 && step-sh.used >= long {
		s.endShared(ErrGone)
	}
}

// releaseShared is Release of a shared exchange. The lock is held.
func (s *Session) releaseShared(c *Conn) {
	clean := c.stream.End()
	lent := c.lent
	c.lent = nil
	s.unhold(c)
	if lent != nil {
		s.giveBack(lent)
	}
	step := s.hub.step.Load()
	s.sharing.used = step
	if clean && !s.retired && s.sharing.conn == c.shared {
		c.reused, c.used = true, step
		s.sharing.idle = append(s.sharing.idle, c)
	} else {
		s.closeShared(c)
	}
	s.passOn()
}

// discardShared is Discard of a shared exchange. The lock is held.
func (s *Session) discardShared(c *Conn) {
	lent := c.lent
	c.lent = nil
	s.unhold(c)
	s.closeShared(c)
	if lent != nil {
		s.discardLent(lent)
	}
	if s.why == nil {
		s.passOn()
	}
}

// passOn gives others what an exchange has left. The lock is held.
func (s *Session) passOn() {
	s.drained()
	s.serveWaiters()
	s.updateLoad()
	s.refill()
}

// closeShared closes a stream. The lock is held.
func (s *Session) closeShared(c *Conn) {
	c.stream.Close()
	if s.sharing.conn == c.shared {
		s.sharing.open--
	}
}

// forgetShared drops an idle stream that the Warpgate ended. One in use is its holder's to
// find ended.
func (s *Session) forgetShared(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.sharing.idle, c); i >= 0 {
		s.sharing.idle = slices.Delete(s.sharing.idle, i, i+1)
		s.closeShared(c)
	}
}

// refusedShared has exchanges leave the shared connection for a while: the Warpgate has no
// room for more.
func (s *Session) refusedShared() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sharing.from = s.hub.step.Load() + wheelSlots
}

// carry finds a connection of its own for the rest of c's response, and names the stream on
// it. An exchange that has a place and those that wait for one are served in turn.
func (s *Session) carry(ctx context.Context, c *Conn, number uint32) (net.Conn, error) {
	var err error
	for range maxLends {
		var own *Conn
		if own, err = s.lend(ctx, c); err != nil {
			return nil, err
		}
		own.WriteBy = time.Time{}
		own.Conn.SetWriteDeadline(time.Now().Add(dialTimeout))
		if _, err = own.Conn.Write(preface.AppendRest(nil, number)); err == nil {
			s.hub.moved.Add(1)
			return restConn{own.Conn}, nil
		}
	}
	return nil, err
}

// lend gives c a connection for the rest of its response, in the place of one that failed.
func (s *Session) lend(ctx context.Context, c *Conn) (*Conn, error) {
	s.mu.Lock()
	if c.lent != nil {
		s.discardLent(c.lent)
		c.lent = nil
	}
	if s.why != nil || c.holder == nil {
		s.mu.Unlock()
		return nil, ErrGone
	}
	if len(s.idle) > 0 && s.leaves(c.holder) {
		own := s.popIdle()
		own.carries, c.lent = true, own
		s.refill()
		s.mu.Unlock()
		return own, nil
	}
	w := s.moving.add(&c.holder.moves)
	s.refill()
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, s.hub.limits.Wait)
	defer cancel()
	select {
	case own := <-w.conn:
		return s.lentTo(c, own)
	case <-ctx.Done():
	}
	s.mu.Lock()
	if s.moving.remove(w) {
		s.unneeded(w.line.of)
		s.mu.Unlock()
		return nil, fmt.Errorf("%w: %w", ErrOverloaded, ctx.Err())
	}
	s.mu.Unlock()
	return s.lentTo(c, <-w.conn) // it came in the same moment
}

// lentTo notes which connection an exchange was lent while it waited. The exchange may be over.
func (s *Session) lentTo(c, own *Conn) (*Conn, error) {
	if own == nil {
		return nil, ErrGone
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.holder == nil || s.why != nil {
		s.giveBack(own)
		s.passOn()
		return nil, ErrGone
	}
	c.lent = own
	return own, nil
}

// giveBack takes back a connection that was lent. The lock is held.
func (s *Session) giveBack(own *Conn) {
	own.carries = false
	switch {
	case s.open[own.number] != own: // the session has ended, or its certificate was revoked
		abort(own.Conn)
	case s.retired:
		delete(s.open, own.number)
		s.out.polite(own.Conn)
	default:
		own.reused, own.used = true, s.hub.step.Load()
		s.idle = append(s.idle, own)
	}
}

// discardLent closes a connection that was lent. The lock is held.
func (s *Session) discardLent(own *Conn) {
	own.carries = false
	abort(own.Conn)
	if s.open[own.number] == own {
		delete(s.open, own.number)
		s.out.send(appendNumber(nil, frameCancel, own.number))
	}
}

// restConn is a connection for the rest of a response. It is closed without a farewell, which
// could wait.
type restConn struct{ net.Conn }

// Close closes it at once.
func (c restConn) Close() error {
	abort(c.Conn)
	return nil
}
