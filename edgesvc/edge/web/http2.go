package web

import (
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/admission"
	"github.com/mezusphere/mezu/h2"
	"github.com/mezusphere/mezu/pipe"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/relay"
)

// h2Server serves the connections whose handshake has agreed on HTTP/2.
type h2Server struct {
	s    *Server
	srv  *h2.Server
	pool sync.Pool
}

func newH2Server(server *Server) *h2Server {
	s := &h2Server{s: server}
	s.pool.New = s.newStream
	s.srv = h2.NewServer(h2.ServerConfig{Serve: s.serve})
	return s
}

func (s *h2Server) newStream() any {
	c := &http2{}
	c.x.init(s.s)
	return c
}

// h2Visitor is what all streams of a connection know.
type h2Visitor struct {
	*visit
	client netip.Addr
}

// handle serves one connection until it ends.
func (s *h2Server) handle(conn *tls.Conn, admitted *admission.Conn) {
	s.s.cfg.Meter.Opened(HTTP2)
	defer s.s.cfg.Meter.Closed(HTTP2)
	s.srv.ServeConn(conn, admitted, &h2Visitor{s.s.visitTo(conn.ConnectionState().ServerName), clientAddr(conn.RemoteAddr())})
}

// http2 is one stream of HTTP/2: the client of one request.
type http2 struct {
	*h2.Stream
	x     exchange
	names relay.Names
	block h2.Block
	text  relay.Text
	held  relay.Held // the body, if it is held before it is sent on
	fault *h2.StreamError
}

// serve serves one stream.
func (s *h2Server) serve(stream *h2.Stream) {
	c := s.pool.Get().(*http2)
	c.Stream, c.fault = stream, nil
	err := c.serve()
	c.held.Close()
	switch {
	case err == nil:
	case relay.CauseOf(err) == mezu.CauseWorkloadCanceled:
		c.Reset(h2.Cancel) // gRPC tells by it a call that was given up from one that failed
	default:
		c.Cut() // the client must see that it was cut
	}
	c.Stream, c.x.visit = nil, nil
	if !c.x.broken {
		s.pool.Put(c)
	}
}

func (c *http2) serve() error {
	x, v := &c.x, c.Tag().(*h2Visitor)
	x.started = time.Now()
	x.visit, x.Client = v.visit, v.client
	reply, err := x.serve(c)
	switch {
	case c.fault != nil:
		c.Offend(c.fault)
		return nil
	case reply != nil && reply.status == http.StatusBadGateway && pastTimeout(&x.Request, x.started):
		c.Reset(h2.Cancel)
		return nil
	case reply != nil:
		if x.brief {
			defer c.EndConn()
		}
		return c.answer(reply)
	}
	return err
}

// read brings the request into its canonical form. One that is malformed is refused by resetting
// its stream; the refusal is for those who are told of it.
func (c *http2) read(req *relay.Request) error {
	err := c.Request(req, &c.names)
	if errors.As(err, &c.fault) {
		if refused(err) {
			return err
		}
		return &mezu.Error{Code: mezu.CodeNotCanonical, Detail: c.fault.Why, Cause: err}
	}
	for i := range req.Fields {
		if req.Fields[i].Is("priority") {
			c.Prioritise(req.Fields[i].Value)
		}
	}
	return err
}

func (c *http2) open(_ *policy.Route, limit int64) { c.Limit(limit) }

// keep: the fields lie apart from the body.
func (c *http2) keep() {}

// Source is the stream's body.
func (c *http2) Source() relay.Source {
	if c.held.Begun() {
		return &c.held
	}
	return c.Stream
}

// UploadNow reports whether the body is here as a whole.
func (c *http2) UploadNow() bool {
	if c.held.Begun() {
		return c.held.Complete()
	}
	return c.Complete()
}

// Hold reads the body as far as it is to be held.
func (c *http2) Hold(pace *relay.Pace, store relay.Store) error {
	return c.held.Hold(&c.x.Request, c.Stream, pace, store)
}

// EndHold ends what Hold left reading the body.
func (c *http2) EndHold() { c.held.EndHold(c) }

// WatchesBeside is true: the end of a stream is noticed without reading its body.
func (c *http2) WatchesBeside() bool { return true }

// Cut resets the stream, and so ends reads and writes that wait for the client. CANCEL stands for a
// WebSocket whose connection was reset (RFC 8441, 5).
func (c *http2) Cut() {
	code := h2.InternalError
	if c.Protocol() != "" {
		code = h2.Cancel
	}
	c.Reset(code)
}

