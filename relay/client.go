package relay

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/pipe"
	"github.com/mezusphere/mezu/preface"
)

// continueHead is the interim response by which the edge lets a client send.
const continueHead = "HTTP/1.1 100 Continue\r\n\r\n"

// Client is the Downstream that speaks HTTP/1.1: a public connection at the
// edge, or a data connection at the Warpgate.
type Client struct {
	Conn   net.Conn
	Timed  Timed
	Reader Reader
	Writer Writer
	Head   RequestHead
	Body   Body
	// Last says that the connection closes after this exchange; Deliver sets it
	// too, when the response makes that so.
	Last bool
	// RequestID goes into the response's head, if not empty.
	RequestID string
	// Date gives the date of a response that has none; if nil, it gets none.
	Date func() string
	// Typed says that a typed head precedes each head of a response.
	Typed bool

	names  Names       // of the requests so far
	held   Held        // of the body, if it is held
	typed  bool        // the typed head of the present response was sent
	chunks bool        // a response in chunks has begun
	shut   atomic.Bool // the body can't be read any more
	ahead  chan struct{}
	blind  bool // the watch under way reads nothing: whoever reads the body notices the end
}

// Reset begins to serve a connection with these bounds on reads and writes.
func (c *Client) Reset(conn net.Conn, read, write time.Duration) {
	c.Conn = conn
	c.Reader.Tunnel, c.Reader.records = c.Typed, true
	c.Timed.Wrap(conn, read, write)
	c.Reader.Reset(&c.Timed)
	c.Writer.Reset(&c.Timed)
}

// Await returns when a request begins to come, or wait is over.
func (c *Client) Await(wait time.Duration) error {
	for c.Reader.Buffered() == 0 { // a second time after an empty line
		c.Reader.Rewind()
		c.Timed.SetRead(wait)
		if _, err := c.Reader.Fill(); err != nil {
			return err
		}
		c.Reader.EmptyLine()
	}
	return nil
}

// errSlowHead is the answer to a head that does not come to its end in time.
var errSlowHead = &mezu.Error{Code: mezu.CodeRequestTimeout, Detail: "the request head came too slowly"}

// ReadRequest reads the head of a request that has begun to come, within a bound on all of
// it, and brings it into its canonical form. complete says that the head was read to its end:
// only then may the connection go on after an error. Of one that is refused req has what
// people are told of it.
func (c *Client) ReadRequest(req *Request, within time.Duration) (complete bool, err error) {
	if !c.Reader.HasHead() {
		if err := c.Timed.FixRead(within); err != nil {
			return false, err
		}
	}
	if err := c.Reader.ReadRequest(&c.Head); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = errSlowHead
		}
		*req = Request{Fields: req.Fields[:0]}
		req.spoil(&c.Head)
		return false, err
	}
	if err := c.Head.Canonical(req, &c.names); err != nil {
		req.spoil(&c.Head)
		return true, err
	}
	return true, nil
}

// Begin prepares the exchange whose head was read: limit bounds its body, if not
// zero.
func (c *Client) Begin(limit int64) {
	c.held.Close()
	c.typed, c.chunks = false, false
	c.shut.Store(false)
	c.Body.Reset(&c.Reader, c.Head.Framing, c.Head.Length, limit)
}

// BodyDone reports whether the request's body was read to its end. A small rest that has
// come already is read and dropped, because that costs less than a new connection.
func (c *Client) BodyDone() bool {
	if c.Body.Done() && c.shut.Swap(false) {
		c.Timed.Rearm() // whoever stopped the body came after its end
	}
	return c.Body.Done() || c.Body.Complete() && c.Body.Discard(maxGather)
}

// Source is the request's body.
func (c *Client) Source() Source {
	if c.held.Begun() {
		return &c.held
	}
	return &c.Body
}

// Rewind makes the body begin anew, while all of it is in the buffer or held.
func (c *Client) Rewind() bool {
	switch {
	case c.held.passes:
		if c.shut.Swap(false) {
			c.Timed.Rearm()
		}
		return c.held.Rewind()
	case c.shut.Load():
		return false
	case c.held.Begun():
		return c.held.Rewind()
	}
	return c.Body.Rewind()
}

// UploadNow reports whether the body is buffered or held as a whole.
func (c *Client) UploadNow() bool {
	if c.held.Begun() {
		return c.held.Complete()
	}
	return c.Body.Complete()
}

// EndHold ends what Hold left reading the body.
func (c *Client) EndHold() { c.held.EndHold(c) }

// End gives back what the request's body took.
func (c *Client) End() {
	c.held.Close()
	c.Body.Close()
	c.Reader.unpin()
}

