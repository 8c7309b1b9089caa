package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/mezusphere/mezu"
)

// Bounds of the edge stream.
const (
	// StreamKeepAlive is how often the server writes a comment when it has
	// nothing else to say.
	StreamKeepAlive = 5 * time.Second
	// StreamIdle is the silence after which the client gives a stream up: three
	// keep-alives missed.
	StreamIdle = 15 * time.Second
	// MaxStreamEvent bounds one event: the largest payload, in base64, with its
	// signature around it.
	MaxStreamEvent = mezu.MaxSignedPayload/3*4 + 64<<10
)

// ErrStreamIdle ends a stream on which nothing came for StreamIdle.
var ErrStreamIdle = errors.New("nothing came for longer than the server's keep-alive")

// Stream is an open edge stream. Next is for one goroutine at a time; Close may
// come from any.
type Stream struct {
	url    string
	cancel context.CancelCauseFunc
	ctx    context.Context
	body   io.ReadCloser
	lines  *bufio.Reader
	idle   *time.Timer
}

// Stream opens the edge stream: everything after from that is still current, then
// StreamSynced, then changes as they come. The caller closes it.
func (c *Client) Stream(ctx context.Context, from mezu.Position) (*Stream, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	idle := time.AfterFunc(StreamIdle, func() { cancel(ErrStreamIdle) })
	fail := func(err error) (*Stream, error) {
		idle.Stop()
		cancel(nil)
		return nil, err
	}
	req, err := c.request(ctx, Call{Operation: OpEdgeStream}, nil)
	if err != nil {
		return fail(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	if !from.IsZero() {
		req.Header.Set("Last-Event-ID", from.String())
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		if errors.Is(err, context.Canceled) {
			return fail(err)
		}
		return fail(&UnreachableError{URL: c.base, Err: plainCause(err)})
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return fail(problemOf(resp))
	}
	return &Stream{url: c.base, cancel: cancel, ctx: ctx, body: resp.Body, lines: bufio.NewReaderSize(resp.Body, 32<<10), idle: idle}, nil
}

// Close ends the stream and wakes Next.
func (s *Stream) Close() {
	s.idle.Stop()
	s.cancel(nil)
	s.body.Close()
}

// Next waits for one event. Its errors are final: *UnreachableError when the
// stream broke or went silent (reconnect from the last event's Position), the
// context's when it ended.
func (s *Stream) Next() (StreamEvent, error) {
	var e StreamEvent
	var data []byte
	size := 0
	for {
		line, err := s.line(MaxStreamEvent - size)
		if err != nil {
			return StreamEvent{}, s.broken(err)
		}
		size += len(line)
		if len(line) == 0 {
			if e.Kind == "" && data == nil {
				size = 0
				continue
			}
			if err := json.Unmarshal(data, &e); err != nil {
				return StreamEvent{}, s.broken(fmt.Errorf("decoding a %s event: %w", e.Kind, err))
			}
			return e, nil
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			e.Kind = StreamKind(value)
		case "id":
			if e.Position, err = mezu.ParsePosition(string(value)); err != nil {
				return StreamEvent{}, s.broken(fmt.Errorf("decoding an event's id: %w", err))
			}
		case "data":
			data = append(data, value...)
		}
	}
}

// line reads one line without its end, of at most limit bytes, and pushes the idle
// deadline out while bytes come.
func (s *Stream) line(limit int) ([]byte, error) {
	var out []byte
	for {
		part, err := s.lines.ReadSlice('\n')
		s.idle.Reset(StreamIdle)
		if len(out)+len(part) > limit {
			return nil, fmt.Errorf("event is over %d bytes", MaxStreamEvent)
		}
		out = append(out, part...)
		if err == nil {
			return bytes.TrimRight(out, "\r\n"), nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
	}
}

func (s *Stream) broken(err error) error {
	s.idle.Stop()
	if cause := context.Cause(s.ctx); cause != nil {
		err = cause
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return &UnreachableError{URL: s.url, Err: fmt.Errorf("reading the stream: %w", err)}
}
