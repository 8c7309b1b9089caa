package tui

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"
	"github.com/creack/pty"

	"github.com/mezusphere/mezu/tui/keymap"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
)

// plain is a screen that shows what was pressed.
type plain struct {
	title, last string
	panics      bool // in a view
	watch       screen.Source
}

func (p *plain) Title() string { return p.title }

func (p *plain) Keys(*screen.Context) keymap.Map {
	return keymap.Map{{Keys: []string{"enter"}, Action: "open", Footer: "inspect", Help: "requests of the tunnel"},
		{Keys: []string{"x"}, Action: "remove", Footer: "remove", Help: "remove (asks)", Palette: "Remove it"},
		{Keys: []string{"c"}, Action: "copy", Footer: "copy URL"},
		{Keys: []string{"e"}, Action: "edit"},
		{Keys: []string{"U"}, Action: "update"}, {Keys: []string{"V"}, Action: "view"}, {Keys: []string{"C"}, Action: "command"}}
}

func (p *plain) Act(_ *screen.Context, a keymap.Action) tea.Cmd {
	p.last = string(a)
	switch a {
	case "remove":
		return screen.Cmd(screen.Ask{Question: "Remove shop/dev?", Word: "dev", Then: screen.Cmd(done{"removed"})})
	case "copy":
		return screen.Cmd(screen.Copy{What: "the URL", Text: "https://example.com"})
	case "edit":
		return screen.Cmd(screen.Edit{Name: "route.yaml", Text: []byte("a: 1\n"), Then: func(text []byte, saved bool, err error) tea.Msg {
			if err != nil || !saved {
				return done{"not edited"}
			}
			return done{"edited " + string(text)}
		}})
	case "update":
		panic("in an update")
	case "view":
		p.panics = true
	case "command":
		return func() tea.Msg { panic("in a command") }
	}
	return nil
}

// done says what was done.
type done struct{ what string }

func (p *plain) Take(_ *screen.Context, msg tea.Msg) tea.Cmd {
	if msg, ok := msg.(done); ok {
		p.last = msg.what
	}
	return nil
}

func (p *plain) View(c *screen.Context, w, h int) []string {
	if p.panics {
		panic("in a view")
	}
	return look.Panel{Title: p.title, Focused: true}.Draw(c.Theme, []string{"last: " + look.Text(p.last)}, w, h)
}

func (p *plain) Watch() []screen.Source {
	if p.watch == nil {
		return nil
	}
	return []screen.Source{p.watch}
}

// desk is a machine without a clipboard, whose editor appends a line.
type desk struct{}

func (desk) Copy(context.Context, string) error   { return errors.New("there is none") }
func (desk) Browse(context.Context, string) error { return nil }
func (desk) Edit(file string) (string, []string, error) {
	return "sh", []string{"-c", `echo 'b: 2' >> "$0"`, file}, nil
}

func config(first *plain) Config {
	screens := []screen.Screen{first}
	for _, title := range []string{"Requests", "Routes", "Warpgates", "Users", "Log"} {
		screens = append(screens, &plain{title: title})
	}
	return Config{Screens: screens, Scope: screen.Scope{Organization: "acme", Project: "shop", Environment: "dev-ada", Who: "ada@dev.test"},
		Theme: look.New(look.None, look.Unicode()), Desktop: desk{}, Now: func() time.Time { return time.Date(2026, 11, 30, 14, 2, 31, 0, time.UTC) }}
}

func newTest(t *testing.T, w, h int) (*model, *plain) {
	first := &plain{title: "Tunnels"}
	m := newModel(t.Context(), config(first), &output{})
	drive(m, tea.WindowSizeMsg{Width: w, Height: h})
	return m, first
}

// drive gives messages to the model, and it those of their commands.
func drive(m *model, msgs ...tea.Msg) {
	for _, msg := range msgs {
		_, cmd := m.Update(msg)
		follow(m, cmd)
	}
}

func follow(m *model, cmd tea.Cmd) {
	if cmd == nil {
		return
	}
	switch msg := cmd().(type) {
	case tea.BatchMsg:
		for _, c := range msg {
			follow(m, c)
		}
	case nil, screen.Second:
	default:
		_, next := m.Update(msg)
		follow(m, next)
	}
}

