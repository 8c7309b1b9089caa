package requests_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/tui/feed"
	"github.com/mezusphere/mezu/tui/requests"
	"github.com/mezusphere/mezu/tui/screen"
	"github.com/mezusphere/mezu/tui/screen/screentest"
)

// came has another request come.
func came(st *screentest.Stage, k *kept, path string) {
	n := uint64(1000 + len(k.rows))
	k.rows = append([]mezu.Exchange{{ID: fmt.Sprintf("%012d", n), Sequence: n, Revision: n, Method: "GET", Path: path, Status: 200, StartedAt: st.C.Now}}, k.rows...)
	st.Send(feed.Batch{Events: []local.Event{{Event: mezu.Event{Event: mezu.EventRequest}}}})
	st.Pass(time.Second)
}

// selected is the line of the list with the cursor.
func selected(t *testing.T, st *screentest.Stage) string {
	t.Helper()
	for l := range strings.SplitSeq(st.View(), "\n") {
		if strings.Contains(l, "▸") {
			return l
		}
	}
	t.Error("nothing is selected")
	return ""
}

// rows are those of the list in a view.
func rows(view string) string { return strings.Join(strings.Split(view, "\n")[2:8], "\n") }

func shows(t *testing.T, st *screentest.Stage, want ...string) {
	t.Helper()
	view := st.View()
	for _, w := range want {
		if !strings.Contains(view, w) {
			t.Errorf("it doesn't show %q:\n%s", w, view)
		}
	}
}

func hides(t *testing.T, st *screentest.Stage, unwanted string) {
	t.Helper()
	if view := st.View(); strings.Contains(view, unwanted) {
		t.Errorf("it shows %q:\n%s", unwanted, view)
	}
}

func TestListFollowsWhileTheNewestIsSelected(t *testing.T) {
	k := drawn()
	st := shown(t, k, 80, 24, screentest.Plain())
	came(st, k, "/first")
	if l := selected(t, st); !strings.Contains(l, "/first") {
		t.Errorf("it doesn't follow: %s", l)
	}
	st.Press("down", "down")
	before := st.View()
	for n := range 3 {
		came(st, k, fmt.Sprintf("/later/%d", n))
	}
	shows(t, st, "▼ 3 new")
	if after := st.View(); rows(after) != rows(before) {
		t.Errorf("rows moved under the cursor:\n%s\n%s", before, after)
	}
	hides(t, st, "/later/")
	if l := selected(t, st); !strings.Contains(l, "/hooks/github") {
		t.Errorf("another row is selected: %s", l)
	}
	// Those that came are above the first one.
	st.Press("up", "up", "up")
	if l := selected(t, st); !strings.Contains(l, "/later/0") {
		t.Errorf("the row above is %s", l)
	}
	st.Press("g")
	came(st, k, "/again")
	if l := selected(t, st); !strings.Contains(l, "/again") {
		t.Errorf("it doesn't follow again: %s", l)
	}
}

// What stands still is still there when the daemon has made room for others.
func TestListStandsStillWhenItsRowsAreGone(t *testing.T) {
	k := drawn()
	st := shown(t, k, 80, 24, screentest.Plain(), "down")
	k.rows = nil
	k.state.OldestSequence = 500
	for n := range 40 {
		came(st, k, fmt.Sprintf("/flood/%d", n))
	}
	if l := selected(t, st); !strings.Contains(l, "/hooks/github") {
		t.Errorf("the selected row is %s", l)
	}
	shows(t, st, "▼ 40 new")
	st.Press("down", "up")
	hides(t, st, "/flood/")
	st.Press("g")
	shows(t, st, "/flood/39")
	hides(t, st, "/hooks/github")
}

func TestPauseFreezesEverything(t *testing.T) {
	k := drawn()
	st := shown(t, k, 80, 24, screentest.Plain())
	st.C.Paused = true
	st.Send(screen.Freed{Paused: true})
	before := selected(t, st)
	k.state.Kept = 321
	came(st, k, "/first")
	hides(t, st, "/first")
	hides(t, st, "321 kept")
	if after := selected(t, st); after != before {
		t.Errorf("%s became %s", before, after)
	}
	shows(t, st, "▼ 1 new")
	st.C.Paused = false
	st.Send(screen.Freed{})
	shows(t, st, "/first")
	shows(t, st, "321 kept")
}

