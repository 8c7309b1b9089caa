package show_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/cli/tunnel/show"
	"github.com/mezusphere/mezu/local"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func lines(width int, more ...func(*show.Lines)) (l *show.Lines, out, talk *bytes.Buffer) {
	out, talk = &bytes.Buffer{}, &bytes.Buffer{}
	l = &show.Lines{Streams: terminal.Streams{Out: out, Err: talk, Unicode: true}}
	if width > 0 {
		l.OutTerminal, l.Columns = true, func() int { return width }
	}
	l.ColorOff = true
	for _, m := range more {
		m(l)
	}
	return l, out, talk
}

func request(status int, path, query string, ms float64, size int64) local.Event {
	return local.Event{Phase: local.PhaseEnd, Event: mezu.Event{Event: mezu.EventRequest, Time: time.Date(2026, 1, 2, 14, 2, 31, 0, time.Local), Tunnel: "shop/dev-ada", ID: "1",
		Method: "GET", Path: path, Query: query, Status: float64(status), DurationMS: ms, BytesOut: size}}
}

// The lines of the design, on a terminal of 80 columns.
func TestRequests(t *testing.T) {
	l, out, _ := lines(80)
	l.Event(request(200, "/src/App.tsx", "", 3, 1200))
	ws := request(101, "/", "?token=••••••", 3, 0)
	ws.Upgrade = "websocket"
	l.Event(ws)
	refused := request(502, "/api/orders", "", 0, 0)
	refused.Method, refused.Code = "POST", mezu.CodeWorkloadRefused
	l.Event(refused)
	replay := request(200, "/again", "", 3, 1)
	replay.Exchange = &mezu.Exchange{ReplayOf: "7f3a"}
	l.Event(replay)
	want := "14:02:31  200  GET    /src/App.tsx                                 3 ms    1.2 kB\n" +
		"14:02:31  101  GET    /?token=••••••                                   WebSocket\n" +
		"14:02:31  502  POST   /api/orders               workload_refused       0 ms       0 B\n" +
		"14:02:31  200  GET    /again                                  ↻       3 ms       1 B\n"
	if got := out.String(); flat(got) != flat(want) {
		t.Errorf("\n%s, want\n%s", got, want)
	}
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(line) - 1; n != 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

// flat leaves only one space between words.
func flat(s string) string { return regexp.MustCompile(` +`).ReplaceAllString(s, " ") }

// Whatever a visitor sends, a line fits, and steers no terminal (C2, C5).
func TestC5_HostileRequests(t *testing.T) {
	for _, width := range []int{1, 5, 20, 40, 80, 200} {
		l, out, _ := lines(width, func(l *show.Lines) { l.Several = true })
		e := request(200, "/\x1b[31m\n{\"level\":\"info\"}"+strings.Repeat("界", 300), "?a=\u202e", 3, 1)
		e.Method, e.Tunnel = "GET\x1b]0;x\a", "shop/\x1b[2J"
		l.Event(e)
		text := strings.TrimSuffix(out.String(), "\n")
		if strings.ContainsAny(text, "\n\x1b\a\u202e") || utf8.RuneCountInString(text) > width {
			t.Errorf("%d columns: %q", width, text)
		}
	}
}

func TestReady(t *testing.T) {
	address := "https://shop-dev-ada-acme.edge.example.com"
	said := show.Ready{Tunnel: mezu.Tunnel{Name: "shop/dev-ada", URL: address, TunnelSpec: mezu.TunnelSpec{TunnelTarget: mezu.TunnelTarget{Target: "localhost:5173"}}},
		To: "localhost:5173", Program: "Vite", OpenTo: "everyone", Environment: "acme/shop/dev-ada", News: "made now; this address stays yours"}
	l, out, talk := lines(20)
	l.Ready(said)
	if out.String() != address+"\n" || talk.String() != "  to           localhost:5173, Vite\n  open to      everyone\n  environment  acme/shop/dev-ada, made now; this address stays yours\n  more         mezu (dashboard)   mezu tunnel list   Ctrl-C closes it\n" {
		t.Errorf("%s%s", out, talk)
	}
	said.Trust = "mezu trust"
	l, _, talk = lines(20)
	l.Ready(said)
	if !strings.Contains(talk.String(), "\n  certificate  of a private CA; mezu trust has this machine trust it\n") {
		t.Errorf("%s", talk)
	}
	said.User, said.Password = "ada", "geheim-1"
	l, out, talk = lines(0, func(l *show.Lines) { l.JSON, l.Masking = true, true })
	l.Ready(said)
	var e mezu.Event
	if err := json.Unmarshal(out.Bytes(), &e); err != nil || e.Event != mezu.EventReady || e.URL != address || e.Tunnel != "shop/dev-ada" || e.Time.IsZero() {
		t.Errorf("%s %v", out, err)
	}
	if !strings.HasPrefix(talk.String(), "::add-mask::geheim-1\n") || strings.Contains(out.String(), "geheim") {
		t.Errorf("%s%s", out, talk)
	}
	// Nobody could enter without it.
	l, _, talk = lines(0, func(l *show.Lines) { l.Quiet = true })
	l.Ready(said)
	if talk.String() != "  log in as    ada, password geheim-1\n" {
		t.Errorf("%s", talk)
	}
}

func TestStates(t *testing.T) {
	l, _, talk := lines(0)
	gate := ""
	is := func(s mezu.TunnelState, why string) {
		l.Event(local.Event{Event: mezu.Event{Event: local.EventTunnel}, Record: &mezu.Tunnel{ID: "t", Name: "shop/dev-ada", State: s, Detail: why, Warpgate: gate}})
	}
	is(mezu.TunnelNeedsLogin, "it is not enrolled yet") // as every tunnel at first
	gate = "wgt_1"
	is(mezu.TunnelStarting, "")
	is(mezu.TunnelLive, "")
	is(mezu.TunnelPartly, "")
	is(mezu.TunnelDown, "")
	is(mezu.TunnelNeedsLogin, "its certificate ended while this machine was off for 9 days")
	is(mezu.TunnelLive, "")
	if want := "◌ shop/dev-ada: no edge can be reached; it comes back by itself\n✓ shop/dev-ada is back\n"; talk.String() != want {
		t.Errorf("%s", talk)
	}
	// A script is not told to log in for a tunnel that is just being made.
	l, out, _ := lines(0, func(l *show.Lines) { l.JSON = true })
	for _, gate = range []string{"", "wgt_1"} {
		is(mezu.TunnelNeedsLogin, "")
	}
	if strings.Count(out.String(), "\n") != 1 || !strings.Contains(out.String(), `"warpgate_id":"wgt_1","status":"needs_login"`) {
		t.Errorf("%s", out)
	}
}

func TestErrors(t *testing.T) {
	l, _, talk := lines(0)
	l.Event(local.Event{Event: mezu.Event{Event: mezu.EventError, Message: "nothing answers at localhost:5173 any more", Hint: "mezu tunnel 5174"}, Fixes: []string{"in vite.config:\nserver: {}"}})
	l.Caution("shop/dev-ada", "it stays so\x1b[2J", "")
	if want := "! nothing answers at localhost:5173 any more\n  try: mezu tunnel 5174, or in vite.config:\n       server: {}\n! it stays so\\x1b[2J\n"; talk.String() != want {
		t.Errorf("%q", talk)
	}
	l, out, _ := lines(0, func(l *show.Lines) { l.JSON = true })
	l.Fail(&mezu.Error{Code: mezu.CodeConflict, Detail: "taken", Hint: "try"})
	l.Fail(errors.New("x"))
	l.Event(local.Event{Event: mezu.Event{Event: mezu.EventError, Message: "refused", Hint: "a"}, Fixes: []string{"a", "b"}})
	l.Event(local.Event{Event: mezu.Event{Event: local.EventGap, Tunnel: "shop/dev-ada"}, Missed: 7})
	for _, want := range []string{`"code":"conflict","message":"taken","hint":"try"`, `"hint":"a","fixes":["a","b"]}`, `{"event":"gap",`, `"tunnel":"shop/dev-ada","missed":7}`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in %s", want, out)
		}
	}
	if strings.Count(out.String(), "\n") != 4 {
		t.Errorf("%s", out)
	}
}

