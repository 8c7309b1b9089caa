// Package screentest shows screens of the dashboard without a terminal, for their tests.
//
// What may not live here: what any one screen shows. Only tests of tui import it.
package screentest

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu/tui/keymap"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
	"github.com/mezusphere/mezu/visible"
)

// Stage is a screen that is shown to a test.
type Stage struct {
	C      screen.Context
	Screen screen.Screen
	// Overlay is what was opened over the screen.
	Overlay screen.Overlay
	// Said are the messages to the dashboard, which nobody answers here.
	Said   []tea.Msg
	timers []timer
	t      testing.TB
}

// Now is the time on a stage at first.
func Now() time.Time { return time.Date(2026, 11, 26, 14, 2, 31, 0, time.UTC) }

// Scope is where a stage looks.
func Scope() screen.Scope {
	return screen.Scope{Organization: "acme", Project: "shop", Environment: "dev-ada", Who: "ada@dev.test"}
}

// Plain is a theme without colours.
func Plain() *look.Theme { return look.New(look.None, look.Unicode()) }

// New shows a screen on a terminal of w by h cells. Three of its lines are the dashboard's.
func New(t testing.TB, s screen.Screen, w, h int, theme *look.Theme) *Stage {
	const frame = 3
	st := &Stage{t: t, Screen: s}
	st.C = screen.Context{Life: t.Context(), Theme: theme, Now: Now(), Layout: screen.LayoutOf(w), Width: w, Height: h - frame, Shown: true, Scope: Scope(),
		Timer: func(d time.Duration, msg tea.Msg) tea.Cmd {
			return func() tea.Msg { return timer{st.C.Now.Add(d), msg} }
		}}
	st.keys()
	return st
}

// mostHelp is how wide the words on a key may be, so that two columns of them stand side by side
// on 80 cells.
const mostHelp = 24

// keys are those of the screen now.
func (st *Stage) keys() keymap.Map {
	st.t.Helper()
	m := st.Screen.Keys(&st.C)
	for _, b := range m {
		if w := look.Width(b.Help); w > mostHelp {
			st.t.Errorf("the help on %s has %d cells, %d at most: %s", b.Label(), w, mostHelp, b.Help)
		}
	}
	return m
}

// timer is a message that waits for its time.
type timer struct {
	at time.Time
	tea.Msg
}

// Send gives messages to the screen, and those of the commands that come of them.
func (st *Stage) Send(msgs ...tea.Msg) {
	for _, msg := range msgs {
		switch msg := msg.(type) {
		case nil:
		case timer:
			st.timers = append(st.timers, msg)
		case tea.BatchMsg:
			for _, cmd := range msg {
				st.Run(cmd)
			}
		case screen.Say, screen.Ask, screen.Copy, screen.Browse, screen.Edit, screen.Save, screen.GoTo, screen.Edges, screen.Ends:
			st.Said = append(st.Said, msg)
		case screen.Open:
			st.Overlay = msg.Overlay
		case screen.Close:
			st.Overlay = nil
		default:
			if cmds, ok := sequence(msg); ok {
				for _, cmd := range cmds {
					st.Run(cmd)
				}
				continue
			}
			st.Run(st.Screen.Take(&st.C, msg))
			if st.Overlay != nil {
				st.Run(st.Overlay.Take(&st.C, msg))
			}
		}
	}
}

// sequence are the commands of tea.Sequence, whose message has no name outside of bubbletea.
func sequence(msg tea.Msg) ([]tea.Cmd, bool) {
	if reflect.TypeOf(msg) != reflect.TypeOf(tea.Sequence(screen.Cmd(nil), screen.Cmd(nil))()) {
		return nil, false
	}
	cmds, ok := reflect.ValueOf(msg).Convert(reflect.TypeFor[[]tea.Cmd]()).Interface().([]tea.Cmd)
	return cmds, ok
}

// Run runs a command.
func (st *Stage) Run(cmd tea.Cmd) {
	if cmd != nil {
		st.Send(cmd())
	}
}

