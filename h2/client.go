package h2

import (
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/mezusphere/mezu/relay"
)

// What the client asks of a server.
const (
	// MaxClientStreams is how many exchanges share a connection at most. If nobody reads any of
	// them, their windows fill the one of the connection, and no more. A server may allow fewer.
	MaxClientStreams = (maxConnWindow - maxGrown) / minStreamWindow
	// maxHeads is how many heads of one response wait to be read: as many interim ones as may
	// come at once, and the final one.
	maxHeads = relay.MaxInterim + 1
	// trusted is how long a server is taken to be there that has said something: a dead connection
	// costs those requests that are sent within it, and one more.
	trusted = time.Second
)

// ClientConfig is how a client treats its server.
type ClientConfig struct {
	// PingAfter is the silence with streams open after which the server is asked whether it is
	// there, PingTimeout how long it may take to answer.
	PingAfter, PingTimeout time.Duration
	// Allowed is how many exchanges the server is taken to allow until it says that itself: what
	// another connection to it was told. Zero is nothing known.
	Allowed int
	// Room is told, without waiting, when another exchange may be begun that could not before, or
	// when the connection has ended; if nil, nobody is.
	Room func()
}

// Client is one connection to a server. It is safe for concurrent use.
type Client struct {
	conn
	cfg ClientConfig

	// Guarded by the lock.
	nextID   uint32
	reserved int
	most     uint32    // SETTINGS_MAX_CONCURRENT_STREAMS
	guess    int       // the same before its SETTINGS came, zero: none
	away     bool      // GOAWAY came, or it takes no more requests
	seen     time.Time // when something came from the server, at the latest
	tried    time.Time // when a place was taken last
	waits    bool      // somebody waits for the server to say anything
	said     error     // what the server's GOAWAY said
}

// client is what a stream has at the client.
type client struct {
	method string
	awaits bool // the final head has not come
	heads  []*answer
	front  *answer // whose fields are in use
	readBy time.Time
	unsent bool    // GOAWAY said that it was not served
	begun  bool    // a section of it is being read, whose reader knows it
	spare  *answer // for the next head
}

var clientStreams = sync.Pool{New: func() any { return &Stream{} }}

// answer is a head of a response.
type answer struct {
	section relay.Section
	head    relay.ResponseHead
}

// Ends of a stream that was never opened, as if the server had said so: errAway where the connection
// ends, errFull where it allows no further stream.
var (
	errAway = &ConnError{Code: NoError, Remote: true}
	errFull = &StreamError{Code: RefusedStream, Remote: true}
)

// NewClient begins to speak HTTP/2 on a connection. Run has to be called.
func NewClient(nc net.Conn, crew *Crew, cfg ClientConfig) *Client {
	c := &Client{cfg: cfg, nextID: 1, most: MaxClientStreams, guess: cfg.Allowed}
	c.init(nc, c, crew, timing{pingAfter: cfg.PingAfter, pingTimeout: cfg.PingTimeout})
	c.ready = append(c.ready, preface...)
	c.ready = appendSettings(c.ready, setting{settingPush, 0}, setting{settingWindow, minStreamWindow}, setting{settingHeadSize, relay.MaxHead})
	c.ready = appendWindow(c.ready, 0, minConnWindow-defaultWindow)
	c.recvWin, c.growAfter = minConnWindow, growAfter
	c.seen = time.Now()
	return c
}

// Run reads from the server until the connection has ended, and closes it. It returns why it
// ended.
func (c *Client) Run() error {
	c.mu.Lock()
	c.flush(nil)
	c.mu.Unlock()
	err := c.conn.read()
	c.mu.Lock()
	if fault, ok := errors.AsType[*ConnError](err); c.said != nil && (!ok || fault.Remote) {
		err = c.said // it ended as it was announced
	}
	c.mu.Unlock()
	c.farewell(err, 0)
	c.nc.Close()
	c.room()
	return err
}

func (c *Client) room() {
	if c.cfg.Room != nil {
		c.cfg.Room()
	}
}

// Reserve takes the place of an exchange, which Open uses, and reports whether there is one. A
// server that has said nothing for a while may be gone: one exchange is begun with it, and it is
// asked whether it is there. Until it says anything there is no place for others, and asked is
// true.
func (c *Client) Reserve() (ok, asked bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.usable() || c.reserved >= c.allowed() {
		return false, false
	}
	now := time.Now()
	if now.Sub(c.seen) >= trusted {
		if c.tried.After(c.seen) {
			c.waits = true
			return false, true
		}
		c.ready = appendSettings(c.ready) // it goes out with the request; servers of gRPC count PINGs
	}
	c.tried = now
	c.reserved++
	return true, false
}

