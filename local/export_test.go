package local

import (
	"io"
	"time"
)

// Hurry shortens the deadlines of a client.
func (c *Client) Hurry(timeout, idle time.Duration) { c.timeout, c.idle = timeout, idle }

// Parse reads all events, and gives them with the error that ended it.
func Parse(r io.Reader) (events []rawEvent, err error) {
	reader := newEventReader(r)
	for {
		e, err := reader.next()
		if err != nil {
			return events, err
		}
		events = append(events, e)
	}
}

// RawEvent is one event as it was received.
type RawEvent = rawEvent

// Size is how many bytes of the stream are kept for an event.
func (e rawEvent) Size() int { return len(e.kind) + len(e.id) + len(e.data) }

// NewRawEvent makes one.
func NewRawEvent(kind, id, data string) RawEvent {
	return rawEvent{kind: kind, id: id, data: []byte(data)}
}