// StopUpload ends a read of the body.
func (c *http2) StopUpload() { c.StopRead() }

// Rewind makes the body begin anew, and reports whether it could.
func (c *http2) Rewind() bool {
	if c.held.Begun() {
		return c.held.Rewind()
	}
	return c.Stream.Rewind()
}

// Interim sends a 1xx response; nil stands for 100 Continue.
func (c *http2) Interim(h *relay.ResponseHead) error {
	c.block.Reset()
	if h == nil {
		c.block.Status(http.StatusContinue)
	} else {
		c.begin(h, h.Status, relay.Hop{})
	}
	return c.SendBlock(&c.block, false, false)
}

// begin puts a head together.
func (c *http2) begin(h *relay.ResponseHead, status int, hop relay.Hop) {
	c.block.Reset()
	c.block.Status(status)
	h.EachField(hop, &c.text, c.block.Field)
}

// hop is what the edge adds to a response: its date, where there is none, and the id.
func (c *http2) hop() relay.Hop { return relay.Hop{RequestID: c.x.Request.ID, Date: c.x.s.dates.now()} }

// Deliver sends a response. What is there of its body goes out with its head, and its end with
// the last piece.
func (c *http2) Deliver(h *relay.ResponseHead, body relay.Source, _ bool) error {
	c.begin(h, h.Status, c.hop())
	if h.Framing == relay.NoBody {
		return c.SendBlock(&c.block, true, false)
	}
	var first []byte
	unsent := body.Ready()
	if unsent {
		var err error
		if first, err = body.Next(); err != nil && err != io.EOF {
			return &relay.SourceError{Err: err, Unsent: true}
		}
	}
	if err := c.SendBlock(&c.block, false, unsent); err != nil {
		return err
	}
	left := int64(-1) // until the end says so
	if h.Framing == relay.Length {
		left = h.Length
	}
	for p := first; ; {
		if len(p) > 0 {
			left -= int64(len(p))
			if left == 0 {
				return c.Send(p, true, false)
			}
			if err := c.Send(p, false, body.Ready()); err != nil {
				return err
			}
		}
		var err error
		p, err = body.Next()
		if err == io.EOF {
			return c.end(body.Trailer())
		}
		if err != nil {
			return &relay.SourceError{Err: err}
		}
	}
}

// end ends a body, with what follows it.
func (c *http2) end(trailer []relay.Field) error {
	if len(trailer) == 0 {
		return c.Send(nil, true, false)
	}
	c.block.Reset()
	for i := range trailer {
		c.block.Field(trailer[i].Name, trailer[i].Value)
	}
	return c.SendBlock(&c.block, true, false)
}

// MaySwitch reports whether the workload has switched to the WebSocket that this request asked it
// for: the client can't judge that, since it knows no key (RFC 8441, 5).
func (c *http2) MaySwitch(h *relay.ResponseHead) bool { return relay.AcceptsKey(h, &c.x.Request) }

// MayDeliver reports whether a response means the same in HTTP/2: a 2xx would say that a WebSocket is
// open, whatever the workload meant by it.
func (c *http2) MayDeliver(h *relay.ResponseHead) bool { return c.Protocol() == "" || h.Status >= 300 }

// Upgrade sends the 200 that stands for a 101, and carries bytes both ways.
func (c *http2) Upgrade(h *relay.ResponseHead, up pipe.End, idle time.Duration) (in, out int64, err error) {
	c.begin(h, http.StatusOK, c.hop())
	if err := c.SendBlock(&c.block, false, false); err != nil {
		return 0, 0, relay.ClientFault(err)
	}
	return pipe.Run(pipe.End{Conn: c.Conn(), Lost: mezu.CauseClientGone}, up, idle)
}

// answer sends an answer of the edge's own.
func (c *http2) answer(a *answer) error {
	c.WriteWithin(answerTimeout)
	if c.Protocol() != "" && a.status < 300 {
		a = &answer{status: http.StatusNotImplemented} // it opens no WebSocket
	}
	c.block.Reset()
	c.block.Status(a.status)
	for i := range a.fields {
		c.block.Field(a.fields[i].Name, a.fields[i].Value)
	}
	if a.sized() {
		c.block.Length(int64(len(a.body)))
	}
	c.block.FieldText("date", c.x.s.dates.now())
	if len(a.body) == 0 || c.x.Request.Method == http.MethodHead {
		return c.SendBlock(&c.block, true, false)
	}
	if err := c.SendBlock(&c.block, false, true); err != nil {
		return err
	}
	return c.Send(a.body, true, false)
}
