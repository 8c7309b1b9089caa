package relay

import (
	"errors"
	"io"
	"net"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/pipe"
	"github.com/mezusphere/mezu/preface"
)

// Server is the Upstream that speaks HTTP/1.1: a data connection at the edge, or the
// connection to a workload at the Warpgate. It is used again for another connection.
type Server struct {
	// Head appends what goes out before the request's body.
	Head func(dst []byte) []byte
	// Drops reports whether a trailer of the response with this name does not pass; if nil, all do.
	Drops func(name []byte) bool

	conn    net.Conn
	writeBy *time.Time
	abort   func()
	timed   Timed
	writer  Writer
	reader  Reader
	body    Body
	req     *Request
	tunnel  bool
	unsent  bool // the head did not go out in full, or was refused: nobody has the request
	typed   bool // the typed head of what comes next was read
	told    bool // a typed head was read
}

// Reset takes a connection for the next exchange. The write deadline in force is kept in
// writeBy from one exchange on a connection to the next, since moving it costs a timer; it is
// zero if that is unknown. abort breaks the connection, as Upstream.Abort says.
func (s *Server) Reset(conn net.Conn, writeBy *time.Time, abort func()) {
	s.conn, s.writeBy, s.abort = conn, writeBy, abort
}

// Begin puts the head together.
func (s *Server) Begin(call *Call) {
	s.req, s.tunnel = call.Request, call.Tunnel
	s.typed, s.told, s.unsent = false, false, false
	s.timed.wrap(s.conn, s.writeBy, impatience, max(call.Response, impatience))
	s.reader.Reset(&s.timed)
	s.reader.Tunnel, s.reader.records = call.Tunnel, call.Tunnel
	s.writer.Reset(&s.timed)
	s.writer.Gathered(s.Head(s.writer.Room()))
}

// SendHead sends the heads alone. A connection that fails has not taken all of them, or Write
// would say so, and half a head is no request.
func (s *Server) SendHead() error {
	err := s.writer.Flush()
	s.unsent = err != nil
	return err
}

// SendBody sends the body, along with the head if that is still here.
func (s *Server) SendBody(src Source) (int64, error) { return s.writer.Body(src, s.req.Framing) }

// ReadWithin bounds each read.
func (s *Server) ReadWithin(d time.Duration) { s.timed.SetRead(d) }

// WriteWithin bounds each write.
func (s *Server) WriteWithin(d time.Duration) { s.timed.SetWrite(d) }

// FixRead bounds all reads together.
func (s *Server) FixRead(d time.Duration) error { return s.timed.FixRead(d) }

// ReadHead reads a head, behind its typed head if there are those.
func (s *Server) ReadHead(h *ResponseHead) error {
	if s.tunnel && !s.typed {
		if err := s.readTyped(); err != nil {
			return err
		}
	}
	err := s.reader.ReadResponse(h, s.req.Method)
	if err == nil {
		s.typed = false
	}
	return err
}

// readTyped reads the typed head of an answer.
func (s *Server) readTyped() error {
	kind, payload, err := preface.Read(&s.reader)
	switch {
	case errors.Is(err, preface.ErrMalformed):
		return malformedAnswer(err)
	case err != nil:
		s.unsent = s.unsent || unprocessed(err)
		return err
	}
	s.told = true
	switch kind {
	case preface.KindResponse:
		s.typed = true
		return nil
	case preface.KindFailure:
		f, err := preface.ParseFailure(payload)
		if err != nil {
			return &Failure{Err: malformedAnswer(err)}
		}
		return &Failure{Err: &mezu.Error{Code: f.Code, Detail: f.Detail}, Unsent: f.Unsent}
	}
	return malformedAnswer(nil)
}

// unprocessed reports whether an error of a connection says that nobody has acted upon what
// was sent.
func unprocessed(err error) bool {
	var word interface{ Unprocessed() bool }
	return errors.As(err, &word) && word.Unprocessed()
}

// malformedAnswer is the answer to what no Warpgate says.
func malformedAnswer(cause error) error {
	return BadResponse("the Warpgate's answer is malformed", cause)
}

// Body is the body behind h.
func (s *Server) Body(h *ResponseHead) ResponseBody {
	s.body.Reset(&s.reader, h.Framing, h.Length, 0)
	s.body.Drop(s.Drops)
	return &s.body
}

// Unprocessed is true if the head has not gone out.
func (s *Server) Unprocessed() bool { return s.unsent }

// Touched is true from the first byte of an answer on.
func (s *Server) Touched() bool { return s.told || s.reader.Buffered() > 0 }

// Lost says whose connection broke.
func (s *Server) Lost(err error) *mezu.Error {
	if s.tunnel {
		return &mezu.Error{Code: mezu.CodeWorkloadReset, Detail: "the connection to the Warpgate broke before a response came", Cause: &mezu.Cut{Cause: s.Cause(err), Err: err}}
	}
	return &mezu.Error{Code: mezu.CodeWorkloadReset, Detail: "the connection to the workload broke before a response came", Cause: err}
}

// Cause tells the workload from the Warpgate, whose connection is no word about the workload.
func (s *Server) Cause(err error) mezu.Cause {
	var cut *mezu.Cut
	switch {
	case errors.As(err, &cut):
		return cut.Cause
	case errors.Is(err, ErrBody):
		return mezu.CauseWorkloadMalformed
	case !s.tunnel:
		return mezu.CauseWorkloadReset
	case err == io.EOF, errors.Is(err, errEnded):
		return mezu.CauseWarpgateCut
	}
	return mezu.CauseWarpgateGone
}

// Abort breaks the connection.
func (s *Server) Abort() { s.abort() }

// stream is the connection as the other end of an upgrade.
func (s *Server) stream() pipe.End {
	return pipe.End{Conn: s.conn, Ahead: &s.reader, Lost: s.Cause(errEnded)}
}

// End gives buffers back. What came behind the response belongs to no request.
func (s *Server) End(complete bool) (clean bool) {
	clean = complete && s.reader.Buffered() == 0
	s.body.Close()
	s.reader.Release()
	s.writer.drop()
	return clean
}
