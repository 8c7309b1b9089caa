package front

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"net"
	"sync"
	"time"

	"github.com/mezusphere/mezu/edgesvc/control/rest"
)

// maxPause bounds how long a connection is not read. It is what Retry-After asks of a
// refused caller, and shorter than a client waits for the answer to a ping.
const maxPause = time.Second

// pacedListener accepts connections that can be read less often.
type pacedListener struct{ net.Listener }

// Accept implements net.Listener.
func (l pacedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &pacedConn{Conn: c, closed: make(chan struct{})}, nil
}

// withConn is an http.Server's ConnContext: it shows the API the connection of a call,
// by which the API ends streams and sets the pace of callers.
func withConn(ctx context.Context, c net.Conn) context.Context {
	ctx = rest.WithConn(ctx, c)
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if p, ok := c.(*pacedConn); ok {
		ctx = rest.WithPacer(ctx, p)
	}
	return ctx
}

// pacedConn is a connection that is read more slowly once its caller has called beyond
// the limit. A refusal costs time only when its call is read, and calls that are not read
// yet make the caller wait. A connection that several credentials share is always read at
// once: else one of them would wait for another.
type pacedConn struct {
	net.Conn
	closed    chan struct{}
	closeOnce sync.Once

	mu     sync.Mutex
	used   bool
	by     [sha256.Size]byte // the credential of the first call
	shared bool
	until  time.Time // nothing is read before
}

// NetConn is the connection that is read at a pace.
func (c *pacedConn) NetConn() net.Conn { return c.Conn }

// Seen implements rest.Pacer.
func (c *pacedConn) Seen(credential [sha256.Size]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.used:
		c.used, c.by = true, credential
	case c.by != credential:
		c.shared, c.until = true, time.Time{}
	}
}

// Refused implements rest.Pacer.
func (c *pacedConn) Refused(interval time.Duration) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shared {
		return
	}
	if c.until.Before(now) {
		c.until = now
	}
	c.until = c.until.Add(interval)
	if last := now.Add(maxPause); c.until.After(last) {
		c.until = last
	}
}

// pause is how long the next read has to wait.
func (c *pacedConn) pause() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.until.IsZero() {
		return 0
	}
	return time.Until(c.until)
}

// Read implements net.Conn. Close ends a pause; a deadline does not.
func (c *pacedConn) Read(p []byte) (int, error) {
	if pause := c.pause(); pause > 0 {
		timer := time.NewTimer(pause)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-c.closed:
		}
	}
	return c.Conn.Read(p)
}

// Close implements net.Conn. A read whose pause it ends finds the connection closed.
func (c *pacedConn) Close() error {
	err := c.Conn.Close()
	c.closeOnce.Do(func() { close(c.closed) })
	return err
}
