// Package mux carries many small exchanges side by side on one connection between an edge
// and a Warpgate. What several of them write at the same time goes out by one system call,
// and what came for several is read by one. spec.md of package tunnel, section 6, is the
// protocol.
//
// Each exchange has a Stream, which is a net.Conn to whoever carries it. There are no
// windows: an exchange takes Budget bytes each way at most, and the rest of a larger
// response goes over a connection of its own. So nobody who reads slowly holds up others,
// and what waits for one is bounded.
//
// What lives here: frames, streams, and the one writer. What may not: HTTP, sessions, and who
// may use a stream. It imports gather only; tunnel imports it.
package mux

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"time"

	"github.com/mezusphere/mezu/gather"
)

const (
	// Budget is how many bytes of one exchange a shared connection carries each way. Most
	// answers of an API fit. All that waits for whoever reads slowly lies in memory, up to
	// that.
	Budget = 32 << 10
	// MaxStray bounds the bytes that may still come for a stream after it was cancelled: all
	// that its exchange could have, each byte in a frame of its own, MOVE and END.
	MaxStray = Budget*(headSize+1) + 2*headSize
	// maxQueued bounds what waits for the socket. Who writes more waits. On the fastest paths
	// it is gone within a millisecond. With one more write, what waits is less than a
	// gather.Conn takes.
	maxQueued = 256 << 10
	// maxUnread bounds what waits for the socket while the edge goes on to begin exchanges.
	// END, REFUSED and MOVE wait for no room, and an edge that reads nothing would have them
	// fill the memory.
	maxUnread = 2 * maxQueued
	// maxMoves is how many connections are fetched for the rest of one response: the first may
	// have been closed just then.
	maxMoves = 2
	// maxKept is the largest buffer that a writer keeps while it has nothing to write.
	maxKept = 64 << 10
	// maxFavours is how many batches a writer sends for others after its own. Then a
	// goroutine goes on: it has an exchange to carry.
	maxFavours = 4
)

// Errors of streams and connections.
var (
	// ErrRefused is an error of reading from a stream for which the Warpgate has no room.
	// Nobody has acted upon what was sent.
	ErrRefused error = refused{}
	// ErrCancelled is the cause of a stream's context when the edge cancelled its exchange.
	ErrCancelled = errors.New("the edge cancelled the exchange")
	// ErrProtocol says that the peer broke the protocol. The connection is closed.
	ErrProtocol = errors.New("shared connection: protocol error")
	// ErrTooMuch says that more than Budget was written to a stream that can't move.
	ErrTooMuch = errors.New("too much for a shared connection")
)

// refused is the type of ErrRefused.
type refused struct{}

func (refused) Error() string { return "the Warpgate has no room for another exchange" }

// Unprocessed is true: whoever sends the request again does nothing twice.
func (refused) Unprocessed() bool { return true }

// Config is what a Conn is made of.
type Config struct {
	// Conn is the connection, whose handshake is done. Below it is a gather.Conn.
	Conn net.Conn
	// Stall is how long the socket may take nothing before the connection is given up.
	Stall time.Duration
	// Serve serves a stream, at the Warpgate. It returns when the stream is over; ctx ends, and
	// reads and writes fail, when the edge cancels the exchange or the connection ends. If nil,
	// this is the edge's end.
	Serve func(ctx context.Context, s *Stream)
	// Context is what the contexts of streams come from.
	Context context.Context
	// Admit takes a place for a stream, which Leave gives back. If it is false, the stream is
	// refused. Streams bounds them as well; more break the protocol. Those that the edge has
	// cancelled count until Serve returns: while there are too many, streams are refused.
	Admit   func() bool
	Leave   func()
	Streams int
}

// Conn is one end of a shared connection. It is safe for concurrent use.
type Conn struct {
	cfg   Config
	nc    net.Conn
	out   *gather.Conn
	tasks sync.WaitGroup

	mu      sync.Mutex
	streams map[uint32]*Stream
	fresh   map[*Stream]struct{} // streams that the Warpgate doesn't know yet (edge)
	serving int                  // calls of Serve
	last    uint32               // number of the stream that began last
	stray   int                  // bytes that may still come for streams that are no more
	err     error                // why it ended
	queue   []byte               // frames that wait to be written
	spare   []byte
	writing bool
	full    bool      // the socket takes nothing now
	crowd   []*Stream // those that wait until the queue is taken
}

// New makes one end of a connection. It starts nothing, and fails if there is no gather.Conn.
func New(c Config) (*Conn, error) {
	out := gather.Of(c.Conn)
	if out == nil {
		return nil, errors.New("no writes can be gathered below the connection")
	}
	out.Gather()
	return &Conn{cfg: c, nc: c.Conn, out: out, streams: map[uint32]*Stream{}, fresh: map[*Stream]struct{}{}}, nil
}

// Open makes a stream, at the edge. The Warpgate learns of it with the first exchange. rest
// gives the connection that carries the rest of a response over Budget, on which the Warpgate
// was told the stream's number. ended is told in a goroutine of its own, unless the stream was
// closed before, that the Warpgate has ended the stream.
func (c *Conn) Open(rest func(ctx context.Context, number uint32) (net.Conn, error), ended func()) *Stream {
	s := newStream(c)
	s.ask, s.onEnd = rest, ended
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.ended = c.err; c.err == nil {
		c.fresh[s] = struct{}{}
	}
	return s
}

// Full reports whether the socket takes nothing now: what is written waits.
func (c *Conn) Full() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.full
}

