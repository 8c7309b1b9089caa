package relay

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

// earlyPause is how long a body of unknown length must pause before it may be sent on as it
// comes. A body that is sent in one go arrives without such a pause.
const earlyPause = 250 * time.Millisecond

// MaxHeld is the largest body that is held until all of it has come before it is sent on. Of
// a body of unknown length, so much is held before it is sent on as it comes.
const MaxHeld = 64 << 10

// Store bounds the memory of what is held. Its methods may be called from several
// goroutines.
type Store interface {
	// Take asks for n bytes.
	Take(n int) bool
	// Give gives them back.
	Give(n int)
	// Spare reports whether there is so much room elsewhere that a body may be sent on
	// before all of it has come.
	Spare() bool
}

// Held is a body whose beginning is held in memory, or all of it. It is the Source of that
// body, and can begin anew as long as nothing was read beyond what is held.
type Held struct {
	src      Source
	store    Store
	parts    [3]*[]byte // a small buffer and then big ones
	sizes    [3]int     // what is in each
	count    int        // of parts
	n        int        // bytes in all of them
	tail     []byte     // the last piece, where the source keeps it
	taken    int        // of the store
	complete bool
	at       int  // of the part to be given next; count is the tail
	moved    bool // the source was read beyond the tail
	passes   bool // it is sent on as it comes, and held besides

	// The rest is for a body that a goroutine of its own reads. While it does, mu guards
	// the fields above; filled is closed when it has ended.
	mu     sync.Mutex
	filled chan struct{}
	came   int  // pieces
	ended  bool // nothing more is to be read, because of fault if that is set
	fault  error
	let    bool // the body is being sent on: the read under way is the goroutine's last
	early  bool // the same, for whoever calls Next
}

// Begun reports whether the body is to be read here.
func (h *Held) Begun() bool { return h.src != nil }

// Complete reports whether all of the body is here.
func (h *Held) Complete() bool { return h.complete }

// fill reads the source until the body is complete, more than MaxHeld of it came, or the
// store has no room. length is the body's, negative if unknown.
func (h *Held) fill(length int64, pace *Pace) error {
	for !h.ended {
		h.step(length, pace)
	}
	return h.outcome()
}

// step reads once.
func (h *Held) step(length int64, pace *Pace) {
	p, err := pace.Next(h.src)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.came++
	h.ended = true
	switch {
	case err != nil:
		h.fault = err
		h.complete = err == io.EOF && !h.let
	case int64(h.n+len(p)) == length:
		h.tail, h.complete = p, true // where it is, since nothing is read after it
	case h.let || h.n+len(p) > MaxHeld:
		h.tail = p
	default:
		h.tail = h.keep(p)
		h.ended = len(h.tail) > 0
	}
}

// outcome is the answer to what went wrong with the body.
func (h *Held) outcome() error {
	if h.fault == nil || h.fault == io.EOF {
		return nil
	}
	return sourceFault(&SourceError{Err: h.fault, Unsent: true})
}

// fillUnknown is fill for a body of unknown length. When nothing has come for a while, and the
// store has spare room, the body is sent on as it comes: in a conversation by turns, the
// client may be waiting for an answer before it sends more.
func (h *Held) fillUnknown(pace *Pace) error {
	for !h.ended && h.src.Ready() {
		h.step(-1, pace)
	}
	if h.ended {
		return h.outcome()
	}
	h.filled = make(chan struct{})
	last := h.came
	go func() {
		defer close(h.filled)
		for !h.ended { // nobody else sets it
			h.step(-1, pace)
		}
	}()
	timer := time.NewTimer(earlyPause)
	defer timer.Stop()
	for {
		select {
		case <-h.filled:
			return h.outcome()
		case <-timer.C:
			var came int
			if came, h.early = h.letGo(last); h.early {
				return nil
			}
			last = came
			timer.Reset(earlyPause)
		}
	}
}

// letGo has the body sent on if no piece came since last, and the store has spare room.
func (h *Held) letGo(last int) (came int, early bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.let = !h.ended && h.came == last && h.store.Spare()
	return h.came, h.let
}

// reading reports whether the source is being read beside.
func (h *Held) reading() bool {
	if !h.early {
		return false
	}
	select {
	case <-h.filled:
		return false
	default:
		return true
	}
}

// EndHold ends the read that goes on beside, and returns when it has ended.
func (h *Held) EndHold(stop interface{ StopUpload() }) {
	if h.reading() {
		stop.StopUpload()
		<-h.filled
	}
}

// keep copies p, and returns what there was no room for.
func (h *Held) keep(p []byte) []byte {
	for len(p) > 0 {
		if h.count == 0 || h.sizes[h.count-1] == len(*h.parts[h.count-1]) {
			if !h.grow() {
				break
			}
		}
		i := h.count - 1
		n := copy((*h.parts[i])[h.sizes[i]:], p)
		h.sizes[i] += n
		h.n += n
		p = p[n:]
	}
	return p
}

// grow adds a part. For the first one twice its size is asked for, because the reader of the
// connection has a buffer of that size, too.
func (h *Held) grow() bool {
	size := 2 * smallBuffer
	if h.count > 0 {
		size = bigBuffer
	}
	if h.count == len(h.parts) || h.store != nil && !h.store.Take(size) {
		return false
	}
	if h.store != nil {
		h.taken += size
	}
	if h.count == 0 {
		h.parts[0] = smallPool.Get().(*[]byte)
	} else {
		h.parts[h.count] = bigPool.Get().(*[]byte)
	}
	h.sizes[h.count] = 0
	h.count++
	return true
}

