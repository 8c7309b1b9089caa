package forward

import (
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/pipe"
	"github.com/mezusphere/mezu/preface"
	"github.com/mezusphere/mezu/relay"
)

// Recorder keeps what passes, for the person whose tunnel it is.
type Recorder interface {
	// Tape gives what is told of the exchanges of one data connection of an edge, by its name.
	Tape(edge string) Tape
}

// Tape is told of the exchanges of one data connection, one after another. Requests wait for it,
// so it only copies; what it is handed belongs to others once it returns. It is safe for concurrent
// use: both directions of an exchange are told by goroutines of their own.
type Tape interface {
	// Begin is told of a request whose head was read, and says how much more it is to be told.
	Begin(b *Begun) Interest
	// Judged is told of the route, by its label, and of the user whom it was judged for, empty
	// for nobody; Target of the workload.
	Judged(route, user string)
	Target(u mezu.Upstream)
	// Head is told of a head in the text of HTTP/1.1.
	Head(part Part, text []byte)
	// Piece is told of a piece of a body. After Upgraded it is one of the stream.
	Piece(d Direction, piece []byte)
	// Rewind says that the request's body comes once more from its beginning.
	Rewind()
	// Ended is told of the end of a body, and of the fields behind it.
	Ended(d Direction, trailers []relay.Field)
	Upgraded()
	// Connected is told how long a connection to the workload was waited for, and whether it
	// had carried others before.
	Connected(took time.Duration, reused bool)
	// Mark says that it is now.
	Mark(m Mark)
	// End is told how the exchange has ended.
	End(o *Outcome)
	// Close says that there will be no more.
	Close()
}

// Interest is how much a tape is told of an exchange.
type Interest uint8

// Interests. Of Failures, which is for so many requests that nobody looks at one that went well,
// it is told the head, the route, the workload and the end, and the response's heads if that is a
// 5xx or keeps the visitor out. A request for another protocol is Everything or Nothing.
const (
	Nothing Interest = iota
	Failures
	Everything
)

// Begun is what is known of a request whose head was read. Request is as far as it could be
// brought into its canonical form.
type Begun struct {
	At       time.Time
	Info     *preface.Request
	Request  *relay.Request
	Upgrade  string // what the visitor asked for
	Warpgate string // id
}

// Part is a head of an exchange.
type Part uint8

// Parts: as it came from the edge, as it went to the workload, 1xx, as it came from there, and
// as it went to the edge.
const (
	PartRequest Part = iota
	PartSent
	PartInterim
	PartResponse
	PartReturned
)

// Direction is that of a body or stream.
type Direction uint8

// Directions: In is to the workload.
const (
	In Direction = iota
	Out
)

// Mark is a moment of an exchange.
type Mark uint8

// Marks. Uploaded may come several times; the last one counts.
const (
	MarkSent      Mark = iota // the request's head has gone out
	MarkUploaded              // its body has
	MarkFirstByte             // the response begins
)

// textPool is where heads are put together for a tape.
var textPool = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// maxText is the largest memory that is kept for the next head.
const maxText = 16 << 10

// tell tells the tape of a head that write appends.
func (w *worker) tell(part Part, write func([]byte) []byte) {
	room := textPool.Get().(*[]byte)
	text := write((*room)[:0])
	w.rec.Head(part, text)
	if cap(text) <= maxText {
		*room = text
		textPool.Put(room)
	}
}

// record begins to record the request whose head was read, if it is to be.
func (w *worker) record() {
	w.rec, w.watched = nil, false
	if w.tape == nil {
		return
	}
	w.told = Begun{At: w.began, Info: &w.info, Request: &w.req, Upgrade: w.upgrade, Warpgate: w.f.cfg.Warpgate}
	wants := w.tape.Begin(&w.told)
	if wants == Nothing {
		return
	}
	w.rec, w.watched = w.tape, wants == Everything
	w.tell(PartRequest, func(dst []byte) []byte {
		h := &w.c.Head
		dst = append(append(append(append(dst, h.Method...), ' '), h.Target...), ' ')
		return appendFields(appendVersion(dst, h.HTTP10()), h.Fields)
	})
}

// appendResponse writes a response's head as it came.
func appendResponse(dst []byte, h *relay.ResponseHead) []byte {
	dst = strconv.AppendInt(append(appendVersion(dst, h.HTTP10()), ' '), int64(h.Status), 10)
	return appendFields(append(append(dst, ' '), h.Reason...), h.Fields)
}

func appendVersion(dst []byte, old bool) []byte {
	if old {
		return append(dst, "HTTP/1.0"...)
	}
	return append(dst, "HTTP/1.1"...)
}

