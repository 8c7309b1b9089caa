package h2

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/net/http2/hpack"

	"github.com/mezusphere/mezu/gather"
	"github.com/mezusphere/mezu/relay"
)

// end is what differs between the two ends of a connection.
type end interface {
	// headers decides what becomes of a section that begins to come on a stream, nil if there
	// is no such stream. The lock is held. An error ends the connection.
	headers(h *heading, s *Stream) error
	// section takes a section that has come to its end. The lock is held.
	section(h *heading) error
	// idle reports whether a stream was never opened. The lock is held.
	idle(id uint32) bool
	// setting takes in a setting that only one end has. The lock is held.
	setting(id uint16, value uint32) error
	// settingsCame is told that a SETTINGS frame of the peer was taken in. The lock is held.
	settingsCame()
	// resetCame counts a stream that the peer has reset before it had ended. The lock is held.
	resetCame() error
	// goAway takes in the peer's GOAWAY. The lock is held.
	goAway(last uint32, code Code)
	// acked is told of the answer to the PING that has begun to drain. The lock is held.
	acked()
	// pause is called before the reader waits for more.
	pause()
	// quiet decides what to do after nothing came for a while, since then; an error ends the
	// connection.
	quiet(since time.Time, now time.Time) error
}

// timing is how long a connection waits for its peer.
type timing struct {
	pingAfter   time.Duration // silence with streams open after which the peer is asked
	pingTimeout time.Duration // how long it may take to answer
	idle        time.Duration // silence without streams after which the connection ends; zero: never
}

// conn is what both ends of a connection share.
type conn struct {
	nc   net.Conn
	out  *gather.Conn
	crew *Crew
	end  end
	timing
	thrifty bool // it holds no memory while it waits for its peer

	// Of the reader alone.
	in     input
	dec    *hpack.Decoder
	head   heading
	readBy time.Time // the deadline in force
	last   time.Time // when something came
	begun  time.Time // when the head or frame under way began; zero: none is
	pinged time.Time // when it was asked whether it is there; zero: it answered
	pings  int       // that have asked so since a head or a piece of a body came

	mu      sync.Mutex // guards what follows, and the streams
	done    *sync.Cond // of mu: something has ended
	streams map[uint32]*Stream
	recent  [64]closed // streams that have ended last, by id
	working int        // jobs of the crew for this connection
	err     error      // why it has ended
	waiting bool       // for nothing but the end: the peer is being told why
	wish    error      // why the reader is to end the connection
	mute    error      // why nothing goes out any more, while what came is still read

	// Sending.
	ready     []byte // frames that go out next
	spare     []byte // the memory of those before
	writing   bool   // somebody writes
	bulk      [urgencies]queue
	bulks     int       // streams in them
	crowd     []*Stream // wait until there is room for a head in ready
	sendWin   int64
	peerWin   int64 // what streams begin with
	tableless bool  // the next section has to say that it uses no table

	// Receiving.
	recvWin   int64 // what it may send
	recvMost  int64 // what it may send without any of it being read
	grown     int64 // by how much the windows of its streams have grown
	growAfter int64 // how much is read on a stream before its window grows, where the path is near
	unread    int64 // came and was not read
	credits   int64 // was read, and not told yet
	credited  time.Time
	rtt       time.Duration // the least that was seen, zero: none
	asked     time.Time     // when the SETTINGS or PING was sent that is not answered yet

	resets, refusals, oversized, controls, updates account
	stuck                                          int
	stuckTimer                                     *time.Timer
}

// closed is a stream that has ended.
type closed struct {
	id    uint32
	reset bool // by this end: what still comes is no fault of the peer
}

// heading is a section of fields under way.
type heading struct {
	id      uint32
	s       *Stream // whose it is
	to      *relay.Section
	sunk    bool // nobody takes it; it is read for the sake of the table
	trailer bool
	end     bool
	size    int
	frames  int
	fault   *StreamError // of the stream, whatever its fields say
	answer  *answer      // that to is of, at the client
}