func keyOf(s string) tea.KeyMsg {
	switch s {
	case "enter":
		return tea.KeyMsg{Type: tea.KeyEnter}
	case "esc":
		return tea.KeyMsg{Type: tea.KeyEsc}
	}
	return tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(s)}
}

func TestLines(t *testing.T) {
	m, _ := newTest(t, 80, 24)
	drive(m, screen.Edges{Up: 2, All: 2})
	lines := strings.Split(m.View(), "\n")
	for i, want := range map[int]string{
		0:  " mezu  acme / shop / dev-ada              ada@dev.test   ● 2/2 edges   14:02:31",
		1:  "▐1 Tunnels▌ 2 Requests  3 Routes  4 Warpgates  5 Users  6 Log  : go to   ? help",
		23: " enter inspect  x remove  c copy URL  q",
	} {
		if got := strings.TrimRight(ansi.Strip(lines[i]), " "); got != want {
			t.Errorf("line %d is\n%q, want\n%q", i, got, want)
		}
	}
	for _, size := range []struct{ w, h int }{{40, 12}, {41, 13}, {79, 24}, {80, 24}, {119, 30}, {200, 60}} {
		drive(m, tea.WindowSizeMsg{Width: size.w, Height: size.h})
		for _, over := range []string{"", ":", "?"} {
			if over != "" {
				drive(m, keyOf(over))
			}
			lines := strings.Split(m.View(), "\n")
			if len(lines) != size.h {
				t.Errorf("%d lines of %d", len(lines), size.h)
			}
			for _, l := range lines {
				if look.Width(l) != size.w {
					t.Errorf("%d×%d %s: a line of %d cells: %q", size.w, size.h, over, look.Width(l), l)
				}
			}
			drive(m, screen.Close{})
		}
	}
}

func TestTooSmall(t *testing.T) {
	m, first := newTest(t, 32, 10)
	drive(m, keyOf("x"), keyOf("2"))
	if got := strings.TrimSpace(m.View()); got != "40×12 at least (now 32×10)" || first.last != "" || m.shown != 0 {
		t.Errorf("a terminal that is too small shows %q; %q was done", got, first.last)
	}
}

func TestAsks(t *testing.T) {
	m, first := newTest(t, 80, 24)
	drive(m, keyOf("x"))
	if got := m.View(); !strings.Contains(got, "Remove shop/dev? Type dev, esc keeps it:") {
		t.Fatalf("it does not ask:\n%s", got)
	}
	drive(m, keyOf("dex"), keyOf("enter"))
	if first.last != "remove" || m.ask != nil {
		t.Fatalf("a wrong word removed it: %q", first.last)
	}
	drive(m, keyOf("x"), keyOf("dev"), keyOf("esc"))
	if first.last != "remove" {
		t.Fatal("esc removed it")
	}
	drive(m, keyOf("x"), keyOf("dev"), keyOf("enter"))
	if first.last != "removed" {
		t.Fatal("the word did not remove it")
	}
}

func TestPalette(t *testing.T) {
	m, _ := newTest(t, 80, 24)
	drive(m, keyOf(":"), keyOf("wrp"))
	if got := m.View(); !strings.Contains(got, "┌ Go to or do ") || !strings.Contains(got, "▸ Warpgates") {
		t.Fatalf("the palette shows\n%s", got)
	}
	drive(m, keyOf("esc"), keyOf(":"), keyOf("remove"))
	if got := m.View(); !strings.Contains(got, "▸ Remove it") {
		t.Fatalf("the palette shows\n%s", got)
	}
	drive(m, screen.Close{}, pressed{"x"})
	if m.ask == nil {
		t.Fatal("what was chosen was not done")
	}
}