// Allowed is how many exchanges there may be at a time, as far as is known.
func (c *Client) Allowed() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.allowed()
}

// allowed does the same. The lock is held.
func (c *Client) allowed() int {
	if c.guess > 0 {
		return min(c.guess, MaxClientStreams)
	}
	return int(min(c.most, MaxClientStreams))
}

// usable reports whether further exchanges may begin on the connection. The lock is held.
func (c *Client) usable() bool {
	return c.err == nil && c.wish == nil && c.mute == nil && !c.away && c.nextID <= maxWindow-2*MaxClientStreams
}

// Open begins an exchange for which Reserve has taken a place. Close gives it back.
func (c *Client) Open(method string) *Stream {
	s := clientStreams.Get().(*Stream)
	heads, spare := s.heads[:0], s.spare
	c.mu.Lock()
	defer c.mu.Unlock()
	s.init(&c.conn, 0)
	s.method, s.awaits, s.heads, s.spare = method, true, heads, spare
	return s
}

// Leave has the connection end when no exchange is left.
func (c *Client) Leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.away = true
	c.leave()
}

// leave has the connection end when no exchange is left and none may come, because it is away, or because
// the server allows none. The lock is held.
func (c *Client) leave() {
	if (c.away || c.most == 0) && c.reserved == 0 && c.wish == nil {
		c.wish = &ConnError{Code: NoError, Why: "no exchange is left"}
		c.nc.SetReadDeadline(time.Unix(1, 0))
	}
}

// Kill ends the connection at once.
func (c *Client) Kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail(ErrClosed)
}

// Close ends the exchange, whatever is left of it, and gives its memory and its place back. Nothing
// of the stream is used after it, nor of its heads.
func (s *Stream) Close() {
	c := s.c.end.(*Client)
	c.mu.Lock()
	s.pending = nil
	s.free()
	s.shut = true
	if s.id != 0 && c.streams[s.id] == s {
		c.reset(s, streamErr(Cancel, "it was given up"))
	}
	for _, a := range s.heads {
		s.spare = a
	}
	if s.front != nil {
		s.spare, s.front = s.front, nil
	}
	clear(s.heads)
	c.reserved--
	c.flush(nil)
	c.leave()
	again := !s.begun
	c.mu.Unlock()
	c.room()
	if again {
		clientStreams.Put(s)
	}
}

// open gives a stream of the client its number, with its head. The lock is held.
func (s *Stream) open() error {
	if s.id != 0 {
		return nil
	}
	c, ok := s.c.end.(*Client)
	if !ok {
		return nil
	}
	if c.away || c.err != nil || c.wish != nil || c.mute != nil {
		s.unsent = true
		s.fail(errAway)
		return s.err
	}
	if len(c.streams) >= int(min(c.most, MaxClientStreams)) {
		// The place was taken before the server said how many it allows. One too many breaks
		// its rule: it may end the stream by PROTOCOL_ERROR, which nobody may try again.
		s.unsent = true
		s.fail(errFull)
		return s.err
	}
	s.id = c.nextID
	c.nextID += 2
	s.sendWin = c.peerWin
	c.streams[s.id] = s
	return nil
}

// FixRead bounds all reads together, until ReadWithin.
func (s *Stream) FixRead(d time.Duration) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.readBy = time.Now().Add(d)
}

// Unprocessed reports whether it is certain that the server has not acted upon the request
// (RFC 9113, 8.7).
func (s *Stream) Unprocessed() bool {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	var reset *StreamError
	return s.unsent || s.id == 0 || errors.As(s.err, &reset) && reset.Remote && reset.Code == RefusedStream
}

// Touched reports whether something of an answer came. A reset is one: the server is there, and has
// decided.
func (s *Stream) Touched() bool {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	var reset *StreamError
	return s.front != nil || len(s.heads) > 0 || errors.As(s.err, &reset) && reset.Remote
}