func (c *conn) init(nc net.Conn, e end, crew *Crew, t timing) {
	c.nc, c.end, c.crew, c.timing = nc, e, crew, t
	if c.out = gather.Of(nc); c.out == nil {
		c.out = gather.New(nc)
		c.nc = c.out
	}
	c.out.Gather()
	c.out.LimitUnsent(gather.Unsent)
	c.done = sync.NewCond(&c.mu)
	c.streams = map[uint32]*Stream{}
	c.in.src = c.nc
	if _, c.thrifty = nc.(*tls.Conn); c.thrifty {
		c.in.rest()
	}
	c.dec = hpack.NewDecoder(tableSize, c.emit)
	c.sendWin, c.peerWin = defaultWindow, defaultWindow
	c.recvWin, c.recvMost = defaultWindow, minConnWindow
	c.last = time.Now()
	c.asked = c.last
}

// emit takes one field.
func (c *conn) emit(f hpack.HeaderField) {
	h := &c.head
	if h.to == nil {
		return
	}
	h.to.Add(f.Name, f.Value)
	if h.to.TooLarge() {
		c.dec.SetEmitEnabled(false)
	}
}

// maxPings is how often a peer is asked by PING before it says something of itself. Servers of gRPC count
// those that come more often than every five minutes, and end the connection with the fourth
// (too_many_pings), and with it each stream that is silent for long.
const maxPings = 2

// keepAlive asks a silent peer whether it is there: by PING, and after some by SETTINGS that set nothing,
// which it must answer as well.
func (c *conn) keepAlive(since, now time.Time) error {
	switch {
	case !c.pinged.IsZero():
		if now.Sub(c.pinged) >= c.pingTimeout {
			return ErrSilent
		}
	case now.Sub(since) >= c.pingAfter:
		c.pinged = now
		c.mu.Lock()
		if c.pings++; c.pings <= maxPings {
			c.ready = appendPing(c.ready, 0, pingAlive)
		} else {
			c.ready = appendSettings(c.ready)
		}
		c.flush(nil)
		c.mu.Unlock()
	}
	return nil
}

// ErrSilent is the end of a connection whose peer does not answer.
var ErrSilent = errors.New("the peer did not answer a PING")

// What our PINGs carry.
var (
	pingAlive = [8]byte{'m', 'e', 'z', 'u', 'l', 'i', 'v', 'e'}
	pingDrain = [8]byte{'m', 'e', 'z', 'u', 'e', 'n', 'd', 's'}
)

// read takes frames until the connection ends.
func (c *conn) read() error {
	for first := true; ; first = false {
		if c.thrifty {
			c.in.rest()
		}
		b, err := c.need(frameHeader)
		if err != nil {
			return err
		}
		f := parseHeader(b)
		switch {
		case f.length > maxFrame:
			return connErr(FrameSizeError, "a frame is larger than it may be")
		case first && (f.kind != frameSettings || f.has(flagAck)):
			return connErr(ProtocolError, "a connection begins with SETTINGS")
		case c.head.id != 0 && (f.kind != frameContinuation || f.id != c.head.id):
			return connErr(ProtocolError, "a section of fields is interrupted")
		}
		if f.kind == frameData {
			c.begun = time.Time{} // its stream has bounds of its own
		} else if c.begun.IsZero() {
			c.begun = c.last
		}
		if err := c.take(f); err != nil {
			return err
		}
		if c.head.id == 0 {
			c.begun = time.Time{}
		}
	}
}

// take takes one frame.
func (c *conn) take(f frame) error {
	switch f.kind {
	case frameData:
		c.pings = 0
		return c.onData(f)
	case frameHeaders:
		c.pings = 0
		return c.onHeaders(f)
	case frameContinuation:
		return c.onContinuation(f)
	case framePriority:
		return c.onPriority(f)
	case frameReset:
		return c.onReset(f)
	case frameSettings:
		return c.onSettings(f)
	case framePing:
		return c.onPing(f)
	case frameGoAway:
		return c.onGoAway(f)
	case frameWindow:
		return c.onWindow(f)
	case frameUpdate:
		return c.onUpdate(f)
	case framePush:
		return connErr(ProtocolError, "nothing may be pushed here")
	}
	if err := c.control(1); err != nil {
		return err
	}
	return c.skip(f.length)
}