func TestHelp(t *testing.T) {
	m, _ := newTest(t, 80, 24)
	drive(m, keyOf("?"))
	got := m.View()
	for _, want := range []string{"┌ Help: Tunnels ", "requests of the tunnel", "remove (asks)", "ctrl+k", "quit; says what ends"} {
		if !strings.Contains(got, want) {
			t.Errorf("the help lacks %q:\n%s", want, got)
		}
	}
	drive(m, keyOf("/"), keyOf("NO_col"), keyOf("enter"))
	if got := m.View(); !strings.Contains(got, "NO_COLOR") || strings.Contains(got, "requests of the tunnel") {
		t.Errorf("what was searched for is not alone:\n%s", got)
	}
}

// TestHelpEnds: one k is enough to leave the end of the page, however often j was pressed.
func TestHelpEnds(t *testing.T) {
	m, _ := newTest(t, 40, 12)
	drive(m, keyOf("?"))
	for range 100 {
		drive(m, keyOf("j"))
	}
	end := m.View()
	if drive(m, keyOf("k")); m.View() == end {
		t.Error("k does nothing at the end of the page")
	}
}

func TestQuitSaysWhatEnds(t *testing.T) {
	m, _ := newTest(t, 80, 24)
	drive(m, screen.Ends{Text: "closes shop/dev-ada; D leaves it running"})
	if _, cmd := m.Update(keyOf("q")); cmd != nil {
		t.Fatal("q closed it unasked")
	}
	if got := m.View(); !strings.Contains(got, "q again closes shop/dev-ada; D leaves it running") {
		t.Fatalf("q says\n%s", got)
	}
	_, cmd := m.Update(keyOf("q"))
	if cmd == nil || cmd() != tea.Quit() {
		t.Fatal("q does not quit")
	}
}

// terminal is a pty with a dashboard on it.
type terminal struct {
	t             *testing.T
	master, slave *os.File
	before        string
	mu            sync.Mutex
	text          strings.Builder
	wrote         chan struct{}
	done          chan error
}

func open(ctx context.Context, t *testing.T, first *plain) *terminal {
	t.Helper()
	return openWith(ctx, t, func(cfg *Config) { cfg.Screens[0] = first })
}

// openWith shows a dashboard with a change of what it is made of.
func openWith(ctx context.Context, t *testing.T, change func(*Config)) *terminal {
	t.Helper()
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := pty.Setsize(master, &pty.Winsize{Rows: 24, Cols: 80}); err != nil {
		t.Fatal(err)
	}
	term := &terminal{t: t, master: master, slave: slave, wrote: make(chan struct{}, 1), done: make(chan error, 1)}
	term.before = term.stty()
	read := make(chan struct{})
	go func() {
		defer close(read)
		b := make([]byte, 64<<10)
		for {
			n, err := master.Read(b)
			if err != nil {
				return
			}
			term.mu.Lock()
			term.text.Write(b[:n])
			term.mu.Unlock()
			select {
			case term.wrote <- struct{}{}:
			default:
			}
		}
	}()
	cfg := config(&plain{title: "Tunnels"})
	change(&cfg)
	cfg.In, cfg.Out = slave, slave
	go func() { term.done <- Run(ctx, cfg) }()
	t.Cleanup(func() { slave.Close(); master.Close(); <-read })
	term.await("Tunnels")
	return term
}

// stty is the state of the terminal's line.
func (term *terminal) stty() string {
	cmd := exec.Command("stty", "-a")
	cmd.Stdin = term.slave
	out, err := cmd.Output()
	if err != nil {
		term.t.Fatal(err)
	}
	return string(out)
}

// press types on the terminal.
func (term *terminal) press(keys string) {
	term.t.Helper()
	if _, err := term.master.WriteString(keys); err != nil {
		term.t.Fatal(err)
	}
}

// sent is all that the terminal was sent.
func (term *terminal) sent() string {
	term.mu.Lock()
	defer term.mu.Unlock()
	return term.text.String()
}

// await waits until the terminal was sent the text.
func (term *terminal) await(text string) {
	term.t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		got := term.sent()
		if strings.Contains(got, text) {
			return
		}
		select {
		case <-term.wrote:
		case <-deadline:
			term.t.Fatalf("the terminal never got %q, but %q", text, got)
		}
	}
}

