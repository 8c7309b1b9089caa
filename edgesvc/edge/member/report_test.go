package member_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// told is what the control plane knows of the Warpgates after all reports.
func (c *control) told() map[string]mezu.Presence {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]mezu.Presence{}
	for _, r := range c.reports {
		if r.Full {
			clear(out)
		}
		for _, p := range r.Presence {
			out[p.Warpgate] = p
		}
	}
	return out
}

func TestPresenceIsCoalescedAndBounded(t *testing.T) {
	c := newControl(t)
	e := c.startEdge(t.TempDir())
	eventually(t, "first full report", func() bool {
		return look(c, func() bool { return len(c.reports) > 0 && c.reports[0].Full })
	})
	c.refused(api.OpEdgeReport, mezu.Errorf(mezu.CodeUnavailable, "not now"))
	before := c.count(api.OpEdgeReport)
	var held []mezu.Presence
	for i := range 2500 {
		held = append(held, mezu.Presence{Warpgate: fmt.Sprintf("wgt_%d", i), Connected: true})
	}
	e.mu.Lock()
	e.presence = held
	e.mu.Unlock()
	for range 20 {
		for _, p := range held {
			e.PresenceChanged(p)
		}
	}
	eventually(t, "a report was tried", func() bool { return c.count(api.OpEdgeReport) > before })
	c.refused(api.OpEdgeReport, nil)
	eventually(t, "all are told", func() bool { return len(c.told()) == len(held) })
	c.mu.Lock()
	for i, r := range c.reports {
		if len(r.Presence) > api.MaxReportPresence {
			t.Errorf("report %d has %d Warpgates", i, len(r.Presence))
		}
	}
	n := len(c.reports)
	c.mu.Unlock()
	if n > 50 {
		t.Errorf("%d reports for 50,000 changes", n)
	}

	// A change after that goes as a delta, and the last word counts.
	e.PresenceChanged(mezu.Presence{Warpgate: "wgt_7", Connected: false, Version: "a"})
	e.PresenceChanged(mezu.Presence{Warpgate: "wgt_7", Connected: true, Version: "b"})
	eventually(t, "the last word is told", func() bool { return c.told()["wgt_7"].Version == "b" })
	last := look(c, func() api.EdgeReport { return c.reports[len(c.reports)-1] })
	if last.Full || len(last.Presence) > 1 || last.Version != "test" {
		t.Errorf("a change went as %d Warpgates, full %v", len(last.Presence), last.Full)
	}
}

func TestFullReportAfterReconnect(t *testing.T) {
	c := newControl(t)
	e := c.startEdge(t.TempDir())
	e.mu.Lock()
	e.presence = []mezu.Presence{{Warpgate: "wgt_1", Connected: true}}
	e.mu.Unlock()
	e.PresenceChanged(mezu.Presence{Warpgate: "wgt_1", Connected: true})
	eventually(t, "told", func() bool { return c.told()["wgt_1"].Connected })
	c.stop()
	c.mu.Lock()
	c.reports = nil // it has lost what it knew
	c.mu.Unlock()
	c.restart()
	eventually(t, "told again in full", func() bool {
		return look(c, func() bool { return slices.ContainsFunc(c.reports, isFull) }) && c.told()["wgt_1"].Connected
	})
}

func isFull(r api.EdgeReport) bool { return r.Full }

// TestFullReportInPages: telling of more Warpgates than one report holds never
// takes back what is true.
func TestFullReportInPages(t *testing.T) {
	c := newControl(t)
	e := c.startEdge(t.TempDir())
	eventually(t, "first full report", func() bool {
		return look(c, func() bool { return slices.ContainsFunc(c.reports, isFull) })
	})
	held := make([]mezu.Presence, 2500)
	for i := range held {
		held[i] = mezu.Presence{Warpgate: fmt.Sprintf("wgt_%d", i), Connected: true}
		e.PresenceChanged(held[i])
	}
	e.mu.Lock()
	e.presence = held
	e.mu.Unlock()
	eventually(t, "all are told", func() bool { return len(c.told()) == len(held) })
	fulls := func() (n int) {
		for _, r := range c.reports {
			if r.Full {
				n++
			}
		}
		return n
	}
	before := look(c, fulls)
	// One goes while the control plane is away.
	c.stop()
	e.mu.Lock()
	e.presence = held[1:]
	e.mu.Unlock()
	c.restart()
	eventually(t, "the one that went is told", func() bool {
		gone, named := c.told()["wgt_0"]
		return named && !gone.Connected
	})
	if look(c, fulls) != before {
		t.Error("a full report took back what is true")
	}
}

func TestReportsWithoutChanges(t *testing.T) {
	c := newControl(t)
	c.startEdge(t.TempDir())
	eventually(t, "an empty report shows that the edge lives", func() bool {
		return look(c, func() bool {
			for _, r := range c.reports {
				if !r.Full && len(r.Presence) == 0 && !r.Applied.IsZero() {
					return true
				}
			}
			return false
		})
	})
}
