package edge

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/mezusphere/mezu/edgesvc/edge/web"
	"github.com/mezusphere/mezu/tunnel"
)

const (
	// tellEvery is the least time between two lines of the log about an address and a step. A
	// scanner sends thousands of requests a minute, and one says what the others do.
	tellEvery = time.Minute
	// lookEvery is how often it is looked for lines whose time has come.
	lookEvery = time.Second
	// maxTold bounds how many addresses and steps have lines of their own at once. Nobody reads
	// more; what comes from other addresses has one line for each step.
	maxTold = 1024
)

// refusals tell the log of requests that a step has refused, and of what the firewall has found: a
// line at once for each address and step, and then one a minute at most, with how many there were.
type refusals struct {
	log *slog.Logger

	mu   sync.Mutex
	told map[subject]*told
}

// subject is what a line is about. Without an address it is about all that have no line of their own.
type subject struct {
	address tunnel.Address
	step    string
	passed  bool // the firewall only detects
}

// told is what is still to be told of a subject.
type told struct {
	last  web.Refusal
	count int
	due   time.Time
}

func newRefusals(log *slog.Logger) *refusals {
	return &refusals{log: log, told: map[subject]*told{}}
}

// note counts one.
func (l *refusals) note(r *web.Refusal, now time.Time) {
	of := subject{tunnel.AddressOf(r.Client), r.Step.String(), r.Code == ""}
	l.mu.Lock()
	t := l.told[of]
	if t == nil && len(l.told) >= maxTold {
		of.address = 0
		t = l.told[of]
	}
	if t != nil {
		t.last = *r
		t.last.RequestID = strings.Clone(r.RequestID) // the request's memory is used again
		t.count++
		l.mu.Unlock()
		return
	}
	l.told[of] = &told{due: now.Add(tellEvery)}
	l.mu.Unlock()
	l.say(of, r, 1)
}

// run writes the lines whose time has come until ctx ends, and then what is left.
func (l *refusals) run(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			l.tell(time.Now(), true)
			return
		case now := <-tick.C:
			l.tell(now, false)
		}
	}
}

// tell writes the lines whose time has come, or all.
func (l *refusals) tell(now time.Time, all bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for of, t := range l.told {
		switch {
		case !all && now.Before(t.due):
		case t.count == 0:
			delete(l.told, of)
		default:
			l.say(of, &t.last, t.count)
			*t = told{due: now.Add(tellEvery)}
		}
	}
}

// say writes a line, with what the last request of those was.
func (l *refusals) say(of subject, r *web.Refusal, count int) {
	attrs := []any{"request_id", r.RequestID, "step", of.step, "count", count}
	add := func(name, value string) {
		if value != "" {
			attrs = append(attrs, name, value)
		}
	}
	add("code", string(r.Code))
	add("environment", r.Environment)
	add("route", r.Route)
	if of.address == 0 {
		add("address", "others")
	} else {
		add("address", r.Client.String())
	}
	say, text := l.log.Info, "a request is refused"
	if f := r.Inspection; f != nil {
		say, text = l.log.Warn, "the firewall found something"
		attrs = append(attrs, "mode", mode(of.passed), "score", f.Score, "rules", f.Rules)
		add("partial", f.Partial)
	}
	say(text, attrs...)
}

func mode(detect bool) string {
	if detect {
		return "detect"
	}
	return "block"
}
