package relay_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/mezusphere/mezu/relay"
)

// record notes each write.
type record struct {
	writes []string
	fail   error
}

func (r *record) Write(p []byte) (int, error) {
	if r.fail != nil {
		return 0, r.fail
	}
	r.writes = append(r.writes, string(p))
	return len(p), nil
}

func (r *record) all() string { return strings.Join(r.writes, "") }

// script is a source that gives pieces; ready says which of them are there at
// once. before is called when one is asked for.
type script struct {
	pieces []string
	ready  []bool
	before func(i int)
	end    error
	i      int
}

func (s *script) Next() ([]byte, error) {
	if s.before != nil {
		s.before(s.i)
	}
	s.i++
	if s.i > len(s.pieces) {
		if s.end != nil {
			return nil, s.end
		}
		return nil, io.EOF
	}
	return []byte(s.pieces[s.i-1]), nil
}

func (s *script) Ready() bool            { return s.i < len(s.ready) && s.ready[s.i] }
func (s *script) Trailer() []relay.Field { return nil }

// TestStreamGoesOutAtOnce: whatever was read is written before the source is
// asked for something that is not there yet.
func TestStreamGoesOutAtOnce(t *testing.T) {
	for _, framing := range []relay.Framing{relay.Chunked, relay.Length, relay.UntilClose} {
		var out record
		var w relay.Writer
		w.Reset(&out)
		w.Gathered(append(w.Room(), "HEAD"...))
		src := &script{pieces: []string{"one", "two", "three"}}
		seen := []string{"HEAD", "one", "two", "three"}
		src.before = func(i int) {
			if i < len(seen) && !strings.Contains(out.all(), seen[i]) {
				t.Errorf("framing %d: %q was not written before the next wait", framing, seen[i])
			}
		}
		if n, err := w.Body(src, framing); n != 11 || err != nil {
			t.Errorf("framing %d: %d, %v", framing, n, err)
		}
	}
}

// TestSmallMessageIsOneWrite: head and body that are there go out together.
func TestSmallMessageIsOneWrite(t *testing.T) {
	var r relay.Reader
	r.Reset(strings.NewReader("5\r\nhello\r\n6\r\n world\r\n0\r\nX: 1\r\n\r\n"))
	var b relay.Body
	b.Reset(&r, relay.Chunked, 0, 0)
	defer b.Close()
	r.Fill()
	var out record
	var w relay.Writer
	w.Reset(&out)
	w.Gathered(append(w.Room(), "HEAD\r\n\r\n"...))
	if _, err := w.Body(&b, relay.Chunked); err != nil {
		t.Fatal(err)
	}
	if len(out.writes) != 1 || out.writes[0] != "HEAD\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\nX: 1\r\n\r\n" {
		t.Errorf("%q", out.writes)
	}
}

// TestWritesFitOneRecord: chunks of any size leave in writes of at most one TLS
// record, and come back whole.
func TestWritesFitOneRecord(t *testing.T) {
	var pieces []string
	var want strings.Builder
	for _, n := range []int{1, 100, 16<<10 - 21, 16<<10 - 20, 16<<10 - 19, 16 << 10, 32 << 10, 7, 20_000} {
		p := strings.Repeat(string(rune('a'+len(pieces))), n)
		pieces = append(pieces, p)
		want.WriteString(p)
	}
	for _, ready := range []bool{false, true} {
		src := &script{pieces: pieces, ready: make([]bool, len(pieces))}
		for i := range src.ready {
			src.ready[i] = ready
		}
		var out record
		var w relay.Writer
		w.Reset(&out)
		if _, err := w.Body(src, relay.Chunked); err != nil {
			t.Fatal(err)
		}
		for _, p := range out.writes {
			if len(p) > 16<<10 {
				t.Errorf("a write of %d bytes", len(p))
			}
		}
		var r relay.Reader
		r.Reset(strings.NewReader(out.all()))
		if data, _, err := drain(&r, relay.Chunked, 0, 0); err != nil || data != want.String() {
			t.Errorf("%d bytes came back, %v", len(data), err)
		}
	}
}

func TestWriterTellsTheSides(t *testing.T) {
	var out record
	var w relay.Writer
	w.Reset(&out)
	broken := errors.New("broken")
	var src *relay.SourceError
	if _, err := w.Body(&script{pieces: []string{"x"}, end: broken}, relay.Chunked); !errors.As(err, &src) || !errors.Is(err, broken) {
		t.Errorf("source: %v", err)
	}
	if strings.Contains(out.all(), "0\r\n\r\n") {
		t.Error("a broken body was finished")
	}
	w.Reset(&record{fail: broken})
	if _, err := w.Body(&script{pieces: []string{"x"}}, relay.Chunked); errors.As(err, &src) || !errors.Is(err, broken) {
		t.Errorf("destination: %v", err)
	}
}

func TestAppendChunk(t *testing.T) {
	if got := relay.AppendChunk(nil, nil); len(got) != 0 {
		t.Errorf("no data became %q, which would end the body", got)
	}
	if got := string(relay.AppendChunk([]byte("x"), bytes.Repeat([]byte("a"), 17))); got != "x11\r\naaaaaaaaaaaaaaaaa\r\n" {
		t.Errorf("%q", got)
	}
}
