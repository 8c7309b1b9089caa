package local

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

// Times of streams.
const (
	// StreamKeepAlive is how often the daemon writes a comment when it has nothing else to say.
	StreamKeepAlive = 5 * time.Second
	// StreamIdle is the silence after which the client gives a stream up, because three
	// keep-alives in a row are missing.
	StreamIdle = 15 * time.Second
)

// Stream is an open stream of events. Next is for one goroutine at a time; Close may come from
// any.
type Stream struct {
	client *Client
	ctx    context.Context // the caller's
	end    context.CancelFunc
	resp   *http.Response
	parser *eventReader
	idle   *time.Timer
	late   chan struct{}
}

// Attach opens the stream of one tunnel, which lives as long as somebody has such a stream. It
// begins after the event with this Cursor, or with the tunnel as it is if that is empty.
func (c *Client) Attach(ctx context.Context, id, after string) (*Stream, error) {
	return c.stream(ctx, below(PathAttach, id), after)
}

// Events opens the stream of all tunnels, as Attach does for one.
func (c *Client) Events(ctx context.Context, after string) (*Stream, error) {
	return c.stream(ctx, PathEvents, after)
}

func (c *Client) stream(ctx context.Context, path, after string) (*Stream, error) {
	header := http.Header{"Accept": {MediaEvents}}
	if after != "" {
		header.Set("Last-Event-ID", after)
	}
	resp, end, err := c.call(ctx, 0, http.MethodGet, path, nil, header)
	if err != nil {
		return nil, err
	}
	if media := resp.Header.Get("Content-Type"); media != MediaEvents {
		resp.Body.Close()
		end()
		return nil, c.garbled(fmt.Errorf("a stream of %q", printable(media)))
	}
	s := &Stream{client: c, ctx: ctx, end: end, resp: resp, late: make(chan struct{})}
	s.idle = time.AfterFunc(c.idle, func() {
		close(s.late)
		end()
	})
	s.parser = newEventReader(resp.Body, func() { s.idle.Reset(c.idle) })
	return s, nil
}

// Close ends the stream and wakes Next.
func (s *Stream) Close() {
	s.idle.Stop()
	s.end()
	s.resp.Body.Close()
}

// Next waits for one event. Its errors are final. io.EOF: the daemon ended the stream, because
// the tunnel was removed or the daemon ends. An error with CodeUnavailable: the stream broke or
// went silent; call again for one after the last Cursor. The context's, when that has ended.
func (s *Stream) Next() (Event, error) {
	raw, err := s.parser.next()
	if err == nil {
		var e Event
		if err = json.Unmarshal(raw.data, &e); err == nil {
			e.Event.Event, e.Cursor = mezu.EventKind(raw.kind), raw.id
			return e, nil
		}
		err = s.client.garbled(fmt.Errorf("decoding an event: %w", err))
	}
	s.Close()
	var own *mezu.Error
	switch {
	case s.ctx.Err() != nil:
		return Event{}, s.ctx.Err()
	case errors.Is(err, io.EOF), errors.As(err, &own):
		return Event{}, err
	case isClosed(s.late):
		return Event{}, silent(s.client.path, nil)
	case errors.Is(err, errEvent):
		return Event{}, s.client.garbled(err)
	}
	return Event{}, unavailable(ErrSilent, err, "mezu daemon status", "the daemon on %s ended in the middle of a stream", s.client.path)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// rawEvent is one event as it was received.
type rawEvent struct {
	kind, id string
	data     []byte
}

// eventReader reads server-sent events (WHATWG HTML, 9.2).
type eventReader struct {
	lines *bufio.Reader
	came  func() // is called when bytes came
}

func newEventReader(r io.Reader, came func()) *eventReader {
	return &eventReader{lines: bufio.NewReaderSize(r, 16<<10), came: came}
}

// errEvent is in the chain of the error for what is no event.
var errEvent = errors.New("not an event of this API")

// next waits for one event. Its error is io.EOF if the stream was ended properly between two.
func (r *eventReader) next() (rawEvent, error) {
	var e rawEvent
	for size := 0; ; {
		line, err := r.line(MaxEvent - size)
		if errors.Is(err, io.EOF) && (size > 0 || len(line) > 0) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return rawEvent{}, err
		}
		size += len(line)
		if len(line) == 0 {
			if e.kind == "" && e.data == nil {
				size = 0
				continue
			}
			return e, nil
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			e.kind = string(value)
		case "id":
			e.id = string(value)
		case "data":
			if e.data != nil {
				e.data = append(e.data, '\n')
			}
			e.data = append(e.data, value...)
		}
	}
}

// line reads one line, of at most limit bytes without its end.
func (r *eventReader) line(limit int) ([]byte, error) {
	var out []byte
	for {
		part, err := r.lines.ReadSlice('\n')
		if len(part) > 0 {
			r.came()
		}
		if len(out)+len(part) > limit {
			return nil, fmt.Errorf("%w: it has over %d bytes", errEvent, MaxEvent)
		}
		out = append(out, part...)
		if err == nil {
			return bytes.TrimRight(out, "\r\n"), nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return out, err
		}
	}
}
