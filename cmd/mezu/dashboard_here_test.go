package main

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"

	"github.com/mezusphere/mezu/cli/dashboard"
	"github.com/mezusphere/mezu/cli/home"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/keyring"
	"github.com/mezusphere/mezu/cli/profile"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
	"github.com/mezusphere/mezu/tui/screen/screentest"
)

// looker looks at the first two screens of a dashboard, which asks this machine.
type looker struct {
	*screentest.Stage
	t        *testing.T
	dir      string // in which it was opened
	messages chan tea.Msg
}

// pair is the first screen, which is shown, with the second one, which is told everything too.
type pair struct {
	screen.Screen
	second screen.Screen
}

func (p pair) Take(c *screen.Context, msg tea.Msg) tea.Cmd {
	hidden := *c
	hidden.Shown = false
	return tea.Batch(p.Screen.Take(c, msg), p.second.Take(&hidden, msg))
}

// look opens a dashboard. It closes with the test.
func (p *tunneller) look() *looker {
	folders, err := home.Of(p.getenv)
	if err != nil {
		p.t.Fatal(err)
	}
	dir := p.t.TempDir()
	inv := &invocation.Invocation{Streams: terminal.Streams{Unicode: true}, Getenv: p.getenv, Dir: dir, Profiles: profile.Store{Dir: folders.Config, Keyring: keyring.Of(p.getenv)}, State: folders.State, Version: version}
	m := hereOf(p.getenv)(inv, dashboard.Options{})
	l := &looker{t: p.t, dir: dir, messages: make(chan tea.Msg)}
	l.Stage = screentest.New(p.t, pair{m.tunnels, m.requests}, 80, 24, look.New(look.None, look.Unicode()))
	ctx, end := context.WithCancel(p.t.Context())
	l.C.Life = ctx
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for _, source := range m.tunnels.(screen.Watching).Watch() {
			source(ctx, func(msg tea.Msg) {
				select {
				case l.messages <- msg:
				case <-ctx.Done():
				}
			})
		}
	}()
	p.t.Cleanup(func() {
		end()
		<-ended
		m.close()
	})
	return l
}

// sees waits until it is shown what matches.
func (l *looker) sees(pattern string) string {
	l.t.Helper()
	re := regexp.MustCompile(pattern)
	late := time.After(startTimeout)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if found := re.FindString(ansi.Strip(l.View())); found != "" {
			return found
		}
		select {
		case msg := <-l.messages:
			l.C.Now = time.Now()
			l.Send(msg)
		case now := <-tick.C:
			l.Pass(now.Sub(l.C.Now))
		case <-late:
			l.t.Fatalf("it never shows %q: %+v\n%s", pattern, l.Said, l.View())
		}
	}
}

// TestDashboardHere: tunnels are opened, shown, protected, stopped and removed from the dashboard,
// and two of them on one daemon see the same.
func TestDashboardHere(t *testing.T) {
	world := start(t, t.TempDir())
	port := serveText(t, "app")
	p := newTunneller(t, world, nil)
	one := p.look()
	one.sees("no daemon is running here")
	// What is asked of visitors can't be had, so nothing is opened.
	one.Press("n", port, "tab", "members", "tab", "right", "nobody", "enter")
	one.sees("neither the project nor the organization has a directory")
	one.Press("esc")
	one.sees("no tunnel is open here")
	one.Press("n", port, "tab", "web", "enter")
	one.sees("● live")
	address := regexp.MustCompile(`https://[^\s"│]+`).FindString(one.View())
	if !strings.Contains(address, "-web-") {
		t.Errorf("the address is %s", address)
	}
	p.becomes(address+"/hello", http.StatusOK)
	two := p.look()
	two.sees("● live")
	for _, l := range []*looker{one, two} {
		l.sees(`GET    200 .* /hello`)
		l.sees(`→ localhost:` + port + ` .* up`)
		l.sees(`public   rev \d`)
	}

	one.Press("b", "right", "right", "tab", "guest", "enter")
	one.sees(`password  [A-Z0-9]{20}`)
	one.Press("esc")
	p.becomes(address, http.StatusUnauthorized)
	two.sees("password of guest")
	two.Press("b", "tab", "enter")
	p.becomes(address, http.StatusOK)

	two.Press("s")
	for _, l := range []*looker{one, two} {
		l.sees("○ stopped")
	}
	one.Press("s")
	two.sees("● live")
	p.becomes(address, http.StatusOK)

	one.Press("x")
	asked, ok := one.Said[len(one.Said)-1].(screen.Ask)
	if !ok || !strings.HasSuffix(asked.Word, "-web") {
		t.Fatalf("it asks %+v", one.Said)
	}
	one.Run(asked.Then)
	two.sees("no tunnel is open here")
	if code, out, talk := p.mezu("environments", "list", "--org", "dev", "--project", "shop"); strings.Contains(out, asked.Word) {
		t.Errorf("its environment stays: %d %s %s", code, out, talk)
	}

	// A folder is shown as it lies from where the dashboard was opened.
	if err := os.Mkdir(filepath.Join(one.dir, "site"), 0o700); err != nil {
		t.Fatal(err)
	}
	one.Press("n", "./site", "tab", "docs", "enter")
	one.sees(`→ \./site`)

	// One that another command opens is told of, and that nothing of it is kept.
	if code, out, talk := p.mezu("tunnel", port, "--name", "quiet", "--inspect", "off", "--detach"); code != 0 {
		t.Fatalf("%d %s %s", code, out, talk)
	}
	one.sees("2 · 2 up")
	one.Press("G")
	one.sees(`-quiet was opened with --inspect off`)
}
