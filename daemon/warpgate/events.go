package warpgate

import (
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/enrol"
)

// emit delivers an event, with the time if it has none. Events are delivered one at a
// time.
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

// ends makes an event of the end of each request.
type ends struct{ g *Warpgate }

func (ends) Begin(bool, Tape, func() mezu.Event) uint8 { return 0 }

func (e ends) End(_ uint8, _ Tape, _ *Outcome, event func() mezu.Event) { e.g.emit(event()) }

// status is the event for a status of this Warpgate, with all that is known of it.
func (g *Warpgate) status(s mezu.WarpgateStatus) mezu.Event {
	e := mezu.Event{Event: mezu.EventWarpgate, Status: s, WarpgateID: g.state.Identity().ID, Upstream: g.targets.upstream(), Revision: g.state.Applied()}
	if r := g.state.Registration(); r != nil {
		e.URL, e.Organization, e.Project, e.Environment = r.URL, r.Organization, r.Project, r.Environment
	}
	return e
}

// troubles remembers the last error of each task that is tried again and again, so
// that an event comes with a new error and not with each try.
type troubles struct {
	mu   sync.Mutex
	said map[string]string // the last error by task
}

// news notes the error of a task and reports whether it is another one than before. An
// empty text says that the task succeeded.
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

// trouble logs the error of a task that will be tried again, and makes it an event if
// it is new.
func (g *Warpgate) trouble(what string, err error) {
	_, message, hint := enrol.Explain(err, g.now())
	g.log.Warn(what, "error", message, "hint", hint)
	g.tell(what, err)
}

// tell makes the error of a task an event if it is new.
func (g *Warpgate) tell(what string, err error) {
	code, message, hint := enrol.Explain(err, g.now())
	if g.troubles.news(what, message) {
		g.emit(mezu.Event{Event: mezu.EventError, Code: code, Message: what + ": " + message, Hint: hint})
	}
}

// resolved says that a task succeeded: its next error is new.
func (g *Warpgate) resolved(what string) { g.troubles.news(what, "") }

// Explain says an error of a Warpgate to people.
func Explain(err error, now time.Time) *mezu.Error {
	code, message, hint := enrol.Explain(err, now)
	return &mezu.Error{Code: code, Detail: message, Hint: hint, Cause: err}
}
