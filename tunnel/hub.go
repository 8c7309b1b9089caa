package tunnel

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
)

// HubConfig is what a Hub is made of.
type HubConfig struct {
	// Edge gives the id of this edge, which may not be known before it has
	// enrolled; Warpgates are told. If nil, they are told none.
	Edge func() string
	// Log gets what ends here; if nil, nothing is logged.
	Log *slog.Logger
	// Now is the clock of Presence.Since. If nil, time.Now.
	Now    func() time.Time
	Limits Limits
	// Statements gives what a Warpgate of the environment needs now, in the order in
	// which it must take them, without revocations. They are sent at registration. If
	// nil, there are none.
	Statements func(environment string) []mezu.Signed
	// Revocations are those that a Warpgate of the environment must have and was not
	// told yet. They are sent when nothing else waits. If nil, none.
	Revocations func(environment string, told mezu.Told) Feed
	// Revoked reports whether the certificate with this serial is. It is asked once a
	// session or connection has its place, so that none slips by Cut. If nil, none is.
	Revoked func(serial string) bool
	// Changed is told of Warpgates that connected, disconnected or acknowledged
	// a bundle, one call at a time, in order for each Warpgate; a state that
	// was overtaken before it could be told is left out. It must not call
	// Drain or Close. If nil, nobody is told.
	Changed func(mezu.Presence)
}

// Feed is the revocations that are still to be told on one control connection, each read
// when there is room for it. It is used by one goroutine at a time.
type Feed interface {
	// Next gives up to n more, none when there are none now.
	Next(n int) []mezu.Signed
	// Current says, after a Next that gave none, up to where everything was told; ok
	// is false if that can't be said.
	Current() (told mezu.Told, ok bool)
}

// Hub is the edge's end: the sessions of all Warpgates that dialled this edge. It
// is safe for concurrent use.
type Hub struct {
	edge        func() string
	log         *slog.Logger
	now         func() time.Time
	limits      Limits
	statements  func(string) []mezu.Signed
	revocations func(string, mezu.Told) Feed
	revoked     func(string) bool
	changed     func(mezu.Presence)

	step atomic.Int64 // of the wheel: a coarse clock for idle connections
	// reclaimed counts the exchanges that were ended in favour of other addresses.
	reclaimed atomic.Int64
	// shared counts the exchanges that shared a connection, moved the responses of those that
	// moved to one of their own.
	shared, moved atomic.Int64
	quiet         chan struct{} // for Drain: there may be nothing under way any more
	busy          sync.WaitGroup

	mu           sync.RWMutex
	closed       bool
	draining     bool
	warpgates    map[mezu.Identity]*Session
	members      map[string][]*Session // by environment
	tokens       map[token]*Session
	environments map[string]*group
	wheel        [wheelSlots][]*Session
	count        int           // of registrations, spreads them over the wheel
	stop         chan struct{} // ends turnWheel; nil while it doesn't run

	news    map[string]mezu.Presence // by Warpgate, what Changed is still to be told
	order   []string                 // of news
	telling bool
}

// wheelSlots spreads the heartbeats of all sessions over the interval, so that
// 10,000 Warpgates are a steady trickle and not a burst.
const wheelSlots = 16

// maxUnread is how much is still read from a Warpgate after the last frame was sent to it.
// A connection that is closed while something is unread is reset, and the frame lost.
const maxUnread = 64 << 10

// group is the sessions of one environment that take exchanges.
type group struct {
	sessions []*Session
	turn     atomic.Uint32 // where PickBut begins, so that equals take turns
}

// NewHub makes a Hub. It starts nothing.
func NewHub(c HubConfig) *Hub {
	h := &Hub{
		edge: c.Edge, log: c.Log, now: c.Now, limits: c.Limits.orDefaults(), statements: c.Statements, revocations: c.Revocations, revoked: c.Revoked, changed: c.Changed,
		quiet:        make(chan struct{}, 1),
		warpgates:    map[mezu.Identity]*Session{},
		members:      map[string][]*Session{},
		tokens:       map[token]*Session{},
		environments: map[string]*group{},
		news:         map[string]mezu.Presence{},
	}
	if h.edge == nil {
		h.edge = func() string { return "" }
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	if h.now == nil {
		h.now = time.Now
	}
	return h
}

// enter counts a call that Close waits for.
func (h *Hub) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.busy.Add(1)
	return true
}