// Attach gives the rest of a response a connection, at the Warpgate: the edge has named
// stream number id on it. It is nil if that waits for none. Writes of that stream go to rest
// from then on, and who ends the stream closes rest, until detach is called. The edge sends
// nothing on rest before it has the whole response.
func (c *Conn) Attach(id uint32, rest net.Conn) (detach func()) {
	c.mu.Lock()
	s := c.streams[id]
	c.mu.Unlock()
	if s == nil || !s.attach(rest) {
		return nil
	}
	return func() { s.detach(rest) }
}

// Close ends the connection and all streams on it, whose reads and writes fail with why.
// It doesn't wait.
func (c *Conn) Close(why error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = why
	streams, fresh := c.streams, c.fresh
	c.streams, c.fresh, c.queue, c.spare, c.crowd = nil, nil, nil, nil, nil
	c.mu.Unlock()
	c.out.Close()
	for _, s := range streams {
		s.lose(why)
	}
	for s := range fresh {
		s.lose(why)
	}
}

// Wait returns when everything that the connection started has ended, after Run.
func (c *Conn) Wait() { c.tasks.Wait() }

// drop forgets a stream that this end has ended, and tells the peer if that knows it. What
// the peer has sent already may still come. The lock is held.
func (c *Conn) drop(s *Stream) {
	s.gone = true
	delete(c.fresh, s)
	if s.id == 0 || c.streams[s.id] != s {
		return
	}
	delete(c.streams, s.id)
	if c.cfg.Serve != nil {
		c.signal(s.id, kindEnd)
		return
	}
	c.signal(s.id, kindCancel)
	c.stray = min(c.stray, maxStrays) + MaxStray
}

// maxStrays bounds what may come for streams that are no more, all together.
const maxStrays = 64 << 20

// write puts bytes of a stream behind what waits, and writes all of it unless somebody does
// already. If too much waits, the stream is woken when that is taken, and ok is false.
func (c *Conn) write(s *Stream, kind byte, p []byte) (ok bool, err error) {
	c.mu.Lock()
	switch {
	case c.err != nil:
		err = c.err
		c.mu.Unlock()
		return false, err
	case s.gone:
		c.mu.Unlock()
		return false, net.ErrClosed
	case len(c.queue) > maxQueued: // so there is a writer, who calms the crowd
		if !s.waits {
			s.waits = true
			c.crowd = append(c.crowd, s)
		}
		c.mu.Unlock()
		return false, nil
	}
	if s.id == 0 { // numbers rise in the order in which the peer learns of them
		c.last++
		s.id = c.last
		c.streams[s.id] = s
		delete(c.fresh, s)
	}
	for {
		n := min(len(p), maxPayload)
		c.queue = appendFrame(c.queue, kind, s.id, p[:n])
		if p = p[n:]; len(p) == 0 {
			break
		}
		kind = kindData
	}
	if c.writing {
		c.mu.Unlock()
		return true, nil
	}
	c.writing = true
	c.mu.Unlock()
	runtime.Gosched() // others that are about to write go along
	c.flush(maxFavours)
	return true, nil
}

// signal is write for a frame that says something of a stream. It never waits, not even for
// a system call: its caller may hold locks. The lock is held.
func (c *Conn) signal(id uint32, kind byte) {
	if c.err != nil {
		return
	}
	c.queue = appendFrame(c.queue, kind, id, nil)
	if !c.writing {
		c.writing = true
		c.tasks.Go(func() { c.flush(0) })
	}
}

// flush writes what waits, by its only writer. It never waits for the peer: if the socket is
// full, or others have more to write than favours allow, a goroutine goes on. Without favours
// it is that goroutine.
func (c *Conn) flush(favours int) {
	c.mu.Lock()
	for batches := 0; c.err == nil && len(c.queue) > 0; batches++ {
		if favours > 0 && batches == favours {
			c.tasks.Go(func() { c.flush(0) })
			c.mu.Unlock()
			return
		}
		b := c.queue
		c.queue, c.spare = c.spare[:0], nil
		crowd := c.calm()
		c.mu.Unlock()
		for _, s := range crowd {
			s.wake()
		}
		_, err := c.nc.Write(b)
		left := 0
		if err == nil {
			left, err = c.out.Flush()
		}
		if err != nil {
			c.Close(fmt.Errorf("writing: %w", err))
			return
		}
		c.mu.Lock()
		if cap(b) <= maxKept {
			c.spare = b[:0]
		}
		if left == 0 || c.err != nil {
			continue
		}
		c.full = true
		if favours > 0 {
			c.tasks.Go(func() { c.drain(); c.flush(0) })
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		c.drain()
		c.mu.Lock()
	}
	c.writing = false
	c.mu.Unlock()
}

// drain waits until the socket has taken what waits.
func (c *Conn) drain() {
	if err := c.out.Drain(c.cfg.Stall); err != nil {
		c.Close(fmt.Errorf("writing: %w", err))
	}
	c.mu.Lock()
	c.full = false
	c.mu.Unlock()
}

// calm gives the streams that waited for room in the queue, to be woken. The lock is held.
func (c *Conn) calm() []*Stream {
	crowd := c.crowd
	c.crowd = nil
	for _, s := range crowd {
		s.waits = false
	}
	return crowd
}

// waits reports whether the stream will be woken when there is room in the queue.
func (c *Conn) waits(s *Stream) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return s.waits && c.err == nil
}
