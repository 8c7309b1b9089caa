package forward

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/textproto"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/relay"
)

// headerRoom is what net/http may read of a section of fields. It drops without a word
// what is beyond it in trailers of HTTP/2, so it gets more than we take, and package
// relay says no.
const headerRoom = 4 * relay.MaxHead

// transport is net/http's client for a workload that speaks HTTP/2 or TLS.
func (f *Forwarder) transport(u mezu.Upstream) *http.Transport {
	if t, ok := f.clients.Load(u); ok {
		return t.(*http.Transport)
	}
	protocols := new(http.Protocols)
	if u.Scheme == mezu.UpstreamH2C {
		protocols.SetUnencryptedHTTP2(true)
	} else {
		protocols.SetHTTP1(true)
		protocols.SetHTTP2(true)
	}
	t := &http.Transport{
		Protocols:              protocols,
		DialContext:            (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSHandshakeTimeout:    dialTimeout,
		TLSClientConfig:        f.workloadTLS(u),
		DisableCompression:     true,
		MaxIdleConnsPerHost:    maxIdle,
		IdleConnTimeout:        idleLife,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: headerRoom,
	}
	actual, _ := f.clients.LoadOrStore(u, t)
	return actual.(*http.Transport)
}

// workloadTLS is how a workload's certificate is checked.
func (f *Forwarder) workloadTLS(u mezu.Upstream) *tls.Config {
	return &tls.Config{RootCAs: f.cfg.WorkloadCA, InsecureSkipVerify: onLoopback(u.Address)}
}

func onLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// roundTrip carries the request by net/http.
func (w *worker) roundTrip(u mezu.Upstream) (unsent bool, err error) {
	ctx, cancel := context.WithCancelCause(w.ctx)
	defer cancel(nil)
	w.c.ReadWithin(0)
	w.c.WriteWithin(w.route.IdleTimeout)
	head := time.AfterFunc(time.Until(w.began.Add(w.route.Timeout)), func() { cancel(relay.ErrUnanswered) })
	defer head.Stop()
	early := &interims{c: &w.c, expect: w.req.Expect}
	var heard hearing
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: early.got, GotConn: heard.gotConn,
		WroteHeaderField: heard.sending, GotFirstResponseByte: heard.gotByte})
	body := &tunnelBody{
		c:       &w.c,
		gone:    func() { cancel(relay.ErrClientGone) },
		moved:   func() { head.Reset(w.route.Timeout) },
		early:   early,
		silence: &w.silence,
	}
	in := w.outgoing(ctx, u, body)
	if w.req.Framing != relay.NoBody {
		w.silence.Begin(relay.Uploading, w.route.IdleTimeout, func() { cancel(body.blame()) })
		defer w.silence.Over(relay.Uploading)
	}
	// net/http may wait for a Read of the body even when it has failed already.
	defer context.AfterFunc(ctx, func() { body.Close() })()
	defer func() {
		body.finish()
		w.x.BytesIn = w.c.Body.Bytes()
	}()
	out, err := w.f.transport(u).RoundTrip(in)
	fault := cmp.Or(early.end(), body.calm()) // from here on the response's silence counts
	w.silence.Over(relay.Uploading)
	if late := !head.Stop(); err == nil && (late || ctx.Err() != nil) {
		// A workload that notices the cancellation may answer it, and net/http may
		// return that answer.
		cancel(relay.ErrUnanswered)
		out.Body.Close()
		err = context.Cause(ctx)
	}
	switch {
	case err == nil:
	case fault != nil:
		return false, fault
	default:
		return w.roundTripError(ctx, u, err, &heard)
	}
	defer out.Body.Close()
	moving := &movingBody{ReadCloser: out.Body, silence: &w.silence}
	out.Body = moving
	w.c.WriteWithin(0)
	w.silence.Begin(relay.Answering, w.route.IdleTimeout, func() {
		if moving.waits.Load() {
			cancel(relay.ErrSilent)
			return
		}
		cancel(relay.ErrUnread)
		w.c.Cut()
	})
	err = w.respond(ctx, out, w.req.Framing != relay.NoBody && !body.ended.Load())
	w.silence.Over(relay.Answering)
	w.x.BytesOut = moving.bytes
	return false, err
}

// outgoing makes the request for net/http. Its fields are the same as those of
// AppendForwarded.
func (w *worker) outgoing(ctx context.Context, u mezu.Upstream, body *tunnelBody) *http.Request {
	scheme := "http"
	if u.Scheme == mezu.UpstreamHTTPS {
		scheme = "https"
	}
	r := &http.Request{
		Method: w.req.Method,
		// Opaque is what goes out as the path, without another look at it.
		URL:    &url.URL{Scheme: scheme, Host: u.Address, Opaque: w.req.Path.Path, ForceQuery: w.req.Query == "?"},
		Host:   w.req.Authority,
		Header: http.Header{"User-Agent": nil}, // none of net/http's own

		ProtoMajor: 1, ProtoMinor: 1, // or Expect counts for nothing
	}
	if w.req.Query != "" {
		r.URL.RawQuery = w.req.Query[1:]
	}
	if w.fwd.Host != "" {
		r.Host = w.fwd.Host
	}
	w.req.ForwardedFields(&w.fwd, r.Header.Add)
	if w.req.Trailers {
		r.Header.Set("Te", "trailers")
	}
	if w.req.Expect {
		r.Header.Set("Expect", "100-continue")
	}
	switch w.req.Framing {
	case relay.NoBody:
		body.watch()
	case relay.Length:
		r.Body, r.ContentLength = body, w.req.Length
	default:
		r.Body, r.ContentLength = body, -1
		// What the client announced is announced; what comes beside is sent, too.
		r.Trailer = http.Header{}
		w.req.AnnouncedNames(func(name string) { r.Trailer[http.CanonicalHeaderKey(name)] = nil })
		body.trailer = r.Trailer
	}
	return r.WithContext(ctx)
}

