package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/dev"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/cli/trust"
	"github.com/mezusphere/mezu/cli/tunnel/show"
	"github.com/mezusphere/mezu/cmd/process"
)

// devOutput shows what happens: as lines for a person, or as JSON. It is safe for
// concurrent use.
type devOutput struct {
	dev.Options
	events   *process.Events
	refusals *refusals

	mu       sync.Mutex
	host     string // of the environment; another one is shown before the path
	warpgate string // its id, once known
	target   string
	ending   bool
}

func newDevOutput(o dev.Options, log *slog.Logger) *devOutput {
	d := &devOutput{Options: o, events: &process.Events{Streams: o.Streams, Log: log}}
	if o.JSON {
		d.events = process.NewEvents(o.Streams, log)
	}
	d.refusals = &refusals{now: time.Now, missed: d.unshown}
	return d
}

// event shows an event of the Warpgate.
func (d *devOutput) event(e mezu.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch e.Event {
	case mezu.EventStopped:
		return // stopped says it when everything has
	case mezu.EventError, mezu.EventWorkload:
		if d.ending {
			return // the edge ends before the Warpgate, so this is no error
		}
	case mezu.EventRequest:
		if answeredByEdge(e) {
			return
		}
	case mezu.EventWarpgate:
		d.warpgate, d.target = e.WarpgateID, e.Upstream
	}
	d.show(e)
}

// show shows an event. The lock is held.
func (d *devOutput) show(e mezu.Event) {
	if d.JSON {
		d.events.Write(e)
		return
	}
	switch e.Event {
	case mezu.EventRequest:
		d.request(e)
	case mezu.EventWorkload:
		d.Sayf("%s", terminal.Clean(e.Message))
	case mezu.EventError:
		d.Warnf("%s", terminal.Clean(e.Message))
		if e.Hint != "" {
			d.Sayf("  try: %s", terminal.Clean(e.Hint))
		}
	}
}

// hindered shows what is in the way of requests, and what helps.
func (d *devOutput) hindered(e mezu.Event, fixes []string) {
	if d.JSON {
		d.event(e)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.ending {
		d.Warnf("%s", terminal.Clean(e.Message))
		d.Try(fixes...)
	}
}

// applied says that the file was applied again, or why it was not. If that is unsure, it
// will be tried again.
func (d *devOutput) applied(name string, err error, unsure bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.ending && errors.Is(err, context.Canceled):
	case err != nil && d.JSON:
		d.events.Write(process.Fail(err))
	case err != nil:
		what, hint := terminal.Explain(err)
		then := "all stays as it was"
		if unsure {
			then = "the file is applied again in a moment"
		}
		d.Warnf("%s; %s", terminal.Clean(what), then)
		if hint != "" {
			d.Sayf("  try: %s", terminal.Clean(hint))
		}
	case !d.JSON: // there, the Warpgate's event tells of the new configuration
		d.Sayf("applied %s", terminal.Clean(name))
	}
}

// serves says which host is that of the environment.
func (d *devOutput) serves(host string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.host = host
}

// remarks are about what was applied, such as routes that answer nobody.
func (d *devOutput) remarks(texts []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, text := range texts {
		d.Warnf("%s", terminal.Clean(text))
	}
}

// stopping is called when the end was asked for.
func (d *devOutput) stopping() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ending = true
	if d.InTerminal && d.ErrTerminal {
		fmt.Fprintln(d.Err) // the terminal has written ^C, and no more
	}
}

// waiting says which requests the end waits for.
func (d *devOutput) waiting(what, them string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.Sayf("stopping: %s. Ctrl-C again cuts %s.", terminal.Clean(what), them)
}

// request prints one line of the log of requests.
func (d *devOutput) request(e mezu.Event) {
	code, color, plain := statusOf(e), "", ""
	if d.Color() {
		color, plain = colorOf(e), "\x1b[0m"
	}
	path := e.Path
	if d.host != "" && e.Host != d.host {
		path = e.Host + path
	}
	tail := why(e)
	if tail == "" {
		tail = took(e)
	}
	if err := d.Printf("%s  %s%3s%s  %-6s %s  %s\n", e.Time.Local().Format("15:04:05"), color, code, plain, terminal.Clean(e.Method), terminal.Clean(path), terminal.Clean(tail)); err != nil {
		d.events.Log.Error("writing an event", "error", err)
	}
}

