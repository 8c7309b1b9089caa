// Package show is how "mezu tunnel" shows what happens: as lines for a person, or as one JSON
// object a line.
//
// What may not live here: what happens. It imports the domain, local, cli/terminal and qrcode only;
// cli/tunnel imports it, and cli/requests for its figures.
package show

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/local"
)

// Lines shows the events of one run. It is safe for concurrent use.
type Lines struct {
	terminal.Streams
	// JSON asks for events as JSON.
	JSON bool
	// Several says that there are several tunnels, whose lines say which they are of.
	Several bool
	// CutsAtOnce says that the first Ctrl-C cuts what the end of a tunnel waits for: none began it.
	CutsAtOnce bool
	// Name is the tunnel that an error of the whole run is about, if there is one only.
	Name string
	// Now is the clock; if nil, time.Now.
	Now func() time.Time

	mu sync.Mutex
	// hushed says that something else has the terminal.
	hushed bool
	states map[string]mezu.TunnelState
	// served says of a tunnel that requests got through once, away that it was said that they
	// don't any more.
	served, away map[string]bool
	// pending are upgrades by id, nil once they are shown.
	pending map[string]*time.Timer
}

func (l *Lines) now() time.Time {
	if l.Now == nil {
		return time.Now()
	}
	return l.Now()
}

// write writes one event as JSON.
func (l *Lines) write(e mezu.Event) { l.tell(object{Event: e}) }

// object is one line of JSON: an event, and what some of those of the daemon have beside.
type object struct {
	mezu.Event
	Fixes  []string `json:"fixes,omitempty"`
	Missed uint64   `json:"missed,omitempty"`
}

func (l *Lines) tell(o object) {
	if o.Time.IsZero() {
		o.Time = l.now().UTC()
	}
	_ = l.WriteLine(o) // who reads no more is not told
}

// Ready is what is said once of a tunnel that can be reached.
type Ready struct {
	Tunnel mezu.Tunnel
	// To is the target, and what answers there if that is known.
	To, Program string
	OpenTo      string
	// Environment is organization/project/environment, and what is new about it.
	Environment, News string
	// Password of the run, and its user; empty if there is none.
	User, Password string
	// Detached says that it stays when the command ends.
	Detached bool
	// Trust is what to type so that browsers here accept its certificate; empty if they do.
	Trust string
}

// Ready says that a tunnel can be reached. The address is never cut.
func (l *Lines) Ready(r Ready) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := r.Tunnel
	if l.JSON {
		l.write(mezu.Event{Event: mezu.EventReady, Tunnel: t.Name, URL: t.URL, Organization: t.Organization, Project: t.Project, Environment: t.Environment, Upstream: t.Target, WarpgateID: t.Warpgate})
		l.password(r)
		return
	}
	_ = l.Printf("%s\n", terminal.Clean(t.URL))
	l.head(r)
	l.password(r)
	more := "Ctrl-C closes it"
	if r.Detached {
		more = "mezu tunnel stop " + terminal.Clean(t.Name) + " closes it"
	}
	l.Sayf("  more         mezu (dashboard)   mezu tunnel list   %s", more)
}

// Left says that a tunnel was left open in the daemon. Whether requests get through is not known
// yet.
func (l *Lines) Left(r Ready) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := r.Tunnel
	if l.JSON {
		l.write(mezu.Event{Event: mezu.EventWarpgate, Tunnel: t.Name, Status: string(t.State), WarpgateID: t.Warpgate, Upstream: t.Target, URL: t.URL})
	} else {
		_ = l.Printf("%s\n", terminal.Clean(t.URL))
		l.head(r)
	}
	l.password(r)
	if !l.JSON {
		l.Sayf("  more         mezu tunnel show %s   mezu tunnel stop %s closes it", terminal.Clean(t.Name), terminal.Clean(t.Name))
	}
}

// password tells the one that was made for the run. It is told when quiet too: nobody knows it.
func (l *Lines) password(r Ready) {
	if r.Password != "" {
		l.Mask(r.Password)
		fmt.Fprintf(l.Err, "  log in as    %s, password %s\n", terminal.Clean(r.User), r.Password)
	}
}

// head are the lines about a tunnel that don't change.
func (l *Lines) head(r Ready) {
	to, environment := r.To, r.Environment
	if r.Program != "" {
		to += ", " + r.Program
	}
	if r.News != "" {
		environment += ", " + r.News
	}
	l.Sayf("  to           %s", terminal.Clean(to))
	l.Sayf("  open to      %s", terminal.Clean(r.OpenTo))
	l.Sayf("  environment  %s", terminal.Clean(environment))
	if r.Trust != "" {
		l.Sayf("  certificate  of a private CA; %s has this machine trust it", terminal.Clean(r.Trust))
	}
}

// Hush has nothing shown of what happens, because something else has the terminal and shows it,
// or lets it be shown again.
func (l *Lines) Hush(hushed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hushed = hushed
	for id, timer := range l.pending { // what was about to be shown
		if timer != nil {
			timer.Stop()
		}
		delete(l.pending, id)
	}
}

