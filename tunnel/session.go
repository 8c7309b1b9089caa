package tunnel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
)

// errHungUp: the Warpgate closed the control connection between frames.
var errHungUp = errors.New("the Warpgate hung up")

// maxFrames is how many frames a Warpgate may send in one heartbeat interval
// beside one CLOSED and one MISSED for each data connection. It needs a handful; a
// thousand times that is an attack on the edge's CPU.
const maxFrames = 4096

// Session is one Warpgate's registration at this edge. It is safe for concurrent
// use. Its pool of data connections is in pool.go.
type Session struct {
	hub    *Hub
	id     mezu.Identity
	serial string
	token  token
	epoch  uint64
	out    *outbox

	address, version string
	since            time.Time
	slot             int // of the hub's wheel, guarded by the hub

	// load is what PickBut compares: exchanges under way and waiting, and a heavy
	// extra as long as there was no data connection.
	load   atomic.Int64
	frames atomic.Int64 // since the last heartbeat

	mu        sync.Mutex
	applied   mezu.Position
	why       error // of the end; not nil once ended
	retired   bool  // the Warpgate drains: no new exchanges
	leaving   bool  // the edge drains: no new connections
	proven    bool  // had a data connection
	idle      []*Conn
	open      map[uint64]*Conn
	inUse     int
	wanted    int
	wantedAt  int64 // step of the last WANT
	lastBegin int64 // step at which the last exchange began
	level     int   // exchanges under way when that step began
	before    int   // exchanges under way when the step before it began
	active    bool  // the last two exchanges began less than Limits.SurplusIdle apart, and the last less than that ago

	limit     int // of data connections, as both ends have it
	capacity  int // that, or what there is while no more come
	holders   map[Address]*holder
	spare     *holder // for the next address, or nil
	waiting   queue   // for a place
	moving    queue   // shared exchanges that wait for a connection of their own
	movedLast bool    // one of those was served last
	sharing   sharing
	served    uint64 // counts them
	pressedAt int64  // step at which somebody waited because of others; zero: never
	// Of reclaim: who held most at a step, and what has not been given back since.
	heaviest   *holder
	weighedAt  int64
	reclaiming int
}

// unproven is the load of a session without a data connection: behind all others.
const unproven = 1 << 32

// newSession makes the session of a registration that is still to be judged.
func newSession(h *Hub, conn net.Conn, id mezu.Identity, reg register) *Session {
	s := &Session{
		hub: h, id: id, serial: serialOf(conn), token: newToken(), epoch: reg.Epoch,
		address: addressOf(conn), version: reg.Version, since: h.now(),
		applied: reg.Applied, retired: reg.Draining, open: map[uint64]*Conn{},
		lastBegin: h.step.Load() - h.steps(h.limits.SurplusIdle),
		limit:     h.limits.MaxConns,
	}
	if reg.MaxConns > 0 {
		s.limit = min(s.limit, reg.MaxConns)
	}
	s.capacity = s.limit
	s.sharing.able = reg.Shares && h.limits.ShareFrom > 0
	s.out = newOutbox(conn, h.limits.Dead, true, func(err error) { s.end(err, nil) })
	s.load.Store(unproven)
	return s
}

// Identity is who the Warpgate is.
func (s *Session) Identity() mezu.Identity { return s.id }

// outstanding is how many exchanges are under way or wait for a connection.
func (s *Session) outstanding() int { return int(s.load.Load() % unproven) }

// reason is why the session ended, nil before.
func (s *Session) reason() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.why
}

// presence is what the edge says of the Warpgate.
func (s *Session) presence(connected bool) mezu.Presence {
	s.mu.Lock()
	defer s.mu.Unlock()
	since := s.since
	if !connected {
		since = s.hub.now()
	}
	return mezu.Presence{
		Warpgate: s.id.ID, Environment: s.id.Environment, Connected: connected,
		Address: s.address, Version: s.version, Bundle: s.applied, Since: since,
	}
}

// begin asks for the first connections.
func (s *Session) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.why != nil:
	case s.retired:
		s.out.send(appendEmpty(nil, frameDrained))
	default:
		s.refill()
	}
}

// read reads the control connection until it ends, and says why.
func (s *Session) read() error {
	var room [64]byte
	buf := room[:]
	for {
		s.out.awaitRead(s.hub.limits.Dead)
		t, payload, err := readFrame(s.out.conn, warpgateSide, buf)
		switch {
		case err == nil:
			err = s.take(t, payload)
		case err == io.EOF:
			err = errHungUp
		case errors.Is(err, os.ErrDeadlineExceeded):
			err = fmt.Errorf("%w for %v", ErrSilent, s.hub.limits.Dead)
		}
		if errors.Is(err, ErrProtocol) {
			e := mezu.Errorf(mezu.CodeInvalid, "%v", err)
			s.end(err, appendRefused(nil, e, s.hub.limits.RetryAfter, false))
		}
		if err != nil {
			return err
		}
	}
}