// Pass lets time pass: what waited so long is told, and that a second is over.
func (st *Stage) Pass(d time.Duration) {
	st.Wait(d)
	st.Send(screen.Second{})
}

// Wait is Pass within a second.
func (st *Stage) Wait(d time.Duration) {
	st.C.Now = st.C.Now.Add(d)
	waiting := st.timers
	st.timers = nil
	for _, t := range waiting {
		if t.at.After(st.C.Now) {
			st.timers = append(st.timers, t)
		} else {
			st.Send(t.Msg)
		}
	}
}

// Press presses keys, by the names of bubbletea. What is no name of a key is typed.
func (st *Stage) Press(keys ...string) {
	for _, name := range keys {
		k := Key(name)
		if st.Overlay != nil {
			st.Run(st.Overlay.Key(&st.C, k))
			continue
		}
		if typist, ok := st.Screen.(screen.Typist); ok && typist.Typing() {
			st.Run(typist.Key(&st.C, k))
			continue
		}
		a, ok := st.keys().Find(name)
		if !ok {
			st.t.Errorf("the key %q does nothing here", name)
			continue
		}
		st.Run(st.Screen.Act(&st.C, a))
	}
}

// Key is a key by its name.
func Key(name string) tea.KeyMsg {
	for _, k := range []tea.KeyType{tea.KeyEnter, tea.KeyTab, tea.KeyShiftTab, tea.KeyEsc, tea.KeyUp, tea.KeyDown, tea.KeyLeft, tea.KeyRight, tea.KeyHome, tea.KeyEnd, tea.KeyPgUp, tea.KeyPgDown, tea.KeyBackspace, tea.KeyDelete, tea.KeyCtrlU} {
		if k.String() == name {
			return tea.KeyMsg{Type: k}
		}
	}
	return tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(name)}
}

// view is what is shown, drawn once.
func (st *Stage) view() []string {
	c := st.C
	lines := st.Screen.View(&c, c.Width, c.Height)
	if st.Overlay != nil {
		lines = st.Overlay.View(&c, lines, c.Width, c.Height)
	}
	return lines
}

