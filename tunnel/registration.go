package tunnel

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/backoff"
	"github.com/mezusphere/mezu/tunnel/mux"
)

const (
	// minBeat and maxBeat bound the heartbeat interval that an edge may ask
	// for, maxDead the silence that it may call normal.
	minBeat = 10 * time.Millisecond
	maxBeat = 30 * time.Second
	maxDead = 2 * time.Minute
	// roomPause is how long a Warpgate without room for more connections waits before
	// it says so: the edge asks again at once while somebody waits for one.
	roomPause = 250 * time.Millisecond
	// waitingStatements is how many statements are read ahead of the one being
	// taken; then the edge has to wait.
	waitingStatements = 2
	// takenStep is how many revocations one TAKEN speaks of: a quarter of what may
	// be under way.
	takenStep = window / 4
)

// registration is the Warpgate's end of one control connection after WELCOME, with
// its data connections.
type registration struct {
	link         *Link
	out          *outbox
	token        token
	limit        int // of data connections
	beat, dead   time.Duration
	applied      mezu.Position // as told in REGISTER
	sentDraining bool
	counted      bool // the edge wants to know how many revocations were taken
	pings        bool // the edge answers PING

	// ctx ends with the registration; its cause says why.
	ctx      context.Context
	cancel   context.CancelCauseFunc
	draining chan struct{} // closed when the edge drains
	drained  chan struct{} // closed when the edge has seen DRAIN and carries nothing
	tasks    sync.WaitGroup

	mu      sync.Mutex
	ended   bool
	leaving bool // the edge drains: dial nothing
	retired bool // DRAIN was sent
	done    bool // drained is closed
	pending int  // wanted and not being dialled yet
	// roomless is wanted and without room, which the edge is still to be told.
	roomless int
	dialing  int
	number   uint64 // of the last data connection
	open     map[uint64]*dataConn
	sharing  bool            // the shared connection is being dialled, or there
	shared   *mux.Conn       // nil while it isn't there
	pace     backoff.Backoff // of failing dials
	pinged   uint32          // number of the last PING
	// answered is called when that one is answered.
	answered context.CancelFunc
}

// news is a DOCUMENT, or a CURRENT that came after it.
type news struct {
	statement []byte
	current   mezu.Told
}

// dataConn is a data connection at the Warpgate's end.
type dataConn struct {
	conn   net.Conn
	cancel context.CancelCauseFunc
}

// ErrCancelled is the cause of a context that ends because the edge cancelled the
// exchange of its data connection.
var ErrCancelled = errors.New("the edge cancelled the exchange")

// newRegistration makes a registration of the edge's WELCOME.
func newRegistration(ctx context.Context, l *Link, conn net.Conn, reg register, w welcome) (*registration, error) {
	if len(w.Token) != tokenSize || w.MaxConns <= 0 || w.Protocol != Protocol {
		return nil, fmt.Errorf("%w: WELCOME with protocol %d, a token of %d bytes and %d connections", ErrProtocol, w.Protocol, len(w.Token), w.MaxConns)
	}
	beat := min(max(milliseconds(w.HeartbeatMS), minBeat), maxBeat)
	r := &registration{
		link: l, token: token(w.Token), limit: min(w.MaxConns, MaxConns), applied: reg.Applied, counted: w.Window > 0,
		beat: beat, dead: min(max(milliseconds(w.DeadMS), 2*beat), maxDead),
		sentDraining: reg.Draining, retired: reg.Draining,
		draining: make(chan struct{}), drained: make(chan struct{}),
		open: map[uint64]*dataConn{}, pace: l.pace(), pings: w.Pings,
	}
	r.ctx, r.cancel = context.WithCancelCause(ctx)
	r.out = newOutbox(conn, r.dead, false, r.end)
	return r, nil
}

// milliseconds is n of them, without overflow.
func milliseconds(n int64) time.Duration {
	return time.Duration(min(max(n, 0), int64(time.Hour/time.Millisecond))) * time.Millisecond
}