// Next gives what is held, and then what the source gives.
func (h *Held) Next() ([]byte, error) {
	if h.at < h.count {
		h.at++
		return (*h.parts[h.at-1])[:h.sizes[h.at-1]], nil
	}
	if h.passes {
		return h.pass()
	}
	if h.early {
		<-h.filled
	}
	if h.at == h.count {
		h.at++
		if len(h.tail) > 0 {
			return h.tail, nil
		}
	}
	if h.fault != nil {
		return nil, h.fault
	}
	if h.complete {
		return nil, io.EOF
	}
	if !h.moved {
		h.moved = true
		h.free()
	}
	return h.src.Next()
}

// pass gives what the source gives, and holds it as long as there is room for all of it.
func (h *Held) pass() ([]byte, error) {
	if h.complete {
		return nil, io.EOF
	}
	p, err := h.src.Next()
	h.complete = err == io.EOF
	if h.n+len(p) > MaxHeld || len(h.keep(p)) > 0 {
		h.moved, h.passes = true, false
		h.free()
		return p, err
	}
	h.at = h.count
	return p, err
}

// Ready reports whether Next returns without waiting.
func (h *Held) Ready() bool {
	if h.at < h.count {
		return true
	}
	if h.passes {
		return h.complete || h.src.Ready()
	}
	return !h.reading() && (h.at == h.count && len(h.tail) > 0 || h.complete || h.fault != nil || h.src.Ready())
}

// Trailer is the source's.
func (h *Held) Trailer() []Field { return h.src.Trailer() }

// Rewind makes the body begin anew, and reports whether it could.
func (h *Held) Rewind() bool {
	if h.moved {
		return false
	}
	h.at = 0
	return true
}

// free gives the memory back.
func (h *Held) free() {
	for i := range h.count {
		if i == 0 {
			smallPool.Put(h.parts[i])
		} else {
			bigPool.Put(h.parts[i])
		}
		h.parts[i] = nil
	}
	if h.taken > 0 {
		h.store.Give(h.taken)
	}
	h.count, h.n, h.taken, h.at, h.tail = 0, 0, 0, 1, nil
}

// Close gives the memory back, and begins no body.
func (h *Held) Close() {
	if h.src != nil {
		h.free()
		*h = Held{}
	}
}

// Hold reads a body before it is sent on, as far as it is to be held. Where it fits
// behind the head in the buffer it stays there.
func (c *Client) Hold(pace *Pace, store Store) error {
	for c.Head.Framing == Length {
		if c.Body.Complete() {
			return nil
		}
		before := c.Reader.Buffered()
		pace.wait()
		room, err := c.Reader.Fill()
		if pace.came(c.Reader.Buffered() - before) {
			return ErrSlowBody
		}
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return sourceFault(&SourceError{Err: err, Unsent: true})
		}
		if !room {
			break
		}
	}
	c.Reader.Pin()
	c.held.src, c.held.store = &c.Body, store
	if c.Head.Framing == Length {
		return c.held.fill(c.Head.Length, pace)
	}
	c.Timed.SetRead(0) // the pace bounds it, and later the silence of both sides
	return c.held.fillUnknown(pace)
}

// Keep has the body held as it is sent on, up to MaxHeld, so that it can begin anew even if
// StopUpload has ended its read.
func (c *Client) Keep() {
	if c.Body.Complete() {
		return // it can anyway
	}
	c.Reader.Pin()
	c.held.src, c.held.passes = (*waryBody)(c), true
}

// waryBody is the body of a Client that is held as it passes: a read that is stopped must not
// have taken half a piece.
type waryBody Client

// Next waits for a piece before it takes one.
func (b *waryBody) Next() ([]byte, error) {
	for !b.held.moved && !b.Body.Ready() {
		b.Reader.Rewind()
		room, err := b.Reader.Fill()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, err
		}
		if !room || err != nil {
			break // which the body says in its own words
		}
	}
	return b.Body.Next()
}

// Ready reports whether Next returns without waiting.
func (b *waryBody) Ready() bool { return b.Body.Ready() }

// Trailer is the body's.
func (b *waryBody) Trailer() []Field { return b.Body.Trailer() }

// Hold is Client.Hold for a stream: r is its body, and h what is to hold it.
func (h *Held) Hold(r *Request, src Source, pace *Pace, store Store) error {
	h.src, h.store = src, store
	if r.Framing == Length {
		return h.fill(r.Length, pace)
	}
	return h.fillUnknown(pace)
}

// streamTypes begin the media types of calls in which both sides may speak by turns for
// as long as they like: gRPC and gRPC-Web, and Connect's streams.
var streamTypes = []string{"application/grpc", "application/connect+"}

// Streams reports whether the request's body is one side of a streaming call, which has no
// end to wait for and no rate.
func (r *Request) Streams() bool { return isOfType(r.Fields, streamTypes) }

// isOfType reports whether a message has a media type that begins with one of these.
func isOfType(fields []Field, types []string) bool {
	for i := range fields {
		if !fields[i].Is("content-type") {
			continue
		}
		v := bytes.TrimLeft(fields[i].Value, " \t")
		for _, t := range types {
			if len(v) >= len(t) && equalFold(v[:len(t)], t) {
				return true
			}
		}
	}
	return false
}
