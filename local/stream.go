package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/eventstream"
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
	answer *answer
	events *eventstream.Reader
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
	a, err := c.call(ctx, 0, http.MethodGet, path, nil, header)
	if err != nil {
		return nil, err
	}
	if media := a.Header.Get("Content-Type"); media != MediaEvents {
		a.end()
		return nil, c.garbled(fmt.Errorf("a stream of %q", api.Printable(media)))
	}
	return &Stream{answer: a, events: eventstream.NewReader(idleReader{a}, MaxEvent)}, nil
}

// idleReader reads a body, which may not be silent for longer than the client waits.
type idleReader struct{ *answer }

// Read reads what comes next.
func (r idleReader) Read(p []byte) (int, error) {
	// It fails for a connection that is closed, and so does the next read.
	_ = r.conn.SetReadDeadline(time.Now().Add(r.client.idle))
	return r.Body.Read(p)
}

// Close ends the stream and wakes Next.
func (s *Stream) Close() { s.answer.end() }

// Next waits for one event. Its errors are final. io.EOF: the daemon ended the stream, because
// the tunnel was removed or the daemon ends. An error with CodeUnavailable: the stream broke or
// went silent; call again for one after the last Cursor. The context's, when that has ended.
func (s *Stream) Next() (Event, error) {
	raw, err := s.events.Next()
	if err != nil {
		return Event{}, s.ended(err)
	}
	var e Event
	if err := json.Unmarshal(raw.Data, &e); err != nil {
		return Event{}, s.ended(fmt.Errorf("%w: %w", errEvent, err))
	}
	e.Event.Event, e.Cursor = mezu.EventKind(raw.Kind), raw.ID
	return e, nil
}

// errEvent is in the chain of the error for what is no event.
var errEvent = errors.New("not an event of this API")

// ended closes a stream that has ended with an error, and says how.
func (s *Stream) ended(err error) error {
	defer s.Close()
	client := s.answer.client
	switch {
	case s.answer.ctx.Err() != nil:
		return s.answer.ctx.Err()
	case errors.Is(err, io.EOF):
		return io.EOF
	case errors.Is(err, errEvent), errors.Is(err, eventstream.ErrTooLong):
		return client.garbled(err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return silent(client.path, err)
	}
	return unavailable(ErrSilent, err, "mezu daemon status", "the daemon on %s ended in the middle of a stream", client.path)
}
