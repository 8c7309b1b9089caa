package web

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/admission"
	"github.com/mezusphere/mezu/relay"
)

// Times of a public connection.
const (
	// HeadTimeout bounds a request head from its first byte (or from the
	// handshake) to its last.
	HeadTimeout = 10 * time.Second
	// IdleTimeout bounds the wait for the next request; nginx's default.
	IdleTimeout = 75 * time.Second
	// answerTimeout bounds a write of an answer of the edge's own, which is small.
	// What passes through is bounded by its route.
	answerTimeout = 60 * time.Second
	// lingerTimeout and lingerBytes bound how long a connection that is closed
	// early still swallows input, so that the client can read the answer
	// before a reset destroys it. The time decides on every real link; the bytes
	// are what a client on this machine sends before it gets to look.
	lingerTimeout = 2 * time.Second
	lingerBytes   = 64 << 20
)

// publicClient is a client that learns by its response when the edge has begun to
// drain since its request came.
type publicClient struct {
	relay.Client
	draining func() bool
}

// Deliver sends a response.
func (c *publicClient) Deliver(h *relay.ResponseHead, body relay.Source, closing bool) error {
	return c.Client.Deliver(h, body, closing || c.draining())
}

// http1 is one public connection of HTTP/1.1.
type http1 struct {
	x       exchange
	c       publicClient
	conn    *tls.Conn
	sni     string
	names   relay.Names
	prepare func() error // canonical, as a value made once
}

// serveHTTP1 serves a connection until it ends, is refused, or drains.
func (s *Server) serveHTTP1(conn *tls.Conn, place *admission.Conn) {
	sni, err := mezu.CanonicalHost(conn.ConnectionState().ServerName)
	if err != nil {
		return // no name, no environment: nothing may be answered in its stead
	}
	h := &http1{conn: conn, sni: sni}
	h.c.draining, h.c.Date = s.cfg.Draining, s.dates.now
	h.prepare = h.canonical
	h.x.init(s)
	h.x.client = clientAddr(conn.RemoteAddr())
	h.c.Reset(conn, HeadTimeout, answerTimeout)
	defer h.c.Reader.Release()
	s.cfg.Meter.Opened(HTTP1)
	defer s.cfg.Meter.Closed(HTTP1)
	for wait, first := HeadTimeout, true; ; wait, first = IdleTimeout, false {
		h.c.Reader.EmptyLine()
		if h.c.Reader.Buffered() == 0 && !first {
			place.Rest(h.x.started)
			if s.cfg.Draining() {
				return
			}
		}
		err := h.readHead(wait)
		if !place.Begin() {
			return // draining closed it, or its place went to another
		}
		if err != nil {
			h.refuseHead(err)
			return
		}
		if !h.serveOne() {
			return
		}
	}
}

func clientAddr(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// readHead waits for a request and then reads its head within HeadTimeout.
func (h *http1) readHead(wait time.Duration) error {
	c := &h.c
	for c.Reader.Buffered() == 0 { // a second time after an empty line
		c.Reader.Rewind()
		c.Timed.SetRead(wait)
		if _, err := c.Reader.Fill(); err != nil {
			return err
		}
		c.Reader.EmptyLine()
	}
	if !c.Reader.HasHead() {
		if err := c.Timed.FixRead(HeadTimeout); err != nil {
			return err
		}
	}
	err := c.Reader.ReadRequest(&c.Head)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &mezu.Error{Code: mezu.CodeRequestTimeout, Detail: "the request head came too slowly"}
	}
	return err
}

// refuseHead answers a head that could not be read, if it was the client's
// doing.
func (h *http1) refuseHead(err error) {
	var refusal *mezu.Error
	if !errors.As(err, &refusal) {
		return
	}
	h.x.begin()
	h.c.Last = true
	h.x.end(err)
	if h.answer(h.x.answerTo(refusal)) == nil {
		h.linger()
	}
}

// serveOne serves the request whose head was read and reports whether the
// connection goes on.
func (h *http1) serveOne() bool {
	x, c := &h.x, &h.c
	x.begin()
	c.Last = !c.Head.KeepAlive() || x.s.cfg.Draining()
	reply, err := x.serve(c, h.prepare)
	defer c.End()
	if err != nil {
		return false // the client is gone, or must see that the response is cut
	}
	done := c.BodyDone()
	if reply != nil {
		// Who sent a head without one meaning may see its end elsewhere, too.
		c.Last = c.Last || !done || reply.status == mezu.CodeNotCanonical.Status()
		if h.answer(reply) != nil {
			return false
		}
	}
	if x.status == 101 || x.broken {
		return false
	}
	if c.Last || !done {
		h.linger()
		return false
	}
	return true
}

// canonical brings the head into its one form, judges it, and makes the body
// readable once its limit is known.
func (h *http1) canonical() error {
	x, c := &h.x, &h.c
	err := c.Head.Canonical(&x.req, &h.names)
	if err == nil {
		err = x.judge(h.sni)
	}
	if r := x.decision.Route; r != nil {
		c.Timed.SetRead(r.IdleTimeout)
	}
	c.RequestID = x.req.ID
	c.Begin(x.bodyLimit())
	return err
}

// answer sends an answer of the edge's own.
func (h *http1) answer(a *answer) error {
	w := &h.c.Writer
	h.c.Timed.SetWrite(answerTimeout)
	w.Reset(&h.c.Timed)
	hop := relay.Hop{Close: h.c.Last, HTTP10: h.c.Head.HTTP10(), Date: h.x.s.dates.now()}
	w.Gathered(a.appendHTTP1(w.Room(), hop, h.x.req.Method == "HEAD"))
	return w.Flush()
}

// linger closes the sending side and swallows input for a moment.
func (h *http1) linger() {
	if h.conn.CloseWrite() != nil {
		return
	}
	h.conn.SetReadDeadline(time.Now().Add(lingerTimeout))
	io.CopyN(io.Discard, h.conn, lingerBytes)
}
