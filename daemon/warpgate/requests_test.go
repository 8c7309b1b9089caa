package warpgate_test

import (
	"bufio"
	"fmt"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
)

// TestRequestsNobodyReads: requests are counted, and nothing is published of them. To whoever
// reads, too many are told as a gap, and each that is told begins and ends.
func TestRequestsNobodyReads(t *testing.T) {
	w := newWorld(t, 1)
	h := w.hostTunnels(t.TempDir())
	spec := detached(w.spec("dev-ada"))
	spec.Target = strings.TrimPrefix(workload(t, "here").URL, "http://")
	o := h.open(spec)
	h.becomes(o.ID, mezu.TunnelLive)
	w.edges[0].applied(t, positionOf(t, w.bundle))
	c := w.edges[0].checkout(t, w.env)
	defer c.Discard()
	in := bufio.NewReader(c)
	asked := uint64(0)
	ask := func(n int) {
		t.Helper()
		for range n {
			asked++
			if _, err := w.get(c, in, fmt.Sprint("request-", asked)); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "the figures", func() bool {
			is, _ := h.Get(o.ID)
			return is.Stats.Requests == asked && is.Stats.InFlight == 0 && is.Stats.BytesOut == asked*uint64(len("here")) && is.Workload.Up != nil && *is.Workload.Up
		})
	}
	ask(20)
	last := h.hub.Reader(o.ID, "")
	last.Close()
	run, _, _ := strings.Cut(last.Cursor(), "-")
	r := h.hub.Reader(o.ID, run+"-0")
	defer r.Close()
	var events []local.Event
	read := func() {
		events, _ = r.Take(events, 1000)
		for len(events) > 0 && events[0].Event.Event != mezu.EventRequest && events[0].Event.Event != local.EventGap {
			events = events[1:]
		}
	}
	if read(); len(events) > 0 {
		t.Errorf("told %+v", events)
	}
	const many = 600
	begins, ends, gaps := map[string]bool{}, 0, uint64(0)
	count := func() {
		for read(); len(events) > 0; read() {
			switch e := events[0]; {
			case e.Event.Event == local.EventGap:
				gaps += e.Missed
				if e.Tunnel == "" || e.TunnelID != o.ID {
					t.Errorf("%+v", e)
				}
			case e.Phase == local.PhaseBegin:
				begins[e.ID] = true
			case !begins[e.ID] || e.Status != 200:
				t.Errorf("%+v ends", e)
			default:
				ends++
			}
			events = events[1:]
		}
	}
	for range many / 100 {
		ask(100)
		count() // however slow this is, no more are told until then than are kept for a reader
	}
	eventually(t, "all, or how many are missed", func() bool {
		count()
		return uint64(len(begins)+ends)+gaps == 2*many
	})
	if len(begins) != ends || ends == 0 {
		t.Errorf("%d begins, %d ends, %d missed", len(begins), ends, gaps)
	}
}
