package forward

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu/h2"
	"github.com/mezusphere/mezu/relay"
)

// Limits of connections to a workload of HTTP/2. Many exchanges share one, and must
// not be able to stop one another.
const (
	// sharedUpload is how many bytes of request bodies one connection carries at a time. It
	// is the window that every workload begins with (RFC 9113, 6.9.2), so that a body goes
	// out even if the workload reads none of the others. A body that may be larger gets a
	// connection that carries no other body.
	sharedUpload = 65_535
	// pingAfter is the silence of a connection with exchanges under way after which the workload
	// is asked whether it is there, pingTimeout how long it may take to answer: together, and with
	// a moment to notice, a dead connection is found within 10 s.
	pingAfter   = 5 * time.Second
	pingTimeout = 3 * time.Second
	// askTime is how long a request waits for the answer of a workload that has said nothing for a
	// while, before a new connection is made. Those that are near answer within a millisecond.
	askTime = 250 * time.Millisecond
)

// Protocols by their names in ALPN.
const (
	protocolOne = "http/1.1"
	protocolTwo = "h2"
)

// lanes are the connections to one workload that exchanges share: those of HTTP/2. A workload
// behind TLS may turn out to speak HTTP/1.1; its connections are the pool's.
type lanes struct {
	f    *Forwarder
	two  bool // it is known to speak HTTP/2, without TLS
	dial func(ctx context.Context, by time.Time) (net.Conn, error)
	pool *pool
	life time.Duration // of an idle connection

	mu      sync.Mutex
	open    []*lane       // the first that has room is taken, so that the last grow old
	making  *making       // the connection that is being made, nil if none is
	changed chan struct{} // closed when there may be room; nil if nobody waits
	one     bool          // the workload has agreed on HTTP/1.1 last
	sweeps  *time.Timer
	closed  bool // connections are closed when nobody uses them
}

// making is a connection that is being made. Those who need one wait for it.
type making struct {
	done chan struct{}
	err  error // for all of them
}

// lane is one connection.
type lane struct {
	of     *lanes
	client *h2.Client
	reused atomic.Bool // an exchange has ended on it
	// All below is guarded by of.
	busy   int       // exchanges
	upload int       // bytes of bodies, up to sharedUpload
	since  time.Time // idle since
}

// uploadOf is what the body of a request may take of the window of its connection.
func uploadOf(r *relay.Request, c *relay.Client) int {
	switch {
	case r.Framing == relay.NoBody:
		return 0
	case r.Framing == relay.Length && r.Length < sharedUpload:
		return int(r.Length)
	case c.UploadNow():
		return min(max(c.Reader.Buffered(), int(c.Body.Bytes())), sharedUpload)
	}
	return sharedUpload
}

// take gives a connection with room for an exchange whose body is of that size, or one of
// HTTP/1.1, which is a new one if fresh is true.
func (l *lanes) take(ctx context.Context, by time.Time, upload int, fresh bool) (*lane, *workloadConn, error) {
	var patience time.Time // until when the answer of a silent workload is waited for
	for {
		l.mu.Lock()
		ln, asked := l.room(upload)
		if ln != nil {
			l.mu.Unlock()
			return ln, nil, nil
		}
		if asked && patience.IsZero() {
			patience = time.Now().Add(askTime)
		}
		asked = asked && time.Now().Before(patience)
		one, m := l.one, l.making
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		if !one && !asked && m == nil {
			l.making = &making{done: make(chan struct{})}
		}
		l.mu.Unlock()
		switch {
		case asked:
			until := patience
			if by.Before(until) {
				until = by
			}
			(*making)(nil).wait(ctx, until, changed)
			switch {
			case ctx.Err() != nil:
				return nil, nil, ctx.Err()
			case !time.Now().Before(by):
				return nil, nil, context.DeadlineExceeded
			}
		case one:
			if !fresh {
				if c := l.pool.warmest(); c != nil {
					return nil, c, nil
				}
			}
			return l.make(ctx, by, upload)
		case m == nil:
			return l.makeForAll(ctx, by, upload)
		default:
			if err := m.wait(ctx, by, changed); err != nil {
				return nil, nil, err
			}
		}
	}
}

