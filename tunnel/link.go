package tunnel

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/backoff"
	"github.com/mezusphere/mezu/gather"
)

// LinkState is what a Link's tunnel is doing.
type LinkState uint8

// States of a Link.
const (
	// LinkConnecting: a registration is being tried, or will be when Run is called.
	LinkConnecting LinkState = iota
	// LinkConnected: the edge may send exchanges.
	LinkConnected
	// LinkDraining: the edge shuts down; exchanges under way go on, and a new
	// registration is tried.
	LinkDraining
	// LinkDisconnected: the registration failed or ended; the error says why.
	LinkDisconnected
)

// String is the state as a word.
func (s LinkState) String() string {
	switch s {
	case LinkConnecting:
		return "connecting"
	case LinkConnected:
		return "connected"
	case LinkDraining:
		return "draining"
	}
	return "disconnected"
}

// LinkConfig is what a Link is made of.
type LinkConfig struct {
	// Edge is whom to dial. The edge's certificate must be Edge.ID's; if that is
	// empty, any edge that TLS accepts will do.
	Edge mezu.EdgeInfo
	// Dial makes connections. If nil, a net.Dialer does. It must heed ctx, which
	// has a deadline.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// TLS is the client's configuration for the ALPN protocol, asked for at each
	// dial. It decides about trust. Required.
	TLS func(alpn string) *tls.Config
	// Epoch is a number higher than that of every earlier registration of this
	// Warpgate, asked for at each registration. Required.
	Epoch func() uint64
	// Version of this program, up to 64 printable bytes.
	Version string
	// Serve serves one data connection, which carries one exchange after the
	// other, until the edge closes it or it must not be reused. The Link closes
	// it afterwards. ctx ends, and the connection is closed, when the edge
	// cancels the exchange or the registration ends. It waits for the next
	// exchange for DataIdle at least. Required.
	Serve func(ctx context.Context, conn net.Conn)
	// Statement takes a statement from the edge, one at a time, in order. It may
	// take its time; exchanges and heartbeats go on. If nil, they are dropped.
	Statement func(doc mezu.Signed)
	// Told gives up to where this edge has told of revocations. It is asked for at each
	// registration; if nil, the edge has told of none. Current is called when the edge says
	// that it has told of all up to somewhere, after the statements that came before. If
	// nil, nobody is told.
	Told    func() mezu.Told
	Current func(mezu.Told)
	// Applied is the position of the bundle in force, told at registration. If
	// nil, none.
	Applied func() mezu.Position
	// Room is shared by all Links of one Warpgate. If nil, only the edges bound the number
	// of data connections.
	Room *Room
	// State is told of changes, one at a time. It must not call Drain. If nil,
	// nobody is told.
	State func(LinkState, error)
	// Log gets what ends here; if nil, nothing is logged.
	Log *slog.Logger
	// Now is the clock of the backoff and of Status. If nil, time.Now.
	Now func() time.Time
	// RetryWithin bounds the wait between two tries that the edge did not ask for; if zero,
	// backoff.LastCeiling.
	RetryWithin time.Duration
}

// Link is the Warpgate's end: it keeps this Warpgate registered at one edge. It is
// safe for concurrent use.
type Link struct {
	cfg LinkConfig
	log *slog.Logger

	statements sync.Mutex // held while one is taken, of whichever registration
	// shaking holds one for each data connection that shakes hands.
	shaking chan struct{}
	running sync.WaitGroup
	woken   backoff.Bell
	// proof is how long the edge has to answer after a wake.
	proof func(roundTrip time.Duration) time.Duration

	mu       sync.Mutex
	acked    mezu.Position
	draining bool
	live     []*registration // the one in force comes last; before it those that drain
	status   LinkStatus
	// anew ends the try to register that is under way and began at tried; nil while
	// there is none.
	anew  context.CancelCauseFunc
	tried time.Time
}

// Room bounds the data connections of several Links together: they share the
// descriptors and the memory of one Warpgate. As many exchanges may share connections: they
// take memory, and no descriptors. It is safe for concurrent use.
type Room struct {
	limit  int
	mu     sync.Mutex
	taken  int
	shared int // exchanges that share connections
}