func TestUnmaskedValueHidesAgain(t *testing.T) {
	const secret, other = "t=1764165704,v1=5257a869", "s3cret"
	k := drawn()
	st := shown(t, k, 80, 24, screentest.Plain())
	hides(t, st, secret)
	st.Press("u")
	shows(t, st, secret)
	hides(t, st, other) // it is one value
	st.C.Now = st.C.Now.Add(9 * time.Second)
	st.Send(screen.Second{})
	shows(t, st, secret)
	st.C.Now = st.C.Now.Add(time.Second)
	st.Send(screen.Second{})
	hides(t, st, secret)
	// The selection moves.
	st.Press("u")
	shows(t, st, secret)
	st.Press("down")
	hides(t, st, secret)
	st.Press("up", "u")
	shows(t, st, secret)
	st.Press("esc", "down")
	hides(t, st, secret)
	st.Press("up")
	hides(t, st, secret)
	// Twice hides it; another part hides it.
	st.Press("u", "u")
	hides(t, st, secret)
	st.Press("u", "right", "left")
	hides(t, st, secret)
	// A value of a body.
	st.Press("G", "up", "up", "up", "up", "u")
	shows(t, st, other)
	hides(t, st, secret)
}

// A late answer about what was selected before shows nothing.
func TestLateSecretIsDropped(t *testing.T) {
	k := drawn()
	k.details[k.rows[1].ID] = k.details[k.rows[0].ID]
	st := shown(t, k, 80, 24, screentest.Plain())
	late := st.Screen.Act(&st.C, "unmask")
	st.Press("esc", "down")
	st.Pass(time.Second)
	st.Run(late)
	hides(t, st, "5257a869")
}

func TestFilterErrorKeepsWhatIsShown(t *testing.T) {
	k := drawn()
	st := shown(t, k, 80, 24, screentest.Plain(), "/", "bad:x")
	shows(t, st, "there is no word bad:", "/hooks/stripe")
	st.Press("esc")
	hides(t, st, "there is no word")
	shows(t, st, "1 of 5")
	st.Press("/", "path:/hooks/g", "enter")
	shows(t, st, "1 of 1")
	st.Press("esc")
	shows(t, st, "1 of 5")
}

func TestErrorsSayWhatToTypeAndAreTriedAgain(t *testing.T) {
	k := drawn()
	k.err = &mezu.Error{Code: mezu.CodeUnavailable, Detail: "the daemon does not answer", Hint: "mezu daemon restart"}
	st := shown(t, k, 80, 24, screentest.Plain())
	shows(t, st, "the daemon does not answer (mezu daemon restart)")
	k.err = nil
	st.Pass(time.Second)
	shows(t, st, "/hooks/stripe")
	hides(t, st, "does not answer")
}

// Events at any rate are at most five questions a second, and none while another screen is shown.
func TestQuestionsAreFew(t *testing.T) {
	k := drawn()
	st := shown(t, k, 80, 24, screentest.Plain())
	storm := func() {
		for range 100 {
			st.Wait(10 * time.Millisecond)
			st.Send(feed.Batch{Events: []local.Event{{Event: mezu.Event{Event: mezu.EventRequest}}}})
		}
	}
	k.asked = nil
	storm()
	if n := len(k.asked); n == 0 || n > 6 {
		t.Errorf("%d questions in a second", n)
	}
	for _, q := range k.asked {
		if q.ChangedAfter == 0 && q.Filter == "" && k.state.Kept == len(k.rows) {
			t.Error("all was asked for again")
		}
	}
	st.C.Shown = false
	k.asked = nil
	storm()
	st.Pass(time.Second)
	if len(k.asked) > 0 {
		t.Errorf("%d questions for a screen that nobody sees", len(k.asked))
	}
	st.C.Shown = true
	st.Send(screen.Entered{})
	if len(k.asked) != 1 {
		t.Errorf("%d questions when it is shown again", len(k.asked))
	}
}

