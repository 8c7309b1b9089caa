package event_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/event"
	"github.com/mezusphere/mezu/local"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// record is the event with which a tunnel begins.
func record(id string) local.Event {
	return local.Event{Event: mezu.Event{Event: local.EventTunnel}, TunnelID: id, Record: &mezu.Tunnel{ID: id}}
}

// removed is its last.
func removed(id string) local.Event {
	return local.Event{Event: mezu.Event{Event: local.EventTunnel}, TunnelID: id}
}

func request(id string, n int, path string) local.Event {
	return local.Event{Event: mezu.Event{Event: mezu.EventRequest, ID: fmt.Sprint(n), Path: path}, TunnelID: id}
}

// drain takes all that there is.
func drain(r *event.Reader) (events []local.Event, ended bool) {
	for {
		n := len(events)
		var wait <-chan struct{}
		events, wait = r.Take(events, 7)
		if wait == nil {
			return events, true
		}
		if len(events) == n {
			return events, false
		}
	}
}

func TestHub_Keeps(t *testing.T) {
	at := time.Unix(7, 0)
	h := event.NewHub(func() time.Time { return at })
	h.Publish(record("a"))
	a, all := h.Reader("a", ""), h.Reader("", "")
	start := a.Cursor()
	const many = 10_000
	for i := range many {
		h.Publish(request("a", i, "/"))
		h.Publish(request("b", i, "/")) // which nobody has opened
	}
	for name, c := range map[string]struct {
		reader *event.Reader
		of     int
	}{"one": {a, many}, "all": {all, 2 * many}, "one, from a cursor": {h.Reader("a", start), many}} {
		events, ended := drain(c.reader)
		gap := events[0]
		if ended || gap.Event.Event != local.EventGap || int(gap.Missed)+len(events)-1 != c.of || len(events) < 256 || !gap.Time.Equal(at) {
			t.Errorf("%s: %d events, %+v", name, len(events), gap)
		}
		if last := events[len(events)-1]; last.ID != fmt.Sprint(many-1) || last.Cursor != c.reader.Cursor() || !last.Time.Equal(at) {
			t.Errorf("%s: %+v", name, last)
		}
	}
	// What visitors write does not count as little as what is short.
	long := strings.Repeat("x", 8<<10)
	for name, set := range map[string]func(*mezu.Event){
		"path": func(e *mezu.Event) { e.Path = long }, "query": func(e *mezu.Event) { e.Query = long }, "host": func(e *mezu.Event) { e.Host = long },
		"method": func(e *mezu.Event) { e.Method = long }, "upgrade": func(e *mezu.Event) { e.Upgrade = long },
	} {
		for i := range many {
			e := request("a", i, "/")
			set(&e.Event)
			h.Publish(e)
		}
		if events, _ := drain(a); len(events) > 64 {
			t.Errorf("%d events with a long %s are kept", len(events), name)
		}
	}
	if events, _ := drain(h.Reader("b", "")); len(events) != 0 {
		t.Errorf("of a tunnel that is not there: %d events", len(events))
	}
}

func TestHub_EndsWithATunnel(t *testing.T) {
	h := event.NewHub(time.Now)
	h.Publish(record("a"))
	r := h.Reader("a", "")
	_, wait := r.Take(nil, 1)
	h.Publish(request("a", 1, "/"))
	h.Publish(removed("a"))
	h.Publish(request("a", 2, "/")) // one that was under way
	<-wait
	events, ended := drain(r)
	if !ended || len(events) != 2 || events[1].Record != nil || events[1].Event.Event != local.EventTunnel {
		t.Errorf("%+v, %v", events, ended)
	}
	for _, id := range []string{"a", "never"} {
		if _, ended := drain(h.Reader(id, "")); !ended {
			t.Errorf("a reader of %s goes on", id)
		}
	}
	if events, ended := drain(h.Reader("a", r.Cursor())); !ended || len(events) != 1 || events[0].Event.Event != local.EventGap {
		t.Errorf("a reader that comes back: %+v, %v", events, ended)
	}
}

// TestHub_CursorsOfOneStream: the number of an event counts in its own stream only. In another one
// nobody knows what was missed.
func TestHub_CursorsOfOneStream(t *testing.T) {
	h := event.NewHub(time.Now)
	h.Publish(record("a"))
	h.Publish(record("b"))
	a, all := h.Reader("a", ""), h.Reader("", "")
	for i := range 10 {
		h.Publish(request("a", i, "/"))
		h.Publish(request("b", i, "/"))
	}
	for name, c := range map[string]struct{ tunnel, cursor string }{
		"of another tunnel": {"b", a.Cursor()}, "of all": {"a", all.Cursor()}, "of one": {"", a.Cursor()},
	} {
		if events, _ := drain(h.Reader(c.tunnel, c.cursor)); len(events) != 1 || events[0].Event.Event != local.EventGap || events[0].Missed != 0 {
			t.Errorf("%s: %d events, %+v", name, len(events), events)
		}
	}
	// Nor does anybody if events are dropped before the reader comes to them.
	late := h.Reader("a", all.Cursor())
	for i := range 1000 {
		h.Publish(request("a", i, "/"))
	}
	if events, _ := drain(late); events[0].Event.Event != local.EventGap || events[0].Missed != 0 || len(events) < 256 {
		t.Errorf("%d events, %+v", len(events), events[0])
	}
}

// TestHub_NothingIsLostBetween: many publish, many read, and each sees its events in order, or how
// many it missed.
func TestHub_NothingIsLostBetween(t *testing.T) {
	h := event.NewHub(time.Now)
	h.Publish(record("a"))
	const publishers, each, readers = 4, 2000, 4
	var wg sync.WaitGroup
	for range readers {
		r := h.Reader("a", "")
		wg.Go(func() {
			seen, last := 0, map[string]int{}
			for seen < publishers*each {
				events, wait := r.Take(nil, 16)
				for _, e := range events {
					if e.Event.Event == local.EventGap {
						seen += int(e.Missed)
						continue
					}
					seen++
					var n int
					_, _ = fmt.Sscan(e.ID, &n)
					if before, ok := last[e.Path]; ok && n <= before {
						t.Errorf("%d after %d", n, before)
					}
					last[e.Path] = n
				}
				if len(events) == 0 {
					<-wait
				}
			}
			if seen != publishers*each {
				t.Errorf("%d seen", seen)
			}
		})
	}
	for p := range publishers {
		wg.Go(func() {
			for i := range each {
				h.Publish(request("a", i, fmt.Sprint(p)))
			}
		})
	}
	wg.Wait()
}
