package h2

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/mezusphere/mezu/relay"
)

// What the server allows a connection.
const (
	// maxStreams is how many requests may be open at once, as Envoy advises for an edge. No more are
	// being carried at once, either, those included that were reset and have not ended yet.
	maxStreams = 100
	// serverIdle bounds the wait for the next request; nginx's default.
	serverIdle = 75 * time.Second
	// serverPing and serverPong find clients that are gone without a word: telephones that have
	// changed the network.
	serverPing = 30 * time.Second
	serverPong = 15 * time.Second
	// drainPause is how long new requests are taken after the first GOAWAY, unless the client
	// has answered it before: what it sent until then is on its way.
	drainPause = time.Second
)

// preface is how a client begins (RFC 9113, 3.4).
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// ServerConfig is what a Server is made of.
type ServerConfig struct {
	// Serve serves a request. It is called on a goroutine of its own, and the stream is its own
	// until it returns. What it has not ended then is reset.
	Serve func(*Stream)
}

// Server serves connections of HTTP/2. It is safe for concurrent use.
type Server struct {
	cfg  ServerConfig
	crew Crew
	pool sync.Pool // of *Stream

	mu       sync.Mutex
	conns    map[*serverConn]struct{}
	draining bool
	closed   bool
	ended    *sync.Cond // of mu
}

// NewServer makes a Server.
func NewServer(cfg ServerConfig) *Server {
	s := &Server{cfg: cfg, conns: map[*serverConn]struct{}{}}
	s.ended = sync.NewCond(&s.mu)
	s.pool.New = func() any { return &Stream{} }
	return s
}

// Admission is what a listener is told of a connection that it has let in (package admission).
type Admission interface {
	// BeginStream says that one more request has come, and whether it may be served.
	BeginStream(at time.Time) bool
	// EndStream says that one has ended that began.
	EndStream()
}

// server is what a stream has at the server.
type server struct {
	tag     any // of its connection
	running bool
	fault   *StreamError
	end     bool
}

// serverConn is one connection of a Server.
type serverConn struct {
	conn
	server    *Server
	admission Admission
	tag       any

	// Guarded by the lock.
	highest  uint32 // stream that was opened
	running  int
	runnable []*Stream
	draining drainState
	lastGood uint32 // streams beyond are not served, once it drains for good
	timer    *time.Timer
}

type drainState uint8

const (
	serving drainState = iota
	goingAway
	gone
)

// ServeConn serves a connection until it has ended. tag is what Stream.Tag gives. It doesn't close
// the connection.
func (s *Server) ServeConn(nc net.Conn, admission Admission, tag any) {
	c := &serverConn{server: s, admission: admission, tag: tag}
	c.init(nc, c, &s.crew, timing{pingAfter: serverPing, pingTimeout: serverPong, idle: serverIdle})
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.conns[c] = struct{}{}
	draining := s.draining
	s.mu.Unlock()
	c.mu.Lock()
	c.ready = appendSettings(c.ready, setting{settingStreams, maxStreams}, setting{settingWindow, minStreamWindow}, setting{settingHeadSize, relay.MaxHead}, setting{settingConnect, 1}, setting{settingNoPriority, 1})
	c.ready = appendWindow(c.ready, 0, minConnWindow-defaultWindow)
	c.recvWin = minConnWindow
	c.flush(nil)
	if draining {
		c.drain()
	}
	c.mu.Unlock()
	err := c.begin()
	if err == nil {
		err = c.conn.read()
	}
	c.farewell(err, c.served())
	c.mu.Lock()
	if c.timer != nil {
		c.timer.Stop()
	}
	if c.stuckTimer != nil {
		c.stuckTimer.Stop()
	}
	c.mu.Unlock()
	s.mu.Lock()
	delete(s.conns, c)
	s.ended.Broadcast()
	s.mu.Unlock()
}

// served is the highest stream that is served. It is for the reader.
func (c *serverConn) served() uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.draining == gone {
		return c.lastGood
	}
	return c.highest
}

// begin reads the client's preface.
func (c *serverConn) begin() error {
	c.begun = time.Now()
	b, err := c.need(len(preface))
	if err == nil && string(b) != preface {
		return connErr(ProtocolError, "the preface of HTTP/2 does not come first")
	}
	return err
}

// Drain has each connection end when no request is under way, and returns when all have, or ctx
// has ended.
func (s *Server) Drain(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
	for c := range s.conns {
		c.mu.Lock()
		c.drain()
		c.mu.Unlock()
	}
	defer context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.ended.Broadcast()
	})()
	for len(s.conns) > 0 && ctx.Err() == nil {
		s.ended.Wait()
	}
}

