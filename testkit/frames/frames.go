// Package frames is one end of a connection of HTTP/2 that says whatever a test wants,
// frame by frame and byte by byte, and keeps what it is told.
//
// What lives here: what tests of the edge's and of the Warpgate's HTTP/2 share. What may
// not: a server or a client that keeps to the protocol by itself, which net/http has, and
// an import of this project. Only tests import it.
package frames

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Patience bounds every wait of a test that has gone wrong.
const Patience = 30 * time.Second

// keptBody is how much of a body is kept; the rest is counted.
const keptBody = 1 << 20

// Options say what an end does by itself.
type Options struct {
	// Settings are sent at the beginning.
	Settings []http2.Setting
	// Silent leaves SETTINGS out, and does not acknowledge those of the other end.
	Silent bool
	// NoPong leaves PINGs unanswered.
	NoPong bool
	// Refill gives back what each DATA frame has taken of both windows.
	Refill bool
	// Deaf reads nothing.
	Deaf bool
	// Raw sends nothing by itself, not even the preface.
	Raw bool
	// OnFrame is called with each frame that comes, before it is kept. It may send.
	OnFrame func(c *Conn, f http2.Frame)
}

// Stream is what came on one stream.
type Stream struct {
	Status  string
	Head    []hpack.HeaderField // of the final response, or of the request
	Interim []string            // their statuses
	Trailer []hpack.HeaderField
	Body    []byte // the first of it
	Length  int64  // all of it
	Ended   bool   // END_STREAM came
	Reset   *http2.ErrCode
	credit  int64 // that the other end gave, beside the window it began with
}

// Conn is one end of a connection.
type Conn struct {
	net.Conn
	o Options

	writing sync.Mutex
	out     bytes.Buffer
	framer  *http2.Framer

	mu       sync.Mutex
	changed  sync.Cond
	streams  map[uint32]*Stream
	pongs    int
	pings    int
	settings []http2.Setting // of the other end
	initial  int64           // its window of a stream
	credit   int64           // that it gave for the connection
	acked    int             // SETTINGS of this end
	away     *http2.GoAwayFrame
	awayWhy  string
	awayAt   time.Time
	frames   int
	data     int64
	err      error // reading has ended

	dec      *hpack.Decoder
	fields   []hpack.HeaderField
	block    []byte
	blockOf  uint32
	blockEnd bool
	done     chan struct{}
}

// Client is the end that asks. It ends with the test.
func Client(t testing.TB, conn net.Conn, o Options) *Conn {
	t.Helper()
	return start(t, conn, conn, o, http2.ClientPreface)
}

// Server is the end that answers; the preface of the other end was read from r, which
// may be conn.
func Server(t testing.TB, conn net.Conn, r io.Reader, o Options) *Conn {
	t.Helper()
	return start(t, conn, r, o, "")
}

func start(t testing.TB, conn net.Conn, r io.Reader, o Options, preface string) *Conn {
	t.Helper()
	const window = 65_535 // of the connection and of a stream, as long as nothing else is said
	c := &Conn{Conn: conn, o: o, streams: map[uint32]*Stream{}, initial: window, credit: window, done: make(chan struct{})}
	c.changed.L = &c.mu
	c.framer = http2.NewFramer(&c.out, nil)
	c.framer.AllowIllegalWrites = true
	const table = 4096
	c.dec = hpack.NewDecoder(table, func(f hpack.HeaderField) { c.fields = append(c.fields, f) })
	// Before anything is read, and answered.
	if !o.Raw {
		io.WriteString(conn, preface)
		if !o.Silent {
			c.Send(func(w *http2.Framer) { w.WriteSettings(o.Settings...) })
		}
	}
	if o.Deaf {
		close(c.done)
	} else {
		go c.read(r)
	}
	t.Cleanup(func() {
		conn.Close()
		<-c.done
	})
	return c
}

// Send writes frames, all at once.
func (c *Conn) Send(frames func(w *http2.Framer)) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.out.Reset()
	frames(c.framer)
	_, err := c.Conn.Write(c.out.Bytes())
	return err
}

