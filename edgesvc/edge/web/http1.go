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
	"github.com/mezusphere/mezu/policy"
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

// http1 is one public connection of HTTP/1.1: the client of its requests.
type http1 struct {
	relay.Client
	x     exchange
	conn  *tls.Conn
	host  string // that the handshake named
	names relay.Names
}

// serveHTTP1 serves a connection until it ends, is refused, or drains.
func (s *Server) serveHTTP1(conn *tls.Conn, place *admission.Conn) {
	host, err := mezu.CanonicalHost(conn.ConnectionState().ServerName)
	if err != nil {
		return // no name, no environment: nothing may be answered in its stead
	}
	h := &http1{conn: conn, host: host}
	h.Date = s.dates.now
	h.x.init(s)
	h.x.Client = clientAddr(conn.RemoteAddr())
	h.x.relay.Response = h.respond
	h.Reset(conn, HeadTimeout, answerTimeout)
	defer h.Reader.Release()
	s.cfg.Meter.Opened(HTTP1)
	defer s.cfg.Meter.Closed(HTTP1)
	for wait, first := HeadTimeout, true; ; wait, first = IdleTimeout, false {
		h.Reader.EmptyLine()
		if h.Reader.Buffered() == 0 && !first {
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
	for h.Reader.Buffered() == 0 { // a second time after an empty line
		h.Reader.Rewind()
		h.Timed.SetRead(wait)
		if _, err := h.Reader.Fill(); err != nil {
			return err
		}
		h.Reader.EmptyLine()
	}
	if !h.Reader.HasHead() {
		if err := h.Timed.FixRead(HeadTimeout); err != nil {
			return err
		}
	}
	err := h.Reader.ReadRequest(&h.Head)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &mezu.Error{Code: mezu.CodeRequestTimeout, Detail: "the request head came too slowly"}
	}
	return err
}

// refuseHead answers a head that could not be read, if that was the client's doing.
func (h *http1) refuseHead(err error) {
	var refusal *mezu.Error
	if !errors.As(err, &refusal) {
		return
	}
	h.x.begin()
	h.Last = true
	h.x.end(err)
	if h.answer(h.x.answerTo(refusal)) == nil {
		h.linger()
	}
}

// serveOne serves the request whose head was read, and reports whether the connection
// goes on.
func (h *http1) serveOne() bool {
	h.x.begin()
	h.Last = !h.Head.KeepAlive() || h.x.s.cfg.Draining()
	reply, err := h.x.serve(h)
	defer h.End()
	if err != nil {
		return false // the client is gone, or must see that the response is cut
	}
	done := h.BodyDone()
	if reply != nil {
		// Who sent a head without one meaning may see its end elsewhere, too.
		h.Last = h.Last || !done || reply.status == mezu.CodeNotCanonical.Status()
		if h.answer(reply) != nil {
			return false
		}
	}
	if h.x.status == 101 || h.x.broken {
		return false
	}
	if h.Last || !done {
		h.linger()
		return false
	}
	return true
}

func (h *http1) canonical(req *relay.Request) (host string, err error) {
	return h.host, h.Head.Canonical(req, &h.names)
}

func (h *http1) open(route *policy.Route, limit int64) {
	if route != nil {
		h.Timed.SetRead(route.IdleTimeout)
	}
	h.RequestID = h.x.Request.ID
	h.Begin(limit)
}

// respond tells the client by its response when the edge has begun to drain since the
// request came.
func (h *http1) respond(head *relay.ResponseHead) {
	h.Last = h.Last || h.x.s.cfg.Draining()
	h.x.respond(head)
}

// answer sends an answer of the edge's own.
func (h *http1) answer(a *answer) error {
	h.Timed.SetWrite(answerTimeout)
	h.Writer.Reset(&h.Timed)
	hop := relay.Hop{Close: h.Last, HTTP10: h.Head.HTTP10(), Date: h.x.s.dates.now()}
	h.Writer.Gathered(a.appendHTTP1(h.Writer.Room(), hop, h.x.Request.Method == "HEAD"))
	return h.Writer.Flush()
}

// linger closes the sending side and swallows input for a moment.
func (h *http1) linger() {
	if h.conn.CloseWrite() != nil {
		return
	}
	h.conn.SetReadDeadline(time.Now().Add(lingerTimeout))
	io.CopyN(io.Discard, h.conn, lingerBytes)
}