// Close ends all connections at once, and returns when no goroutine of the server is left. It may be
// called twice.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		c.mu.Lock()
		c.fail(ErrClosed)
		c.mu.Unlock()
	}
	for len(s.conns) > 0 {
		s.ended.Wait()
	}
	s.mu.Unlock()
	s.crew.Close()
}

// drain begins to end the connection: the client is told first that it is to open no more streams,
// and those count that it opens before it knows (RFC 9113, 6.8). The lock is held.
func (c *serverConn) drain() {
	if c.draining != serving || c.err != nil {
		return
	}
	c.draining = goingAway
	c.ready = appendGoAway(c.ready, maxWindow, NoError, "")
	c.ready = appendPing(c.ready, 0, pingDrain)
	c.timer = time.AfterFunc(drainPause, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.acked()
	})
	c.flush(nil)
}

// acked ends taking new streams: the client knows, or has had time to.
func (c *serverConn) acked() {
	if c.draining != goingAway {
		return
	}
	c.draining, c.lastGood = gone, c.highest
	c.ready = appendGoAway(c.ready, c.lastGood, NoError, "")
	c.flush(nil)
	c.leave()
}

// leave ends the connection when it drains and nothing is left, nor a head under way: its client was
// told that it is served. The lock is held.
func (c *serverConn) leave() {
	if c.draining == gone && len(c.streams) == 0 && c.running == 0 && c.head.id == 0 && c.wish == nil {
		c.wish = &ConnError{Code: NoError, Why: "it was drained"}
		c.nc.SetReadDeadline(time.Unix(1, 0))
	}
}

func (c *serverConn) idle(id uint32) bool { return id > c.highest || id%2 == 0 }

func (c *serverConn) setting(uint16, uint32) error { return nil }

func (c *serverConn) settingsCame() {}

func (c *serverConn) resetCame() error { return c.spend(&c.resets, resets, 1, "streams are reset") }

func (c *serverConn) goAway(uint32, Code) {}

func (c *serverConn) quiet(since, now time.Time) error {
	if !c.asleep() {
		return c.keepAlive(since, now)
	}
	if now.Sub(since) >= c.conn.idle {
		return connErr(NoError, "nothing came for a while")
	}
	return nil
}

// headers begins a request, or the trailers of one.
func (c *serverConn) headers(h *heading, s *Stream) error {
	switch {
	case h.id%2 == 0:
		return connErr(ProtocolError, "a client opens a stream of the server")
	case s != nil && (s.recvEnd || s.short):
		h.fault = streamErr(StreamClosed, "HEADERS follow the end of their stream")
	case s != nil:
		if h.trailer = true; !h.end {
			h.fault = streamErr(ProtocolError, "trailers do not end their stream")
		} else if s.tail == nil {
			s.tail = &relay.Section{}
		}
		if h.fault == nil {
			h.s, h.to = s, s.tail
			h.to.Reset(relay.SectionTrailer)
		}
	case h.id > c.highest:
		return c.open(h)
	default:
		known, reset := c.ended(h.id)
		switch {
		case reset:
			h.sunk = true
		case known:
			return connErr(StreamClosed, "HEADERS are on a stream that has ended")
		default:
			return connErr(ProtocolError, "a stream is opened below one that was opened before")
		}
	}
	return nil
}

// open begins a stream.
func (c *serverConn) open(h *heading) error {
	c.highest = h.id
	if c.draining == gone || len(c.streams) >= maxStreams {
		h.sunk = true
		c.queueControl(appendReset(c.ready, h.id, RefusedStream))
		c.recent[h.id/2%uint32(len(c.recent))] = closed{h.id, true}
		return c.spend(&c.refusals, refusals, 1, "streams beyond what may be open")
	}
	s := c.server.pool.Get().(*Stream)
	s.init(&c.conn, h.id)
	s.tag = c.tag
	s.head.Reset(relay.SectionRequest)
	h.s, h.to = s, &s.head
	return nil
}

// section takes the head of a request or its trailers.
func (c *serverConn) section(h *heading) error {
	s := h.s
	switch {
	case h.sunk:
		return nil
	case s == nil:
		return c.offend(h.id, h.fault)
	case h.trailer:
		return c.trailers(h)
	}
	if h.to.TooLarge() {
		if err := c.spend(&c.oversized, oversized, 1, "sections of fields that are too large"); err != nil {
			return err
		}
	}
	s.fault, s.declared = h.fault, h.to.Content()
	s.end, s.recvEnd = h.end, h.end
	c.streams[s.id] = s
	c.runnable = append(c.runnable, s)
	return nil
}

