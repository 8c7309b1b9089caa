//go:build unix

package rest_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/rest"
	"github.com/mezusphere/mezu/local"
)

// busy publishes requests of a tunnel.
func busy(m *memory, id string, n int) {
	for i := range n {
		m.hub.Publish(local.Event{Event: mezu.Event{Event: mezu.EventRequest, Path: fmt.Sprint("/", i), Method: "GET"}, TunnelID: id, Phase: local.PhaseEnd})
	}
}

// next gives the next event that is not one of the figures of each second.
func next(t *testing.T, s *local.Stream) local.Event {
	t.Helper()
	for {
		e, err := s.Next()
		must(t, err)
		if e.Event.Event != local.EventStats {
			return e
		}
	}
}

// TestStream: it begins with the tunnels as they are, goes on with what happens to its own, and
// ends with its tunnel.
func TestStream(t *testing.T) {
	w := newWorld(t, nil)
	a, b := w.open("a"), w.open("b")
	all, err := w.client.Events(t.Context(), "")
	must(t, err)
	defer all.Close()
	for _, want := range []mezu.Tunnel{a, b} {
		if e := next(t, all); e.Event.Event != local.EventTunnel || e.TunnelID != want.ID || e.Record.Name != want.Name || e.Tunnel != want.Name || e.Time.IsZero() || e.Cursor == "" {
			t.Errorf("%+v", e)
		}
	}
	one, err := w.client.Attach(t.Context(), b.ID, "")
	must(t, err)
	defer one.Close()
	if e := next(t, one); e.TunnelID != b.ID || e.Record == nil {
		t.Errorf("%+v", e)
	}
	if n := w.host.held(b.ID); n != 1 {
		t.Errorf("%d attached", n)
	}
	busy(w.host, a.ID, 1)
	w.host.hub.Publish(local.Event{Event: mezu.Event{Event: local.EventLink}, TunnelID: b.ID, Link: &mezu.Link{Edge: "edg_1", State: mezu.LinkConnected}})
	if e := next(t, one); e.Event.Event != local.EventLink || e.Link.Edge != "edg_1" {
		t.Errorf("%+v", e)
	}
	if e := next(t, all); e.Event.Event != mezu.EventRequest || e.TunnelID != a.ID || e.Path != "/0" || e.Phase != local.PhaseEnd {
		t.Errorf("%+v", e)
	}
	must(t, w.client.Remove(t.Context(), b.ID))
	for e := next(t, one); e.Record != nil; e = next(t, one) {
	}
	if e, err := one.Next(); err != io.EOF {
		t.Errorf("%+v, %v", e, err)
	}
	w.host.until(func() bool { return w.host.attached[b.ID] == 0 })
}

// TestStream_BeginsAtItsHead: what happens when the client has the head of the answer is in the
// stream.
func TestStream_BeginsAtItsHead(t *testing.T) {
	host := newMemory()
	opened, err := host.Open(t.Context(), spec("a"))
	must(t, err)
	s := rest.New(rest.Config{Host: host, Events: host.hub, Version: "1.2.3", Now: time.Now})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", "http://mezu/v1/events", nil)
	must(t, err)
	w := &flusher{flush: func(n int) {
		if n == 1 {
			busy(host, opened.ID, 1)
		} else {
			cancel()
		}
	}}
	w.header = http.Header{}
	s.ServeHTTP(w, rest.Admitted(r))
	if got := w.body.String(); !strings.Contains(got, `"path":"/0"`) || !strings.Contains(got, "event: tunnel\n") {
		t.Errorf("%d: %s", w.status, got)
	}
}

// TestStream_Batches: a stream that always has something new is written twenty times a second, its
// figures of each second with it, and all of it comes.
func TestStream_Batches(t *testing.T) {
	t.Parallel()
	host := newMemory()
	opened, err := host.Open(t.Context(), spec("a"))
	must(t, err)
	s := rest.New(rest.Config{Host: host, Events: host.hub, Version: "1.2.3", Now: time.Now})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", "http://mezu/v1/events", nil)
	must(t, err)
	const batches, each = 24, 20 // longer than a second
	var first, last time.Time
	w := &flusher{flush: func(n int) {
		switch last = time.Now(); n {
		case 1:
		case 2: // the tunnel as it is
			first = last
		case batches + 2:
			cancel()
			return
		}
		busy(host, opened.ID, each)
	}}
	w.header = http.Header{}
	s.ServeHTTP(w, rest.Admitted(r))
	if got := strings.Count(w.body.String(), "event: request\n"); got != (batches+1)*each {
		t.Errorf("%d requests are told", got)
	}
	if took := last.Sub(first); took < batches*50*time.Millisecond {
		t.Errorf("%d batches in %v", batches, took)
	}
}

// flusher takes an answer, and is told of each flush.
type flusher struct {
	recorder
	n     int
	flush func(n int)
}

func (w *flusher) Flush() {
	w.n++
	w.flush(w.n)
}

