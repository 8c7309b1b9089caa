package tunnel

import (
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/mezusphere/mezu"
)

// admit reads REGISTER and makes the session.
func (h *Hub) admit(conn net.Conn, id mezu.Identity) (*Session, error) {
	conn.SetDeadline(time.Now().Add(h.limits.Hello))
	t, payload, err := readFrame(conn, warpgateSide, make([]byte, 512))
	if err != nil {
		return nil, err
	}
	if t != frameRegister {
		return nil, fmt.Errorf("%w: %v before REGISTER", ErrProtocol, t)
	}
	var reg register
	if err := decodeJSON(t, payload, &reg); err != nil {
		return nil, err
	}
	if len(reg.Version) > maxVersion || printable(reg.Version) != reg.Version {
		return nil, fmt.Errorf("%w: REGISTER with an unprintable version", ErrProtocol)
	}
	s, refusal := h.add(conn, id, reg)
	if refusal != nil {
		conn.Write(appendRefused(nil, refusal.Err, refusal.RetryAfter, refusal.Permanent))
		conn.Close()
		return nil, refusal
	}
	if h.revoked != nil && h.revoked(s.serial) {
		// It was, between the handshake and its place in the tables: Cut has not
		// seen it.
		s.end(ErrCut, revokedFrame())
		s.out.wait()
		return nil, ErrCut
	}
	first, err := appendJSON(nil, frameWelcome, welcome{Protocol, h.edge(), s.token[:], s.limit,
		h.limits.Heartbeat.Milliseconds(), h.limits.Dead.Milliseconds(), window, true})
	if err != nil {
		s.end(err, nil)
		return nil, err
	}
	var docs []mezu.Signed
	if h.statements != nil {
		docs = h.sendable(h.statements(id.Environment)...)
	}
	var feed Feed
	if h.revocations != nil {
		var told mezu.Told
		if reg.Told != nil {
			told = *reg.Told
		}
		feed = h.revocations(id.Environment, told)
	}
	// Connections are asked for before the statements: a Warpgate that takes its time
	// with those serves meanwhile.
	s.begin()
	s.out.start(first, docs, feed, reg.Told != nil)
	return s, nil
}

// add puts a new session in its place, fencing its predecessor, or says why not.
func (h *Hub) add(conn net.Conn, id mezu.Identity, reg register) (*Session, *RefusedError) {
	s := newSession(h, conn, id, reg)
	h.mu.Lock()
	old := h.warpgates[id]
	if refusal := h.judge(id, reg, old); refusal != nil {
		h.mu.Unlock()
		return nil, refusal
	}
	if old != nil {
		h.detach(old)
	}
	h.warpgates[id] = s
	h.members[id.Environment] = append(h.members[id.Environment], s)
	h.tokens[s.token] = s
	if !reg.Draining {
		h.join(s)
	}
	s.slot = h.count % wheelSlots
	h.count++
	h.wheel[s.slot] = append(h.wheel[s.slot], s)
	if h.stop == nil {
		h.stop = make(chan struct{})
		stop := h.stop
		h.busy.Go(func() { h.turnWheel(stop) })
	}
	h.tell(s.presence(true))
	h.mu.Unlock()
	if old != nil {
		e := mezu.Errorf(mezu.CodeConflict, "a newer registration of this Warpgate took over")
		old.end(ErrFenced, appendRefused(nil, e, h.limits.RetryAfter, false))
	}
	return s, nil
}

// judge decides whether a registration may take its place. The lock is held.
func (h *Hub) judge(id mezu.Identity, reg register, old *Session) *RefusedError {
	refuse := func(code mezu.Code, after time.Duration, permanent bool, format string, args ...any) *RefusedError {
		return &RefusedError{mezu.Errorf(code, format, args...), after, permanent}
	}
	switch {
	case id.Role != mezu.PeerWarpgate:
		return refuse(mezu.CodeForbidden, 0, true, "only a Warpgate may register")
	case reg.Protocol < Protocol:
		r := refuse(mezu.CodeInvalid, 0, true, "the edge speaks tunnel protocol %d, the Warpgate at most %d", Protocol, reg.Protocol)
		r.Err.Hint = "update the Warpgate"
		return r
	case h.closed || h.draining:
		return refuse(mezu.CodeUnavailable, 0, false, "the edge is shutting down")
	case old != nil && reg.Epoch <= old.epoch:
		return refuse(mezu.CodeConflict, h.limits.RetryAfter, false,
			"a registration of this Warpgate with the epoch %d is in force, this one has %d", old.epoch, reg.Epoch)
	case old == nil && len(h.warpgates) >= h.limits.MaxSessions:
		return refuse(mezu.CodeOverloaded, h.limits.RetryAfter, false, "the edge holds its limit of %d Warpgates", h.limits.MaxSessions)
	}
	return nil
}

// join lets PickBut find s. The lock is held.
func (h *Hub) join(s *Session) {
	g := h.environments[s.id.Environment]
	if g == nil {
		g = &group{}
		h.environments[s.id.Environment] = g
	}
	g.sessions = append(g.sessions, s)
}

// leave keeps PickBut from finding s. The lock is held.
func (h *Hub) leave(s *Session) {
	g := h.environments[s.id.Environment]
	if g == nil {
		return
	}
	if i := slices.Index(g.sessions, s); i >= 0 {
		g.sessions = slices.Delete(g.sessions, i, i+1)
	}
	if len(g.sessions) == 0 {
		delete(h.environments, s.id.Environment)
	}
}

// detach takes s out of every table. Calling it again changes nothing. The lock is
// held.
func (h *Hub) detach(s *Session) {
	if h.tokens[s.token] != s {
		return
	}
	delete(h.tokens, s.token)
	delete(h.warpgates, s.id)
	members := slices.DeleteFunc(h.members[s.id.Environment], func(m *Session) bool { return m == s })
	if h.members[s.id.Environment] = members; len(members) == 0 {
		delete(h.members, s.id.Environment)
	}
	h.leave(s)
	slot := h.wheel[s.slot]
	i := slices.Index(slot, s)
	slot[i], slot[len(slot)-1] = slot[len(slot)-1], nil
	h.wheel[s.slot] = slot[:len(slot)-1]
	if len(h.tokens) == 0 && h.stop != nil {
		close(h.stop)
		h.stop = nil
	}
}

// remove takes an ended session out of every table and tells of it.
func (h *Hub) remove(s *Session) {
	defer h.calm()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.tokens[s.token] != s {
		return // fenced: the successor is what is to be told of
	}
	h.detach(s)
	h.tell(s.presence(false))
}

// calm makes Drain look again.
func (h *Hub) calm() {
	select {
	case h.quiet <- struct{}{}:
	default:
	}
}

// retire keeps new exchanges from s, whose Warpgate drains.
func (h *Hub) retire(s *Session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.leave(s)
}
