package forward

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/gather"
)

// Limits of connections to one workload.
const (
	// dialTimeout bounds dial and handshake, even if the route would wait for longer. A
	// host that says nothing for this long is gone, and another Warpgate may try.
	dialTimeout = 10 * time.Second
	// maxIdle bounds idle connections to one workload: as many as one edge's
	// default cap of data connections.
	maxIdle = 1024
	// idleLife is how long an idle connection is kept. Many servers close theirs after 5 s
	// to 75 s, and to use a closed one costs a retry.
	idleLife = 30 * time.Second
)

// pool is the idle connections to one workload, the warmest last.
type pool struct {
	dial func(ctx context.Context, by time.Time) (net.Conn, error)
	life time.Duration

	mu     sync.Mutex
	idle   []*workloadConn
	sweeps *time.Timer // nil before the first connection came back
	armed  bool        // a sweep is due
	closed bool
}

// workloadConn is one connection to a workload.
type workloadConn struct {
	net.Conn
	look   look
	abort  func()
	reused bool      // it has carried an exchange
	since  time.Time // idle since
	// writeBy is the write deadline in force, as the last exchange left it.
	writeBy time.Time
}

// dialer makes connections that speak one of these protocols, by their names in ALPN. Without TLS
// nothing is agreed on.
func (t *targets) dialer(u mezu.Upstream, protocols ...string) func(context.Context, time.Time) (net.Conn, error) {
	way := newWay(u)
	plain := func(ctx context.Context, by time.Time) (net.Conn, error) {
		if !by.IsZero() {
			var cancel context.CancelFunc
			ctx, cancel = context.WithDeadline(ctx, by)
			defer cancel()
		}
		return way.dial(ctx, &net.Dialer{}, dialTimeout)
	}
	if u.Scheme != mezu.UpstreamHTTPS {
		return plain
	}
	cfg := t.TLS(u)
	cfg.NextProtos = protocols
	cfg.ServerName, _, _ = net.SplitHostPort(u.Address)
	return func(ctx context.Context, by time.Time) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		if !by.IsZero() {
			ctx, cancel = context.WithDeadline(ctx, by)
			defer cancel()
		}
		raw, err := plain(ctx, by)
		if err != nil {
			return nil, err
		}
		conn := tls.Client(gather.New(raw), cfg) // below TLS, if it turns out to be HTTP/2
		if err := conn.HandshakeContext(ctx); err != nil {
			raw.Close()
			return nil, err
		}
		return conn, nil
	}
}

// abort closes a connection without TLS's close_notify, which would wait for a peer that
// reads nothing.
func abort(c net.Conn) {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = t.NetConn()
	}
	c.Close()
}

// fresh makes a new connection, by the given time.
func (p *pool) fresh(ctx context.Context, by time.Time) (*workloadConn, error) {
	conn, err := p.dial(ctx, by)
	if err != nil {
		return nil, err
	}
	return newConn(conn), nil
}

func newConn(conn net.Conn) *workloadConn {
	c := &workloadConn{Conn: conn, abort: func() { abort(conn) }}
	c.look.at(conn)
	return c
}

// get takes the warmest idle connection that is alive, or makes one by the given
// time.
func (p *pool) get(ctx context.Context, by time.Time) (*workloadConn, error) {
	if c := p.warmest(); c != nil {
		return c, nil
	}
	return p.fresh(ctx, by)
}

// warmest takes the warmest idle connection that is alive, nil if there is none.
func (p *pool) warmest() *workloadConn {
	for {
		p.mu.Lock()
		n := len(p.idle) - 1
		if n < 0 {
			p.mu.Unlock()
			return nil
		}
		c := p.idle[n]
		p.idle[n] = nil
		p.idle = p.idle[:n]
		p.mu.Unlock()
		if c.look.quiet() {
			return c
		}
		c.Close()
	}
}

// put takes a connection back after a complete exchange.
func (p *pool) put(c *workloadConn) {
	c.reused, c.since = true, time.Now()
	p.mu.Lock()
	keep := !p.closed && len(p.idle) < maxIdle
	if keep {
		p.idle = append(p.idle, c)
		if !p.armed {
			p.arm(p.life)
		}
	}
	p.mu.Unlock()
	if !keep {
		c.Close()
	}
}

// arm has the next sweep done after d. The lock is held.
func (p *pool) arm(d time.Duration) {
	p.armed = true
	if p.sweeps == nil {
		p.sweeps = time.AfterFunc(d, p.sweep)
		return
	}
	p.sweeps.Reset(d)
}

// sweep closes what has been idle for too long. A timer calls it, because at rest no request
// would come along to do it.
func (p *pool) sweep() {
	now := time.Now()
	p.mu.Lock()
	n := 0
	for n < len(p.idle) && now.Sub(p.idle[n].since) >= p.life {
		n++
	}
	old := append([]*workloadConn(nil), p.idle[:n]...)
	kept := copy(p.idle, p.idle[n:])
	clear(p.idle[kept:])
	p.idle = p.idle[:kept]
	p.armed = false
	if kept > 0 && !p.closed {
		p.arm(p.life - now.Sub(p.idle[0].since))
	}
	p.mu.Unlock()
	for _, c := range old {
		c.Close()
	}
}

func (p *pool) close() {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	if p.sweeps != nil {
		p.sweeps.Stop()
	}
	p.mu.Unlock()
	for _, c := range idle {
		c.Close()
	}
}