// ServeControl serves the control connection of the Warpgate id until it ends. It
// owns conn, whose handshake is done and whose peer proved to be id. It returns nil
// when the Warpgate hung up, and otherwise why the session ended; ctx ending it is
// ctx's error.
func (h *Hub) ServeControl(ctx context.Context, conn net.Conn, id mezu.Identity) error {
	if !h.enter() {
		abort(conn)
		return ErrClosed
	}
	defer h.busy.Done()
	defer abort(conn)
	defer context.AfterFunc(ctx, func() { abort(conn) })()
	setCongestionControl(conn)

	s, err := h.admit(conn, id)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("registering %v: %w", id, err)
	}
	err = s.read()
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	s.end(err, nil)
	s.out.wait()
	io.Copy(io.Discard, io.LimitReader(conn, maxUnread)) // until it hung up, or the farewell is over
	if err = s.reason(); errors.Is(err, errHungUp) {
		return nil
	}
	return err
}

// ServeData takes a data connection of the Warpgate id: it reads HELLO and hands
// the connection to its session. It owns conn, which it closes on an error.
func (h *Hub) ServeData(conn net.Conn, id mezu.Identity) error {
	if !h.enter() {
		abort(conn)
		return ErrClosed
	}
	defer h.busy.Done()
	if err := h.adopt(conn, id); err != nil {
		abort(conn)
		return fmt.Errorf("taking a data connection of %v: %w", id, err)
	}
	return nil
}

// adopt is ServeData without its care for conn.
func (h *Hub) adopt(conn net.Conn, id mezu.Identity) error {
	setCongestionControl(conn)
	conn.SetDeadline(time.Now().Add(h.limits.Hello))
	t, payload, err := readFrame(conn, warpgateSide, make([]byte, 0, headSize+tokenSize+8))
	if err != nil {
		return err
	}
	if t != frameHello && t != frameShared {
		return fmt.Errorf("%w: %v before HELLO", ErrProtocol, t)
	}
	conn.SetDeadline(time.Time{})
	var number uint64
	tok := token(payload[:tokenSize])
	if t == frameHello {
		tok, number = decodeHello(payload)
	}
	h.mu.RLock()
	s := h.tokens[tok]
	h.mu.RUnlock()
	if s == nil || s.id != id { // one answer to both: a foreign token is not confirmed
		return fmt.Errorf("%w: HELLO for no session of this Warpgate", ErrGone)
	}
	if t == frameShared {
		return s.adoptShared(conn)
	}
	return s.adopt(conn, number)
}

// Push sends a statement to every Warpgate of the environment, or to all of them if
// environment is empty. It does not wait; a Warpgate that doesn't read is cut off
// and gets everything anew when it comes back.
func (h *Hub) Push(environment string, doc mezu.Signed) {
	if len(h.sendable(doc)) == 0 {
		return
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	if environment != "" {
		for _, s := range h.members[environment] {
			s.out.push(doc)
		}
		return
	}
	for _, s := range h.warpgates {
		s.out.push(doc)
	}
}

// Look has new revocations sent to the Warpgates of an environment, or to all if environment
// is empty.
func (h *Hub) Look(environment string) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if environment != "" {
		for _, s := range h.members[environment] {
			s.out.look()
		}
		return
	}
	for _, s := range h.warpgates {
		s.out.look()
	}
}

// revokedFrame tells a Warpgate that its certificate was revoked.
func revokedFrame() []byte {
	return appendRefused(nil, mezu.Errorf(mezu.CodeUnauthenticated, "the certificate of this Warpgate was revoked"), 0, false)
}

// sendable drops statements that no DOCUMENT frame can hold.
func (h *Hub) sendable(docs ...mezu.Signed) []mezu.Signed {
	fit := make([]mezu.Signed, 0, len(docs))
	for _, doc := range docs {
		if _, err := statementHead(doc); err != nil {
			h.log.Error("document not sent to Warpgates", "purpose", doc.Purpose, "error", err)
			continue
		}
		fit = append(fit, doc)
	}
	return fit
}

// Cut closes every session, and every single data connection, whose identity and
// certificate serial (lower-case hexadecimal) match, with the exchanges on it. A
// session is told why by these statements: a Warpgate believes no edge's own word.
// It returns when they are closed to new exchanges.
func (h *Hub) Cut(match func(id mezu.Identity, serial string) bool, why ...mezu.Signed) {
	var last []byte
	for _, doc := range h.sendable(why...) {
		head, _ := statementHead(doc) // sendable has tried
		last = slices.Concat(last, head, doc.Payload)
	}
	last = append(last, revokedFrame()...)
	for _, s := range h.all() {
		if match(s.id, s.serial) {
			s.end(ErrCut, last)
			continue
		}
		s.cut(match)
	}
}

// all is every session now.
func (h *Hub) all() []*Session {
	h.mu.RLock()
	defer h.mu.RUnlock()
	all := make([]*Session, 0, len(h.warpgates))
	for _, s := range h.warpgates {
		all = append(all, s)
	}
	return all
}