// Block encodes fields, each a name and a value, without the dynamic table.
func Block(fields ...string) []byte {
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	enc.SetMaxDynamicTableSize(0)
	for i := 0; i+1 < len(fields); i += 2 {
		enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return b.Bytes()
}

// Headers opens a stream with these fields, or ends one.
func (c *Conn) Headers(stream uint32, end bool, fields ...string) error {
	return c.Send(func(w *http2.Framer) { Headers(w, stream, end, fields...) })
}

// Headers is Conn.Headers among other frames.
func Headers(w *http2.Framer, stream uint32, end bool, fields ...string) {
	w.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: Block(fields...), EndHeaders: true, EndStream: end})
}

// Reset resets a stream.
func (c *Conn) Reset(stream uint32, code http2.ErrCode) error {
	return c.Send(func(w *http2.Framer) { w.WriteRSTStream(stream, code) })
}

// Data sends a piece of a body.
func (c *Conn) Data(stream uint32, end bool, p []byte) error {
	return c.Send(func(w *http2.Framer) { w.WriteData(stream, end, p) })
}

// Credit enlarges windows; stream 0 is the connection.
func (c *Conn) Credit(n uint32, streams ...uint32) error {
	return c.Send(func(w *http2.Framer) {
		for _, s := range streams {
			w.WriteWindowUpdate(s, n)
		}
	})
}

// Upload sends n bytes of a body, as far and as soon as the windows let it, and says how
// many it has sent when there is no more to send, the stream was reset or nothing has
// moved for a while.
func (c *Conn) Upload(stream uint32, n int64, end bool, within time.Duration) (sent int64) {
	const frame = 16 << 10 // the largest that every end takes
	for block := make([]byte, frame); ; {
		var piece int64
		reset := false
		c.wait(within, func() bool {
			s := c.stream(stream)
			piece, reset = min(n-sent, frame, c.credit, c.initial+s.credit), s.Reset != nil
			return piece > 0 || sent == n || reset
		})
		if piece <= 0 && sent < n || reset {
			return sent
		}
		c.mu.Lock()
		c.credit -= piece
		c.stream(stream).credit -= piece
		c.mu.Unlock()
		sent += piece
		if c.Data(stream, end && sent == n, block[:piece]) != nil || sent == n {
			return sent
		}
	}
}

func (c *Conn) read(r io.Reader) {
	defer close(c.done)
	f := http2.NewFramer(nil, r)
	f.AllowIllegalReads = true
	f.SetMaxReadFrameSize(1<<24 - 1)
	f.SetReuseFrames()
	for {
		frame, err := f.ReadFrame()
		if err == nil && c.o.OnFrame != nil {
			c.o.OnFrame(c, frame)
		}
		c.mu.Lock()
		if err != nil {
			c.err = err
		} else {
			c.keep(frame)
		}
		c.changed.Broadcast()
		c.mu.Unlock()
		if err != nil {
			return
		}
		c.respond(frame)
	}
}

// respond does what an end does by itself.
func (c *Conn) respond(frame http2.Frame) {
	switch f := frame.(type) {
	case *http2.SettingsFrame:
		if !f.IsAck() && !c.o.Silent && !c.o.Raw {
			c.Send(func(w *http2.Framer) { w.WriteSettingsAck() })
		}
	case *http2.PingFrame:
		if !f.IsAck() && !c.o.NoPong {
			c.Send(func(w *http2.Framer) { w.WritePing(true, f.Data) })
		}
	case *http2.DataFrame:
		if n := f.Length; c.o.Refill && n > 0 {
			c.Send(func(w *http2.Framer) {
				w.WriteWindowUpdate(0, n)
				if !f.StreamEnded() {
					w.WriteWindowUpdate(f.StreamID, n)
				}
			})
		}
	}
}

func (c *Conn) stream(id uint32) *Stream {
	s := c.streams[id]
	if s == nil {
		s = &Stream{}
		c.streams[id] = s
	}
	return s
}

