package warpgate

import (
	"sync"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/enrol"
)

// emit stamps and delivers an event, one at a time.
func (g *Warpgate) emit(e mezu.Event) {
	if g.cfg.Events == nil {
		return
	}
	g.events.Lock()
	defer g.events.Unlock()
	if e.Time.IsZero() {
		e.Time = g.now()
	}
	g.cfg.Events(e)
}

// status is a warpgate event with all that is known of this Warpgate.
func (g *Warpgate) status(s mezu.WarpgateStatus) mezu.Event {
	e := mezu.Event{Event: mezu.EventWarpgate, Status: s, WarpgateID: g.state.Identity().ID, Upstream: g.target(), Revision: g.state.Applied()}
	if r := g.state.Registration(); r != nil {
		e.URL, e.Organization, e.Project, e.Environment = r.URL, r.Organization, r.Project, r.Environment
	}
	return e
}

// troubles remembers what was last said of each thing that is tried again and
// again, so that an event is not repeated with each try.
type troubles struct {
	mu   sync.Mutex
	said map[string]string
}

// news reports whether text says something new of what; empty ends the trouble.
func (t *troubles) news(what, text string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if text == "" {
		delete(t.said, what)
		return false
	}
	if t.said[what] == text {
		return false
	}
	if t.said == nil {
		t.said = map[string]string{}
	}
	t.said[what] = text
	return true
}

// trouble logs what went wrong and will be tried again, and tells it.
func (g *Warpgate) trouble(what string, err error) {
	_, message, hint := enrol.Explain(err, g.now())
	g.log.Warn(what, "error", message, "hint", hint)
	g.tell(what, err)
}

// tell makes what went wrong an event, if that is news.
func (g *Warpgate) tell(what string, err error) {
	code, message, hint := enrol.Explain(err, g.now())
	if g.troubles.news(what, message) {
		g.emit(mezu.Event{Event: mezu.EventError, Code: code, Message: what + ": " + message, Hint: hint})
	}
}

// over ends a trouble.
func (g *Warpgate) over(what string) { g.troubles.news(what, "") }
