// Package eventstream reads streams of server-sent events (HTML Living Standard, 9.2).
//
// What lives here: events taken apart, in bounded memory. What may not: connections and
// deadlines, and what an event means. api and local import it, whose clients read streams.
package eventstream

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// buffer is what is read ahead.
const buffer = 16 << 10

// ErrTooLong is in the chain of the error about an event that has more bytes than are read.
var ErrTooLong = errors.New("an event is too long")

// Event is one event as it was received.
type Event struct {
	Kind, ID string
	Data     []byte
}

// Reader reads events.
type Reader struct {
	lines *bufio.Reader
	most  int // bytes of an event
}

// NewReader makes a Reader of events that have at most that many bytes, with the names of
// their fields.
func NewReader(r io.Reader, most int) *Reader {
	return &Reader{bufio.NewReaderSize(r, buffer), most}
}

// Next waits for one event. Its error is io.EOF if the stream was ended properly between two.
func (r *Reader) Next() (Event, error) {
	var e Event
	for size := 0; ; {
		line, err := r.line(r.most - size)
		if errors.Is(err, io.EOF) && (size > 0 || len(line) > 0) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return Event{}, err
		}
		size += len(line)
		if len(line) == 0 {
			if e.Kind == "" && e.Data == nil {
				size = 0
				continue
			}
			return e, nil
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			e.Kind = string(value)
		case "id":
			e.ID = string(value)
		case "data":
			if e.Data != nil {
				e.Data = append(e.Data, '\n')
			}
			e.Data = append(e.Data, value...)
		}
	}
}

// line reads one line, of at most limit bytes without its end.
func (r *Reader) line(limit int) ([]byte, error) {
	var out []byte
	for {
		part, err := r.lines.ReadSlice('\n')
		if len(out)+len(part) > limit {
			return nil, fmt.Errorf("%w: over %d bytes", ErrTooLong, r.most)
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