// View is what is shown. Each line has to be as wide as the terminal, nothing in it may drive
// one, and it is the same however often it is drawn: the race detector sees a view that changes
// something, for two are drawn at once.
func (st *Stage) View() string {
	st.t.Helper()
	again := make(chan []string)
	go func() { again <- st.view() }()
	lines := st.view()
	if second := <-again; !slices.Equal(lines, second) {
		st.t.Errorf("drawn again it is another one:\n%s\n%s", strings.Join(lines, "\n"), strings.Join(second, "\n"))
	}
	if len(lines) != st.C.Height {
		st.t.Errorf("%d lines of %d", len(lines), st.C.Height)
	}
	for i, l := range lines {
		if w := look.Width(l); w != st.C.Width {
			st.t.Errorf("line %d is %d cells wide, not %d: %q", i, w, st.C.Width, l)
		}
		text := painted.ReplaceAllString(l, "")
		if strings.IndexFunc(text, visible.Unsafe) >= 0 {
			st.t.Errorf("line %d has what a terminal acts on: %q", i, l)
		}
		if st.C.Theme.ASCII && strings.IndexFunc(text, func(r rune) bool { return r > '~' }) >= 0 {
			st.t.Errorf("line %d has other characters than ASCII: %q", i, l)
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

// painted is what colours and styles are made of: nothing else of a terminal is used in a view.
var painted = regexp.MustCompile("\x1b\\[[0-9;]*m")

// Freeze looks whether what is shown stands still while the dashboard is paused, whatever comes and
// however time passes, and shows it when it is let go.
func (st *Stage) Freeze(come func()) {
	st.t.Helper()
	st.C.Paused = true
	st.Send(screen.Freed{Paused: true})
	before, now := st.View(), st.C.Now
	come()
	late := st.C.Now
	st.C.Now = now // the dashboard draws with the time at which it was paused
	if after := st.View(); after != before {
		st.t.Errorf("it was paused, and what is shown was\n%s\nand is\n%s", before, after)
	}
	st.C.Now, st.C.Paused = late, false
	st.Send(screen.Freed{Paused: false})
	if st.View() == before {
		st.t.Errorf("it was let go, and nothing that came meanwhile is shown:\n%s", before)
	}
}

// Mouse clicks on a row that is not selected, and turns the wheel there and elsewhere: the list moves
// under it alone.
func (st *Stage) Mouse(row, elsewhere int) {
	st.t.Helper()
	const x = 10
	p, ok := st.Screen.(screen.Pointed)
	if !ok {
		st.t.Fatal("the screen takes no mouse")
	}
	first := st.View()
	st.Run(p.Click(&st.C, x, row, false))
	clicked := st.View()
	if clicked == first {
		st.t.Error("a click selects nothing")
	}
	st.Run(p.Wheel(&st.C, x, elsewhere, 3))
	if st.View() != clicked {
		st.t.Error("the wheel turned the list, and is not over it")
	}
	st.Run(p.Wheel(&st.C, x, row, -3))
	if st.View() != first {
		st.t.Error("the wheel turns nothing")
	}
}

// Click clicks where a text is drawn: its first cell.
func (st *Stage) Click(text string) {
	st.t.Helper()
	var on any = st.Screen
	if st.Overlay != nil {
		on = st.Overlay
	}
	clicked, ok := on.(screen.Clicked)
	if !ok {
		st.t.Fatal("it takes no clicks")
	}
	for y, line := range st.view() {
		if before, _, ok := strings.Cut(painted.ReplaceAllString(line, ""), text); ok {
			st.Run(clicked.Click(&st.C, look.Width(before), y, false))
			return
		}
	}
	st.t.Fatalf("there is no %q:\n%s", text, st.View())
}

// Hostile is text that must not drive a terminal, nor be drawn for seconds.
func Hostile() string {
	return "\x1b]0;gotcha\x07\x1b[2J\u202egnp.exe\u2066\xff\x9b31m\r\n\t\x00" + strings.Repeat("long ", 20_000)
}

// Golden compares a view with a file below testdata, or writes it. Escape sequences are written
// with \e.
func Golden(t testing.TB, name, view string, update bool) {
	t.Helper()
	file := filepath.Join("testdata", name+".txt")
	var kept []string
	for l := range strings.SplitSeq(view, "\n") {
		kept = append(kept, strings.TrimRight(strings.ReplaceAll(l, "\x1b", `\e`), " "))
	}
	got := strings.Join(kept, "\n")
	if update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != strings.ReplaceAll(string(want), "\r\n", "\n") {
		t.Errorf("%s differs (go test -update writes it); now it is\n%s", file, got)
	}
}

// Drawing is a state of a screen that golden files hold: what is pressed, and what comes then.
type Drawing struct {
	Keys []string
	Then func(*Stage)
}

// Drawings compares a screen with its golden files: each drawing on a narrow, a usual and a wide
// terminal; and as it is at first, which is named first, with each palette, and on a low terminal
// of ASCII.
func Drawings(t *testing.T, update bool, stage func(w, h int, theme *look.Theme) *Stage, first string, all map[string]Drawing) {
	t.Helper()
	for name, d := range all {
		for _, w := range []int{40, 80, 200} {
			st := stage(w, 24, Plain())
			st.Press(d.Keys...)
			if d.Then != nil {
				d.Then(st)
			}
			Golden(t, fmt.Sprintf("%s-%d", name, w), st.View(), update)
		}
	}
	for palette, name := range map[look.Palette]string{look.Basic: "16", look.Dark: "dark", look.Light: "light"} {
		Golden(t, first+"-"+name, stage(80, 24, look.New(palette, look.Unicode())).View(), update)
	}
	Golden(t, first+"-folded", stage(80, 16, look.New(look.None, look.ASCII())).View(), update)
}