// keep notes a frame.
func (c *Conn) keep(frame http2.Frame) {
	c.frames++
	switch f := frame.(type) {
	case *http2.SettingsFrame:
		if f.IsAck() {
			c.acked++
		} else {
			f.ForeachSetting(func(s http2.Setting) error {
				if c.settings = append(c.settings, s); s.ID == http2.SettingInitialWindowSize {
					c.initial = int64(s.Val)
				}
				return nil
			})
		}
	case *http2.PingFrame:
		if f.IsAck() {
			c.pongs++
		} else {
			c.pings++
		}
	case *http2.GoAwayFrame:
		// The last one says why.
		away := *f
		if c.away == nil || f.ErrCode != http2.ErrCodeNo {
			c.away, c.awayAt, c.awayWhy = &away, time.Now(), string(f.DebugData())
		}
	case *http2.WindowUpdateFrame:
		if f.StreamID == 0 {
			c.credit += int64(f.Increment)
		} else {
			c.stream(f.StreamID).credit += int64(f.Increment)
		}
	case *http2.RSTStreamFrame:
		code := f.ErrCode
		if s := c.stream(f.StreamID); s.Reset == nil {
			s.Reset = &code
		}
	case *http2.DataFrame:
		s := c.stream(f.StreamID)
		s.Length += int64(len(f.Data()))
		c.data += int64(len(f.Data()))
		s.Body = append(s.Body, f.Data()[:min(len(f.Data()), keptBody-len(s.Body))]...)
		s.Ended = s.Ended || f.StreamEnded()
	case *http2.HeadersFrame:
		c.block, c.blockOf, c.blockEnd = append(c.block[:0], f.HeaderBlockFragment()...), f.StreamID, f.StreamEnded()
		if f.HeadersEnded() {
			c.keepBlock()
		}
	case *http2.ContinuationFrame:
		c.block = append(c.block, f.HeaderBlockFragment()...)
		if f.HeadersEnded() {
			c.keepBlock()
		}
	}
}

// keepBlock notes fields.
func (c *Conn) keepBlock() {
	c.fields = nil
	c.dec.Write(c.block)
	c.dec.Close()
	s := c.stream(c.blockOf)
	status := field(c.fields, ":status")
	switch {
	case len(status) == 3 && status[0] == '1':
		s.Interim = append(s.Interim, status)
	case s.Head == nil:
		s.Status, s.Head = status, c.fields
	default:
		s.Trailer = c.fields
	}
	s.Ended = s.Ended || c.blockEnd
}