// hearing notes what came of a response that failed; net/http calls it from
// goroutines of its own, and anew when it tries again.
type hearing struct {
	two  atomic.Bool // the connection speaks HTTP/2
	sent atomic.Bool // the request has begun to go out
	some atomic.Bool // a byte of the response came
}

func (h *hearing) gotConn(info httptrace.GotConnInfo) {
	h.some.Store(false)
	secure, ok := info.Conn.(*tls.Conn)
	h.two.Store(!ok || secure.ConnectionState().NegotiatedProtocol == "h2")
}

func (h *hearing) sending(string, []string) { h.sent.Store(true) }

func (h *hearing) gotByte() { h.some.Store(true) }

// streamError has the shape of net/http's error for a stream that was reset,
// which errors.As fills in by shape.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (e streamError) Error() string { return "stream was reset" }

// malformed reports whether err says that something came which is no response,
// rather than that a connection or stream broke. What HTTP/2 itself finds wrong has
// no exported type, nor has the end that a server announces (GOAWAY): both count,
// since the usual case is a workload that does not speak HTTP/2.
func (h *hearing) malformed(err error) bool {
	var network net.Error
	var stream streamError
	broken := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &network) || errors.As(err, &stream)
	return !broken && (h.some.Load() || h.two.Load() && h.sent.Load())
}

func (w *worker) roundTripError(ctx context.Context, u mezu.Upstream, err error, heard *hearing) (unsent bool, _ error) {
	var refusal *mezu.Error
	var op *net.OpError
	cause := context.Cause(ctx)
	switch {
	case errors.As(err, &refusal):
		return false, refusal
	case errors.Is(cause, relay.ErrClientGone), w.ctx.Err() != nil:
		return false, relay.ErrClientGone
	case errors.As(cause, &refusal):
		return false, refusal
	case errors.As(err, &op) && op.Op == "dial", errors.As(err, new(*tls.CertificateVerificationError)), errors.As(err, new(tls.RecordHeaderError)):
		return true, w.dialFault(u, err)
	case heard.malformed(err):
		return false, relay.BadResponse("the workload's response is malformed", err)
	}
	return false, &mezu.Error{Code: mezu.CodeWorkloadReset, Detail: "the workload broke the connection before a response came", Cause: err}
}

// respond sends the response on. closing says that the request's body has not
// been read to its end.
func (w *worker) respond(ctx context.Context, out *http.Response, closing bool) error {
	var head relay.ResponseHead
	if out.StatusCode == http.StatusSwitchingProtocols {
		return relay.BadResponse("the workload switched protocols without being asked", nil)
	}
	if err := relay.ResponseFrom(out, w.req.Method, &head); err != nil {
		return relay.BadResponse("the workload's response is malformed", err)
	}
	w.x.Status, w.x.Began = out.StatusCode, true
	var src relay.StreamSource
	src.Reset(out.Body, func() http.Header { return out.Trailer }, 0)
	defer src.Close()
	if err := w.c.Deliver(&head, &src, closing); err != nil {
		return cutResponse(ctx, err)
	}
	return nil
}

// cutResponse says why a response that had begun was not delivered whole.
func cutResponse(ctx context.Context, err error) error {
	var src *relay.SourceError
	var silent *relay.Cut
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, relay.ErrClientGone):
		return relay.ErrClientGone
	case errors.As(cause, &silent):
		return silent
	case !errors.As(err, &src):
		return relay.ClientFault(err)
	case errors.Is(err, relay.ErrBody):
		return &relay.Cut{Cause: mezu.CauseWorkloadMalformed, Err: err}
	}
	return &relay.Cut{Cause: mezu.CauseWorkloadReset, Err: err}
}

// movingBody is a response's body that notes when a piece came and, at the next one,
// that it has gone out.
type movingBody struct {
	io.ReadCloser
	silence *relay.Silence
	waits   atomic.Bool // for the workload, not for the edge to take what came
	bytes   int64
}

func (b *movingBody) Read(p []byte) (int, error) {
	b.silence.Moved()
	b.waits.Store(true)
	n, err := b.ReadCloser.Read(p)
	b.waits.Store(false)
	b.silence.Moved()
	b.bytes += int64(n)
	return n, err
}

