package eventstream_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/mezusphere/mezu/eventstream"
)

// most is what an event has at most.
const most = 1 << 10

// parse reads all events, and gives them with the error that ended it.
func parse(r io.Reader) (events []eventstream.Event, err error) {
	reader := eventstream.NewReader(r, most)
	for {
		e, err := reader.Next()
		if err != nil {
			return events, err
		}
		events = append(events, e)
	}
}

// size is how many bytes of the stream are kept for an event.
func size(e eventstream.Event) int { return len(e.Kind) + len(e.ID) + len(e.Data) }

// TestAttackEventWithoutEnd: neither one line nor many make the reader keep more than an event
// may have.
func TestAttackEventWithoutEnd(t *testing.T) {
	for _, text := range []string{"data: " + strings.Repeat("x", 1<<20), strings.Repeat("data: x\n", 1<<17), strings.Repeat(": x\n", 1<<17), strings.Repeat("id: x\n", 1<<17)} {
		if got, err := parse(strings.NewReader(text)); !errors.Is(err, eventstream.ErrTooLong) || got != nil {
			t.Errorf("%.20q: %d events, %v", text, len(got), err)
		}
	}
}

func TestEvents_AreParsed(t *testing.T) {
	for text, want := range map[string][]eventstream.Event{
		"":                             nil,
		"event: a\nid: 1\ndata: x\n\n": {{Kind: "a", ID: "1", Data: []byte("x")}},
		": hello\n\n\n\ndata:x\r\n\r\n:\n\ndata\n\n":       {{Kind: "", ID: "", Data: []byte("x")}},
		"data: one\ndata: two\nretry: 5\n: c\nmoon: 1\n\n": {{Kind: "", ID: "", Data: []byte("one\ntwo")}},
	} {
		if got, err := parse(strings.NewReader(text)); err != io.EOF || !same(got, want) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"data: x", "data: x\n", "event"} {
		if got, err := parse(strings.NewReader(text)); !errors.Is(err, io.ErrUnexpectedEOF) || got != nil {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}

func same(got, want []eventstream.Event) bool {
	return fmt.Sprintf("%q", got) == fmt.Sprintf("%q", want)
}

// FuzzEvents: no stream makes the client keep more than one event's worth, and what it reads
// does not depend on how the bytes come.
func FuzzEvents(f *testing.F) {
	f.Add([]byte("event: tunnel\nid: r-1\ndata: {\"event\":\"tunnel\"}\n\n: still here\n\n"))
	f.Add([]byte("data: a\r\ndata\r\n\r\nid"))
	f.Fuzz(func(t *testing.T, data []byte) {
		events, err := parse(bytes.NewReader(data))
		for _, e := range events {
			if size(e) > most {
				t.Fatalf("an event of %d bytes", size(e))
			}
		}
		again, errAgain := parse(oneByOne{bytes.NewReader(data)})
		if !reflect.DeepEqual(events, again) || fmt.Sprint(err) != fmt.Sprint(errAgain) {
			t.Fatalf("%q: %q, %v; byte by byte %q, %v", data, events, err, again, errAgain)
		}
	})
}

// oneByOne reads a byte at a time.
type oneByOne struct{ io.Reader }

func (o oneByOne) Read(p []byte) (int, error) { return o.Reader.Read(p[:min(1, len(p))]) }