// NewRoom makes a Room for so many connections.
func NewRoom(limit int) *Room { return &Room{limit: limit} }

// Limit is what it was made with; zero for no Room.
func (r *Room) Limit() int {
	if r == nil {
		return 0
	}
	return r.limit
}

// Taken is how many there are.
func (r *Room) Taken() int {
	if r == nil {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.taken
}

// take is how many of n more connections there is room for, which are taken.
func (r *Room) take(n int) int {
	if r == nil {
		return n
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	n = max(0, min(n, r.limit-r.taken))
	r.taken += n
	return n
}

// admit takes room for an exchange that shares a connection, if there is some.
func (r *Room) admit() bool {
	if r == nil {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.shared >= r.limit {
		return false
	}
	r.shared++
	return true
}

// leave gives that back.
func (r *Room) leave() {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shared--
}

// give gives n back.
func (r *Room) give(n int) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taken -= n
}

// maxLingering bounds the registrations that an edge drains at once. An edge may well restart
// again while long exchanges from before its last restart go on, but not again and again.
const maxLingering = 2

// NewLink makes a Link. It starts nothing.
func NewLink(c LinkConfig) *Link {
	l := &Link{cfg: c, log: c.Log, shaking: make(chan struct{}, maxConcurrentHandshakes), proof: proofTime}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if l.cfg.Dial == nil {
		l.cfg.Dial = (&net.Dialer{}).DialContext
	}
	if l.cfg.Now == nil {
		l.cfg.Now = time.Now
	}
	l.status = LinkStatus{State: LinkConnecting, Since: l.cfg.Now()}
	return l
}

// Run registers with the edge, again and again, and serves what the edge sends. It
// returns nil when ctx has ended, with everything closed, and a *mezu.Error when
// the edge says that trying again is of no use. It is called once.
func (l *Link) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer l.running.Wait()
	defer cancel()
	pace := l.pace()
	var said repeated
	for {
		woken := l.woken.Rung()
		l.state(LinkConnecting, nil)
		err := l.runRegistration(ctx, &pace)
		if ctx.Err() != nil {
			l.state(LinkDisconnected, nil)
			return nil
		}
		if errors.Is(err, errAnew) {
			pace.Reset()
			continue
		}
		var refusal *RefusedError
		if errors.As(err, &refusal) {
			pace.Ask(refusal.RetryAfter)
			if refusal.Permanent {
				l.state(LinkDisconnected, err)
				return refusal.Err
			}
		}
		pace.Because(err)
		wait := pace.Next()
		if l.wasUp() {
			said = repeated{}
		}
		if errors.Is(err, ErrDraining) {
			l.state(LinkDraining, err)
		} else {
			l.state(LinkDisconnected, err)
		}
		l.log.Log(ctx, said.level(err, l.cfg.Now()), "tunnel down", "edge", l.cfg.Edge.ID, "address", l.cfg.Edge.TunnelAddress, "error", err, "retry_in", wait)
		pace.SleepOr(ctx, wait, woken)
	}
}

// wasUp reports whether the link was there until now.
func (l *Link) wasUp() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.status.State == LinkConnected || l.status.State == LinkDraining
}

// repeatEvery is how often the log says the same of a link again. An edge that is away is asked
// every second or so, for hours.
const repeatEvery = 10 * time.Minute

// repeated is the error that was logged last, since the link was there.
type repeated struct {
	text string
	at   time.Time
}

// level is that of an error: information if it is another one than before, or was said long ago.
func (r *repeated) level(err error, now time.Time) slog.Level {
	if text := fmt.Sprint(err); text != r.text || now.Sub(r.at) >= repeatEvery || now.Before(r.at) {
		*r = repeated{text, now}
		return slog.LevelInfo
	}
	return slog.LevelDebug
}

// pace is how often something is tried again.
func (l *Link) pace() backoff.Backoff {
	return backoff.Backoff{Now: l.cfg.Now, Last: l.cfg.RetryWithin}
}