func field(fields []hpack.HeaderField, name string) string {
	for _, f := range fields {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// Field is the first value of a field of the head.
func (s *Stream) Field(name string) string { return field(s.Head, name) }

// wait waits until cond holds, which is called with the lock held, and reports whether it
// does. It gives up when nothing more comes.
func (c *Conn) wait(within time.Duration, cond func() bool) bool {
	late := false
	timer := time.AfterFunc(within, func() {
		c.mu.Lock()
		late = true
		c.changed.Broadcast()
		c.mu.Unlock()
	})
	defer timer.Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for !cond() {
		if late || c.err != nil {
			return false
		}
		c.changed.Wait()
	}
	return true
}

// WaitStream waits until cond holds for a stream, and gives what came on it.
func (c *Conn) WaitStream(id uint32, cond func(s *Stream) bool) (Stream, bool) {
	ok := c.wait(Patience, func() bool { return cond(c.stream(id)) })
	return c.Stream(id), ok
}

// Stream is what has come on a stream.
func (c *Conn) Stream(id uint32) Stream {
	c.mu.Lock()
	defer c.mu.Unlock()
	return *c.stream(id)
}

// End waits for the end of a stream and says in one word what it was: the status of a
// response that came to its end, "STATUS then CODE" of one that was reset, the code of a reset without one, "GOAWAY CODE",
// "closed", or "nothing".
func (c *Conn) End(id uint32) string {
	ok := c.wait(Patience, func() bool {
		s := c.stream(id)
		return s.Ended || s.Reset != nil || c.away != nil && c.away.ErrCode != http2.ErrCodeNo
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stream(id)
	switch {
	case s.Ended:
		return s.Status
	case s.Reset != nil && s.Status != "":
		return s.Status + " then " + s.Reset.String()
	case s.Reset != nil:
		return s.Reset.String()
	case c.away != nil:
		return "GOAWAY " + c.away.ErrCode.String()
	case ok || c.err != nil:
		return "closed"
	}
	return "nothing"
}

// Count waits until n streams match.
func (c *Conn) Count(n int, match func(s *Stream) bool) bool {
	return c.wait(Patience, func() bool { return c.matching(match) >= n })
}

// Matching is how many streams match.
func (c *Conn) Matching(match func(s *Stream) bool) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.matching(match)
}

func (c *Conn) matching(match func(s *Stream) bool) (n int) {
	for _, s := range c.streams {
		if match(s) {
			n++
		}
	}
	return n
}

// Away waits for a GOAWAY with an error and gives its code and when it came. It gives
// an error if the connection ends without one, or nothing happens.
func (c *Conn) Away(within time.Duration) (http2.ErrCode, time.Time, error) {
	ok := c.wait(within, func() bool { return c.away != nil && c.away.ErrCode != http2.ErrCodeNo })
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case ok:
		return c.away.ErrCode, c.awayAt, nil
	case c.err != nil:
		return 0, time.Now(), fmt.Errorf("the connection ended without a GOAWAY: %w", c.err)
	}
	return 0, time.Now(), fmt.Errorf("no GOAWAY within %v", within)
}

// WaitAway waits for a GOAWAY of any code and gives its code and the last stream.
func (c *Conn) WaitAway() (code http2.ErrCode, last uint32, ok bool) {
	if !c.wait(Patience, func() bool { return c.away != nil }) {
		return 0, 0, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.away.ErrCode, c.away.LastStreamID, true
}

// Gone reports whether the other end has said GOAWAY with an error or has ended the connection.
func (c *Conn) Gone() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err != nil || c.away != nil && c.away.ErrCode != http2.ErrCodeNo
}

// Closed waits until the connection has ended.
func (c *Conn) Closed() bool {
	select {
	case <-c.done:
		return true
	case <-time.After(Patience):
		return false
	}
}

// Ping sends a PING and waits for its answer.
func (c *Conn) Ping() bool {
	c.mu.Lock()
	want := c.pongs + 1
	c.mu.Unlock()
	if c.Send(func(w *http2.Framer) { w.WritePing(false, [8]byte{'p'}) }) != nil {
		return false
	}
	answered := false
	c.wait(Patience, func() bool {
		answered = c.pongs >= want
		return answered || c.away != nil && c.away.ErrCode != http2.ErrCodeNo
	})
	return answered
}

// Pongs is how many PINGs were answered; Pings how many came.
func (c *Conn) Pongs() int { c.mu.Lock(); defer c.mu.Unlock(); return c.pongs }

// Pings is how many PINGs came.
func (c *Conn) Pings() int { c.mu.Lock(); defer c.mu.Unlock(); return c.pings }

// Setting waits for the other end's SETTINGS and gives one of them.
func (c *Conn) Setting(id http2.SettingID, otherwise uint32) uint32 {
	c.wait(Patience, func() bool { return c.settings != nil })
	c.mu.Lock()
	defer c.mu.Unlock()
	v := otherwise
	for _, s := range c.settings {
		if s.ID == id {
			v = s.Val
		}
	}
	return v
}

// Acked waits until n SETTINGS of this end were acknowledged.
func (c *Conn) Acked(n int) bool { return c.wait(Patience, func() bool { return c.acked >= n }) }

// Frames is how many frames came.
func (c *Conn) Frames() int { c.mu.Lock(); defer c.mu.Unlock(); return c.frames }

// Received is how many bytes of bodies came.
func (c *Conn) Received() int64 { c.mu.Lock(); defer c.mu.Unlock(); return c.data }

// String says how the connection is.
func (c *Conn) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	away := "no GOAWAY"
	if c.away != nil {
		away = fmt.Sprintf("GOAWAY %v %q up to %d", c.away.ErrCode, c.awayWhy, c.away.LastStreamID)
	}
	return fmt.Sprintf("%s, %d streams, %d frames, %v", away, len(c.streams), c.frames, c.err)
}
