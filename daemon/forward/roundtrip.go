package forward

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/pipe"
	"github.com/mezusphere/mezu/relay"
)

// roundTrip carries the request by net/http.
func (w *worker) roundTrip(u mezu.Upstream) (unsent bool, err error) {
	ctx, cancel := context.WithCancelCause(w.ctx)
	defer cancel(nil)
	w.c.ReadWithin(0)
	w.c.WriteWithin(w.route.IdleTimeout)
	head := time.AfterFunc(time.Until(w.began.Add(w.route.Timeout)), func() { cancel(relay.ErrUnanswered) })
	defer head.Stop()
	early := &interims{d: w.downstream(u), expect: w.req.Expect}
	var seen responseTrace
	trace := &httptrace.ClientTrace{Got1xxResponse: early.got, GotConn: seen.gotConn, WroteHeaderField: seen.sending, GotFirstResponseByte: seen.gotByte}
	if w.watched {
		seen.marks = roundTripMarks{tape: w.rec, began: time.Now(), body: w.req.Framing != relay.NoBody}
		defer seen.marks.end()
		w.tell(PartSent, func(dst []byte) []byte { return w.req.AppendForwarded(dst, &w.fwd) })
		trace.WroteHeaders, trace.WroteRequest = seen.wroteHeaders, seen.wroteRequest
	}
	ctx = httptrace.WithClientTrace(ctx, trace)
	way, upload := w.to.lanes(w.f, u), uploadOf(&w.req)
	ln := way.take(upload)
	defer func() { ln.release(upload) }()
	body := &tunnelBody{
		c:       &w.c,
		gone:    func() { cancel(relay.ErrClientGone) },
		moved:   func() { head.Reset(w.route.Timeout) },
		early:   early,
		silence: &w.silence,
	}
	if w.watched {
		body.tape = w.rec
	}
	body.shrinks = func() {
		if n := int(min(w.c.Body.Bytes(), sharedUpload)); n < upload {
			ln.shrink(upload - n)
			upload = n
		}
	}
	in := w.outgoing(ctx, u, body)
	if w.req.Framing != relay.NoBody {
		w.silence.Begin(relay.Uploading, w.route.IdleTimeout, func() { cancel(body.blame()) })
		defer w.silence.End(relay.Uploading)
	}
	// net/http may wait for a Read of the body even when it has failed already.
	defer context.AfterFunc(ctx, body.abandon)()
	defer func() {
		body.finish()
		w.x.BytesIn = w.c.Body.Bytes()
	}()
	out, err := ln.transport.RoundTrip(in)
	fault := cmp.Or(early.end(), body.calm()) // from here on the response's silence counts
	w.silence.End(relay.Uploading)
	if late := !head.Stop(); err == nil && (late || ctx.Err() != nil) {
		// A workload that notices the cancellation may answer it, and net/http may
		// return that answer.
		cancel(relay.ErrUnanswered)
		w.f.drop(out.Body)
		err = context.Cause(ctx)
	}
	switch {
	case err == nil:
	case fault != nil:
		return false, fault
	default:
		return w.roundTripError(ctx, u, err, &seen)
	}
	moving := &movingBody{ReadCloser: out.Body, silence: &w.silence}
	out.Body = moving
	w.c.WriteWithin(0)
	w.silence.Begin(relay.Answering, w.route.IdleTimeout, func() {
		if moving.waits.Load() {
			cancel(pipe.ErrSilent)
			return
		}
		cancel(relay.ErrUnread)
		w.c.Cut()
	})
	err = w.respond(ctx, u, out, w.req.Framing != relay.NoBody && !body.ended.Load())
	w.silence.End(relay.Answering)
	w.x.BytesOut = moving.bytes
	cancel(nil)
	if err != nil {
		w.f.drop(moving.ReadCloser)
	} else {
		moving.Close()
	}
	return false, err
}

// drop closes the body of a response that was not read to its end, on a goroutine of its own.
// Closing gives the connection its window back. That may wait until the workload takes a few
// bytes.
func (f *Forwarder) drop(body io.Closer) { f.drops.Go(func() { body.Close() }) }