// runRegistration registers, and returns when the registration has ended or drains, and why.
func (l *Link) runRegistration(ctx context.Context, pace *backoff.Backoff) error {
	r, err := l.register(ctx, ctx)
	if err != nil {
		return fmt.Errorf("registering with edge %s: %w", l.cfg.Edge.ID, err)
	}
	for {
		start := time.Now()
		l.add(r)
		l.state(LinkConnected, nil)
		l.log.Info("tunnel up", "edge", l.cfg.Edge.ID, "address", l.cfg.Edge.TunnelAddress)
		l.running.Go(func() { l.serve(r) })
		next, err := l.attend(ctx, r)
		if next == nil {
			if time.Since(start) >= stableAfter {
				pace.Reset()
			}
			return err
		}
		r.end(errSucceeded)
		r = next
	}
}

// serve serves a registration to its end.
func (l *Link) serve(r *registration) {
	r.run()
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.live, r); i >= 0 {
		l.live = slices.Delete(l.live, i, i+1)
	}
}

// add puts r in force, and tells it what was missed meanwhile.
func (l *Link) add(r *registration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.live = append(l.live, r)
	if surplus := len(l.live) - 1 - maxLingering; surplus > 0 {
		for _, old := range l.live[:surplus] {
			old.end(ErrDraining)
		}
	}
	if l.acked.Compare(r.applied) > 0 {
		r.out.send(appendAck(nil, l.acked))
	}
	if l.draining && !r.sentDraining {
		r.drain()
	}
}

// Ack tells the edge that the bundle at pos is in force. It does not wait.
func (l *Link) Ack(pos mezu.Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if pos.Compare(l.acked) <= 0 {
		return
	}
	l.acked = pos
	for _, r := range l.live {
		r.out.send(appendAck(nil, pos))
	}
}

