package forward

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/relay"
)

// Limits of connections to a workload of HTTP/2. Many exchanges share one, and must
// not be able to stop one another.
const (
	// laneStreams is how many exchanges share a connection: as many as its window
	// has room for. net/http's is at most 4 MiB.
	laneStreams = 16
	// streamWindow is what a workload may send of a response before any of it is read. It
	// is twice HTTP/2's own default: 128 MB/s over a path of 1 ms. It is also the memory
	// that a slow reader costs more than over HTTP/1.1.
	streamWindow = 128 << 10
	// connWindow holds the windows of all streams of a connection, so that a slow
	// reader takes nothing of the others'.
	connWindow = laneStreams * streamWindow
	// sharedUpload is how many bytes of request bodies one connection carries at a time. It
	// is the window that every workload begins with (RFC 9113, 6.9.2), so that a body goes
	// out even if the workload reads none of the others. A body that may be larger gets a
	// connection that carries no other body.
	sharedUpload = 65_535
	// readFrame is the largest frame that a workload may send, the least that
	// HTTP/2 allows: a connection keeps a buffer of that size.
	readFrame = 16 << 10
	// pingAfter is the silence of a connection after which the workload is asked
	// whether it is there, pingTimeout how long it may take to answer: together, and
	// with a moment to notice, a dead connection is found within 10 s.
	pingAfter   = 4 * time.Second
	pingTimeout = 4 * time.Second
	// takesNothing is how long a connection may take no byte: a server of HTTP/2
	// reads its connection whatever becomes of its streams.
	takesNothing = 8 * time.Second
)

// headerRoom is what net/http may read of a section of fields. It drops without a word
// what is beyond it in trailers of HTTP/2, so it gets more than we take, and package
// relay says no.
const headerRoom = 4 * relay.MaxHead

// lanes are the connections to one workload that speaks HTTP/2 or TLS.
type lanes struct {
	f   *Forwarder
	way *way
	tls *tls.Config

	mu     sync.Mutex
	open   []*lane // the first that has room is taken, so that the last grow old
	closed bool    // connections are closed when nobody uses them
}

// lane is one connection, as net/http's client keeps it: it makes another one when
// the workload ends it, and sends again what may be. To a workload that speaks
// HTTP/1.1 behind TLS it is as many as there are exchanges.
type lane struct {
	of        *lanes
	transport *http.Transport
	// All below is guarded by of.
	busy   int       // exchanges
	upload int       // bytes of bodies, up to sharedUpload
	since  time.Time // idle since
}

// uploadOf is what the body of a request may take of the window of its connection.
func uploadOf(r *relay.Request) int {
	switch {
	case r.Framing == relay.NoBody:
		return 0
	case r.Framing == relay.Length && r.Length < sharedUpload:
		return int(r.Length)
	}
	return sharedUpload
}

// take gives a connection with room for an exchange whose body is of that size.
func (l *lanes) take(upload int) *lane {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.open {
		if c.busy < laneStreams && c.upload+upload <= sharedUpload {
			c.busy++
			c.upload += upload
			return c
		}
	}
	c := &lane{of: l, transport: l.transport(), busy: 1, upload: upload}
	l.open = append(l.open, c)
	return c
}

// shrink notes that a body turned out to be smaller.
func (c *lane) shrink(by int) {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.upload -= by
}

// release ends an exchange whose body was of that size. Connections that have been
// idle for so long that net/http has closed them are forgotten.
func (c *lane) release(upload int) {
	l := c.of
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	c.busy--
	c.upload -= upload
	if c.busy == 0 {
		c.since = now
		if l.closed {
			c.transport.CloseIdleConnections()
		}
	}
	for n := len(l.open) - 1; n > 0 && l.open[n].busy == 0 && now.Sub(l.open[n].since) > idleLife; n-- {
		l.open[n] = nil
		l.open = l.open[:n]
	}
}

// close closes connections that nobody uses, and the others as soon as that is true of them.
func (l *lanes) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, c := range l.open {
		if c.busy == 0 {
			c.transport.CloseIdleConnections()
		}
	}
}

// transport makes net/http's client for one lane.
func (l *lanes) transport() *http.Transport {
	protocols := new(http.Protocols)
	if l.way.to.Scheme == mezu.UpstreamH2C {
		protocols.SetUnencryptedHTTP2(true)
	} else {
		protocols.SetHTTP1(true)
		protocols.SetHTTP2(true)
	}
	return &http.Transport{
		Protocols:              protocols,
		DialContext:            func(ctx context.Context, _, _ string) (net.Conn, error) { return l.f.dialTracked(ctx, l.way) },
		TLSHandshakeTimeout:    dialTimeout,
		TLSClientConfig:        l.tls.Clone(), // net/http changes it
		DisableCompression:     true,
		MaxIdleConnsPerHost:    maxIdle,
		IdleConnTimeout:        idleLife,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: headerRoom,
		HTTP2: &http.HTTP2Config{
			MaxReceiveBufferPerStream:     streamWindow,
			MaxReceiveBufferPerConnection: connWindow,
			MaxReadFrameSize:              readFrame,
			SendPingTimeout:               l.f.pingAfter,
			PingTimeout:                   l.f.pingTimeout,
			WriteByteTimeout:              takesNothing,
		},
	}
}

// dialTracked dials for net/http, which goes on with a dial that nobody waits for any
// more, until the Forwarder is closed.
func (f *Forwarder) dialTracked(ctx context.Context, to *way) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(f.life, cancel)()
	conn, err := to.dial(ctx, &net.Dialer{}, dialTimeout)
	if err != nil {
		return nil, err
	}
	c := &trackedConn{Conn: conn}
	c.forget = context.AfterFunc(f.life, func() { conn.Close() })
	return c, nil
}

// trackedConn is a connection that ends with the Forwarder.
type trackedConn struct {
	net.Conn
	forget func() bool
}

// Close closes it.
func (c *trackedConn) Close() error {
	c.forget()
	return c.Conn.Close()
}