// wait waits until the connection is there, or isn't, or there may be room elsewhere. There may be
// none that is being made.
func (m *making) wait(ctx context.Context, by time.Time, changed <-chan struct{}) error {
	var done <-chan struct{}
	if m != nil {
		done = m.done
	}
	timer := time.NewTimer(time.Until(by))
	defer timer.Stop()
	select {
	case <-done:
		return m.err
	case <-changed:
		return nil
	case <-timer.C:
		return context.DeadlineExceeded
	case <-ctx.Done():
		return ctx.Err()
	}
}

// change wakes up who waits for room.
func (l *lanes) change() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wake()
}

// wake does the same. The lock is held.
func (l *lanes) wake() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// makeForAll makes the connection that others wait for. If whoever makes it has no more time,
// another one tries.
func (l *lanes) makeForAll(ctx context.Context, by time.Time, upload int) (*lane, *workloadConn, error) {
	ln, conn, err := l.make(ctx, by, upload)
	l.mu.Lock()
	m := l.making
	l.making = nil
	l.mu.Unlock()
	if ctx.Err() == nil && time.Now().Before(by) {
		m.err = err
	}
	close(m.done)
	return ln, conn, err
}

// make makes a connection. One of HTTP/2 is for others, too.
func (l *lanes) make(ctx context.Context, by time.Time, upload int) (*lane, *workloadConn, error) {
	conn, err := l.dial(ctx, by)
	if err != nil {
		return nil, nil, err
	}
	secure, _ := conn.(*tls.Conn)
	two := l.two || secure.ConnectionState().NegotiatedProtocol == protocolTwo
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.one = !two; l.one {
		return nil, newConn(conn), nil
	}
	ln := &lane{of: l, busy: 1, upload: upload}
	ln.client = h2.NewClient(conn, &l.f.crew, h2.ClientConfig{PingAfter: l.f.pingAfter, PingTimeout: l.f.pingTimeout, Allowed: l.allowed(), Room: l.change})
	ln.client.Reserve()
	l.f.beside.Go(func() {
		defer context.AfterFunc(l.f.life, ln.client.Kill)()
		ln.client.Run()
		l.forget(ln)
	})
	l.open = append(l.open, ln)
	return ln, nil, nil
}

// allowed is how many exchanges the workload allows on a connection, by the least that it has told others;
// zero is nothing known. Requests that are more would learn it of each new connection by being refused, and
// have few tries. The lock is held.
func (l *lanes) allowed() (n int) {
	for _, ln := range l.open {
		if told := ln.client.Allowed(); told > 0 && (n == 0 || told < n) {
			n = told
		}
	}
	return n
}

// room finds a connection with room, nil if there is none; asked says that there may be in a
// moment, since a workload was asked whether it is there. The lock is held.
func (l *lanes) room(upload int) (_ *lane, asked bool) {
	for _, ln := range l.open {
		if ln.upload+upload > sharedUpload {
			continue
		}
		ok, doubted := ln.client.Reserve()
		if ok {
			ln.busy++
			ln.upload += upload
			return ln, false
		}
		asked = asked || doubted
	}
	return nil, asked
}

// forget drops a connection that has ended.
func (l *lanes) forget(ln *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = slices.DeleteFunc(l.open, func(o *lane) bool { return o == ln })
}

// shrink notes that a body turned out to be smaller.
func (c *lane) shrink(by int) {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.upload -= by
	c.of.wake()
}

// release ends an exchange whose body was of that size.
func (c *lane) release(upload int) {
	l := c.of
	if !c.reused.Load() {
		c.reused.Store(true)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c.busy--
	c.upload -= upload
	l.wake()
	switch {
	case c.busy > 0:
	case l.closed:
		c.client.Leave()
	default:
		c.since = time.Now()
		if l.sweeps == nil {
			l.sweeps = time.AfterFunc(l.life, l.sweep)
		}
	}
}

// sweep ends connections that have been idle for too long. A timer calls it.
func (l *lanes) sweep() {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	next := time.Duration(0)
	for _, ln := range l.open {
		if ln.busy > 0 {
			continue
		}
		left := l.life - now.Sub(ln.since)
		if left <= 0 {
			ln.client.Leave()
		} else if next == 0 || left < next {
			next = left
		}
	}
	if l.sweeps = nil; next > 0 && !l.closed {
		l.sweeps = time.AfterFunc(next, l.sweep)
	}
}

// close closes connections that nobody uses, and the others as soon as that is true of them.
func (l *lanes) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.sweeps != nil {
		l.sweeps.Stop()
	}
	for _, ln := range l.open {
		if ln.busy == 0 {
			ln.client.Leave()
		}
	}
}
