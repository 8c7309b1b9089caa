package web

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/admission"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/relay"
)

// Times of a public connection.
const (
	// headTimeout bounds the head of a request, from its first byte to its last, and the
	// wait for the first byte after the handshake.
	headTimeout = 10 * time.Second
	// idleTimeout bounds the wait for the next request; nginx's default.
	idleTimeout = 75 * time.Second
	// answerTimeout bounds the write of an answer that the edge gives itself. Such an
	// answer is small. A workload's response is bounded by its route.
	answerTimeout = 60 * time.Second
	// lingerTimeout and lingerBytes bound what is still read from a client whose
	// connection is closed early. If nothing were read, a reset would destroy the answer
	// before the client has read it. On a real link the time ends it. The bytes are what a
	// client on the same machine sends before it looks for an answer.
	lingerTimeout = 2 * time.Second
	lingerBytes   = 64 << 20
)

// http1 is one public connection of HTTP/1.1: the client of its requests.
type http1 struct {
	relay.Client
	x        exchange
	conn     *tls.Conn
	admitted *admission.Conn // the same connection below TLS
	headRead bool            // to its end, of the present request
}

// serveHTTP1 serves a connection until it ends, is refused, or drains.
func (s *Server) serveHTTP1(conn *tls.Conn, admitted *admission.Conn) {
	v := s.visitTo(conn.ConnectionState().ServerName)
	if v.host == "" {
		return // no name, no environment: nothing may be answered in its stead
	}
	h := &http1{conn: conn, admitted: admitted}
	h.Date = s.dates.now
	h.x.init(s)
	h.x.visit = v
	h.x.Client = clientAddr(conn.RemoteAddr())
	h.x.relay.Response = h.respond
	h.Reset(conn, headTimeout, answerTimeout)
	defer h.Reader.Release()
	s.cfg.Meter.Opened(HTTP1)
	defer s.cfg.Meter.Closed(HTTP1)
	for wait, first := headTimeout, true; ; wait, first = idleTimeout, false {
		h.Reader.EmptyLine()
		if h.Reader.Buffered() == 0 && !first {
			admitted.Rest(h.x.started)
			if s.cfg.Draining() {
				return
			}
		}
		if h.Await(wait) != nil || !h.serveOne() {
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

// serveOne serves the request that begins to come, and reports whether the connection goes
// on.
func (h *http1) serveOne() bool {
	defer h.End()
	reply, err := h.x.serve(h)
	if err != nil {
		return false // the client is gone, or must see that the response is cut
	}
	done := h.headRead && h.BodyDone()
	if reply != nil {
		// A head that can be read in two ways may end elsewhere for the client than here:
		// what follows it is not taken for another request.
		h.Last = h.Last || !done || h.x.brief || reply.status == mezu.CodeNotCanonical.Status()
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

func (h *http1) read(req *relay.Request) (err error) {
	h.headRead, err = h.ReadRequest(req, headTimeout)
	if !h.admitted.Begin() {
		return errNoRequest // draining closed it, or its place went to another
	}
	if err != nil && !refused(err) {
		return errNoRequest
	}
	h.x.started = time.Now()
	h.Last = !h.headRead || !h.Head.KeepAlive() || h.x.s.cfg.Draining()
	return err
}

// refused reports whether an error is the client's to know.
func refused(err error) bool {
	var refusal *mezu.Error
	return errors.As(err, &refusal)
}

func (h *http1) open(route *policy.Route, limit int64) {
	if route != nil {
		h.Timed.SetRead(route.IdleTimeout)
	}
	h.RequestID = h.x.Request.ID
	if h.headRead {
		h.Begin(limit)
	}
}

func (h *http1) keep() { h.Reader.Pin() }

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

// linger closes the sending side, and reads what still comes for a moment.
func (h *http1) linger() {
	if h.conn.CloseWrite() != nil {
		return
	}
	h.conn.SetReadDeadline(time.Now().Add(lingerTimeout))
	io.CopyN(io.Discard, h.conn, lingerBytes)
}
