package rest

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// streamed is an answer that is written as it comes.
type streamed struct{ Body func(huma.Context) }

// watch binds an operation that answers with events until its caller or the server goes.
// follow gets the Last-Event-ID, which is empty at a first connection, and returns when the
// stream has ended. If it refuses before the first event, the answer is a problem document
// like any other.
func (r *rest) watch(op api.Operation, follow func(ctx context.Context, req *request, last string, out *sse) error) {
	r.bound[op.ID] = true
	doc := r.description(op)
	r.doc.Stream(&doc)
	huma.Register(r.huma, doc, func(ctx context.Context, _ *bare) (*streamed, error) {
		req := requestOf(ctx)
		done, err := r.limits.open(req.caller)
		if err != nil {
			p := r.refuse(ctx, req, err)
			r.observe(op.ID, p.Status, 0)
			return nil, p
		}
		return &streamed{func(hc huma.Context) {
			defer done()
			r.stream(hc, req, follow)
		}}, nil
	})
}

// stream writes events until the caller or the server goes. The answer's head waits
// for the first event, so that a refusal is still a problem document.
func (r *rest) stream(hc huma.Context, req *request, follow func(context.Context, *request, string, *sse) error) {
	_, w := humago.Unwrap(hc)
	ctx, cancel := context.WithCancel(hc.Context())
	defer cancel()
	go cancelWhen(r.done, ctx, cancel)
	conn, _ := hc.Context().Value(connKey{}).(*tls.Conn)
	out := &sse{w: w, control: http.NewResponseController(w), conn: conn}
	// Ending the stream must not wait for a reader who takes nothing.
	ended := context.AfterFunc(ctx, out.End)
	defer out.close(ended)
	// A stream has no deadline for all of it, as other calls do.
	_ = out.control.SetReadDeadline(time.Time{})
	begin := time.Now()
	err := follow(ctx, req, req.ctx.Header("Last-Event-ID"), out)
	if err != nil && !out.begun {
		p := r.refuse(ctx, req, err)
		r.observe(req.op.ID, p.Status, time.Since(begin))
		writeProblem(w, p)
		return
	}
	r.observe(req.op.ID, http.StatusOK, time.Since(begin))
	if err != nil && !errors.Is(err, context.Canceled) {
		r.log.Info("stream ended", "operation", req.op.ID, "caller", req.caller.ID, "error", err)
	}
}

// cancelWhen ends a stream when the server is about to end.
func cancelWhen(done <-chan struct{}, ctx context.Context, cancel context.CancelFunc) {
	select {
	case <-done:
		cancel()
	case <-ctx.Done():
	}
}

// sse writes server-sent events (HTML Living Standard, 9.2).
type sse struct {
	w       http.ResponseWriter
	control *http.ResponseController
	conn    *tls.Conn // nil without WithConn

	mu           sync.Mutex // guards what follows and the deadline of writes
	begun, ended bool
	cut          *time.Timer // closes the connection; nil before End
}

// endTime is how long the last writes of an ended stream may take. Closing TLS and
// resetting a stream of HTTP/2 are writes, too, and would wait for a reader who takes
// nothing.
const endTime = 500 * time.Millisecond

type connKey struct{}

// WithConn is for the ConnContext of the API's server. It makes a connection known to its
// calls, so that the stream of a reader who takes nothing can be ended by closing it.
func WithConn(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}

// errEnded fails writes to a stream that was ended.
var errEnded = errors.New("the stream was ended")

// End has the write that is under way and all later ones fail at once.
func (s *sse) End() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.begun && !s.ended {
		// A connection that is broken already needs neither.
		_ = s.control.SetWriteDeadline(time.Unix(1, 0))
		if s.conn != nil {
			s.cut = time.AfterFunc(endTime, func() { _ = s.conn.NetConn().Close() })
		}
	}
	s.ended = true
}

// close leaves the answer to its server: stop ends whatever would still end the stream.
func (s *sse) close(stop func() bool) {
	stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	if s.cut != nil {
		s.cut.Stop()
	}
}

// Event writes one event; v is its data in JSON. An empty id leaves the last one as
// it is.
func (s *sse) Event(kind, id string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding a %s event: %w", kind, err)
	}
	text := "event: " + kind + "\n"
	if id != "" {
		text += "id: " + id + "\n"
	}
	return s.write(text + "data: " + string(data) + "\n\n")
}

// KeepAlive writes a comment.
func (s *sse) KeepAlive() error { return s.write(":\n\n") }

func (s *sse) write(text string) error {
	if err := s.begin(); err != nil {
		return err
	}
	if _, err := s.w.Write([]byte(text)); err != nil {
		return fmt.Errorf("writing to the stream: %w", err)
	}
	return s.control.Flush()
}

// begin prepares the writing of one event.
func (s *sse) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return errEnded
	}
	if err := s.control.SetWriteDeadline(time.Now().Add(eventTime)); err != nil {
		return fmt.Errorf("setting a deadline on the stream: %w", err)
	}
	if !s.begun {
		s.begun = true
		s.w.Header().Set("Content-Type", "text/event-stream")
		s.w.WriteHeader(http.StatusOK)
	}
	return nil
}

// edgeEvents is the stream of an edge.
type edgeEvents struct{ *sse }

// Send writes one event.
func (s edgeEvents) Send(e api.StreamEvent) error {
	return s.Event(string(e.Kind), e.Position.String(), e)
}

func (r *rest) bindStream() {
	r.watch(api.OpEdgeStream, func(ctx context.Context, req *request, last string, out *sse) error {
		var from mezu.Position
		if last != "" {
			var err error
			if from, err = mezu.ParsePosition(last); err != nil {
				return mezu.Invalid("Last-Event-ID", "is the id of an event of this stream")
			}
		}
		return r.service.StreamEdge(ctx, req.caller, from, edgeEvents{out})
	})
}
