package local_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/mezusphere/mezu/local"
)

func TestEvents_AreParsed(t *testing.T) {
	for text, want := range map[string][]local.RawEvent{
		"":                             nil,
		"event: a\nid: 1\ndata: x\n\n": {local.NewRawEvent("a", "1", "x")},
		": hello\n\n\n\ndata:x\r\n\r\n:\n\ndata\n\n":       {local.NewRawEvent("", "", "x")},
		"data: one\ndata: two\nretry: 5\n: c\nmoon: 1\n\n": {local.NewRawEvent("", "", "one\ntwo")},
	} {
		if got, err := local.Parse(strings.NewReader(text)); err != io.EOF || !same(got, want) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"data: x", "data: x\n", "event"} {
		if got, err := local.Parse(strings.NewReader(text)); !errors.Is(err, io.ErrUnexpectedEOF) || got != nil {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}

func same(got, want []local.RawEvent) bool {
	return fmt.Sprintf("%q", got) == fmt.Sprintf("%q", want)
}

// FuzzEvents: no stream makes the client keep more than one event's worth, and what it reads
// does not depend on how the bytes come.
func FuzzEvents(f *testing.F) {
	f.Add([]byte("event: tunnel\nid: r-1\ndata: {\"event\":\"tunnel\"}\n\n: still here\n\n"))
	f.Add([]byte("data: a\r\ndata\r\n\r\nid"))
	f.Fuzz(func(t *testing.T, data []byte) {
		events, err := local.Parse(bytes.NewReader(data))
		for _, e := range events {
			if e.Size() > local.MaxEvent {
				t.Fatalf("an event of %d bytes", e.Size())
			}
		}
		again, errAgain := local.Parse(oneByOne{bytes.NewReader(data)})
		if !reflect.DeepEqual(events, again) || fmt.Sprint(err) != fmt.Sprint(errAgain) {
			t.Fatalf("%q: %q, %v; byte by byte %q, %v", data, events, err, again, errAgain)
		}
	})
}

// oneByOne reads a byte at a time.
type oneByOne struct{ io.Reader }

func (o oneByOne) Read(p []byte) (int, error) { return o.Reader.Read(p[:min(1, len(p))]) }