// Watch reads ahead, because the end of a connection is noticed by reading. What a pipelining
// client sends meanwhile stays in the reader.
func (c *Client) Watch(gone func()) {
	c.ahead = make(chan struct{})
	if c.held.reading() {
		c.blind = true // whoever reads the body notices
		return
	}
	if c.Timed.FixRead(forever) != nil {
		close(c.ahead)
		gone()
		return
	}
	go c.readAhead(gone)
}

func (c *Client) readAhead(gone func()) {
	defer close(c.ahead)
	for {
		room, err := c.Reader.Fill()
		switch {
		case !room, errors.Is(err, os.ErrDeadlineExceeded):
			return
		case err != nil:
			gone()
			return
		}
	}
}

// Unwatch ends Watch.
func (c *Client) Unwatch() {
	if c.blind {
		c.blind = false
		return
	}
	c.Timed.expire()
	<-c.ahead
	c.Timed.Rearm()
}

// StopUpload ends a read of the body. It may be called beside others.
func (c *Client) StopUpload() {
	c.shut.Store(true)
	c.Timed.expire()
}

// ReadWithin bounds each read of the body.
func (c *Client) ReadWithin(d time.Duration) {
	if !c.held.reading() { // that has no bound already
		c.Timed.SetRead(d)
	}
}

// WriteWithin bounds each write of a response.
func (c *Client) WriteWithin(d time.Duration) { c.Timed.SetWrite(d) }

// WatchesBeside is false: watching reads ahead.
func (c *Client) WatchesBeside() bool { return false }

// Cut ends reads and writes under way.
func (c *Client) Cut() { c.Timed.Cut() }

// room is where a head is put together, behind its typed head if it needs one.
func (c *Client) room() []byte {
	b := c.Writer.Room()
	if c.Typed && !c.typed {
		c.typed = true
		b = preface.AppendResponse(b)
	}
	return b
}

// Interim sends a 1xx response. What follows it has a typed head of its own, so
// that it can still be a failure.
func (c *Client) Interim(h *ResponseHead) error {
	defer func() { c.typed = false }()
	switch {
	case c.Head.HTTP10():
		return nil
	case h == nil:
		c.Writer.Gathered(append(c.room(), continueHead...))
	default:
		c.Writer.Gathered(h.Append(c.room(), Hop{}))
	}
	return c.Writer.Flush()
}

// Deliver sends a response.
func (c *Client) Deliver(h *ResponseHead, body Source, closing bool) error {
	hop := Hop{HTTP10: c.Head.HTTP10(), RequestID: c.RequestID}
	if c.Date != nil {
		hop.Date = c.Date()
	}
	out := h.Out(hop)
	c.Last = c.Last || closing || out == UntilClose
	hop.Close = c.Last
	c.Writer.Restart()
	c.Writer.Gathered(h.Append(c.room(), hop))
	if out == NoBody {
		return c.Writer.Flush()
	}
	_, err := c.Writer.Body(body, out)
	c.chunks = err != nil && out == Chunked && begun(err)
	return err
}

// begun reports whether the head of a response had left when its body's source
// failed.
func begun(err error) bool {
	var src *SourceError // on the heap: not on the way of whole responses
	return errors.As(err, &src) && !src.Unsent
}

// Fail sends a failure in the place of a response, when none has begun.
func (c *Client) Fail(f *preface.Failure) error {
	c.Writer.Reset(&c.Timed)
	c.Writer.Gathered(preface.AppendFailure(c.Writer.Room(), f))
	return c.Writer.Flush()
}

// MaySwitch is true: the client, who made the key, judges by it.
func (c *Client) MaySwitch(*ResponseHead) bool { return true }

// Upgrade sends the 101 and carries bytes both ways.
func (c *Client) Upgrade(h *ResponseHead, up pipe.End, idle time.Duration) (in, out int64, err error) {
	c.Last = true
	c.Writer.Gathered(h.Append(c.room(), Hop{RequestID: c.RequestID}))
	if err := c.Writer.Flush(); err != nil {
		return 0, 0, ClientFault(err)
	}
	return pipe.Run(pipe.End{Conn: c.Conn, Ahead: &c.Reader, Lost: mezu.CauseClientGone}, up, idle)
}

// tellTimeout bounds the word that a response was cut: nobody waits for it.
const tellTimeout = time.Second

// TellCut tells an edge why a response that had begun is not finished. Only a response in
// chunks has room for that, in the place of a chunk. The connection ends behind it.
func (c *Client) TellCut(cause mezu.Cause) {
	if !c.Typed || !c.chunks {
		return
	}
	c.chunks = false
	c.Conn.SetWriteDeadline(time.Now().Add(tellTimeout))
	c.Conn.Write(appendCut(nil, cause))
}