// run serves the registration until it ends, and returns when everything that it
// started has.
func (r *registration) run() {
	statements := make(chan news, waitingStatements)
	r.tasks.Go(r.closeAtEnd)
	r.tasks.Go(r.sendHeartbeats)
	taken := make(chan struct{})
	r.tasks.Go(func() { defer close(taken); r.takeStatements(statements) })
	err := r.read(statements)
	close(statements)
	if errors.As(err, new(*RefusedError)) {
		<-taken // what came before the refusal may be the reason
	}
	r.end(err)
	r.tasks.Wait()
	r.out.wait()
}

// end ends the registration for this reason. Only the first call counts.
func (r *registration) end(why error) { r.cancel(why) }

// closeAtEnd closes every connection when ctx has ended.
func (r *registration) closeAtEnd() {
	<-r.ctx.Done()
	r.mu.Lock()
	r.ended = true
	open := r.open
	r.open = nil
	r.forgetPending()
	if r.shared != nil {
		r.shared.Close(context.Cause(r.ctx))
	}
	r.mu.Unlock()
	for _, d := range open {
		d.cancel(nil)
		abort(d.conn)
	}
	r.out.finish(nil)
}

// sendHeartbeats sends one each interval.
func (r *registration) sendHeartbeats() {
	ticker := time.NewTicker(r.beat)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			r.out.heartbeat()
		case <-r.ctx.Done():
			return
		}
	}
}

// takeStatements gives statements to the Link's owner, in order.
func (r *registration) takeStatements(statements <-chan news) {
	revocations := 0
	for n := range statements {
		if r.ctx.Err() != nil {
			continue
		}
		if n.statement == nil {
			if r.link.cfg.Current != nil {
				r.link.statements.Lock()
				r.link.cfg.Current(n.current)
				r.link.statements.Unlock()
			}
			continue
		}
		doc, err := decodeStatement(n.statement)
		if err != nil {
			r.end(err)
			continue
		}
		if r.link.cfg.Statement != nil {
			r.link.statements.Lock()
			r.link.cfg.Statement(doc)
			r.link.statements.Unlock()
		}
		if doc.Purpose != mezu.PurposeRevocation || !r.counted {
			continue
		}
		if revocations++; revocations%takenStep == 0 {
			r.out.send(appendCount(nil, frameTaken, takenStep))
		}
	}
}

// Read reads the control connection: any byte is a sign of life.
func (r *registration) Read(b []byte) (int, error) {
	r.out.awaitRead(r.dead)
	n, err := r.out.conn.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("%w for %v", ErrSilent, r.dead)
	}
	return n, err
}

// read reads the control connection until it ends, and says why.
func (r *registration) read(statements chan<- news) error {
	buf := make([]byte, 64)
	for {
		t, payload, err := readFrame(r, edgeSide, buf)
		if err == io.EOF {
			return errors.New("the edge hung up")
		}
		if err != nil {
			return err
		}
		var n news
		switch t {
		case frameStatement:
			if n.statement = payload; len(payload) <= cap(buf) {
				n.statement = append([]byte(nil), payload...)
			}
		case frameCurrent:
			n.current = decodeCurrent(payload)
		default:
			if err := r.take(t, payload); err != nil {
				return err
			}
			continue
		}
		select {
		case statements <- n:
		case <-r.ctx.Done():
			return context.Cause(r.ctx)
		}
	}
}

// take acts on one frame.
func (r *registration) take(t frameType, payload []byte) error {
	switch t {
	case frameHeartbeat:
	case frameWant:
		r.want(binary.BigEndian.Uint32(payload))
	case frameShare:
		r.share()
	case frameCancel:
		r.cancelConn(binary.BigEndian.Uint64(payload))
	case frameDrain:
		r.drainEdge()
	case frameDrained:
		return r.setDrained()
	case framePong:
		return r.pong(binary.BigEndian.Uint32(payload))
	case frameRefused:
		refusal, err := decodeRefused(payload)
		if err != nil {
			return err
		}
		return refusal
	default:
		return fmt.Errorf("%w: %v out of turn", ErrProtocol, t)
	}
	return nil
}

// want begins to dial n more data connections, as far as the limits allow. Those beyond the
// limits are reported as missed.
func (r *registration) want(n uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	take := 0
	if !r.leaving && !r.ended { // while this end drains, what is under way may need some still
		take = max(0, int(min(int64(n), int64(r.limit-len(r.open)-r.dialing-r.pending))))
	}
	if beyond := int64(n) - int64(take); beyond > 0 {
		r.out.miss(beyond)
	}
	room := r.link.cfg.Room.take(take)
	r.pending += room
	r.missLater(take - room)
	r.dialMore()
}