// ReadHead reads the next head of the response. What came before of it stays valid until then.
func (s *Stream) ReadHead(h *relay.ResponseHead) error {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(s.heads) == 0 {
		switch {
		case s.err != nil:
			return s.err
		case s.recvEnd:
			return io.ErrUnexpectedEOF
		}
		within := time.Duration(0)
		if !s.readBy.IsZero() {
			if within = time.Until(s.readBy); within <= 0 {
				return os.ErrDeadlineExceeded
			}
		} else {
			within = s.readFor
		}
		c.mu.Unlock()
		err := await(s.readable, within, &s.readTimer)
		c.mu.Lock()
		if err != nil && len(s.heads) == 0 && s.err == nil {
			return err
		}
	}
	if s.front != nil {
		s.spare = s.front
	}
	s.front = s.heads[0]
	s.heads = slices.Delete(s.heads, 0, 1)
	fields := append(h.Fields[:0], s.front.head.Fields...)
	*h = s.front.head
	h.Fields = fields // which are the caller's
	return nil
}

func (c *Client) idle(id uint32) bool { return id >= c.nextID || id%2 == 0 }

func (c *Client) setting(id uint16, value uint32) error {
	switch {
	case id == settingStreams:
		c.most, c.guess, c.waits = value, 0, true // who waits for a place looks again
	case id == settingPush && value != 0:
		return connErr(ProtocolError, "a server enables push")
	}
	return nil
}

// settingsCame: a server whose SETTINGS say nothing of it allows any number of exchanges.
func (c *Client) settingsCame() {
	if c.guess > 0 {
		c.guess, c.waits = 0, true
	}
}

// resetCame: each stream was our own request, so that the server can't reset more than those.
func (c *Client) resetCame() error { return nil }

func (c *Client) goAway(last uint32, code Code) {
	c.away, c.said = true, &ConnError{Code: code, Remote: true}
	for id, s := range c.streams {
		if id > last {
			s.unsent = true
			s.fail(c.said)
			c.forget(s, true)
		}
	}
	c.leave()
}

func (c *Client) acked() {}

func (c *Client) pause() {
	c.mu.Lock()
	waits := c.waits
	c.seen, c.waits = c.last, false
	c.flush(nil)
	c.mu.Unlock()
	if waits {
		c.room()
	}
}

func (c *Client) quiet(since, now time.Time) error {
	c.mu.Lock()
	open := len(c.streams)
	c.mu.Unlock()
	if open == 0 {
		return nil
	}
	return c.keepAlive(since, now)
}

// headers begins a head of a response, or its trailers.
func (c *Client) headers(h *heading, s *Stream) error {
	switch {
	case s == nil && c.idle(h.id):
		return connErr(ProtocolError, "a response comes on a stream that was never opened")
	case s == nil:
		if known, reset := c.ended(h.id); known && !reset {
			return connErr(StreamClosed, "HEADERS are on a stream that has ended")
		}
		h.sunk = true
	case s.recvEnd:
		h.fault = streamErr(StreamClosed, "HEADERS follow the end of their stream")
	case s.awaits:
		if len(s.heads) == maxHeads {
			h.fault = streamErr(EnhanceYourCalm, "more interim responses come than are read")
			break
		}
		a := s.spare
		if s.spare = nil; a == nil {
			a = &answer{}
		}
		h.s, h.to = s, &a.section
		h.to.Reset(relay.SectionResponse)
		h.answer = a
	default:
		if h.trailer = true; !h.end {
			h.fault = streamErr(ProtocolError, "trailers do not end their stream")
			break
		}
		if s.tail == nil {
			s.tail = &relay.Section{}
		}
		h.s, h.to = s, s.tail
		h.to.Reset(relay.SectionTrailer)
	}
	if h.s != nil {
		h.s.begun = true
	}
	return nil
}

// section takes a head of a response or its trailers.
func (c *Client) section(h *heading) error {
	s := h.s
	if s != nil {
		s.begun = false
	}
	switch {
	case h.sunk:
		return nil
	case s == nil || h.fault != nil:
		return c.offend(h.id, h.fault)
	case c.streams[h.id] != s:
		return nil // it was given up meanwhile
	case h.trailer:
		if s.declared >= 0 && s.came != s.declared {
			return c.offend(h.id, wrongLength())
		}
		trailer, err := h.to.Trailer()
		if err != nil {
			return c.offend(h.id, &StreamError{Code: ProtocolError, Why: err.Error(), Err: err})
		}
		s.trailer = trailer
		s.endCame()
		return nil
	}
	if err := h.to.Response(&h.answer.head, s.method, h.end); err != nil {
		return c.offend(h.id, &StreamError{Code: ProtocolError, Why: err.Error(), Err: err})
	}
	if h.answer.head.Status >= 200 {
		s.awaits, s.declared = false, h.to.Content()
	}
	s.heads = append(s.heads, h.answer)
	signal(s.readable)
	if h.end {
		s.endCame()
	}
	return nil
}