// PickBut chooses the session of the environment with the fewest exchanges under way,
// among equals by turns, leaving out the Warpgates with the ids of drained and the sessions
// of not. Sessions that have no data connection yet come last. It is nil when there is none.
func (h *Hub) PickBut(environment string, drained []string, not ...*Session) *Session {
	h.mu.RLock()
	defer h.mu.RUnlock()
	g := h.environments[environment]
	if g == nil {
		return nil
	}
	if len(g.sessions) == 1 && len(not) == 0 && len(drained) == 0 {
		return g.sessions[0]
	}
	var best *Session
	var least int64
	start := int(g.turn.Add(1) % uint32(len(g.sessions)))
	for i := range g.sessions {
		s := g.sessions[(start+i)%len(g.sessions)]
		if slices.Contains(not, s) || slices.Contains(drained, s.id.ID) {
			continue
		}
		if load := s.load.Load(); best == nil || load < least {
			best, least = s, load
		}
	}
	return best
}

// Waiting is how many exchanges wait for a data connection.
func (h *Hub) Waiting() (n int) {
	for _, s := range h.all() {
		s.mu.Lock()
		n += s.waiting.length
		s.mu.Unlock()
	}
	return n
}

// MaxConns is how many data connections one Warpgate may have.
func (h *Hub) MaxConns() int { return h.limits.MaxConns }

// Reclaimed is how many exchanges were ended because their address held more than its
// share while others waited.
func (h *Hub) Reclaimed() int64 { return h.reclaimed.Load() }

// Shared is how many exchanges shared a connection, and how many responses of those moved to
// one of their own, because they were larger than mux.Budget.
func (h *Hub) Shared() (exchanges, moved int64) { return h.shared.Load(), h.moved.Load() }

// Presence is the state of every connected Warpgate.
func (h *Hub) Presence() []mezu.Presence {
	all := h.all()
	out := make([]mezu.Presence, 0, len(all))
	for _, s := range all {
		out = append(out, s.presence(true))
	}
	return out
}

// Drain prepares the end of this edge: new registrations are refused, and the
// Warpgates are told, who keep what they have and dial nothing more to this hub.
// Checkout goes on over existing connections. Drain returns when no exchange is
// under way, or with ctx's error. It closes nothing, and does not keep callers from
// beginning exchanges: stop the public listeners first.
func (h *Hub) Drain(ctx context.Context) error {
	h.mu.Lock()
	h.draining = true
	h.mu.Unlock()
	for _, s := range h.all() {
		s.drainEdge()
	}
	for {
		busy := false
		for _, s := range h.all() {
			busy = busy || s.outstanding() > 0
		}
		if !busy {
			return nil
		}
		select {
		case <-h.quiet:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Close ends every session with the exchanges on it, and returns when all calls of
// ServeControl and ServeData have. Calling it again waits likewise.
func (h *Hub) Close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	for _, s := range h.all() {
		s.end(ErrClosed, nil)
	}
	h.busy.Wait()
}

// tell queues a change for Changed. The lock is held.
func (h *Hub) tell(p mezu.Presence) {
	if h.changed == nil {
		return
	}
	if _, waits := h.news[p.Warpgate]; !waits {
		h.order = append(h.order, p.Warpgate)
	}
	h.news[p.Warpgate] = p
	if !h.telling {
		h.telling = true
		h.busy.Go(h.tellAll)
	}
}

// tellAll tells Changed whatever is queued, and ends.
func (h *Hub) tellAll() {
	for {
		h.mu.Lock()
		if len(h.order) == 0 {
			h.order, h.telling = nil, false
			h.mu.Unlock()
			return
		}
		p := h.news[h.order[0]]
		delete(h.news, h.order[0])
		h.order = h.order[1:]
		h.mu.Unlock()
		h.changed(p)
	}
}

// turnWheel beats for the sessions of one slot after the other.
func (h *Hub) turnWheel(stop chan struct{}) {
	ticker := time.NewTicker(h.stepTime())
	defer ticker.Stop()
	var slot []*Session
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		step := h.step.Add(1)
		h.mu.RLock()
		slot = append(slot[:0], h.wheel[step%wheelSlots]...)
		h.mu.RUnlock()
		for _, s := range slot {
			s.beat(step)
		}
		clear(slot)
	}
}

// stepTime is how long the wheel stands at one slot.
func (h *Hub) stepTime() time.Duration { return max(h.limits.Heartbeat/wheelSlots, time.Millisecond) }

// steps is d in steps of the wheel, rounded up.
func (h *Hub) steps(d time.Duration) int64 {
	return int64((d + h.stepTime() - 1) / h.stepTime())
}

// newToken makes the name of a session on its data connections.
func newToken() (t token) {
	rand.Read(t[:]) // never fails: crypto/rand ends the process instead
	return t
}

// addressOf is the IP address of the peer, or empty where there is none.
func addressOf(c net.Conn) string {
	if addr, err := netip.ParseAddrPort(c.RemoteAddr().String()); err == nil {
		return addr.Addr().Unmap().String()
	}
	return ""
}