// outgoing makes the request for net/http. Its fields are the same as those of
// AppendForwarded.
func (w *worker) outgoing(ctx context.Context, u mezu.Upstream, body *tunnelBody) *http.Request {
	scheme := "http"
	if u.Scheme == mezu.UpstreamHTTPS {
		scheme = "https"
	}
	r := &http.Request{
		Method: w.req.Method,
		// Opaque goes out as the path as it is.
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
		body.watch(nil)
	case relay.Length:
		r.Body, r.GetBody, r.ContentLength = body.first(), body.again, w.req.Length
	default:
		r.Body, r.GetBody, r.ContentLength = body.first(), body.again, -1
		// The trailers that the client announced are announced. Others are sent, too.
		r.Trailer = http.Header{}
		w.req.AnnouncedNames(func(name string) { r.Trailer[http.CanonicalHeaderKey(name)] = nil })
		body.trailer = r.Trailer
	}
	return r.WithContext(ctx)
}

// responseTrace notes how far an exchange came, in case it fails. net/http calls it from
// goroutines of its own, and again for each try.
type responseTrace struct {
	two  atomic.Bool // the connection speaks HTTP/2
	sent atomic.Bool // the request has begun to go out
	some atomic.Bool // a byte of the response came

	marks roundTripMarks
}

func (t *responseTrace) gotConn(info httptrace.GotConnInfo) {
	t.some.Store(false)
	secure, ok := info.Conn.(*tls.Conn)
	t.two.Store(!ok || secure.ConnectionState().NegotiatedProtocol == "h2")
	t.marks.connected(info.Reused)
}

func (t *responseTrace) sending(string, []string) { t.sent.Store(true) }

func (t *responseTrace) gotByte() {
	t.some.Store(true)
	t.marks.mark(MarkFirstByte)
}

func (t *responseTrace) wroteHeaders() { t.marks.mark(MarkSent) }

func (t *responseTrace) wroteRequest(info httptrace.WroteRequestInfo) {
	if info.Err == nil && t.marks.body {
		t.marks.mark(MarkUploaded)
	}
}

// streamError has the shape of net/http's error for a stream that was reset,
// which errors.As fills in by shape.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (e streamError) Error() string { return "stream was reset" }

// Codes of RFC 9113, 7, that mean something to us.
const (
	protocolError = 1
	refusedStream = 7
)

// streamCodes are the names of all.
var streamCodes = []string{"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR",
	"REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED"}

// name is the name of the error's code.
func (e streamError) name() string {
	if int(e.Code) < len(streamCodes) {
		return streamCodes[e.Code]
	}
	return fmt.Sprintf("code %d", e.Code)
}

// Texts of net/http's errors about connections of HTTP/2 that have no type of their own. If a
// later net/http has other texts, the codes are less exact, and a test fails.
const (
	sayConnection = "http2: client conn"                                      // it was closed, by whomever
	sayDraining   = "http2: Transport received Server's graceful shutdown GO" // …AWAY, and the stream is not among those that go on
	sayGoAway     = "http2: Transport received GOAWAY from server"            // the same, with an error
	sayEnded      = "http2: server sent GOAWAY and closed the connection"     // the stream may have been among those
	sayPeer       = "received from peer"
)

// streamFault says what an error of HTTP/2 means; nil if it is no error of a stream or of the
// end of a connection. unsent says that the workload has said that it has not begun to serve
// the request (RFC 9113, 8.7).
func streamFault(err error) (unsent bool, fault *mezu.Error) {
	var stream streamError
	said := err.Error()
	switch {
	case errors.Is(err, errNotHeld):
		return false, &mezu.Error{Code: mezu.CodeWorkloadReset, Detail: "the workload refused the request after more of its body had gone out than is kept for another try", Cause: err}
	case errors.As(err, &stream) && stream.Code == refusedStream:
		return true, &mezu.Error{Code: mezu.CodeWorkloadRefused, Detail: "the workload takes no more requests on this connection (REFUSED_STREAM)", Cause: err}
	case errors.As(err, &stream) && stream.Cause != nil && stream.Cause.Error() == sayPeer:
		return false, &mezu.Error{Code: mezu.CodeWorkloadReset, Detail: "the workload reset the request's stream (" + stream.name() + ")", Cause: err}
	case errors.As(err, &stream) && stream.Code == protocolError && stream.Cause != nil:
		return false, &mezu.Error{Code: mezu.CodeWorkloadBadResponse, Detail: "the workload's response is malformed", Cause: err}
	case strings.HasPrefix(said, sayDraining), strings.HasPrefix(said, sayGoAway):
		return true, &mezu.Error{Code: mezu.CodeWorkloadRefused, Detail: "the workload ends its connection and did not begin with the request (GOAWAY)", Cause: err}
	case strings.HasPrefix(said, sayEnded):
		return false, &mezu.Error{Code: mezu.CodeWorkloadReset, Detail: "the workload ended its connection (GOAWAY) before a response came", Cause: err}
	case errors.As(err, &stream), strings.HasPrefix(said, sayConnection):
		return false, &mezu.Error{Code: mezu.CodeWorkloadReset, Detail: "the connection to the workload broke before a response came", Cause: err}
	}
	return false, nil
}