// Drain tells the edge to send nothing new, for good, and returns when no exchange
// is under way, or with ctx's error. Exchanges under way go on until Run's ctx
// ends. Without a registration it returns at once.
func (l *Link) Drain(ctx context.Context) error {
	l.mu.Lock()
	l.draining = true
	live := slices.Clone(l.live)
	for _, r := range live {
		r.drain()
	}
	l.mu.Unlock()
	for _, r := range live {
		select {
		case <-r.drained:
		case <-r.ctx.Done():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// state notes a change and tells State.
func (l *Link) state(s LinkState, err error) {
	l.mu.Lock()
	l.status.note(s, err, l.cfg.Now())
	l.mu.Unlock()
	if l.cfg.State != nil {
		l.cfg.State(s, err)
	}
}

// connect dials the edge and shakes hands for one ALPN protocol.
func (l *Link) connect(ctx context.Context, alpn string) (*tls.Conn, error) {
	raw, err := l.cfg.Dial(ctx, "tcp", l.cfg.Edge.TunnelAddress)
	if err != nil {
		return nil, err
	}
	setCongestionControl(raw)
	if alpn == mezu.ProtocolData {
		raw = gather.New(raw) // the shared one gathers what it writes
	}
	conn := tls.Client(raw, l.cfg.TLS(alpn))
	if err := l.shake(ctx, conn, alpn); err != nil {
		raw.Close()
		return nil, fmt.Errorf("shaking hands: %w", err)
	}
	if err := l.check(conn.ConnectionState(), alpn); err != nil {
		raw.Close()
		return nil, err
	}
	return conn, nil
}

// shake shakes hands. A data connection waits until fewer than maxConcurrentHandshakes others
// do. A control connection doesn't wait.
func (l *Link) shake(ctx context.Context, conn *tls.Conn, alpn string) error {
	if alpn == mezu.ProtocolData {
		select {
		case l.shaking <- struct{}{}:
			defer func() { <-l.shaking }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return conn.HandshakeContext(ctx)
}

// check checks that the edge is the one that was to be dialled. The TLS configuration has
// verified its certificate before.
func (l *Link) check(cs tls.ConnectionState, alpn string) error {
	if cs.NegotiatedProtocol != alpn {
		return &otherPeerError{fmt.Sprintf("the peer at %s speaks no %s", l.cfg.Edge.TunnelAddress, alpn)}
	}
	if l.cfg.Edge.ID == "" {
		return nil
	}
	if len(cs.PeerCertificates) == 0 || len(cs.PeerCertificates[0].URIs) != 1 {
		return &otherPeerError{fmt.Sprintf("the peer at %s proves no identity", l.cfg.Edge.TunnelAddress)}
	}
	id, err := mezu.ParseIdentity(cs.PeerCertificates[0].URIs[0])
	if err != nil {
		return err
	}
	if id.Role != mezu.PeerEdge || id.ID != l.cfg.Edge.ID {
		return &otherPeerError{fmt.Sprintf("the peer at %s is %v, not edge %s", l.cfg.Edge.TunnelAddress, id, l.cfg.Edge.ID)}
	}
	return nil
}

// otherPeerError says that somebody else has the edge's address.
type otherPeerError struct{ detail string }

// Error says who.
func (e *otherPeerError) Error() string { return e.detail }

// Lasts says that it will be so at the next try: the address is in a signed list, and the list of
// now, which comes by other edges or the control plane, makes another link.
func (e *otherPeerError) Lasts() bool { return true }

// register makes a control connection and registers on it. It is given up when trying ends,
// unless REGISTER is sent then: the edge may have ended for it what was registered before.
func (l *Link) register(ctx, trying context.Context) (*registration, error) {
	attempt, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	attempt, anew := context.WithCancelCause(attempt)
	defer anew(nil)
	l.begin(anew)
	defer l.begin(nil)
	r, err := l.try(ctx, attempt, trying)
	if err != nil && context.Cause(attempt) == errAnew {
		return nil, errAnew
	}
	return r, err
}

// begin notes what ends the try that begins now; nil says that it is over.
func (l *Link) begin(anew context.CancelCauseFunc) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.anew, l.tried = anew, time.Now()
}

// try is register within the time that it has.
func (l *Link) try(ctx, attempt, trying context.Context) (*registration, error) {
	dialing, giveUp := context.WithCancel(attempt)
	defer giveUp()
	defer context.AfterFunc(trying, giveUp)()
	conn, err := l.connect(dialing, mezu.ProtocolControl)
	if err != nil {
		return nil, err
	}
	if trying.Err() != nil {
		abort(conn)
		return nil, trying.Err()
	}
	stop := context.AfterFunc(attempt, func() { abort(conn) })
	r, err := l.introduce(ctx, conn)
	if !stop() && err == nil {
		r.end(attempt.Err())
		err = attempt.Err()
	}
	if err != nil {
		abort(conn)
		return nil, err
	}
	return r, nil
}

// introduce sends REGISTER and reads the answer.
func (l *Link) introduce(ctx context.Context, conn *tls.Conn) (*registration, error) {
	reg := register{Protocol: Protocol, Version: l.cfg.Version, Epoch: l.cfg.Epoch(), MaxConns: l.cfg.Room.Limit(), Shares: true}
	if l.cfg.Applied != nil {
		reg.Applied = l.cfg.Applied()
	}
	reg.Told = new(mezu.Told)
	if l.cfg.Told != nil {
		*reg.Told = l.cfg.Told()
	}
	l.mu.Lock()
	reg.Draining = l.draining
	l.mu.Unlock()
	frame, err := appendJSON(nil, frameRegister, reg)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(connectTimeout))
	if _, err := conn.Write(frame); err != nil {
		return nil, err
	}
	t, payload, err := readFrame(conn, edgeSide, make([]byte, 512))
	switch {
	case err == io.EOF:
		return nil, io.ErrUnexpectedEOF
	case err != nil:
		return nil, err
	case t == frameRefused:
		refusal, err := decodeRefused(payload)
		if err != nil {
			return nil, err
		}
		return nil, refusal
	case t != frameWelcome:
		return nil, fmt.Errorf("%w: %v before WELCOME", ErrProtocol, t)
	}
	var w welcome
	if err := decodeJSON(t, payload, &w); err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Time{})
	return newRegistration(ctx, l, conn, reg, w)
}