// Again says that a tunnel was enrolled again.
func (l *Lines) Again(who string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hushed {
		return
	}
	if !l.JSON {
		l.Signf(terminal.Good, "enrolled again as %s", terminal.Clean(who))
	}
}

// Event shows one event of a tunnel.
func (l *Lines) Event(e local.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hushed {
		return
	}
	switch e.Event.Event {
	case mezu.EventRequest:
		if e.Phase == local.PhaseBegin {
			l.begun(e)
		} else {
			l.ended(e)
		}
	case mezu.EventError:
		l.trouble(e)
	case mezu.EventWorkload:
		l.answers(e)
	case mezu.EventConfig:
		if l.JSON {
			l.write(e.Event)
		}
	case local.EventTunnel:
		if e.Record != nil {
			l.state(e.Record)
		}
	case local.EventStopping:
		l.stopping(e)
	case local.EventGap:
		if l.JSON {
			l.tell(object{Event: e.Event, Missed: e.Missed})
		} else if e.Missed > 0 {
			l.Signf(terminal.Caution, "%s events were not shown: there were too many, or they were not read in time", Count(e.Missed))
		}
	}
}

// upgradeTime is how long an upgrade may take until it is shown as one that succeeded: whether it
// did is told at its end only, which may be hours later.
const upgradeTime = time.Second

// maxPending bounds the upgrades of which it is not known yet whether they succeeded.
const maxPending = 1000

// begun waits for the end of a request that asks for an upgrade.
func (l *Lines) begun(e local.Event) {
	if l.JSON || e.Upgrade == "" || e.ID == "" || len(l.pending) >= maxPending {
		return
	}
	if l.pending == nil {
		l.pending = map[string]*time.Timer{}
	}
	l.pending[e.ID] = time.AfterFunc(upgradeTime, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if timer, ok := l.pending[e.ID]; ok && timer != nil {
			l.pending[e.ID] = nil // shown
			e.Status = http.StatusSwitchingProtocols
			l.request(e)
		}
	})
}

// ended shows a request, unless it was shown as an upgrade that succeeded and went on until its
// client left.
func (l *Lines) ended(e local.Event) {
	timer, pending := l.pending[e.ID]
	delete(l.pending, e.ID)
	if timer != nil {
		timer.Stop()
	}
	whole := e.Cause == "" || e.Cause == mezu.CauseClientGone
	if pending && timer == nil && number(e.Status) == http.StatusSwitchingProtocols && whole {
		return
	}
	l.request(e)
}

// cutShort is shown in the place of a status that the answer began with and did not keep.
const cutShort = "cut"

// request shows one request.
func (l *Lines) request(e local.Event) {
	if l.JSON {
		l.write(e.Event)
		return
	}
	path := e.Path + e.Query
	if !l.Unicode {
		path = strings.ReplaceAll(path, "•", "*")
	}
	status := number(e.Status)
	code := fmt.Sprint(status)
	switch {
	case status == 0 && l.Unicode:
		code = "–"
	case status == 0:
		code = "-"
	case status < http.StatusBadRequest && e.Cause != "" && e.Code == "":
		code = cutShort
	}
	tail := fmt.Sprintf("%9s  %8s", Span(time.Duration(e.DurationMS*float64(time.Millisecond))), Size(e.BytesOut))
	if code == "101" {
		tail = upgradeOf(e.Upgrade)
	}
	why := string(e.Code)
	if why == "" && e.Cause != "" && e.Cause != mezu.CauseRefused {
		why = string(e.Cause)
	}
	if e.Message != "" && (e.Code == mezu.CodeWorkloadRefused || e.Code == "" && e.Cause == "") {
		tail, why = terminal.Clean(e.Message), ""
	}
	if why != "" {
		tail = terminal.Clean(why) + "  " + tail
	}
	if e.Exchange != nil && e.Exchange.ReplayOf != "" {
		sign := "↻"
		if !l.Unicode {
			sign = "replay"
		}
		tail = sign + "  " + tail
	}
	head := fmt.Sprintf("%s  %3s  %-6s ", e.Time.Local().Format("15:04:05"), code, terminal.Clean(e.Method))
	if l.Several {
		head = fmt.Sprintf("%-16s ", l.Cut(terminal.Clean(e.Tunnel), 16)) + head
	}
	line := l.Fit(head, terminal.Clean(path), tail)
	if color := colorOf(status, code == cutShort); color != "" && l.Color() {
		line = strings.Replace(line, "  "+code+"  ", "  "+color+code+"\x1b[0m  ", 1)
	}
	_ = l.Printf("%s\n", line)
}

// upgradeOf is the protocol of an upgrade as lines show it.
func upgradeOf(protocol string) string {
	if protocol == "" || strings.EqualFold(protocol, "websocket") {
		return "WebSocket"
	}
	return terminal.Clean(protocol)
}