// missLater reports n connections for which there is no room now. The edge may ask
// again at once, so it is told after a while. The lock is held.
func (r *registration) missLater(n int) {
	if n == 0 {
		return
	}
	if r.roomless += n; r.roomless > n {
		return // somebody waits already
	}
	r.tasks.Go(func() {
		backoff.Sleep(r.ctx, roomPause)
		r.mu.Lock()
		n := r.roomless
		r.roomless = 0
		r.mu.Unlock()
		r.out.miss(int64(n))
	})
}

// dialMore starts dials up to the limit of those under way. The lock is held.
func (r *registration) dialMore() {
	for r.pending > 0 && r.dialing < maxConcurrentDials && !r.ended {
		r.pending--
		r.dialing++
		r.number++
		number := r.number
		r.tasks.Go(func() { r.serveConn(number) })
	}
}

// forgetPending drops what is wanted and not being dialled yet. The lock is held.
func (r *registration) forgetPending() {
	r.link.cfg.Room.give(r.pending)
	r.pending = 0
}

// serveConn dials a data connection and serves it to its end.
func (r *registration) serveConn(number uint64) {
	defer r.link.cfg.Room.give(1)
	conn, err := r.dial(appendHello(nil, r.token, number))
	var ctx context.Context
	r.mu.Lock()
	if err == nil && r.ended {
		abort(conn)
		err = context.Cause(r.ctx)
	}
	if err == nil {
		var cancel context.CancelCauseFunc
		ctx, cancel = context.WithCancelCause(r.ctx)
		defer cancel(nil)
		r.open[number] = &dataConn{conn, cancel}
		r.pace.Reset()
	}
	r.dialing--
	r.dialMore()
	r.mu.Unlock()
	if err != nil {
		r.miss(err)
		return
	}
	r.link.cfg.Serve(ctx, &ownConn{conn, r})
	r.forget(number)
	abort(conn)
}

// dial makes a data connection, of which first is the first and only frame.
func (r *registration) dial(first []byte) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(r.ctx, dialTimeout)
	defer cancel()
	conn, err := r.link.connect(ctx, mezu.ProtocolData)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(dialTimeout))
	if _, err := conn.Write(first); err != nil {
		abort(conn)
		return nil, err
	}
	conn.SetDeadline(time.Time{})
	return conn, nil
}

// miss tells the edge that a connection won't come, after a while that grows with
// the failures, since the edge may ask again at once.
func (r *registration) miss(err error) {
	woken := r.link.woken.Rung()
	r.mu.Lock()
	r.pace.Because(err)
	wait := r.pace.Next()
	r.mu.Unlock()
	if backoff.SleepOr(r.ctx, wait, woken) != nil {
		return
	}
	r.link.log.Warn("data connection failed", "edge", r.link.cfg.Edge.ID, "error", err)
	r.out.miss(1)
}

// forget notes that a data connection was served to its end, and tells the edge,
// which doesn't watch idle connections, unless it was the edge's wish.
func (r *registration) forget(number uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open[number] == nil {
		return
	}
	delete(r.open, number)
	r.out.send(appendNumber(nil, frameClosed, number))
}

// cancelConn ends what is being done for a data connection. One that is unknown
// ended by itself.
func (r *registration) cancelConn(number uint64) {
	r.mu.Lock()
	d := r.open[number]
	delete(r.open, number)
	r.mu.Unlock()
	if d != nil {
		d.cancel(ErrCancelled)
		abort(d.conn)
	}
}

// drain sends DRAIN once.
func (r *registration) drain() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.retired {
		return
	}
	r.retired = true
	r.forgetPending()
	r.out.send(appendEmpty(nil, frameDrain))
}

// drainEdge notes that the edge shuts down.
func (r *registration) drainEdge() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.leaving {
		return
	}
	r.leaving = true
	r.forgetPending()
	close(r.draining)
}

// setDrained notes that the edge carries nothing for this registration any more.
func (r *registration) setDrained() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.retired {
		return fmt.Errorf("%w: %v without DRAIN", ErrProtocol, frameDrained)
	}
	if !r.done {
		r.done = true
		close(r.drained)
	}
	return nil
}
