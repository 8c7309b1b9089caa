package tui

import (
	"context"
	"strconv"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu/tui/keymap"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
)

const (
	// leastWidth and leastHeight are the smallest terminal in which something can be read.
	// In a smaller one no key but q does anything, so that nobody acts blind.
	leastWidth  = 40
	leastHeight = 12
	// aside is what the first, second and last line take.
	aside = 3
	// noticeFor is how long a line that says what happened stays.
	noticeFor = 4 * time.Second
	// twiceWithin is the time between the two clicks of a double one.
	twiceWithin = 400 * time.Millisecond
)

// model is the state of the dashboard. Only Update changes it.
type model struct {
	cfg      Config
	out      *output
	commands commands

	everywhere keymap.Map
	c          screen.Context
	w, h       int
	shown      int // index of the screen
	overlay    screen.Overlay
	ask        *question
	notice     *notice
	edges      screen.Edges
	ends       string
	who        string // is logged in
	quits      bool   // q was pressed once, and something would end
	paused     time.Time

	clicked  time.Time
	clickedX int
	clickedY int
}

func newModel(life context.Context, cfg Config, out *output) *model {
	m := &model{cfg: cfg, out: out, shown: min(max(cfg.First, 1), len(cfg.Screens)) - 1}
	m.who = cfg.Scope.Who
	m.everywhere = everywhere(len(cfg.Screens))
	m.c = screen.Context{Life: life, Theme: cfg.Theme, Scope: cfg.Scope, Now: cfg.Now()}
	return m
}

// Init tells screens where to look.
func (m *model) Init() tea.Cmd {
	return tea.Batch(tea.SetWindowTitle(m.title()), m.tell(screen.Moved{Scope: m.cfg.Scope}))
}

// mostTitle is how much of where the dashboard looks is in the title of the window, in cells.
const mostTitle = 80

// title is that of the terminal's window.
func (m *model) title() string {
	return m.c.Theme.Cut(strings.TrimSpace("mezu "+strings.Join(m.path(), "/")), mostTitle)
}

// Update takes a message. It does no I/O.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	m.c.Now = m.cfg.Now()
	if m.notice != nil && !m.notice.lasts(m.c.Now) {
		m.notice = nil
	}
	return m, m.commands.count(m.take(msg))
}

// take is what Update does.
func (m *model) take(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.w, m.h = msg.Width, msg.Height
		m.c.Layout, m.c.Width, m.c.Height = screen.LayoutOf(m.w), m.w, max(0, m.h-aside)
		return nil
	case tea.KeyMsg:
		return m.keys(msg)
	case tea.MouseMsg:
		return m.mouse(msg)
	case screen.Say:
		m.say(msg.Text, msg.Bad)
		return nil
	case screen.Ask:
		m.ask = &question{Ask: msg}
		return nil
	case screen.Open:
		m.overlay, m.ask = msg.Overlay, nil
		return nil
	case screen.Close:
		m.overlay = nil
		return nil
	case screen.GoTo:
		return m.goTo(msg)
	case screen.Copy:
		return m.copy(msg)
	case screen.Browse:
		return m.browse(msg)
	case screen.Edit:
		return m.edit(msg)
	case screen.Save:
		return m.save(msg)
	case edited:
		return m.edited(msg)
	case pressed:
		return m.press(msg.key)
	case screen.Edges:
		m.edges = msg
		return nil
	case screen.Ends:
		m.ends = msg.Text
		return nil
	case screen.Known:
		if msg.Profile == m.c.Scope.Profile {
			m.who = msg.Who
		}
		return nil
	case screen.Moved:
		if msg.Scope.Profile != m.c.Scope.Profile {
			m.who = ""
		}
		m.c.Scope = msg.Scope
		return tea.Batch(tea.SetWindowTitle(m.title()), m.tell(msg))
	}
	return m.tell(msg)
}

// tell gives a message to all parts, and to what lies over them.
func (m *model) tell(msg tea.Msg) tea.Cmd {
	var cmds []tea.Cmd
	for i, p := range parts(m.cfg) {
		m.c.Shown = i == m.shown
		cmds = append(cmds, p.Take(&m.c, msg))
	}
	m.c.Shown = true
	if m.overlay != nil {
		cmds = append(cmds, m.overlay.Take(&m.c, msg))
	}
	return tea.Batch(cmds...)
}

// screen is the one that is shown.
func (m *model) screen() screen.Screen { return m.cfg.Screens[m.shown] }

// goTo shows another screen.
func (m *model) goTo(to screen.GoTo) tea.Cmd {
	if to.Screen < 1 || to.Screen > len(m.cfg.Screens) {
		return nil
	}
	m.shown, m.overlay = to.Screen-1, nil
	entered := m.tell(screen.Entered{})
	if to.Then == nil {
		return entered
	}
	return tea.Batch(entered, screen.Cmd(to.Then))
}

