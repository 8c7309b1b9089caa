package forward

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/h2"
	"github.com/mezusphere/mezu/relay"
)

const (
	// maxTries bounds how often one request is sent to a workload that refuses it, or whose
	// connections end: a server that restarts or has too many streams takes it by then.
	maxTries = 5
	// tryPause is how long a request waits before its third try, and twice as long before each that
	// follows. The second is at once: most refusals are of a connection that ends.
	tryPause = 50 * time.Millisecond
)

// share carries the request over a connection that others use beside it, or, where the workload
// behind TLS speaks HTTP/1.1, over one of its own.
func (w *worker) share(u mezu.Upstream) (unsent bool, err error) {
	l, by := w.to.lanes(w.f, u), w.began.Add(w.route.Timeout)
	w.c.Keep()
	d, fresh := w.downstream(u), false
	for tries := 1; ; tries++ {
		asked, upload := time.Now(), uploadOf(&w.req, &w.c)
		ln, conn, fault := l.take(w.ctx, by, upload, fresh)
		if fault != nil {
			unsent, fault = w.undialled(u, by, fault)
			return unsent && (err == nil || w.stream.unprocessed), fault
		}
		var again relay.Retry
		if conn != nil {
			w.connected(asked, conn.reused)
			again, err = w.try(u, l.pool, conn)
			if again != relay.Anywhere || !conn.reused {
				return false, err
			}
			// The workload closed the idle connection just then.
			fresh, w.stream.unprocessed = true, false
			continue
		}
		reused := ln.reused.Load()
		w.connected(asked, reused)
		again, err = w.tryStream(ln, upload, d)
		switch {
		case again != relay.Anywhere:
			return false, err
		case !w.stream.unprocessed && !reused, tries == maxTries:
			return w.stream.unprocessed, err
		case !d.Rewind():
			return false, &mezu.Error{Code: mezu.CodeWorkloadReset, Detail: "the workload refused the request after more of its body had gone out than is kept for another try", Cause: err}
		}
		if w.c.Body.Bytes() > 0 {
			w.req.Expect = false // it was said already that it may come
		}
		if !w.pause(tries, by) {
			return w.stream.unprocessed, err
		}
	}
}

// connected tells a tape of the connection that a request goes over.
func (w *worker) connected(asked time.Time, reused bool) {
	if w.watched {
		w.rec.Connected(time.Since(asked), reused)
	}
}

// pause waits before another try, and reports whether there is time for it.
func (w *worker) pause(tries int, by time.Time) bool {
	if tries == 1 {
		return w.ctx.Err() == nil
	}
	pause := tryPause << (tries - 2)
	if time.Until(by) <= pause {
		return false
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-w.ctx.Done():
		return false
	}
}

// tryStream carries the request over a stream of a connection.
func (w *worker) tryStream(ln *lane, upload int, d relay.Downstream) (again relay.Retry, err error) {
	s := &w.stream
	s.begin(w, ln, upload)
	defer s.end()
	return w.x.Carry(s, &relay.Call{Request: &w.req, Since: w.began, Response: w.route.Timeout, Idle: w.route.IdleTimeout}, d)
}

// stream is the relay.Upstream that speaks HTTP/2.
type stream struct {
	*h2.Stream
	w      *worker
	lane   *lane
	upload int // what its body takes of the lane
	*headRoom
	headed bool // the head was sent
	came   bool // something of the response

	unprocessed bool // by the workload, after an error
}

// headRoom is memory for a head. A worker that waits for its next exchange has none.
type headRoom struct {
	block h2.Block
	text  relay.Text
}

var headPool = sync.Pool{New: func() any { return &headRoom{} }}

func (s *stream) begin(w *worker, ln *lane, upload int) {
	s.Stream, s.w, s.lane, s.upload = ln.client.Open(w.req.Method), w, ln, upload
	s.headRoom = headPool.Get().(*headRoom)
	s.headed, s.came, s.unprocessed = false, false, false
}

// end gives the stream back.
func (s *stream) end() {
	s.Stream.Close()
	headPool.Put(s.headRoom)
	s.Stream, s.headRoom = nil, nil
	s.lane.release(s.upload)
}

// Begin puts the head together.
func (s *stream) Begin(call *relay.Call) {
	s.Stream.WriteWithin(call.Response)
	w, r, f := s.w, call.Request, &s.w.fwd
	if w.watched {
		w.tell(PartSent, func(dst []byte) []byte { return r.AppendForwarded(dst, f) })
	}
	scheme, host := "http", r.Authority
	if f.Host != "" {
		host = f.Host
	}
	if !s.lane.of.two {
		scheme = "https"
	}
	b := &s.block
	b.Reset()
	b.FieldText(":method", r.Method)
	b.FieldText(":scheme", scheme)
	b.FieldText(":authority", host)
	b.FieldText(":path", f.PathOf(r)+r.Query)
	r.EachForwarded(f, &s.text, b.Field)
}

