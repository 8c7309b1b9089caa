package warpgate

import (
	"sync"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/enrol"
)

// emit stamps and delivers an event, one at a time.
func (d *Daemon) emit(e mezu.Event) {
	if d.cfg.Events == nil {
		return
	}
	d.events.Lock()
	defer d.events.Unlock()
	if e.Time.IsZero() {
		e.Time = d.now()
	}
	d.cfg.Events(e)
}

// status is a warpgate event with all that is known of this Warpgate.
func (d *Daemon) status(s mezu.WarpgateStatus) mezu.Event {
	e := mezu.Event{Event: mezu.EventWarpgate, Status: s, WarpgateID: d.state.Identity().ID, Upstream: d.target(), Revision: d.state.Applied()}
	if r := d.state.Registration(); r != nil {
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
func (d *Daemon) trouble(what string, err error) {
	_, message, hint := enrol.Explain(err, d.now())
	d.log.Warn(what, "error", message, "hint", hint)
	d.tell(what, err)
}

// tell makes what went wrong an event, if that is news.
func (d *Daemon) tell(what string, err error) {
	code, message, hint := enrol.Explain(err, d.now())
	if d.troubles.news(what, message) {
		d.emit(mezu.Event{Event: mezu.EventError, Code: code, Message: what + ": " + message, Hint: hint})
	}
}

// over ends a trouble.
func (d *Daemon) over(what string) { d.troubles.news(what, "") }
