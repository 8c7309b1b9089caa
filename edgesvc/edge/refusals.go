package edge

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/mezusphere/mezu/edgesvc/edge/shed"
	"github.com/mezusphere/mezu/edgesvc/edge/web"
	"github.com/mezusphere/mezu/tunnel"
)

const (
	// lookEvery is how often it is looked for lines whose time has come.
	lookEvery = time.Second
	// maxTold bounds how many addresses and steps have lines of their own at once. Nobody reads
	// more; what comes from other addresses has one line for each step.
	maxTold = 1024
)

// refusals tell the log of requests that a step has refused, and of what the firewall has found.
type refusals struct {
	log    *slog.Logger
	digest *shed.Digest[subject, web.Refusal]
}

// subject is what a line is about. Without an address it is about all that have no line of their own.
type subject struct {
	address tunnel.Address
	step    string
	passed  bool // the firewall only detects
}

func newRefusals(log *slog.Logger) *refusals {
	l := &refusals{log: log}
	l.digest = shed.NewDigest(maxTold, func(of subject) subject { of.address = 0; return of }, l.say)
	return l
}

// note counts one.
func (l *refusals) note(r *web.Refusal, now time.Time) {
	kept := *r
	kept.RequestID = strings.Clone(r.RequestID) // the request's memory is used again
	l.digest.Note(subject{tunnel.AddressOf(r.Client), r.Step.String(), r.Code == ""}, kept, now)
}

// run writes the lines whose time has come until ctx ends, and then what is left.
func (l *refusals) run(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			l.digest.Tell(time.Now(), true)
			return
		case now := <-tick.C:
			l.digest.Tell(now, false)
		}
	}
}

// say writes a line, with what the last request of those was.
func (l *refusals) say(of subject, r web.Refusal, count int) {
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
		attrs = append(attrs, "mode", mode(f.Detect), "score", f.Score, "rules", f.Rules)
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