// SendHead sends the head.
func (s *stream) SendHead() error { return s.head(s.w.req.Framing == relay.NoBody, false) }

// head sends the head. With end nothing follows it; with more, a piece of the body does at once.
func (s *stream) head(end, more bool) error {
	s.headed = true
	err := s.late(s.SendBlock(&s.block, end, more))
	if err == nil && s.w.watched {
		s.w.rec.Mark(MarkSent)
	}
	return err
}

// late is the error of a write that ran out of its time. Any other is of the stream: ReadHead
// says it, behind what has come of an answer.
func (s *stream) late(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return nil
}

// SendBody sends the body, and the head before it if that was not sent.
func (s *stream) SendBody(src relay.Source) (wrote int64, err error) {
	if s.headed {
		return s.body(src)
	}
	if err := s.head(false, true); err != nil {
		return 0, err
	}
	wrote, err = s.body(src)
	if _, ok := errors.AsType[*relay.SourceError](err); ok {
		return wrote, err
	}
	return wrote, s.late(err)
}

func (s *stream) body(src relay.Source) (wrote int64, err error) {
	r, ended := &s.w.req, false
	for {
		p, err := src.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return wrote, &relay.SourceError{Err: err}
		}
		wrote += int64(len(p))
		ended = r.Framing == relay.Length && wrote == r.Length
		if err := s.Send(p, ended, !ended && src.Ready()); err != nil {
			return wrote, err
		}
	}
	if n := int(min(wrote, sharedUpload)); n < s.upload {
		s.lane.shrink(s.upload - n)
		s.upload = n
	}
	if !ended {
		err = s.finish(src.Trailer())
	}
	if err == nil && s.w.watched {
		s.w.rec.Mark(MarkUploaded)
	}
	return wrote, err
}

// finish ends a body of unknown length.
func (s *stream) finish(trailer []relay.Field) error {
	if len(trailer) == 0 {
		return s.Send(nil, true, false)
	}
	s.block.Reset()
	for i := range trailer {
		s.block.Field(trailer[i].Name, trailer[i].Value)
	}
	return s.SendBlock(&s.block, true, false)
}

// FixRead bounds all reads together.
func (s *stream) FixRead(d time.Duration) error {
	s.Stream.FixRead(d)
	return nil
}

// ReadHead reads a head of the response.
func (s *stream) ReadHead(h *relay.ResponseHead) error {
	err := s.Stream.ReadHead(h)
	switch {
	case err == nil && !s.came:
		if s.came = true; s.w.watched {
			s.w.rec.Mark(MarkFirstByte)
		}
	case breaksRules(err):
		return fmt.Errorf("%w: %w", relay.ErrMalformedResponse, err)
	}
	return err
}

// breaksRules reports whether what came is no response, or not HTTP/2.
func breaksRules(err error) bool {
	if s, ok := errors.AsType[*h2.StreamError](err); ok {
		return !s.Remote && s.Code != h2.Cancel
	}
	c, ok := errors.AsType[*h2.ConnError](err)
	return ok && !c.Remote && c.Code != h2.NoError
}

// Body is the stream itself.
func (s *stream) Body(*relay.ResponseHead) relay.ResponseBody { return s.Stream }

// Lost says what became of the stream.
func (s *stream) Lost(err error) *mezu.Error {
	s.unprocessed = s.Unprocessed()
	reset, isReset := errors.AsType[*h2.StreamError](err)
	away, isAway := errors.AsType[*h2.ConnError](err)
	code, detail := mezu.CodeWorkloadReset, "the connection to the workload broke before a response came"
	switch {
	case breaksRules(err):
		code, detail = mezu.CodeWorkloadBadResponse, "the workload's response is malformed"
	case isReset && reset.Remote && reset.Code == h2.RefusedStream:
		code, detail = mezu.CodeWorkloadRefused, "the workload takes no more requests on this connection (REFUSED_STREAM)"
	case isReset && reset.Remote:
		detail = fmt.Sprintf("the workload reset the request's stream (%s)", reset.Code)
	case isAway && away.Remote && s.unprocessed:
		code, detail = mezu.CodeWorkloadRefused, "the workload ends its connection and did not begin with the request (GOAWAY)"
	case isAway && away.Remote:
		detail = "the workload ended its connection (GOAWAY) before a response came"
	}
	return &mezu.Error{Code: code, Detail: detail, Cause: err}
}

// Cause is why the response's body could not be read to its end.
func (s *stream) Cause(err error) mezu.Cause {
	if breaksRules(err) || errors.Is(err, relay.ErrBody) {
		return mezu.CauseWorkloadMalformed
	}
	if reset, ok := errors.AsType[*h2.StreamError](err); ok && reset.Remote && reset.Code == h2.Cancel {
		return mezu.CauseWorkloadCanceled
	}
	return mezu.CauseWorkloadReset
}

// Abort resets the stream.
func (s *stream) Abort() { s.Reset(h2.Cancel) }

// End has nothing to do: the stream is not used again.
func (s *stream) End(complete bool) bool { return complete }
