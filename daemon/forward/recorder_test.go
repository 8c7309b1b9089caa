package forward_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/forward"
	"github.com/mezusphere/mezu/relay"
)

// notes is a Recorder that writes down what its one tape is told.
type notes struct {
	mu   sync.Mutex
	said []string
	ends chan struct{}
}

func (n *notes) say(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.said = append(n.said, fmt.Sprintf(format, args...))
}

func (n *notes) Tape(string) forward.Tape { return n }

func (n *notes) Begin(*forward.Begun) forward.Interest { return forward.Everything }
func (n *notes) Judged(string, string)                 {}
func (n *notes) Target(mezu.Upstream)                  { n.say("target") }

func (n *notes) Head(part forward.Part, text []byte) {
	line, _, _ := bytes.Cut(text, []byte("\r\n"))
	n.say("head %d %s", part, line)
}

func (n *notes) Piece(d forward.Direction, piece []byte) { n.say("piece %d %s", d, piece) }
func (n *notes) Rewind()                                 { n.say("rewind") }

func (n *notes) Ended(d forward.Direction, trailers []relay.Field) {
	said := fmt.Sprintf("ended %d", d)
	for _, f := range trailers {
		said += fmt.Sprintf(" %s=%s", bytes.ToLower(f.Name), f.Value)
	}
	n.say("%s", said)
}

func (n *notes) Upgraded()                           {}
func (n *notes) Connected(_ time.Duration, old bool) { n.say("connected %t", old) }
func (n *notes) Mark(m forward.Mark)                 { n.say("mark %d", m) }
func (n *notes) End(o *forward.Outcome)              { n.say("end %d", o.Status); n.ends <- struct{}{} }
func (n *notes) Close()                              {}

// newNotes is a world that is recorded.
func newNotes(t *testing.T, upstream string) (*world, *notes) {
	n := &notes{ends: make(chan struct{}, 10)}
	w := &world{t: t, events: make(chan mezu.Event, 10)}
	w.table.Store(compile(t, position))
	w.f = forward.New(forward.Config{Targets: forward.Targets{Upstream: parse(t, upstream)}, Log: slog.New(slog.DiscardHandler), Table: w.table.Load, Recorder: n})
	t.Cleanup(w.f.Close)
	return w, n
}

// Whatever a workload speaks, the same is told of an exchange with it.
func TestTape_InEachVersion(t *testing.T) {
	overAll(t, func(rw http.ResponseWriter, r *http.Request, _ <-chan struct{}) {
		body, _ := io.ReadAll(r.Body)
		rw.Header().Set("Trailer", "X-Sum")
		rw.WriteHeader(http.StatusEarlyHints)
		rw.Write(body)
		http.NewResponseController(rw).Flush()
		rw.Header().Set("X-Sum", r.Trailer.Get("X-Sum"))
	}, func(t *testing.T, other *world) {
		w, n := newNotes(t, other.f.Upstream().String())
		e := w.connect(false)
		e.ask(strings.TrimSuffix(chunkedPost, "\r\n") + "Trailer: X-Sum\r\nTE: trailers\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n")
		e.response("POST")
		e.reads("POST", 200, "hello")
		receive(t, n.ends, "end")
		for _, want := range []string{"head 0 POST / HTTP/1.1", "target", "connected false", "head 1 POST / HTTP/1.1", "mark 0", "piece 0 hello", "ended 0 x-sum=7", "mark 1", "mark 2",
			"head 2 HTTP/1.1 103 Early Hints", "head 3 HTTP/1.1 200 OK", "head 4 HTTP/1.1 200 OK", "piece 1 hello", "ended 1 x-sum=7", "end 200"} {
			if !slices.Contains(n.said, want) {
				t.Errorf("nothing is told of %q: %q", want, n.said)
			}
		}
	})
}

// A request that is sent again is told of as one, whose body begins anew.
func TestTape_Rewinds(t *testing.T) {
	var met atomic.Bool
	w, n := newNotes(t, framedWorkload(t, func(c *framed) {
		for {
			id, body, ok := c.request(false)
			if !ok {
				return
			}
			if !met.Swap(true) {
				c.WriteRSTStream(id, http2.ErrCodeRefusedStream)
				continue
			}
			c.answer(id, body)
		}
	}))
	e := w.connect(false)
	e.ask(postOf("/", "hello"))
	e.reads("POST", 200, "hello")
	receive(t, n.ends, "end")
	if again := slices.Index(n.said, "rewind"); again < 0 || !slices.Contains(n.said[:again], "piece 0 hello") || !slices.Contains(n.said[again:], "piece 0 hello") {
		t.Errorf("it is told %q", n.said)
	}
}