// say shows a line for a moment.
func (m *model) say(text string, bad bool) {
	m.notice = &notice{text: look.Text(text), bad: bad, until: m.c.Now.Add(noticeFor)}
}

// keys takes what was typed. Keys that came together are one message, as when one is held down
// over a slow line; each is a key still.
func (m *model) keys(k tea.KeyMsg) tea.Cmd {
	if k.Type != tea.KeyRunes || k.Paste || len(k.Runes) < 2 {
		return m.key(k)
	}
	var cmds []tea.Cmd
	for _, r := range k.Runes {
		one := k
		one.Runes = []rune{r}
		cmds = append(cmds, m.key(one))
	}
	return tea.Sequence(cmds...)
}

// key takes a key.
func (m *model) key(k tea.KeyMsg) tea.Cmd {
	name := k.String()
	switch name {
	case "ctrl+c":
		return tea.Quit
	case "ctrl+z":
		return tea.Suspend
	case "ctrl+l":
		return tea.ClearScreen
	}
	if m.w < leastWidth || m.h < leastHeight {
		if name == "q" {
			return tea.Quit
		}
		return nil
	}
	if m.ask != nil {
		return m.answer(k)
	}
	if m.overlay != nil {
		return m.overlay.Key(&m.c, k)
	}
	s := m.screen()
	if typist, ok := s.(screen.Typist); ok && typist.Typing() {
		return typist.Key(&m.c, k)
	}
	if k.Paste {
		return nil // what was pasted is text, and there is no field
	}
	return m.press(name)
}

// press does what a key asks for, when nothing else takes it.
func (m *model) press(name string) tea.Cmd {
	s := m.screen()
	quits := m.quits
	m.quits = false
	if a, ok := s.Keys(&m.c).Find(name); ok {
		return s.Act(&m.c, a)
	}
	a, ok := m.everywhere.Find(name)
	if !ok {
		return nil
	}
	switch a {
	case actQuit:
		if m.ends == "" || quits {
			return tea.Quit
		}
		m.quits = true
		m.say("q again "+m.ends, false)
	case actPause:
		m.c.Paused, m.paused = !m.c.Paused, m.c.Now
		return m.tell(screen.Freed{Paused: m.c.Paused})
	case actPalette:
		m.overlay = newPalette(m)
	case actHelp:
		m.overlay = newHelp(m)
	default:
		for i := range m.cfg.Screens {
			if a == keymap.Action(actScreen+strconv.Itoa(i+1)) {
				return m.goTo(screen.GoTo{Screen: i + 1})
			}
		}
	}
	return nil
}

// mouse takes a click or a turn of the wheel.
func (m *model) mouse(e tea.MouseMsg) tea.Cmd {
	if m.w < leastWidth || m.h < leastHeight || m.ask != nil {
		return nil
	}
	if m.overlay != nil {
		return m.point(e)
	}
	if e.Y == 1 && e.Action == tea.MouseActionPress && e.Button == tea.MouseButtonLeft {
		if i := m.tabAt(e.X); i >= 0 {
			return m.goTo(screen.GoTo{Screen: i + 1})
		}
		return nil
	}
	pointed, ok := m.screen().(screen.Pointed)
	y := e.Y - 2
	if !ok || y < 0 || y >= m.h-aside || e.Action != tea.MouseActionPress {
		return nil
	}
	const notch = 3 // rows of a turn of the wheel, as other programs scroll
	switch e.Button {
	case tea.MouseButtonWheelUp:
		return pointed.Wheel(&m.c, e.X, y, -notch)
	case tea.MouseButtonWheelDown:
		return pointed.Wheel(&m.c, e.X, y, notch)
	case tea.MouseButtonLeft:
		return pointed.Click(&m.c, e.X, y, m.twice(e))
	}
	return nil
}

// twice reports whether a click is the second one there.
func (m *model) twice(e tea.MouseMsg) bool {
	since := m.c.Now.Sub(m.clicked)
	twice := m.clickedX == e.X && m.clickedY == e.Y && since >= 0 && since <= twiceWithin
	m.clickedX, m.clickedY, m.clicked = e.X, e.Y, m.c.Now
	return twice
}

// point takes a click or a turn of the wheel on what lies over the screens. The wheel does what its
// keys do.
func (m *model) point(e tea.MouseMsg) tea.Cmd {
	if e.Action != tea.MouseActionPress {
		return nil
	}
	switch e.Button {
	case tea.MouseButtonWheelUp:
		return m.overlay.Key(&m.c, tea.KeyMsg{Type: tea.KeyUp})
	case tea.MouseButtonWheelDown:
		return m.overlay.Key(&m.c, tea.KeyMsg{Type: tea.KeyDown})
	case tea.MouseButtonLeft:
		if p, ok := m.overlay.(screen.Clicked); ok {
			return p.Click(&m.c, e.X, e.Y-2, m.twice(e))
		}
	}
	return nil
}