// control counts a frame of control, or several.
func (c *conn) control(n float64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.spend(&c.controls, controls, n, "frames that carry nothing")
}

// spend takes some of a budget. The lock is held.
func (c *conn) spend(a *account, b budget, n float64, what string) error {
	if a.take(b, n, time.Now()) {
		return nil
	}
	return connErr(EnhanceYourCalm, "too many "+what)
}

// forget takes a stream out that has ended. The lock is held.
func (c *conn) forget(s *Stream, reset bool) {
	if c.streams[s.id] != s {
		return
	}
	delete(c.streams, s.id)
	c.grown -= s.recvMost - minStreamWindow
	c.recent[s.id/2%uint32(len(c.recent))] = closed{s.id, reset}
	c.unqueue(s)
	s.unstick()
	if s.swallows != nil {
		s.swallows.Stop()
		s.swallows = nil
	}
	c.done.Broadcast()
}

// ended says what is known of a stream that is not open any more. Of one that ended long ago nothing is:
// it may have been reset, and what comes have been on its way. The lock is held.
func (c *conn) ended(id uint32) (known, reset bool) {
	r := c.recent[id/2%uint32(len(c.recent))]
	return r.id == id, r.reset && r.id == id
}

// writeFailed takes in that nothing goes out any more. A server that has closed the connection may
// have said before with which requests it has not begun: what it sent is read first. The lock is held.
func (c *conn) writeFailed(err error) {
	switch _, ok := c.end.(*Client); {
	case !ok:
		c.fail(err)
	case c.mute == nil && c.err == nil:
		c.mute = err
		c.disperse()
		c.nc.SetReadDeadline(time.Now().Add(closeTimeout))
	}
}

// fail ends the connection at once. The lock is held.
func (c *conn) fail(err error) {
	if c.err != nil {
		return
	}
	c.err = err
	for _, s := range c.streams {
		s.fail(err)
	}
	for _, s := range c.streams {
		c.forget(s, false)
	}
	c.disperse() // among it are streams that have no number yet
	c.done.Broadcast()
	c.nc.SetDeadline(time.Unix(1, 0)) // who reads or writes wakes up
}

// farewell ends the connection after the reader has ended with err: the peer is told why, if it
// is to know. It returns when nothing is written any more, and nobody works for it.
func (c *conn) farewell(err error, last uint32) {
	var fault *ConnError
	told := false
	c.mu.Lock()
	if errors.As(err, &fault) && !fault.Remote && c.err == nil {
		c.ready = appendGoAway(c.ready, last, fault.Code, "")
		told = c.sendGoAway(err)
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF // or it would be taken for the end of a body
	}
	c.fail(err)
	for c.working > 0 || c.writing {
		c.done.Wait()
	}
	c.mu.Unlock()
	if told {
		c.linger()
	}
	c.in.r = c.in.w
	c.in.rest()
	c.mu.Lock()
	c.ready = c.ready[:0]
	c.rest()
	c.mu.Unlock()
}

// sendGoAway writes what is ready, without waiting for long, and reports whether it went out. All
// streams end with err. The lock is held.
func (c *conn) sendGoAway(err error) bool {
	for _, s := range c.streams {
		s.fail(err)
		c.unqueue(s)
	}
	c.waiting = true
	timer := time.AfterFunc(closeTimeout, func() { c.nc.SetWriteDeadline(time.Unix(1, 0)) })
	defer timer.Stop()
	c.flush(nil)
	for c.writing {
		c.done.Wait()
	}
	return len(c.ready) == 0 && c.err == nil
}

// linger closes the sending side and reads what still comes for a moment: a reset would destroy
// what the peer was told.
func (c *conn) linger() {
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	c.nc.SetDeadline(time.Now().Add(closeTimeout)) // TLS has left one behind that has passed
	if c.out.Drain(closeTimeout) != nil {
		return
	}
	io.CopyN(io.Discard, c.nc, lingerBytes)
}

// lingerBytes bounds what is still read.
const lingerBytes = 1 << 20