// take acts on one frame.
func (s *Session) take(t frameType, payload []byte) error {
	if s.frames.Add(1) > int64(maxFrames+2*s.limit) {
		return fmt.Errorf("%w: more than %d frames in one interval", ErrProtocol, maxFrames)
	}
	switch t {
	case frameHeartbeat:
	case frameAck:
		s.ack(decodeAck(payload))
	case frameTaken:
		if !s.out.took(binary.BigEndian.Uint32(payload)) {
			return fmt.Errorf("%w: %v of more than was sent", ErrProtocol, t)
		}
	case framePing:
		s.out.send(appendCount(nil, framePong, binary.BigEndian.Uint32(payload)))
	case frameMissed:
		s.missed(binary.BigEndian.Uint32(payload))
	case frameClosed:
		s.forget(binary.BigEndian.Uint64(payload))
	case frameDrain:
		s.drainWarpgate()
	default:
		return fmt.Errorf("%w: %v out of turn", ErrProtocol, t)
	}
	return nil
}

// ack notes the bundle that the Warpgate runs. It never goes back in a session.
func (s *Session) ack(p mezu.Position) {
	s.mu.Lock()
	later := p.Compare(s.applied) > 0
	if later {
		s.applied = p
	}
	s.mu.Unlock()
	if !later {
		return
	}
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if s.hub.warpgates[s.id] == s {
		s.hub.tell(s.presence(true))
	}
}

// drainWarpgate takes the session out of service: idle connections are closed,
// busy ones after their exchange, and then the Warpgate is told.
func (s *Session) drainWarpgate() {
	s.hub.retire(s)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.why != nil || s.retired {
		return
	}
	s.retired, s.wanted = true, 0 // the Warpgate forgets those, too
	s.waiting.fail()
	s.updateLoad()
	s.out.polite(s.takeIdle(len(s.idle))...)
	s.drained()
}

// drained tells a retired Warpgate that nothing is under way. The lock is held.
func (s *Session) drained() {
	if s.retired && s.inUse == 0 {
		s.out.send(appendEmpty(nil, frameDrained))
	}
}

// drainEdge tells the Warpgate that the edge shuts down.
func (s *Session) drainEdge() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.why != nil || s.leaving {
		return
	}
	s.leaving, s.wanted = true, 0
	s.out.send(appendEmpty(nil, frameDrain))
}

// beat is what a session does once in each turn of the wheel: it sends a heartbeat, closes
// connections that were idle for too long, and asks anew for those that did not come.
func (s *Session) beat(step int64) {
	s.frames.Store(0)
	s.out.heartbeat()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.why != nil {
		return
	}
	s.active = s.active && step-s.lastBegin < s.hub.steps(s.hub.limits.SurplusIdle)
	s.out.polite(s.sweep(step)...)
	s.sweepShared(step)
	s.forgetHolders()
	s.capacity = s.limit
	if s.wanted > 0 && step-s.wantedAt > s.hub.steps(2*dialTimeout) {
		s.wanted = 0 // a Warpgate that forgot to say MISSED
	}
	s.serveWaiters() // what was left to others for what doesn't come
	s.refill()
}

// end ends the session for this reason. It closes all connections, and sends the Warpgate
// final, unless that is empty. Only the first call counts.
func (s *Session) end(why error, final []byte) {
	s.mu.Lock()
	if s.why != nil {
		s.mu.Unlock()
		return
	}
	s.why = why
	open := s.open
	s.open, s.idle, s.wanted = nil, nil, 0
	s.waiting.fail()
	s.moving.fail()
	s.endShared(why)
	s.updateLoad()
	s.mu.Unlock()

	s.hub.remove(s)
	for _, c := range open {
		abort(c.Conn)
	}
	s.out.finish(final)
}

// cut closes the data connections whose own certificate matches.
func (s *Session) cut(match func(mezu.Identity, string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sh := &s.sharing; sh.conn != nil && sh.serial != s.serial && match(s.id, sh.serial) {
		s.endShared(ErrCut)
	}
	for _, c := range s.open {
		if c.serial != s.serial && match(s.id, c.serial) {
			s.drop(c)
			abort(c.Conn)
		}
	}
}
