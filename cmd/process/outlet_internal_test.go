package process

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/terminal"
)

// A reader who stalls holds nobody up: what there is room for waits for him, the rest is
// dropped, counted, and told where it is missing.
func TestStalledReader(t *testing.T) {
	reader, writer := io.Pipe()
	var out bytes.Buffer
	s := terminal.Streams{Out: &out, Err: writer}
	o := NewOutlets(&s)
	log, err := Logger(s.Err, "text", "info")
	if err != nil {
		t.Fatal(err)
	}
	o.Serve()
	pad := strings.Repeat("x", 1000)
	const total = 3 * maxWaitingBytes / 1000
	log.Info("request", "n", 0, "pad", pad)
	// The reader stalls within the first line, so that nothing is taken out of the queue
	// while it fills up: what is dropped would be missing in its middle too.
	var begun [1]byte
	if _, err := io.ReadFull(reader, begun[:]); err != nil {
		t.Fatal(err)
	}
	for i := 1; i < total; i++ {
		log.Info("request", "n", i, "pad", pad)
	}
	dropped := o.Lost()
	if dropped < total/2 || dropped >= total {
		t.Fatalf("%d of %d lines were dropped", dropped, total)
	}
	lines, next := bufio.NewReader(io.MultiReader(bytes.NewReader(begun[:]), reader)), 0
	read := func() string {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return line
	}
	for next < total-int(dropped) {
		if line := read(); !strings.Contains(line, fmt.Sprintf("msg=request n=%d ", next)) {
			t.Fatalf("instead of %d: %.200s", next, line)
		}
		next++
	}
	if line := read(); !strings.Contains(line, "level=WARN") || !strings.Contains(line, fmt.Sprintf("lines=%d", dropped)) {
		t.Fatalf("%.200s", line)
	}
	log.Info("again")
	if line := read(); !strings.Contains(line, "msg=again") {
		t.Fatalf("%.200s", line)
	}
	o.Close()
}

// broken is a stream whose reader comes and goes.
type broken struct {
	mu   sync.Mutex
	gone bool
	b    bytes.Buffer
}

func (b *broken) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gone {
		return 0, errors.New("broken pipe")
	}
	return b.b.Write(p)
}

func (b *broken) set(gone bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gone = gone
}

// What can't be written is dropped and counted; both are told once it can be again.
func TestReaderGone(t *testing.T) {
	var err bytes.Buffer
	out := &broken{gone: true}
	s := terminal.Streams{Out: out, Err: &err}
	o := NewOutlets(&s)
	e := NewEvents(s, slog.New(slog.NewTextHandler(s.Err, nil)))
	o.Serve()
	for range 5 {
		e.Write(mezu.Event{Event: mezu.EventRequest})
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for o.Lost() < 5 {
		<-tick.C
	}
	out.set(false)
	e.Write(mezu.Event{Event: mezu.EventStopped})
	o.Close()
	if got := out.b.String(); o.Lost() != 5 || err.Len() > 0 || !strings.HasPrefix(got, `{"event":"error",`) ||
		!strings.Contains(got, `"code":"overloaded","message":"5 lines were dropped here`) || strings.Count(got, "\n") != 2 {
		t.Errorf("%d lost, %q, %q", o.Lost(), got, err.String())
	}
}

// Before a program serves its streams are what they are.
func TestOutletsBeforeServing(t *testing.T) {
	out := &broken{gone: true}
	s := terminal.Streams{Out: out, Err: out}
	o := NewOutlets(&s)
	defer o.Close()
	if err := s.Printf("x"); err == nil {
		t.Error("a command that does not serve is not told that its reader is gone")
	}
	out.set(false)
	if err := s.Printf("x\n"); err != nil || out.b.String() != "x\n" || o.Lost() != 0 {
		t.Errorf("%v, %q, %d lost", err, out.b.String(), o.Lost())
	}
}

// Flush waits for a reader who is slow, and not for one who has stopped.
func TestFlush(t *testing.T) {
	reader, writer := io.Pipe()
	s := terminal.Streams{Out: io.Discard, Err: writer}
	o := NewOutlets(&s)
	o.Flush() // nothing waits before Serve
	o.Serve()
	o.Flush() // nor now
	s.Sayf("one")
	s.Sayf("two")
	flushed := make(chan struct{})
	go func() {
		defer close(flushed)
		o.Flush()
	}()
	lines := bufio.NewReader(reader)
	select {
	case <-flushed:
		t.Fatal("flushed before anything was read")
	default:
	}
	for _, want := range []string{"one\n", "two\n"} {
		if got, err := lines.ReadString('\n'); got != want {
			t.Fatalf("%q %v", got, err)
		}
	}
	<-flushed
	s.Sayf("nobody reads this")
	begun := time.Now()
	o.Flush()
	if time.Since(begun) < lastLines {
		t.Error("it did not wait for the reader")
	}
	reader.Close()
	o.Close()
	o.Flush() // after the end nothing waits
}
