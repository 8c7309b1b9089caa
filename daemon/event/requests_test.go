package event_test

import (
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/event"
	"github.com/mezusphere/mezu/local"
)

// TestRequests_NobodyReads: nothing is told, until somebody reads, and for a while after that.
func TestRequests_NobodyReads(t *testing.T) {
	now := time.Unix(0, 0)
	h := event.NewHub(func() time.Time { return now })
	one, other := h.Requests("a"), h.Requests("b")
	none := func(missed uint64) { t.Errorf("%d missed", missed) }
	silent := func(r *event.Requests) {
		t.Helper()
		if m := r.Begin(); m != event.Unread || r.End(m) {
			t.Errorf("told: %v", m)
		}
		r.Tick(none)
	}
	speaks := func(r *event.Requests) {
		t.Helper()
		if m := r.Begin(); m != event.Told || !r.End(m) {
			t.Errorf("not told: %v", m)
		}
	}
	silent(one)
	under := one.Begin()
	a := h.Reader("a", "")
	speaks(one)
	silent(other) // which nobody reads
	if !one.End(under) {
		t.Error("the end of one that began when nobody read is not told")
	}
	all := h.Reader("", "")
	speaks(other)
	under = one.Begin()
	for range 2 {
		a.Close()
		all.Close()
	}
	now = now.Add(event.ResumeWithin)
	h.Tick()
	speaks(one) // who comes back misses nothing
	speaks(other)
	now = now.Add(time.Nanosecond)
	h.Tick()
	silent(one)
	silent(other)
	if !one.End(under) {
		t.Error("the end of one whose begin was told is not told")
	}
}

// TestRequests_TooMany: beyond what readers are told in a second the rest is counted, and no end
// is told without its begin.
func TestRequests_TooMany(t *testing.T) {
	h := event.NewHub(time.Now)
	h.Publish(record("a"))
	r := h.Requests("a")
	before := r.Begin() // nobody reads yet
	reader := h.Reader("a", "")
	defer reader.Close()
	const more = 50
	var marks []event.Mark
	begins, ends := 0, 0
	for range event.MaxTold + more {
		m := r.Begin()
		marks = append(marks, m)
		if m == event.Told {
			begins++
		}
	}
	for _, m := range marks {
		if r.End(m) {
			ends++
		}
	}
	if begins != event.MaxTold || ends != begins {
		t.Errorf("%d begins, %d ends", begins, ends)
	}
	if r.End(before) {
		t.Error("an end beyond the rate is told")
	}
	gaps := uint64(0)
	r.Tick(func(missed uint64) { gaps += missed })
	if gaps != 2*more+1 {
		t.Errorf("%d missed", gaps)
	}
	// Behind a second like that few are told, until one has fewer requests than would be told.
	second := func(n int) (told int) {
		for range n {
			if m := r.Begin(); m == event.Told {
				told++
			}
		}
		r.Tick(func(uint64) {})
		return told
	}
	for _, c := range []struct{ requests, told int }{{event.MaxTold + 1, event.MaxToldBusy}, {event.MaxTold, event.MaxToldBusy}, {event.MaxTold, event.MaxTold}} {
		if told := second(c.requests); told != c.told {
			t.Errorf("%d of %d told", told, c.requests)
		}
	}
	r.Tick(func(missed uint64) { t.Errorf("%d missed in a second without requests", missed) })
	if m := r.Begin(); m != event.Told {
		t.Errorf("in the next second %v", m)
	}
}

// TestHub_GapsInGaps: what a gap stood for counts when the gap itself is not read in time.
func TestHub_GapsInGaps(t *testing.T) {
	h := event.NewHub(time.Now)
	h.Publish(record("a"))
	r := h.Reader("a", "")
	defer r.Close()
	missed := func() (n uint64) {
		events, _ := drain(r)
		for _, e := range events {
			n += e.Missed
			if e.Event.Event == mezu.EventRequest {
				n++
			}
		}
		return n
	}
	want := uint64(0)
	for i := range 5000 {
		h.Publish(request("a", i, "/"))
		want++
		if i%100 == 0 {
			h.Publish(local.Event{Event: mezu.Event{Event: local.EventGap}, TunnelID: "a", Missed: 1000})
			want += 1000
		}
		if i == 70 || i == 4000 {
			if got := missed(); got != want {
				t.Errorf("%d of %d", got, want)
			}
			want = 0
		}
	}
	if got := missed(); got != want {
		t.Errorf("%d of %d", got, want)
	}
}

// BenchmarkRequests is what a request costs beside the way that it takes.
func BenchmarkRequests(b *testing.B) {
	for _, c := range []struct {
		name    string
		readers int
		tick    bool
	}{{"nobody reads", 0, false}, {"one reads", 1, true}, {"one reads, too many", 1, false}} {
		b.Run(c.name, func(b *testing.B) {
			h := event.NewHub(time.Now)
			h.Publish(record("a"))
			for range c.readers {
				defer h.Reader("a", "").Close()
			}
			r := h.Requests("a")
			b.ReportAllocs()
			for b.Loop() {
				if c.tick {
					r.Tick(func(uint64) {})
				}
				m := r.Begin()
				if m == event.Told {
					h.Publish(request("a", 1, "/"))
				}
				if r.End(m) {
					h.Publish(request("a", 1, "/"))
				}
			}
		})
	}
}