// answers shows that something answers where nothing did.
func (l *Lines) answers(e local.Event) {
	switch {
	case l.JSON:
		l.write(e.Event)
	case l.Several:
		l.Signf(terminal.Good, "%s: %s", terminal.Clean(e.Tunnel), terminal.Clean(e.Message))
	default:
		l.Signf(terminal.Good, "%s", terminal.Clean(e.Message))
	}
}

// trouble shows an error.
func (l *Lines) trouble(e local.Event) {
	if l.JSON {
		l.tell(object{Event: e.Event, Fixes: e.Fixes})
		return
	}
	l.caution(e.Tunnel, e.Message, e.Hint, e.Fixes)
}

func (l *Lines) caution(tunnel, message, hint string, fixes []string) {
	if l.Several && tunnel != "" {
		message = tunnel + ": " + message
	}
	l.Signf(terminal.Caution, "%s", terminal.Clean(message))
	if hint != "" && !slices.Contains(fixes, hint) {
		fixes = append([]string{hint}, fixes...)
	}
	l.Try(fixes...)
}

// Caution says something that somebody should know.
func (l *Lines) Caution(tunnel, message, hint string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.JSON {
		l.write(mezu.Event{Event: mezu.EventError, Tunnel: tunnel, Code: mezu.CodeConflict, Message: message, Hint: hint})
		return
	}
	l.caution(tunnel, message, hint, nil)
}

// state shows that a tunnel went away or came back.
func (l *Lines) state(t *mezu.Tunnel) {
	if l.states == nil {
		l.states, l.served, l.away = map[string]mezu.TunnelState{}, map[string]bool{}, map[string]bool{}
	}
	if t.State == mezu.TunnelNeedsLogin && t.Warpgate == "" {
		return // it is new, and this command enrols it
	}
	was := l.states[t.ID]
	l.states[t.ID] = t.State
	if was == t.State {
		return
	}
	if l.JSON {
		l.write(mezu.Event{Event: mezu.EventWarpgate, Tunnel: t.Name, Status: string(t.State), WarpgateID: t.Warpgate, Upstream: t.Target, URL: t.URL, Code: t.Code, Message: t.Detail, Hint: t.Hint})
		return
	}
	name := terminal.Clean(t.Name)
	switch t.State {
	case mezu.TunnelDown, mezu.TunnelNeedsLogin:
		if l.served[t.ID] && !l.away[t.ID] {
			l.away[t.ID] = true
			l.Signf(terminal.Waiting, "%s: %s", name, terminal.Clean(reason(t)))
		}
	case mezu.TunnelLive, mezu.TunnelPartly:
		if l.away[t.ID] {
			l.Signf(terminal.Good, "%s is back", name)
		}
		l.served[t.ID], l.away[t.ID] = true, false
	}
}

// reason is why a tunnel is not live.
func reason(t *mezu.Tunnel) string {
	switch {
	case t.Detail != "":
		return t.Detail
	case t.State == mezu.TunnelNeedsLogin:
		return "its certificate ended"
	}
	return "no edge can be reached; it comes back by itself"
}

// Close ends what waits to be shown.
func (l *Lines) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, timer := range l.pending {
		if timer != nil {
			timer.Stop()
		}
	}
	l.pending = nil
}

// stopping says what the end of a tunnel waits for.
func (l *Lines) stopping(e local.Event) {
	if l.JSON {
		return
	}
	name, again, them := "", " again", "them"
	if l.Several {
		name = " " + terminal.Clean(e.Tunnel)
	}
	if strings.HasPrefix(e.Message, "1 ") {
		them = "it"
	}
	if l.CutsAtOnce {
		again = ""
	}
	l.Sayf("stopping%s: %s. Ctrl-C%s cuts %s.", name, terminal.Clean(e.Message), again, them)
}

// Closed says what a run came to.
func (l *Lines) Closed(tunnel string, lasted time.Duration, stats mezu.TunnelStats) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.JSON {
		l.write(mezu.Event{Event: mezu.EventStopped, Tunnel: tunnel})
		return
	}
	name := ""
	if l.Several {
		name = terminal.Clean(tunnel) + " "
	}
	l.Sayf("%sclosed after %s: %s, %s answered 5xx", name, Long(lasted), plural(stats.Requests, "request", "requests"), Count(stats.Failed))
}

// Fail is the event of an error that ends the run. As lines the command reports it itself.
func (l *Lines) Fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.JSON {
		what, hint := terminal.Explain(err)
		l.write(mezu.Event{Event: mezu.EventError, Tunnel: l.Name, Code: mezu.CodeOf(err), Message: what, Hint: hint})
	}
}

func plural(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Count(n) + " " + many
}

// number is a status that came as JSON or as it was.
func number(status any) int {
	switch n := status.(type) {
	case int:
		return n
	case float64:
		return int(n)
	}
	return 0
}

func colorOf(status int, cut bool) string {
	switch {
	case status >= 500:
		return "\x1b[31m"
	case status >= 400 || cut:
		return "\x1b[33m"
	case status > 0:
		return "\x1b[32m"
	}
	return ""
}