// Where every answer has hundreds of rows, or next to none are kept, there are fewer still.
func TestQuestionsOfALoadTestAreFewer(t *testing.T) {
	for name, c := range map[string]struct {
		depth mezu.ExchangeDepth
		rows  int
	}{"all rows change": {mezu.DepthHeads, 500}, "nothing is kept": {mezu.DepthNone, 3}} {
		k := drawn()
		k.state.Depth, k.state.Kept = c.depth, 0
		revision := uint64(1000)
		renew := func() {
			k.rows = nil
			for n := range c.rows {
				revision++
				k.rows = append(k.rows, mezu.Exchange{ID: fmt.Sprintf("%012d", n), Method: "GET", Path: "/", Sequence: uint64(n), Revision: revision})
			}
		}
		renew()
		st := shown(t, k, 80, 24, screentest.Plain())
		k.asked = nil
		for range 50 { // five seconds
			st.Wait(100 * time.Millisecond)
			renew()
			st.Send(feed.Batch{Events: []local.Event{{Event: mezu.Event{Event: mezu.EventRequest}}}})
		}
		if n := len(k.asked); n < 3 || n > 7 {
			t.Errorf("%s: %d questions in five seconds", name, n)
		}
	}
}

func TestRowsAreBounded(t *testing.T) {
	k := drawn()
	for n := range 3000 {
		k.rows = append(k.rows, mezu.Exchange{ID: fmt.Sprintf("old%09d", n), Method: "GET", Path: "/old", Revision: 1})
	}
	st := shown(t, k, 80, 24, screentest.Plain(), "G")
	shows(t, st, "1,000 of 1,000")
}

// said are the messages to the dashboard of one kind.
func said[T any](st *screentest.Stage) (out []T) {
	for _, m := range st.Said {
		if m, ok := m.(T); ok {
			out = append(out, m)
		}
	}
	return out
}

func TestActions(t *testing.T) {
	k := drawn()
	st := shown(t, k, 80, 24, screentest.Plain())
	id := k.rows[0].ID
	st.Press("R", "P", "y", "H", "w", "e")
	if got := strings.Join(k.done, ", "); got != "replay "+id+", pin "+id+" false" {
		t.Errorf("done: %s", got)
	}
	if got := said[screen.Copy](st); len(got) != 1 || got[0].What != "the curl command" || !strings.Contains(got[0].Text, id) {
		t.Errorf("copied %+v", got)
	}
	files := said[screen.Save](st)
	if len(files) != 2 || files[0].Name != "mezu-7f3a015b.har" || string(files[0].Text) != `{"log":"`+id+`"}` || files[1].Name != "mezu-7f3a015b-request" || !strings.Contains(string(files[1].Text), "evt_1PzX") {
		t.Errorf("files %q", files)
	}
	edits := said[screen.Edit](st)
	if len(edits) != 1 || edits[0].Name != "mezu-7f3a015b.http" {
		t.Fatalf("edits %+v", edits)
	}
	st.Send(edits[0].Then([]byte("GET /changed\n"), true, nil))
	if string(k.sent) != "GET /changed\n" {
		t.Errorf("sent %q", k.sent)
	}
	k.sent = nil
	st.Send(edits[0].Then([]byte("x"), false, nil))
	if k.sent != nil {
		t.Errorf("what was not changed was sent: %q", k.sent)
	}
	lines := ""
	for _, s := range said[screen.Say](st) {
		lines += s.Text + "\n"
	}
	for _, want := range []string{"sent again as 9c1e0000", "is no longer pinned", "sent again as 77aa0000", "nothing was changed"} {
		if !strings.Contains(lines, want) {
			t.Errorf("it never said %q: %s", want, lines)
		}
	}
}