// interims passes 1xx responses on, which net/http gives from a goroutine of its
// own, until the end of the wait for the response.
type interims struct {
	c      *relay.Client
	expect bool // the client waits for 100 Continue

	mu       sync.Mutex
	rate     relay.Interims
	proceeds bool // the client may send
	over     bool
	fault    error // what was wrong with them; net/http gives it another name
}

// got takes one 1xx response; its error ends the exchange.
func (i *interims) got(code int, header textproto.MIMEHeader) error {
	if code == http.StatusContinue {
		return i.proceed()
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.over {
		return nil
	}
	var head relay.ResponseHead
	if err := relay.ResponseFrom(&http.Response{StatusCode: code, Header: http.Header(header)}, http.MethodGet, &head); err != nil {
		i.fault = relay.BadResponse("the workload's response is malformed", err)
		return i.fault
	}
	if !i.rate.Take(time.Now()) {
		i.fault = relay.TooManyInterims()
		return i.fault
	}
	return i.c.Interim(&head)
}

// proceed lets a client send that waits for 100 Continue.
func (i *interims) proceed() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.expect || i.proceeds || i.over {
		return nil
	}
	i.proceeds = true
	return i.c.Interim(nil)
}

// end ends passing on, and returns what was wrong.
func (i *interims) end() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.over = true
	return i.fault
}

// tunnelBody is a request body for net/http. At its end it begins to watch
// whether the edge goes away, which reading the body did until then.
type tunnelBody struct {
	c       *relay.Client
	early   *interims
	gone    func()
	moved   func() // called when a piece came, until calm
	silence *relay.Silence
	trailer http.Header
	piece   []byte
	waits   atomic.Bool // for the edge, not for the workload to take more
	ended   atomic.Bool // all of it was read from the edge

	reading  sync.Mutex // held by a Read under way
	mu       sync.Mutex
	watching bool
	closed   bool // by net/http
	finished bool // by the exchange
	calmed   bool
	fault    error // why the body could not be read to its end, if that has an answer
}

func (b *tunnelBody) Read(p []byte) (int, error) {
	b.reading.Lock()
	defer b.reading.Unlock()
	if b.unwanted() {
		return 0, relay.ErrClientGone // the piece isn't ours any more either
	}
	b.silence.Moved() // what was read before has gone out
	if len(b.piece) == 0 {
		b.waits.Store(true)
		err := b.next()
		b.waits.Store(false)
		b.silence.Moved()
		if err != nil {
			return 0, err
		}
	}
	n := copy(p, b.piece)
	b.piece = b.piece[n:]
	return n, nil
}

// blame says why the body stopped: either the edge has no more of it, or the
// workload takes no more.
func (b *tunnelBody) blame() error {
	if b.waits.Load() {
		return relay.ErrSlowBody
	}
	return relay.ErrUntaken
}

// next takes the next piece from the edge.
func (b *tunnelBody) next() error {
	if b.early.proceed() != nil {
		b.gone()
		return relay.ErrClientGone
	}
	var err error
	b.piece, err = b.c.Source().Next()
	b.progress()
	if b.c.Body.Done() {
		b.ended.Store(true)
		b.silence.Over(relay.Uploading)
	}
	switch {
	case err == nil:
		return nil
	case err == io.EOF:
		for _, f := range b.c.Source().Trailer() {
			b.trailer.Add(string(f.Name), string(f.Value))
		}
		b.watch()
		return err
	case errors.Is(err, relay.ErrOverrun):
		b.mu.Lock()
		b.fault = relay.ErrOverrun
		b.mu.Unlock()
		return err
	}
	if !b.unwanted() {
		b.gone()
	}
	return err
}

// Close is called by net/http, which wants no more of the body and may wait for
// a Read under way. From then on the edge is watched.
func (b *tunnelBody) Close() error {
	b.mu.Lock()
	over := b.finished || b.watching || b.closed
	b.closed = true
	if !over {
		b.c.StopUpload()
	}
	b.mu.Unlock()
	if over {
		return nil
	}
	b.reading.Lock() // a Read under way has ended
	defer b.reading.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.finished { // else the connection belongs to the exchange again
		b.c.Timed.Rearm()
		b.startWatch()
	}
	return nil
}

// unwanted reports whether nobody wants the body any more.
func (b *tunnelBody) unwanted() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.finished || b.closed
}

func (b *tunnelBody) progress() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.calmed {
		b.moved()
	}
}

// calm ends calls of moved, and returns what was wrong with the body so far.
func (b *tunnelBody) calm() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calmed = true
	return b.fault
}

func (b *tunnelBody) watch() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed { // else Close does it
		b.startWatch()
	}
}

func (b *tunnelBody) startWatch() {
	if !b.finished && !b.watching {
		b.watching = true
		b.c.Watch(b.gone)
	}
}

// finish ends watching and reading; after it nobody touches the connection.
func (b *tunnelBody) finish() {
	b.mu.Lock()
	b.finished = true
	watching := b.watching
	if !watching {
		b.c.StopUpload()
	}
	b.mu.Unlock()
	if watching {
		b.c.Unwatch()
		return
	}
	b.reading.Lock() // a Read under way has ended
	defer b.reading.Unlock()
	b.c.Timed.Rearm()
}