// ended waits for the end of the dashboard, and looks whether the terminal is as it was.
func (term *terminal) ended() error {
	term.t.Helper()
	var err error
	select {
	case err = <-term.done:
	case <-time.After(30 * time.Second):
		term.t.Fatal("the dashboard does not end")
	}
	for _, restored := range []string{"\x1b[?1049l", "\x1b[?25h", "\x1b[?2004l", "\x1b[?1002l"} { // screen, cursor, paste, mouse
		term.await(restored)
	}
	if after := term.stty(); after != term.before {
		term.t.Errorf("stty -a says\n%s before, and\n%s after", term.before, after)
	}
	return err
}

func TestLeaves(t *testing.T) {
	t.Run("q", func(t *testing.T) {
		term := open(t.Context(), t, &plain{title: "Tunnels"})
		term.press("q")
		if err := term.ended(); err != nil {
			t.Error(err)
		}
	})
	t.Run("the end of its context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		term := open(ctx, t, &plain{title: "Tunnels"})
		cancel()
		if err := term.ended(); err != nil {
			t.Error(err)
		}
	})
	for key, where := range map[string]string{"U": "an update", "V": "a view", "C": "a command"} {
		t.Run("a panic in "+where, func(t *testing.T) {
			term := open(t.Context(), t, &plain{title: "Tunnels"})
			term.press(key)
			if err := term.ended(); err == nil {
				t.Error("nobody hears of it")
			}
		})
	}
	t.Run("a panic in a source", func(t *testing.T) {
		fail := make(chan struct{})
		term := open(t.Context(), t, &plain{title: "Tunnels", watch: func(context.Context, func(tea.Msg)) { <-fail; panic("in a source") }})
		close(fail)
		if err := term.ended(); err == nil || !strings.Contains(err.Error(), "in a source") {
			t.Error(err)
		}
	})
}

func TestCopiesThroughTheTerminal(t *testing.T) {
	term := open(t.Context(), t, &plain{title: "Tunnels"})
	term.press("c")
	term.await("\x1b]52;c;aHR0cHM6Ly9leGFtcGxlLmNvbQ==")
	term.await("asked the terminal to copy the URL")
	term.press("q")
	if err := term.ended(); err != nil {
		t.Error(err)
	}
}

func TestEdits(t *testing.T) {
	term := open(t.Context(), t, &plain{title: "Tunnels"})
	term.press("e")
	term.await(`edited a: 1\nb: 2\n`)
	term.press("q")
	if err := term.ended(); err != nil {
		t.Error(err)
	}
}

// TestKeysThatComeTogether: none is lost.
func TestKeysThatComeTogether(t *testing.T) {
	m, first := newTest(t, 80, 24)
	m.Update(keyOf("2x13"))
	if m.shown != 2 || first.last != "" {
		t.Errorf("screen %d is shown, %q was done", m.shown+1, first.last)
	}
	m.Update(keyOf("1xc"))
	if first.last != "copy" {
		t.Errorf("the last of three keys is lost: %q was done", first.last)
	}
	m.Update(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("2x"), Paste: true})
	if m.shown != 0 {
		t.Error("what was pasted did something")
	}
}

// TestAsksInAnyWidth: what is typed is seen, however long the question is.
func TestAsksInAnyWidth(t *testing.T) {
	m, _ := newTest(t, 40, 12)
	drive(m, screen.Ask{Question: "Remove " + strings.Repeat("long/", 40) + ", its address and its Warpgate?", Word: "dev-ada-live"}, keyOf("dev"))
	lines := strings.Split(m.View(), "\n")
	last := lines[len(lines)-1]
	if !strings.Contains(last, "keeps it: dev█") || look.Width(last) != 40 || !strings.Contains(last, "Remove") {
		t.Errorf("the last line is %q", last)
	}
	drive(m, keyOf(strings.Repeat("x", 100)))
	lines = strings.Split(m.View(), "\n")
	if last = lines[len(lines)-1]; !strings.Contains(last, "xx█") || look.Width(last) != 40 {
		t.Errorf("the last line is %q", last)
	}
}
