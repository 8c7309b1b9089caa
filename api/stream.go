package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/eventstream"
)

// Bounds of the edge stream.
const (
	// StreamKeepAlive is how often the server writes a comment when it has
	// nothing else to say.
	StreamKeepAlive = 5 * time.Second
	// StreamIdle is the silence after which the client gives a stream up, because three
	// keep-alives in a row are missing.
	StreamIdle = 15 * time.Second
	// MaxStreamEvent bounds one event: the largest payload in base64, with its signature.
	MaxStreamEvent = mezu.MaxSignedPayload/3*4 + 64<<10
)

// ErrStreamIdle: nothing came on a stream for StreamIdle.
var ErrStreamIdle = errors.New("nothing came for longer than the server's keep-alive")

// events is an open stream of server-sent events (HTML Living Standard, 9.2).
type events struct {
	url    string
	flag   string // that the address comes from
	leave  func() // makes the client call another control plane from now on
	cancel context.CancelCauseFunc
	ctx    context.Context
	body   io.ReadCloser
	events *eventstream.Reader
	idle   *time.Timer
}

// events calls an operation that answers with events. They begin after the event last, or
// at the beginning if that is empty.
func (c *Client) events(ctx context.Context, call Call, last string) (*events, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	idle := time.AfterFunc(StreamIdle, func() { cancel(ErrStreamIdle) })
	_, turn := c.base()
	fail := func(err error) (*events, error) {
		if elsewhere(err) {
			c.leave(turn)
		}
		idle.Stop()
		cancel(nil)
		return nil, err
	}
	req, err := c.request(ctx, call, nil)
	if err != nil {
		return fail(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		if errors.Is(err, context.Canceled) {
			return fail(err)
		}
		return fail(c.noAnswer(req, err))
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return fail(c.problemOf(resp))
	}
	return &events{url: originOf(req), flag: c.flag, leave: func() { c.leave(turn) }, cancel: cancel, ctx: ctx, body: resp.Body, events: eventstream.NewReader(movingBody{resp.Body, idle}, MaxStreamEvent), idle: idle}, nil
}

// Close ends the stream and wakes Next.
func (s *events) Close() {
	s.idle.Stop()
	s.cancel(nil)
	s.body.Close()
}

// next waits for one event.
func (s *events) next() (eventstream.Event, error) {
	s.idle.Reset(StreamIdle)
	e, err := s.events.Next()
	if err != nil {
		return e, s.broken(err)
	}
	return e, nil
}

// movingBody is the body of a stream, which moves the idle deadline forward whenever bytes
// come.
type movingBody struct {
	io.ReadCloser
	idle *time.Timer
}

// Read reads what comes next.
func (b movingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.idle.Reset(StreamIdle)
	return n, err
}

// Stream is an open edge stream. Next is for one goroutine at a time; Close may
// come from any.
type Stream struct{ *events }

// Stream opens the edge stream. It delivers everything after from that is still current,
// then StreamSynced, then changes as they come. The caller closes it.
func (c *Client) Stream(ctx context.Context, from mezu.Position) (*Stream, error) {
	last := ""
	if !from.IsZero() {
		last = from.String()
	}
	s, err := c.events(ctx, Call{Operation: OpEdgeStream}, last)
	if err != nil {
		return nil, err
	}
	return &Stream{s}, nil
}

// Next waits for one event. Its errors are final: *UnreachableError when the
// stream broke or went silent (reconnect from the last event's Position), the
// context's when it ended.
func (s *Stream) Next() (StreamEvent, error) {
	raw, err := s.next()
	if err != nil {
		return StreamEvent{}, err
	}
	e := StreamEvent{Kind: StreamKind(raw.Kind)}
	if raw.ID != "" {
		if e.Position, err = mezu.ParsePosition(raw.ID); err != nil {
			return StreamEvent{}, s.broken(fmt.Errorf("decoding an event's id: %w", err))
		}
	}
	if err := json.Unmarshal(raw.Data, &e); err != nil {
		return StreamEvent{}, s.broken(fmt.Errorf("decoding a %s event: %w", e.Kind, err))
	}
	return e, nil
}

// AuditStream is an open watch of an audit log. Next is for one goroutine at a time;
// Close may come from any.
type AuditStream struct{ *events }

// WatchAudit opens a watch with a call of OpWatchAudit or OpWatchInstallationAudit. It
// delivers records as they are written. If after is the id of a record, those since that
// record come first; some near it may come twice, which the caller recognises by their ids.
// The caller closes the watch.
func (c *Client) WatchAudit(ctx context.Context, call Call, after string) (*AuditStream, error) {
	s, err := c.events(ctx, call, after)
	if err != nil {
		return nil, err
	}
	return &AuditStream{s}, nil
}

// Next waits for one record. Its errors are final, like those of Stream.Next: open the watch
// again after the last record's ID.
func (s *AuditStream) Next() (mezu.AuditRecord, error) {
	var rec mezu.AuditRecord
	raw, err := s.next()
	if err != nil {
		return rec, err
	}
	if err := json.Unmarshal(raw.Data, &rec); err != nil {
		return rec, s.broken(fmt.Errorf("decoding a %s event: %w", raw.Kind, err))
	}
	return rec, nil
}

func (s *events) broken(err error) error {
	s.idle.Stop()
	cause := context.Cause(s.ctx)
	if cause == nil || errors.Is(cause, ErrStreamIdle) {
		s.leave()
	}
	if cause != nil {
		err = cause
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return &UnreachableError{URL: s.url, Err: fmt.Errorf("reading the stream: %w", err), flag: s.flag}
}