func TestCopiesTheSelectedValueMasked(t *testing.T) {
	k := drawn()
	st := shown(t, k, 80, 24, screentest.Plain(), "tab", "down", "down", "y")
	if got := said[screen.Copy](st); len(got) != 1 || got[0].Text != mezu.Mask {
		t.Errorf("copied %+v", got)
	}
	st.Press("u", "y")
	if got := said[screen.Copy](st); len(got) != 2 || got[1].Text != "t=1764165704,v1=5257a869" {
		t.Errorf("copied %+v", got)
	}
}

func TestDiffMarksAndCompares(t *testing.T) {
	k := drawn()
	st := shown(t, k, 80, 24, screentest.Plain(), "down", "d")
	if got := said[screen.Say](st); len(got) != 1 || !strings.Contains(got[0].Text, "is marked") {
		t.Errorf("said %+v", got)
	}
	st.Press("up", "d")
	shows(t, st, "▐Diff▌", "HTTP/1.1 200 OK")
	// A replay is compared with what it repeats, without a mark.
	st = shown(t, drawn(), 80, 24, screentest.Plain(), "down", "down", "d")
	shows(t, st, "▐Diff▌", "response line")
}

func TestShowOfAnotherScreen(t *testing.T) {
	k := drawn()
	st := shown(t, k, 80, 24, screentest.Plain())
	st.Send(requests.Show{ID: k.rows[3].ID})
	st.Pass(time.Second)
	if l := selected(t, st); !strings.Contains(l, "/hooks/ ") {
		t.Errorf("selected is %s", l)
	}
	st.Send(requests.Show{Filter: "path:/hooks/g"})
	st.Pass(time.Second)
	shows(t, st, "1 of 1", "path:/hooks/g")
}

func TestFramesFollowAndScroll(t *testing.T) {
	k := socket()
	st := shown(t, k, 80, 24, screentest.Plain(), "enter")
	shows(t, st, "18 of 18", "1001 going away")
	id := k.rows[0].ID
	k.frames[id] = append(k.frames[id], mezu.Frame{Number: 19, Time: at("14:02:31"), Kind: mezu.FrameText, Size: 2, Kept: 2, Text: "hi"})
	k.content[19] = local.Content{Data: []byte("hi\n"), Size: 2}
	k.rows[0].Revision, k.rows[0].Frames = 400, 19
	st.Send(feed.Batch{Events: []local.Event{{Event: mezu.Event{Event: local.EventFrame}}}})
	st.Pass(time.Second)
	st.Pass(time.Second)
	shows(t, st, "19 of 19")
	st.Press("up", "/", "connected", "enter")
	shows(t, st, "13 of 19")
	st.Press("w")
	if files := said[screen.Save](st); len(files) != 1 || files[0].Name != "mezu-ab120000-frame-13" {
		t.Errorf("files %+v", files)
	}
	st.Press("tab")
	shows(t, st, "▐Timing▌")
	st.Press("esc")
	shows(t, st, "┌ Requests ")
}

// Lines are as wide as the terminal at every size, with each panel in focus.
func TestEverySize(t *testing.T) {
	for w := 40; w <= 220; w += 20 {
		for h := 12; h <= 60; h += 12 {
			for _, keys := range [][]string{nil, {"tab"}, {"enter"}, {"/", "a"}} {
				shown(t, socket(), w, h, screentest.Plain(), keys...).View()
			}
		}
	}
}

func TestClicksAndWheel(t *testing.T) {
	k := drawn()
	st := shown(t, k, 80, 24, screentest.Plain())
	s := st.Screen.(screen.Pointed)
	st.Run(s.Click(&st.C, 10, 4, false))
	if l := selected(t, st); !strings.Contains(l, "/hooks/github") {
		t.Errorf("a click selected %s", l)
	}
	st.Run(s.Wheel(&st.C, 10, 4, 3))
	st.Run(s.Click(&st.C, 10, 3, true))
	shows(t, st, "‹ esc")
	st.Press("esc")
	st.Run(s.Click(&st.C, 10, 12, false))
	st.Run(s.Wheel(&st.C, 10, 12, 3))
	st.Run(s.Click(&st.C, 10, 0, false))
	if !st.Screen.(screen.Typist).Typing() {
		t.Error("a click on the filter doesn't type there")
	}
}
