package tui

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/creack/pty"

	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
)

// rows is a screen whose rows are others with each message.
type rows struct {
	plain
	n int
}

type row struct{}

func (r *rows) Take(_ *screen.Context, msg tea.Msg) tea.Cmd {
	if _, ok := msg.(row); ok {
		r.n++
	}
	return nil
}

func (r *rows) View(c *screen.Context, w, h int) []string {
	lines := make([]string, h)
	for i := range lines {
		lines[i] = strings.Repeat(fmt.Sprintf("GET /api/orders/%d ", r.n-i), 4)
	}
	return c.Theme.Block(lines, w, h)
}

// TestSlowTerminal: a terminal that takes 1 kB a second delays nobody but itself: 1,000 messages a
// second are taken all the same, and q works within seconds.
func TestSlowTerminal(t *testing.T) {
	t.Parallel()
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer slave.Close()
	defer master.Close()
	if err := pty.Setsize(master, &pty.Winsize{Rows: 24, Cols: 80}); err != nil {
		t.Fatal(err)
	}
	cfg := config(&plain{title: "Tunnels"})
	flood := &rows{plain: plain{title: "Tunnels"}}
	var taken atomic.Int64
	flood.watch = func(ctx context.Context, send func(tea.Msg)) {
		each := time.NewTicker(time.Millisecond)
		defer each.Stop()
		for {
			select {
			case <-each.C:
				send(row{})
				taken.Add(1)
			case <-ctx.Done():
				return
			}
		}
	}
	cfg.Screens[0], cfg.In, cfg.Out = flood, slave, slave
	ended := make(chan error, 1)
	go func() { ended <- Run(t.Context(), cfg) }()
	const step = 64
	each := time.NewTicker(step * time.Millisecond) // 1 kB/s
	defer each.Stop()
	b := make([]byte, step)
	pressed := false
	read, since, stuck := 0, 0, int64(0)
	late := time.After(60 * time.Second)
	for {
		select {
		case <-each.C:
			n, err := master.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			switch read += n; {
			case pressed:
				since += n
			case read == 2*n*16: // the kernel's buffer is full by now
				stuck = taken.Load()
			case stuck > 0 && taken.Load() > stuck+500: // messages go on
				pressed = true
				if _, err := master.WriteString("q"); err != nil {
					t.Fatal(err)
				}
			}
			continue
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-late:
			t.Fatal("the dashboard does not end")
		}
		break
	}
	if since > 6<<10 {
		t.Errorf("q worked when the terminal had read %d bytes more", since)
	}
	t.Logf("%d messages, %d bytes read, %d after q", taken.Load(), read, since)
}

// TestFrames: however much comes, the terminal is drawn 30 times a second at most; and when nothing
// comes, only the clock is.
func TestFrames(t *testing.T) {
	t.Parallel()
	start := time.Now()
	quiet := make(chan struct{})
	term := openWith(t.Context(), t, func(cfg *Config) {
		cfg.Now = time.Now
		flood := &rows{plain: plain{title: "Tunnels"}}
		flood.watch = func(ctx context.Context, send func(tea.Msg)) {
			for range 2_000 {
				send(row{})
			}
			close(quiet)
			<-ctx.Done()
		}
		cfg.Screens[0] = flood
	})
	<-quiet
	term.await("GET /api/orders/2000 ")
	text := term.sent()
	if frames, most := strings.Count(text, "\x1b[H"), int(time.Since(start).Seconds()*framesPerSecond)+2; frames > most {
		t.Errorf("%d frames, and %d at most", frames, most)
	}
	clock := regexp.MustCompile(`\d\d:\d\d:\d\d`)
	// Behind one clock the last of the rows are drawn.
	term.await(time.Now().Add(time.Second).Format(time.TimeOnly))
	from := len(term.sent())
	term.await(time.Now().Add(4 * time.Second).Format(time.TimeOnly))
	text = term.sent()[from:]
	if n := len(clock.FindAllString(text, -1)); n < 3 || len(text) > n*160 || strings.Contains(text, "GET") {
		t.Errorf("in %d seconds without any news %d bytes were drawn: %q", n, len(text), text)
	}
	term.press("q")
	if err := term.ended(); err != nil {
		t.Error(err)
	}
}