// cutShort is shown in the place of a status that the answer began with and did not keep.
const cutShort = "cut"

// statusOf is the status as lines show it.
func statusOf(e mezu.Event) string {
	status, _ := e.Status.(int)
	switch {
	case status == 0:
		return "-"
	case status < 400 && e.Cause != "" && e.Code == "":
		return cutShort
	}
	return strconv.Itoa(status)
}

// took is how long a request took.
func took(e mezu.Event) string {
	if d := time.Duration(e.DurationMS * float64(time.Millisecond)); d >= time.Second {
		return show.Span(d)
	}
	return fmt.Sprintf("%.1f ms", e.DurationMS)
}

// why says why a request did not end as it should, and by which route; it is empty for one that
// did.
func why(e mezu.Event) string {
	out := ""
	switch {
	case e.Message != "" && (e.Code == mezu.CodeWorkloadRefused || e.Code == "" && e.Cause == ""):
		return e.Message
	case e.Code == "" && e.Cause != "":
		out = string(e.Cause)
		if e.Message != "" {
			out += ": " + e.Message
		}
		return out + ", after " + took(e)
	case e.Code == "":
		return ""
	case e.Message != "" && e.Cause != mezu.CauseRefused && e.Cause != "":
		out = string(e.Code) + ": " + e.Message
	default: // a refusal by the rules, whose code says it
		out = string(e.Code)
	}
	if e.Route != "" {
		out += " (route " + e.Route + ")"
	}
	return out
}

// colorOf marks the requests that a developer looks for.
func colorOf(e mezu.Event) string {
	status, _ := e.Status.(int)
	switch {
	case status >= 500:
		return "\x1b[31m"
	case status >= 400 || e.Cause != "":
		return "\x1b[33m"
	}
	return "\x1b[32m"
}

// ready says where the workload answers, and how many requests there may be at once.
func (d *devOutput) ready(e mezu.Event, demo bool, maxConns int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e.WarpgateID, e.Upstream = d.warpgate, d.target
	d.Mask(e.Token, e.LoginLink, e.Mailbox)
	if d.JSON {
		d.events.Write(e)
		return
	}
	what := e.Upstream
	if demo {
		what = "a built-in demo; mezu dev PORT shows a workload of yours"
	}
	if err := d.Printf("%s\n", e.URL); err != nil {
		d.events.Log.Error("writing the address", "error", err)
	}
	d.Sayf("  workload   %s", terminal.Clean(what))
	profile := e.Profile
	if profile != dev.Profile {
		profile += fmt.Sprintf(" until it ends: mezu --profile %s", e.Profile)
	}
	d.Sayf("  context    %s/%s/%s, profile %s", e.Organization, e.Project, e.Environment, profile)
	d.Sayf("  room for   %d requests at once; --max-conns for more or fewer", maxConns)
	d.Sayf("  API        %s", e.API)
	d.Sayf("  CA file    %s", terminal.Clean(e.CAFile))
	if !d.Ephemeral && trust.Needed(d.Invocation, e.CAFile) { // else it is gone with the run
		d.Sayf("  trust      mezu trust --profile %s has browsers here accept its certificate", e.Profile)
	}
	d.Sayf("  mails      %s", e.Mailbox)
	if e.LoginLink != "" {
		d.Sayf("  log in     %s (once, within 10 minutes)", e.LoginLink)
	}
	d.Sayf("  try: curl --cacert %s %s/", shellQuote(e.CAFile), e.URL)
	d.Sayf("Ctrl-C stops.")
}

// shellQuote writes a path as one word of a shell command.
func shellQuote(s string) string {
	for _, r := range s {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '/' || r == '.' || r == '_' || r == '-') {
			return fmt.Sprintf("%q", terminal.Clean(s))
		}
	}
	return s
}

// stopped is the last event of a run.
func (d *devOutput) stopped(err error) {
	d.refusals.end()
	if !d.JSON {
		return // the command reports an error itself
	}
	if err != nil {
		d.events.Write(process.Fail(err))
	}
	d.events.Write(mezu.Event{Event: mezu.EventStopped})
}
