package web

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/admission"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/relay"
)

// Limits of HTTP/2, as Envoy advises for an edge.
const (
	h2MaxStreams    = 100
	h2StreamWindow  = 256 << 10 // a quarter MiB keeps a 50 ms link at 5 MB/s a stream
	h2ConnWindow    = 1 << 20
	h2MaxReadFrame  = 16 << 10
	h2PingAfter     = 30 * time.Second
	h2PingTimeout   = 15 * time.Second
	h2WriteProgress = 60 * time.Second // a connection that takes nothing for this long is closed
)

// h2Server hands connections whose handshake has agreed on HTTP/2 to net/http's server.
type h2Server struct {
	s    *Server
	srv  *http.Server
	feed *handedListener
	pool sync.Pool
	asks continueField
	mu   sync.Mutex
	open map[net.Conn]chan struct{} // each is closed when net/http has closed the connection
}

func newH2Server(server *Server) *h2Server {
	s := &h2Server{s: server, feed: newHandedListener(server.cfg.Addr), open: map[net.Conn]chan struct{}{}}
	s.pool.New = s.newStream
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	s.srv = &http.Server{
		Handler:        s,
		Protocols:      protocols,
		ConnContext:    s.connContext,
		ConnState:      s.connState,
		MaxHeaderBytes: MaxHead,
		IdleTimeout:    idleTimeout,
		// «OPTIONS *» is judged as any other request is.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(server.cfg.Log.Handler(), slog.LevelDebug),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          h2MaxStreams,
			MaxReceiveBufferPerStream:     h2StreamWindow,
			MaxReceiveBufferPerConnection: h2ConnWindow,
			MaxReadFrameSize:              h2MaxReadFrame,
			SendPingTimeout:               h2PingAfter,
			PingTimeout:                   h2PingTimeout,
			WriteByteTimeout:              h2WriteProgress,
		},
	}
	return s
}

func (s *h2Server) newStream() any {
	c := &http2{}
	c.x.init(s.s)
	return c
}

func (s *h2Server) serve() { s.srv.Serve(s.feed) }

// handle serves one connection until it ends.
func (s *h2Server) handle(conn *tls.Conn) {
	s.s.cfg.Meter.Opened(HTTP2)
	defer s.s.cfg.Meter.Closed(HTTP2)
	closed := make(chan struct{})
	s.mu.Lock()
	s.open[conn] = closed
	s.mu.Unlock()
	select {
	case s.feed.conns <- conn:
		<-closed
	case <-s.feed.ended:
		s.mu.Lock()
		delete(s.open, conn)
		s.mu.Unlock()
	}
}

// connContext has all streams of a connection know what it is for.
func (s *h2Server) connContext(ctx context.Context, conn net.Conn) context.Context {
	return s.s.visitTo(conn.(*tls.Conn).ConnectionState().ServerName).with(ctx)
}

// connState notes for admission when requests begin and end, and has handle return when
// net/http has closed the connection.
func (s *h2Server) connState(conn net.Conn, state http.ConnState) {
	admission.Track(conn, state)
	if state != http.StateClosed {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if closed := s.open[conn]; closed != nil {
		delete(s.open, conn)
		close(closed)
	}
}

func (s *h2Server) shutdown(ctx context.Context) { s.srv.Shutdown(ctx) }

func (s *h2Server) close() { s.srv.Close() }

// handedListener is a listener that accepts the connections that it is handed.
type handedListener struct {
	addr  net.Addr
	conns chan net.Conn
	once  sync.Once
	ended chan struct{}
}

func newHandedListener(addr net.Addr) *handedListener {
	return &handedListener{addr: addr, conns: make(chan net.Conn), ended: make(chan struct{})}
}

func (l *handedListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.ended:
		return nil, net.ErrClosed
	}
}

func (l *handedListener) Close() error   { l.once.Do(func() { close(l.ended) }); return nil }
func (l *handedListener) Addr() net.Addr { return l.addr }

// http2 is one stream of HTTP/2: the client of one request.
type http2 struct {
	x    exchange
	w    http.ResponseWriter
	r    *http.Request
	src  relay.StreamSource
	text relay.Text // of its fields
	held relay.Held // the body, if it is held before it is sent on
	stop func() bool
	told chan struct{} // closed when the watch has called gone
	shut atomic.Bool   // the body can't be read any more
}

// streamStack is how deep a stream's stack gets: a write of TLS is at its bottom.
const streamStack = 4 << 10

// deepen makes the goroutine's stack grow to what a stream needs, while there is little on
// it to be moved. net/http starts a goroutine for each stream. When its stack grew with
// all frames down to those of TLS on it, moving them was a tenth of the edge's work.
//
//go:noinline
func deepen(at uint) byte {
	var room [streamStack]byte
	return room[at%streamStack]
}

// ServeHTTP serves one stream.
func (s *h2Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	deepen(0)
	c := s.pool.Get().(*http2)
	c.w, c.r = w, r
	c.shut.Store(false)
	err := c.serve()
	c.held.Close()
	c.src.Close()
	c.w, c.r, c.x.visit = nil, nil, nil
	if !c.x.broken {
		s.pool.Put(c)
	}
	if err != nil {
		panic(http.ErrAbortHandler) // resets the stream: the client must see that it was cut
	}
}

