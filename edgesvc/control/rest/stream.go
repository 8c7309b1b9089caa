package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// streamed is an answer that is written as it comes.
type streamed struct{ Body func(huma.Context) }

func (r *rest) bindStream() {
	op := api.OpEdgeStream
	r.bound[op.ID] = true
	doc := r.document(op, nil, 0)
	doc.Parameters = append(doc.Parameters, &huma.Param{Name: "Last-Event-ID", In: "header", Schema: &huma.Schema{Type: huma.TypeString}})
	doc.Responses = map[string]*huma.Response{"200": {Description: "Events", Content: map[string]*huma.MediaType{"text/event-stream": {}}}}
	huma.Register(r.huma, doc, func(ctx context.Context, in *bare) (*streamed, error) {
		req := &request{ctx: in.ctx, op: op}
		from, err := r.openStream(req)
		if err != nil {
			p := r.refuse(ctx, req, err)
			r.observe(op.ID, p.Status, 0)
			return nil, p
		}
		return &streamed{func(hc huma.Context) { r.stream(hc, req, from) }}, nil
	})
}

func (r *rest) openStream(req *request) (mezu.Position, error) {
	if err := r.prepare(req); err != nil {
		return mezu.Position{}, err
	}
	last := req.ctx.Header("Last-Event-ID")
	if last == "" {
		return mezu.Position{}, nil
	}
	from, err := mezu.ParsePosition(last)
	if err != nil {
		return from, mezu.Invalid("Last-Event-ID", "is the id of an event of this stream")
	}
	return from, nil
}

// stream writes events until the edge or the server goes. The answer's head waits
// for the first event, so that a refusal is still a problem document.
func (r *rest) stream(hc huma.Context, req *request, from mezu.Position) {
	_, w := humago.Unwrap(hc)
	ctx, cancel := context.WithCancel(hc.Context())
	defer cancel()
	go cancelWhen(r.done, ctx, cancel)
	sink := &sse{w: w, control: http.NewResponseController(w)}
	// The deadline of calls is not the stream's.
	_ = sink.control.SetReadDeadline(time.Time{})
	begin := time.Now()
	err := r.service.StreamEdge(ctx, req.caller, from, sink)
	if err != nil && !sink.begun {
		p := r.refuse(ctx, req, err)
		r.observe(req.op.ID, p.Status, time.Since(begin))
		writeProblem(w, p)
		return
	}
	r.observe(req.op.ID, http.StatusOK, time.Since(begin))
	if err != nil && ctx.Err() == nil {
		r.log.Info("edge stream ended", "edge", req.caller.ID, "error", err)
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
	begun   bool
}

// Send writes one event.
func (s *sse) Send(e api.StreamEvent) error {
	data, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encoding a %s event: %w", e.Kind, err)
	}
	return s.write("event: " + string(e.Kind) + "\nid: " + e.Position.String() + "\ndata: " + string(data) + "\n\n")
}

// KeepAlive writes a comment.
func (s *sse) KeepAlive() error { return s.write(":\n\n") }

func (s *sse) write(text string) error {
	if err := s.control.SetWriteDeadline(time.Now().Add(eventTime)); err != nil {
		return fmt.Errorf("setting a deadline on the stream: %w", err)
	}
	if !s.begun {
		s.begun = true
		s.w.Header().Set("Content-Type", "text/event-stream")
		s.w.WriteHeader(http.StatusOK)
	}
	if _, err := s.w.Write([]byte(text)); err != nil {
		return fmt.Errorf("writing to the stream: %w", err)
	}
	return s.control.Flush()
}