// sequences are what bubbletea and colours use of a terminal; nothing else is written to one.
func sequences() *regexp.Regexp {
	return regexp.MustCompile("\x1b\\[(\\?(25|1002|1003|1006|1049|2004|1000|1015)[hl]|[0-9;]*m|[0-9;]*[HJK]|[0-9]*[ABCD])|\x1b\\]2;[^\x07\x1b]*\x07")
}

// TestC2_Terminal: names that drive a terminal come to it as text, in the title of its window too.
func TestC2_Terminal(t *testing.T) {
	bad := "evil\x1b]0;gotcha\x07\x1b[2J\u202egnp\xff\r\n" + strings.Repeat("long", 1<<18)
	for name, theme := range map[string]*look.Theme{"Unicode": look.New(look.Dark, look.Unicode()), "ASCII": look.New(look.Basic, look.ASCII())} {
		t.Run(name, func(t *testing.T) {
			term := openWith(t.Context(), t, func(cfg *Config) {
				cfg.Theme = theme
				cfg.Scope = screen.Scope{Organization: bad, Project: bad, Environment: bad, Who: bad}
				first := &plain{title: "Tunnels", watch: func(_ context.Context, send func(tea.Msg)) {
					send(screen.Say{Text: bad, Bad: true})
					send(screen.Ends{Text: bad})
					send(done{bad})
				}}
				cfg.Screens[0] = first
			})
			term.await(`last: evil\x1b`)
			term.press("?")
			term.await("HERE")
			term.press("\x03")
			if err := term.ended(); err != nil {
				t.Error(err)
			}
			text := sequences().ReplaceAllString(term.sent(), "")
			if i := strings.IndexFunc(text, func(r rune) bool {
				return r < ' ' && r != '\r' && r != '\n' || r == 0x7f || r == '\u202e' || r == '\ufffd' || theme.ASCII && r > '~'
			}); i >= 0 {
				t.Errorf("the terminal got %q", text[max(0, i-40):min(len(text), i+40)])
			}
			if size := len(term.sent()); size > 256<<10 {
				t.Errorf("%d bytes were written", size)
			}
		})
	}
}

// TestC2_Questions: what is asked, and what ends, is text too.
func TestC2_Questions(t *testing.T) {
	bad := "evil\x1b]0;gotcha\x07\u202e\xff" + strings.Repeat("long", 1<<18)
	for _, msg := range []tea.Msg{screen.Ask{Question: bad, Word: bad}, screen.Ask{Question: bad}, screen.Save{Name: bad[:40]}, screen.Say{Text: bad}} {
		m, _ := newTest(t, 80, 24)
		drive(m, msg)
		if view := sequences().ReplaceAllString(m.View(), ""); !strings.Contains(view, `evil\x1b`) || strings.ContainsAny(view, "\x1b\x07\u202e") || strings.Contains(view, "\xff") || len(view) > 16<<10 {
			t.Errorf("%T is shown as %q", msg, view)
		}
	}
}

// TestNoMouse leaves the mouse to the terminal.
func TestNoMouse(t *testing.T) {
	term := openWith(t.Context(), t, func(cfg *Config) { cfg.NoMouse = true })
	term.press("q")
	if err := <-term.done; err != nil {
		t.Error(err)
	}
	if text := term.sent(); strings.Contains(text, "\x1b[?1002h") || strings.Contains(text, "\x1b[?1003h") || strings.Contains(text, "\x1b[?1000h") {
		t.Errorf("the terminal was asked for its mouse: %q", text)
	}
}