// trailers ends the body of a request. The lock is held.
func (c *serverConn) trailers(h *heading) error {
	s := h.s
	if c.streams[h.id] != s {
		return nil // it was reset meanwhile
	}
	trailer, err := h.to.Trailer()
	if err != nil {
		return c.offend(h.id, &StreamError{Code: ProtocolError, Why: err.Error(), Err: err})
	}
	s.trailer = trailer
	return s.ends()
}

// pause has the requests served that have come, before the reader waits for more. So a small body
// that came with its head is there when its request is looked at. It writes what is ready, as well.
func (c *serverConn) pause() {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, s := range c.runnable {
		if c.running >= maxStreams {
			break
		}
		n++
		c.running++
		c.working++
		s.running = true
		c.crew.do(s)
	}
	kept := copy(c.runnable, c.runnable[n:])
	clear(c.runnable[kept:])
	c.runnable = c.runnable[:kept]
	c.flush(nil)
	c.leave()
}

// work serves the stream.
func (s *Stream) work() {
	c := s.c.end.(*serverConn)
	if c.admission == nil || c.admission.BeginStream(time.Now()) {
		c.server.cfg.Serve(s)
		if c.admission != nil {
			c.admission.EndStream()
		}
	} else {
		c.mu.Lock()
		c.fail(ErrClosed) // another connection has taken its place
		c.mu.Unlock()
	}
	c.finish(s)
}

// finish takes a stream back from who has served it.
func (c *serverConn) finish(s *Stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.pending = nil
	s.free()
	switch {
	case c.streams[s.id] != s:
	case !s.sentEnd:
		c.reset(s, streamErr(InternalError, "its response was cut"))
	default:
		s.swallowRest()
	}
	c.running--
	c.working--
	s.running = false
	if c.streams[s.id] != s && c.head.s != s && c.err == nil {
		c.server.pool.Put(s) // nobody knows it any more
	}
	if len(c.runnable) > 0 && c.err == nil {
		next := c.runnable[0]
		copy(c.runnable, c.runnable[1:])
		c.runnable = c.runnable[:len(c.runnable)-1]
		c.running++
		c.working++
		next.running = true
		c.crew.do(next)
	}
	c.flush(nil)
	if len(c.streams) == 0 && c.working == 0 {
		c.rest()
	}
	c.leave()
	c.done.Broadcast()
}

// swallowRest drops what still comes of a body whose response has ended, for a moment: then the
// client is told to stop. The lock is held.
func (s *Stream) swallowRest() {
	c := s.c
	s.swallow = true
	s.credits = s.recvMost - s.recvWin // what nobody has read is room, too
	s.credit(0)
	id := s.id // s may be another's when the time has come
	s.swallows = time.AfterFunc(swallowTime, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.streams[id] == s {
			c.reset(s, streamErr(NoError, "its response has ended"))
			c.flush(nil)
		}
	})
}

// Tag is what ServeConn was given for the stream's connection.
func (s *Stream) Tag() any { return s.tag }

// Request brings the request into its canonical form. A *StreamError is for ResetFor, any other
// error for an answer.
func (s *Stream) Request(req *relay.Request, names *relay.Names) error {
	err := s.head.Request(req, names, s.end)
	if s.fault != nil {
		return s.fault
	}
	var malformed *relay.MalformedError
	if errors.As(err, &malformed) {
		return &StreamError{Code: ProtocolError, Why: malformed.Detail(), Err: err}
	}
	return err
}

// EndConn has the connection end when no request is under way on it. Its client is told to
// open no more.
func (s *Stream) EndConn() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.c.end.(*serverConn).drain()
}

// Protocol is the protocol of an extended CONNECT (RFC 8441), empty if it is none.
func (s *Stream) Protocol() string { return s.head.Protocol() }

// Prioritise takes in the request's Priority field.
func (s *Stream) Prioritise(value []byte) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.c.prioritise(s, value)
}

// Offend resets the stream for a fault of its request, which counts against the client.
func (s *Stream) Offend(fault *StreamError) {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.streams[s.id] != s {
		return
	}
	if err := c.offend(s.id, fault); err != nil {
		c.calm("streams break the rules")
	}
	c.flush(nil)
}