// appendFields ends the first line and writes all fields.
func appendFields(dst []byte, fields []relay.Field) []byte {
	dst = append(dst, "\r\n"...)
	for i := range fields {
		dst = append(append(dst, fields[i].Name...), ": "...)
		dst = append(append(dst, fields[i].Value...), "\r\n"...)
	}
	return append(dst, "\r\n"...)
}

// telling reports whether the tape is told of a response's heads.
func (w *worker) telling(status int) bool {
	return w.watched || w.rec != nil && (status >= statusInternalServerError || w.keptOut != "")
}

// send sends a response to the edge.
func (w *worker) send(h *relay.ResponseHead, body relay.Source, closing bool) error {
	if w.telling(h.Status) {
		w.tell(PartReturned, func(dst []byte) []byte { return h.Append(dst, relay.Hop{Close: closing, HTTP10: w.c.Head.HTTP10()}) })
	}
	if !w.watched {
		return w.c.Deliver(h, body, closing)
	}
	w.answer = taped{body, w.rec, Out}
	err := w.c.Deliver(h, &w.answer, closing)
	w.answer.Source = nil
	return err
}

// taped is a body that is recorded as it passes.
type taped struct {
	relay.Source
	tape Tape
	way  Direction
}

func (s *taped) Next() ([]byte, error) {
	piece, err := s.Source.Next()
	tellPiece(s.tape, s.way, s.Source, piece, err)
	return piece, err
}

// tellPiece tells of what Next of a body gave.
func tellPiece(tape Tape, way Direction, src relay.Source, piece []byte, err error) {
	if len(piece) > 0 {
		tape.Piece(way, piece)
	}
	if err == io.EOF {
		tape.Ended(way, src.Trailer())
	}
}

// tapedConn is the connection to a workload. It marks when bytes pass, and records those of an
// upgraded stream.
type tapedConn struct {
	net.Conn
	tape     Tape
	body     bool // the request has one
	sent     bool // its head has gone out
	answered bool // something came
	stream   bool // it was upgraded
}

// Read reads from the workload.
func (c *tapedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		if !c.answered {
			c.answered = true
			c.tape.Mark(MarkFirstByte)
		}
		if c.stream {
			c.tape.Piece(Out, p[:n])
		}
	}
	return n, err
}

// Write writes to the workload. Of a stream it is recorded before, so that what it causes comes
// behind.
func (c *tapedConn) Write(p []byte) (int, error) {
	if c.stream {
		c.tape.Piece(In, p)
	}
	n, err := c.Conn.Write(p)
	if err != nil || c.stream {
		return n, err
	}
	if !c.sent {
		c.sent = true
		c.tape.Mark(MarkSent)
	}
	if c.body { // a small one goes along with the head
		c.tape.Mark(MarkUploaded)
	}
	return n, nil
}

// CloseWrite ends what goes to the workload, if the connection can do that.
func (c *tapedConn) CloseWrite() error {
	if h, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return nil
}

// recorded is the connection to a workload as an exchange uses it.
func (w *worker) recorded(conn net.Conn) net.Conn {
	if !w.watched {
		return conn
	}
	w.upstream = tapedConn{Conn: conn, tape: w.rec, body: w.req.Framing != relay.NoBody}
	return &w.upstream
}

// Source is the request's body.
func (l *looking) Source() relay.Source {
	src := l.Client.Source()
	if !l.w.watched {
		return src
	}
	l.body = taped{src, l.w.rec, In}
	return &l.body
}

// Rewind makes Source begin anew.
func (l *looking) Rewind() bool {
	ok := l.Client.Rewind()
	if ok && l.w.watched {
		l.w.rec.Rewind()
	}
	return ok
}

// Upgrade sends the 101 and carries bytes both ways.
func (l *looking) Upgrade(h *relay.ResponseHead, up pipe.End, idle time.Duration) (in, out int64, err error) {
	w := l.w
	if w.watched {
		w.tell(PartReturned, func(dst []byte) []byte { return h.Append(dst, relay.Hop{}) })
		w.rec.Upgraded()
		w.upstream.stream = true
		if up.Ahead != nil {
			if came := up.Ahead.Unread(); len(came) > 0 {
				w.rec.Piece(Out, came)
			}
		}
	}
	return l.Client.Upgrade(h, up, idle)
}

// continues is what is recorded of the word that a visitor may send.
var continues = []byte("HTTP/1.1 100 Continue\r\n\r\n")

// tellInterim tells of a 1xx response; nil stands for 100 Continue.
func (w *worker) tellInterim(h *relay.ResponseHead) {
	switch {
	case !w.watched:
	case h == nil:
		w.rec.Head(PartInterim, continues)
	default:
		w.tell(PartInterim, func(dst []byte) []byte { return h.Append(dst, relay.Hop{}) })
	}
}