// TestMouse: tabs are clicked, screens get clicks in their own cells, a second one on the same cell
// opens, and nothing is done while something lies over them.
func TestMouse(t *testing.T) {
	m, _ := newTest(t, 80, 24)
	p := &pointedPlain{plain: plain{title: "Routes"}}
	m.cfg.Screens[2] = p
	press := func(x, y int, b tea.MouseButton) {
		drive(m, tea.MouseMsg{X: x, Y: y, Button: b, Action: tea.MouseActionPress})
	}
	press(26, 1, tea.MouseButtonLeft)
	if m.shown != 2 {
		t.Fatalf("a click on Routes shows %d", m.shown)
	}
	for _, c := range []struct {
		x, y   int
		button tea.MouseButton
		want   string
	}{
		{5, 4, tea.MouseButtonLeft, "click 5,2 false"}, {5, 4, tea.MouseButtonLeft, "click 5,2 true"}, {6, 4, tea.MouseButtonLeft, "click 6,2 false"},
		{5, 10, tea.MouseButtonWheelDown, "wheel 5,8 3"}, {5, 10, tea.MouseButtonWheelUp, "wheel 5,8 -3"}, {5, 23, tea.MouseButtonLeft, ""}, {5, 0, tea.MouseButtonLeft, ""}, {5, 4, tea.MouseButtonRight, ""},
	} {
		p.last = ""
		if press(c.x, c.y, c.button); p.last != c.want {
			t.Errorf("%v at %d,%d does %q, not %q", c.button, c.x, c.y, p.last, c.want)
		}
	}
	drive(m, tea.MouseMsg{X: 5, Y: 5, Action: tea.MouseActionMotion})
	drive(m, keyOf(":"))
	p.last = ""
	before := m.View()
	if press(5, 6, tea.MouseButtonLeft); p.last != "" {
		t.Errorf("a click through the palette does %q", p.last)
	}
	if press(5, 6, tea.MouseButtonWheelDown); m.View() == before || p.last != "" {
		t.Error("the wheel does nothing in the palette")
	}
	// The palette's frame is in the fifth line of the screen, its lines of what can be done behind the
	// one in which somebody types.
	press(20, 2+4+2+3, tea.MouseButtonLeft)
	if !strings.Contains(m.View(), "▸ Warpgates") {
		t.Errorf("a click in the palette chooses nothing:\n%s", m.View())
	}
	if _, cmd := m.Update(tea.MouseMsg{X: 20, Y: 2 + 4 + 2 + 3, Button: tea.MouseButtonLeft, Action: tea.MouseActionPress}); cmd == nil {
		t.Error("a double click in the palette does nothing")
	}
}

type pointedPlain struct{ plain }

func (p *pointedPlain) Click(_ *screen.Context, x, y int, twice bool) tea.Cmd {
	p.last = fmt.Sprintf("click %d,%d %v", x, y, twice)
	return nil
}

func (p *pointedPlain) Wheel(_ *screen.Context, x, y, by int) tea.Cmd {
	p.last = fmt.Sprintf("wheel %d,%d %d", x, y, by)
	return nil
}

// TestClock: a line that says what happened goes after a while, also if the clock jumps by a day.
func TestClock(t *testing.T) {
	for _, jump := range []time.Duration{24 * time.Hour, -24 * time.Hour, noticeFor} {
		m, _ := newTest(t, 80, 24)
		now := m.cfg.Now()
		m.cfg.Now = func() time.Time { return now }
		drive(m, screen.Say{Text: "it happened"})
		if !strings.Contains(m.View(), "it happened") {
			t.Fatal("it is not said")
		}
		now = now.Add(jump)
		drive(m, screen.Second{})
		if strings.Contains(m.View(), "it happened") {
			t.Errorf("%v later it is still said", jump)
		}
	}
}

// TestViewIsPure: drawn twice, at once, it is the same, whatever lies over it.
func TestViewIsPure(t *testing.T) {
	for _, keys := range [][]string{{}, {"?"}, {":"}, {":", "r"}, {"x"}, {" "}, {"3"}} {
		m, _ := newTest(t, 80, 24)
		for _, k := range keys {
			drive(m, keyOf(k))
		}
		again := make(chan string)
		go func() { again <- m.View() }()
		if first, second := m.View(), <-again; first != second {
			t.Errorf("after %q it is\n%s\nand\n%s", keys, first, second)
		}
	}
}
