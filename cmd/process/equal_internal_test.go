package process

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/testkit"
)

// logged is a log that is read in turn.
type logged struct {
	testkit.Buffer
	read int
}

// said are the lines since the last call, without their times.
func said(b *logged) []string {
	all := b.String()
	var out []string
	for line := range strings.Lines(all[b.read:]) {
		_, line, _ = strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		out = append(out, line)
	}
	b.read = len(all)
	return out
}

func want(t *testing.T, what string, got []string, lines ...string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(lines, "\n") {
		t.Errorf("%s: %q, want %q", what, got, lines)
	}
}

// TestEqualLinesAreOne: 33 lines in four seconds, of a name that doesn't resolve, are one, and one
// that says how many.
func TestEqualLinesAreOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b logged
		log := PlainLogger(&b, slog.LevelDebug).With("service", "edge")
		trouble := func(n int) {
			for i := range n {
				log.Warn("enrolling; trying again", "error", errors.New("no such host"), "retry_in", time.Duration(i))
			}
		}
		const line = `level=WARN msg="enrolling; trying again" service=edge error="no such host"`
		trouble(33)
		want(t, "the first", said(&b), line+" retry_in=0s")
		log.Warn("enrolling; trying again", "error", errors.New("refused"))
		log.With("more", 1).Warn("enrolling; trying again", "error", errors.New("no such host"))
		log.Debug("one")
		log.Debug("one")
		want(t, "what says something else", said(&b), `level=WARN msg="enrolling; trying again" service=edge error=refused`, strings.Replace(line, " error", " more=1 error", 1),
			"level=DEBUG msg=one service=edge", "level=DEBUG msg=one service=edge")
		<-time.After(firstSpan)
		synctest.Wait()
		want(t, "at the end of the span", said(&b), line+" retry_in=32ns repeated=32")
		trouble(5)
		<-time.After(firstSpan)
		want(t, "in a longer one", said(&b))
		<-time.After(firstSpan)
		synctest.Wait()
		want(t, "at its end", said(&b), line+" retry_in=4ns repeated=5")
		<-time.After(lastSpan)
		trouble(1)
		want(t, "after a silence", said(&b), line+" retry_in=0s")
		<-time.After(lastSpan)
	})
}

// TestEqualLinesOfAnyPort: the port of this end, and that of a peer, make no other line. The id of
// a request does.
func TestEqualLinesOfAnyPort(t *testing.T) {
	var b logged
	h := countEqual(slog.NewTextHandler(&b, nil))
	log := slog.New(h)
	for i := range 3 {
		log.Warn("tunnel down", "error", fmt.Errorf("read tcp 127.0.0.1:%d->192.0.2.1:443: reset", 40000+i))
		log.Warn("refused a tunnel", "peer", fmt.Sprintf("192.0.2.1:%d", 40000+i))
		log.Warn("request failed", "request_id", fmt.Sprint("req_", i))
	}
	if n := len(said(&b)); n != 5 {
		t.Errorf("%d lines", n)
	}
	h.seen.close()
	if lines := said(&b); len(lines) != 2 || !strings.HasSuffix(lines[0], "repeated=2") || !strings.HasSuffix(lines[1], "repeated=2") {
		t.Errorf("%q", lines)
	}
}

// TestEqualLinesAreBounded: of more different lines than are counted each is written.
func TestEqualLinesAreBounded(t *testing.T) {
	var b logged
	h := countEqual(slog.NewTextHandler(&b, nil))
	for range 2 {
		for i := range maxEqual + 10 {
			slog.New(h).Warn("x", "n", i)
		}
	}
	if n := len(said(&b)); n != maxEqual+20 {
		t.Errorf("%d lines", n)
	}
	h.seen.close()
}

// TestEqualLinesLeaveRoom: lines of requests, which differ each, and long ones are written as they
// come and keep no other from being counted.
func TestEqualLinesLeaveRoom(t *testing.T) {
	var b logged
	h := countEqual(slog.NewTextHandler(&b, nil))
	log := slog.New(h)
	for i := range maxEqual {
		log.Error("request failed", "request_id", fmt.Sprint("req_", i), "error", "refused")
	}
	long := strings.Repeat("x", maxEqualBytes)
	log.Error("panic", "stack", long)
	log.Error("panic", "stack", long)
	if n := len(said(&b)); n != maxEqual+2 {
		t.Errorf("%d lines", n)
	}
	if n := len(h.seen.lines); n != 0 {
		t.Errorf("%d of them are kept", n)
	}
	for range 33 {
		log.Warn("again")
	}
	want(t, "beside them", said(&b), "level=WARN msg=again")
	h.seen.close()
}

// TestEqualLinesAtTheEnd: what was counted is said when a program ends.
func TestEqualLinesAtTheEnd(t *testing.T) {
	var b logged
	s := terminal.Streams{Out: new(bytes.Buffer), Err: &b}
	o := NewOutlets(&s)
	log, err := Logger(s.Err, "text", "info")
	if err != nil {
		t.Fatal(err)
	}
	o.Serve()
	for range 33 {
		log.Warn("again")
	}
	o.Close()
	want(t, "the log", said(&b), "level=WARN msg=again", "level=WARN msg=again repeated=32")
}