func TestClosed(t *testing.T) {
	l, _, talk := lines(0)
	l.Closed("shop/dev-ada", 252*time.Second, mezu.TunnelStats{Requests: 1204, Failed: 3})
	if want := "closed after 4 m 12 s: 1,204 requests, 3 answered 5xx\n"; talk.String() != want {
		t.Errorf("%s", talk)
	}
}

// TestStopping: what the end waits for is said, and what was cut does not look as if it had not been.
func TestStopping(t *testing.T) {
	for several, want := range map[bool]string{false: "stopping: 1 request under way (GET /ws\\x1b[2J, 41 s). Ctrl-C again cuts it.\n", true: "stopping shop/dev-ada: 1 request under way (GET /ws\\x1b[2J, 41 s). Ctrl-C again cuts it.\n"} {
		l, _, talk := lines(0, func(l *show.Lines) { l.Several = several })
		l.Event(local.Event{Event: mezu.Event{Event: local.EventStopping, Tunnel: "shop/dev-ada", Message: "1 request under way (GET /ws\x1b[2J, 41 s)"}})
		if talk.String() != want {
			t.Errorf("%q, want %q", talk, want)
		}
	}
	l, out, talk := lines(80)
	l.Event(local.Event{Event: mezu.Event{Event: local.EventStopping, Message: "2 requests under way (a; b)"}})
	if !strings.HasSuffix(talk.String(), "cuts them.\n") {
		t.Errorf("%s", talk)
	}
	talk.Reset()
	l.CutsAtOnce = true
	l.Event(local.Event{Event: mezu.Event{Event: local.EventStopping, Message: "1 request under way (a)"}})
	if want := "stopping: 1 request under way (a). Ctrl-C cuts it.\n"; talk.String() != want {
		t.Errorf("%q, want %q", talk, want)
	}
	cut := request(200, "/events", "", 41_000, 1200)
	cut.Cause = mezu.CauseShutdown
	l.Event(cut)
	cut.Status, cut.Path, cut.Upgrade = float64(101), "/ws", "websocket"
	l.Event(cut)
	if want := "14:02:31 cut GET /events shutdown 41 s 1.2 kB\n14:02:31 cut GET /ws shutdown 41 s 1.2 kB\n"; flat(out.String()) != want {
		t.Errorf("%s", out)
	}
}

func TestFigures(t *testing.T) {
	for n, want := range map[int64]string{-1: "0 B", 0: "0 B", 999: "999 B", 1000: "1.0 kB", 1234: "1.2 kB", 999_949: "999.9 kB", 999_950: "1.0 MB", 5_000_000_000_000_000_000: "5000.0 PB"} {
		if got := show.Size(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{0: "0 ms", 3400 * time.Microsecond: "3 ms", 999 * time.Millisecond: "999 ms", 1200 * time.Millisecond: "1.2 s", 42 * time.Second: "42 s",
		252 * time.Second: "4 m 12 s", 242 * time.Second: "4 m 02 s", 3*time.Hour + 5*time.Minute: "3 h 05 m", 50 * time.Hour: "2 d 2 h"} {
		if got := show.Span(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
	for n, want := range map[uint64]string{0: "0", 999: "999", 1204: "1,204", 1234567: "1,234,567"} {
		if got := show.Count(n); got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
}