func (c *http2) serve() error {
	x := &c.x
	x.started = time.Now()
	x.visit = visitOf(c.r.Context())
	x.Client = netip.Addr{}
	if ap, err := netip.ParseAddrPort(c.r.RemoteAddr); err == nil {
		x.Client = ap.Addr().Unmap()
	}
	reply, err := x.serve(c)
	if reply != nil {
		return reply.writeHTTP(c.w)
	}
	return err
}

func (c *http2) read(req *relay.Request) error {
	err := relay.CanonicalHTTP(c.r, req, &c.text)
	if err == nil {
		req.Expect = req.Framing != relay.NoBody && c.x.s.h2.asks.continues(c.r.Body)
	}
	return err
}

func (c *http2) open(_ *policy.Route, limit int64) {
	c.src.Reset(c.r.Body, func() http.Header { return c.r.Trailer }, limit)
}

// keep: the fields lie apart from the body.
func (c *http2) keep() {}

// Source is the stream's body.
func (c *http2) Source() relay.Source {
	if c.held.Begun() {
		return &c.held
	}
	return &c.src
}

// UploadNow reports whether the body is held as a whole; else a stream can't say.
func (c *http2) UploadNow() bool { return c.held.Complete() }

// Hold reads the body as far as it is to be held.
func (c *http2) Hold(pace *relay.Pace, store relay.Store) error {
	return c.held.Hold(&c.x.Request, &c.src, pace, store)
}

// EndHold ends what Hold left reading the body.
func (c *http2) EndHold() { c.held.EndHold(c) }

// Watch notices the end of the stream: a reset, or the end of its connection.
func (c *http2) Watch(gone func()) {
	told := make(chan struct{})
	c.told = told
	c.stop = context.AfterFunc(c.r.Context(), func() { defer close(told); gone() })
}

// WatchesBeside is true: the end of a stream is noticed without reading its body.
func (c *http2) WatchesBeside() bool { return true }

// ReadWithin and WriteWithin do nothing: on a stream, the exchange itself watches how long
// it waits.
func (c *http2) ReadWithin(time.Duration)  {}
func (c *http2) WriteWithin(time.Duration) {}

// Cut resets the stream. That ends a write that waits for the client, too.
func (c *http2) Cut() {
	http.NewResponseController(c.w).SetWriteDeadline(time.Unix(1, 0))
	c.StopUpload()
}

// Unwatch ends Watch.
func (c *http2) Unwatch() {
	if !c.stop() {
		<-c.told
	}
}

// StopUpload ends a read of the body.
func (c *http2) StopUpload() {
	c.shut.Store(true)
	c.r.Body.Close()
}

// Rewind makes the body begin anew, and reports whether it could: as long as all that was
// read is held, or it is one piece at most.
func (c *http2) Rewind() bool {
	if c.held.Begun() {
		return !c.shut.Load() && c.held.Rewind()
	}
	return !c.shut.Load() && c.src.Rewind()
}

// Interim sends a 1xx response. A 100 is left to net/http, which sends it when the body is
// first read. The exchange doesn't read the body before the workload wants it.
func (c *http2) Interim(h *relay.ResponseHead) error {
	if h == nil || h.Status == 100 {
		return nil
	}
	h.EndToEnd(c.w.Header())
	c.w.WriteHeader(h.Status)
	clear(c.w.Header())
	return nil
}

// asSaid completes a head so that net/http adds nothing to it. A name without a value is
// not sent, and keeps net/http from guessing one. A guessed Content-Type would make a page
// of what somebody uploaded, although nosniff was meant to forbid that.
func (c *http2) asSaid(header http.Header, length int64) {
	if _, ok := header["Content-Type"]; !ok {
		header["Content-Type"] = nil
	}
	header["Content-Length"] = nil
	if length >= 0 {
		header["Content-Length"] = []string{strconv.FormatInt(length, 10)}
	}
	if _, ok := header["Date"]; !ok {
		header["Date"] = []string{c.x.s.dates.now()}
	}
}

// Deliver sends a response.
func (c *http2) Deliver(h *relay.ResponseHead, body relay.Source, _ bool) error {
	header := c.w.Header()
	h.EndToEnd(header)
	header[mezu.HeaderRequestID] = []string{c.x.Request.ID}
	c.asSaid(header, h.DeclaredLength())
	c.w.WriteHeader(h.Status)
	for h.Framing != relay.NoBody {
		if !body.Ready() {
			if err := http.NewResponseController(c.w).Flush(); err != nil {
				return err
			}
		}
		p, err := body.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return &relay.SourceError{Err: err}
		}
		if _, err := c.w.Write(p); err != nil {
			return err
		}
	}
	for _, f := range body.Trailer() {
		header.Add(http.TrailerPrefix+string(f.Name), string(f.Value))
	}
	return nil
}