// malformed reports whether err means that what came is no response, and not that a
// connection broke. A violation of HTTP/2 has no exported type. It counts as malformed,
// because in the usual case the workload does not speak HTTP/2.
func (t *responseTrace) malformed(err error) bool {
	var network net.Error
	broken := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &network)
	return !broken && (t.some.Load() || t.two.Load() && t.sent.Load())
}

func (w *worker) roundTripError(ctx context.Context, u mezu.Upstream, err error, seen *responseTrace) (unsent bool, _ error) {
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
	}
	if unsent, fault := streamFault(err); fault != nil {
		return unsent, fault
	}
	if seen.malformed(err) {
		return false, relay.BadResponse("the workload's response is malformed", err)
	}
	return false, &mezu.Error{Code: mezu.CodeWorkloadReset, Detail: "the workload broke the connection before a response came", Cause: err}
}

// respond sends the response on. closing says that the request's body has not
// been read to its end.
func (w *worker) respond(ctx context.Context, u mezu.Upstream, out *http.Response, closing bool) error {
	var head relay.ResponseHead
	if out.StatusCode == http.StatusSwitchingProtocols {
		return relay.BadResponse("the workload switched protocols without being asked", nil)
	}
	if err := relay.ResponseFrom(out, w.req.Method, &head); err != nil {
		return relay.BadResponse("the workload's response is malformed", err)
	}
	w.clean(&head)
	w.x.Status, w.x.Began = out.StatusCode, true
	var src relay.StreamSource
	src.Reset(out.Body, func() http.Header { return out.Trailer }, 0)
	defer src.Close()
	if err := w.downstream(u).Deliver(&head, &src, closing); err != nil {
		return w.cutResponse(ctx, err)
	}
	return nil
}

// cutResponse says why a response that had begun was not delivered in full.
func (w *worker) cutResponse(ctx context.Context, err error) error {
	var src *relay.SourceError
	var silent *mezu.Cut
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, relay.ErrClientGone), w.ctx.Err() != nil: // the edge has canceled it
		return relay.ErrClientGone
	case errors.As(cause, &silent):
		return silent
	case !errors.As(err, &src):
		return relay.ClientFault(err)
	case errors.Is(err, relay.ErrBody):
		return &mezu.Cut{Cause: mezu.CauseWorkloadMalformed, Err: err}
	}
	return &mezu.Cut{Cause: mezu.CauseWorkloadReset, Err: err}
}

// movingBody is a response's body that tells a Silence of its progress. A Read means that the
// piece before has gone out, its return that another has come.
type movingBody struct {
	io.ReadCloser
	silence *pipe.Silence
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

// interims passes 1xx responses on until the response comes. net/http gives them from a
// goroutine of its own.
type interims struct {
	d      relay.Downstream
	expect bool // the client waits for 100 Continue

	mu       sync.Mutex
	rate     relay.Interims
	proceeds bool // the client may send
	ended    bool
	fault    error // what was wrong with them; net/http gives it another name
}

// got takes one 1xx response; its error ends the exchange.
func (i *interims) got(code int, header textproto.MIMEHeader) error {
	if code == http.StatusContinue {
		return i.proceed()
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ended {
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
	return i.d.Interim(&head)
}

// proceed lets a client send that waits for 100 Continue.
func (i *interims) proceed() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.expect || i.proceeds || i.ended {
		return nil
	}
	i.proceeds = true
	return i.d.Interim(nil)
}

// end ends passing on, and returns what was wrong.
func (i *interims) end() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.ended = true
	return i.fault
}