// TestStream_Stats: figures come each second, of each tunnel.
func TestStream_Stats(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	tunnel := w.open("a")
	_, err := w.host.change(tunnel.ID, func(t *mezu.Tunnel) { t.Stats.Requests = 42 })
	must(t, err)
	s, err := w.client.Events(t.Context(), "")
	must(t, err)
	defer s.Close()
	for range 2 {
		for {
			e, err := s.Next()
			must(t, err)
			if e.Event.Event == local.EventStats {
				if e.TunnelID != tunnel.ID || e.Stats.Requests != 42 || e.Cursor != "" {
					t.Errorf("%+v", e)
				}
				break
			}
		}
	}
}

// TestStream_Resumes: a client that comes back misses nothing that is kept, and is told how much
// it missed of the rest.
func TestStream_Resumes(t *testing.T) {
	w := newWorld(t, nil)
	tunnel := w.open("a")
	open := func(after string) *local.Stream {
		t.Helper()
		s, err := w.client.Attach(t.Context(), tunnel.ID, after)
		must(t, err)
		t.Cleanup(s.Close)
		return s
	}
	s := open("")
	cursor := next(t, s).Cursor
	s.Close()
	busy(w.host, tunnel.ID, 100)
	s = open(cursor)
	for i := range 100 {
		if e := next(t, s); e.Path != fmt.Sprint("/", i) {
			t.Fatalf("%d: %+v", i, e)
		} else if i == 40 {
			cursor = e.Cursor
		}
	}
	if e := next(t, s); e.Event.Event != local.EventTunnel || e.Record == nil {
		t.Errorf("after what was missed: %+v", e)
	}
	s.Close()
	if e := next(t, open(cursor)); e.Path != "/41" {
		t.Errorf("%+v", e)
	}
	busy(w.host, tunnel.ID, 3000)
	s = open(cursor)
	gap := next(t, s)
	first := next(t, s)
	var at int
	if _, err := fmt.Sscanf(first.Path, "/%d", &at); err != nil || gap.Event.Event != local.EventGap || gap.Missed != uint64(59+at) {
		t.Errorf("%+v, then %+v", gap, first)
	}
	// The cursor of a gap is one.
	if e := next(t, open(gap.Cursor)); e.Path != first.Path {
		t.Errorf("after the gap: %+v", e)
	}
	// A daemon that was started since knows nothing of the cursor.
	for _, cursor := range []string{"other-7", "7", "-", strings.Repeat("9", 100), strings.Split(cursor, "-")[0] + "-99999999"} {
		s := open(cursor)
		if e := next(t, s); e.Event.Event != local.EventGap || e.Missed != 0 {
			t.Errorf("%s: %+v", cursor, e)
		}
		if e := next(t, s); e.Event.Event != local.EventTunnel {
			t.Errorf("%s: %+v", cursor, e)
		}
		s.Close()
	}
}

// TestClientThatDoesNotRead: nobody waits for it. When it reads on, a gap counts what it missed,
// and its tunnel is still there: it may be a command that was suspended.
func TestClientThatDoesNotRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	tunnel := w.open("a")
	slow, err := w.client.Attach(t.Context(), tunnel.ID, "")
	must(t, err)
	defer slow.Close()
	fast, err := w.client.Attach(t.Context(), tunnel.ID, "")
	must(t, err)
	defer fast.Close()
	next(t, slow)
	next(t, fast)
	const many = 20_000
	// More than the system keeps for a connection, and the hub for a tunnel.
	const round = 400
	for i := range many / round {
		busy(w.host, tunnel.ID, round)
		for seen := 0; seen < round; {
			e := next(t, fast)
			if e.Event.Event == local.EventGap {
				t.Fatalf("who reads misses %d in round %d", e.Missed, i)
			}
			seen++
		}
	}
	if n := w.host.held(tunnel.ID); n != 2 {
		t.Errorf("%d attached", n)
	}
	got, missed, gaps := 0, 0, 0
	for got+missed < many {
		switch e := next(t, slow); e.Event.Event {
		case mezu.EventRequest:
			got++
		case local.EventGap:
			gaps++
			missed += int(e.Missed)
		}
	}
	if got+missed != many || gaps == 0 || missed == 0 {
		t.Errorf("%d came, %d in %d gaps", got, missed, gaps)
	}
	slow.Close()
	w.host.until(func() bool { return w.host.attached[tunnel.ID] == 1 })
}

// TestEventThatIsTooLarge: it is missed, and the stream goes on.
func TestEventThatIsTooLarge(t *testing.T) {
	w := newWorld(t, nil)
	s, err := w.client.Events(t.Context(), "")
	must(t, err)
	defer s.Close()
	w.host.hub.Publish(local.Event{Event: mezu.Event{Event: mezu.EventError, Message: strings.Repeat("x", local.MaxEvent)}})
	w.host.hub.Publish(local.Event{Event: mezu.Event{Event: mezu.EventError, Message: "a <script>", Time: time.Unix(1, 0).UTC()}})
	if e := next(t, s); e.Event.Event != local.EventGap || e.Missed != 1 {
		t.Errorf("%+v", e.Event.Event)
	}
	if e := next(t, s); e.Message != "a <script>" || !e.Time.Equal(time.Unix(1, 0)) {
		t.Errorf("%+v", e)
	}
}
