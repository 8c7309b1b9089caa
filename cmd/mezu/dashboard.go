package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/atotto/clipboard"
	tea "github.com/charmbracelet/bubbletea"

	clidaemon "github.com/mezusphere/mezu/cli/daemon"
	"github.com/mezusphere/mezu/cli/dashboard"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/login"
	"github.com/mezusphere/mezu/cli/requests"
	"github.com/mezusphere/mezu/cli/status"
	"github.com/mezusphere/mezu/cmd/here"
	"github.com/mezusphere/mezu/cmd/plane"
	"github.com/mezusphere/mezu/tui"
	"github.com/mezusphere/mezu/tui/log"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/manage"
	"github.com/mezusphere/mezu/tui/routes"
	"github.com/mezusphere/mezu/tui/screen"
	"github.com/mezusphere/mezu/tui/users"
	"github.com/mezusphere/mezu/tui/warpgates"
)

// whoTime bounds the question who is logged in, for which the first frame does not wait.
const whoTime = 10 * time.Second

// machine is what the dashboard knows of this machine.
type machine struct {
	tunnels, requests screen.Screen
	// running connects to the daemon, if one runs.
	running status.Running
	close   func()
}

// dashboardOf shows dashboards on this process's terminal.
func dashboardOf(getenv func(string) string, open login.Opener, here func(*invocation.Invocation, dashboard.Options) machine) dashboard.Runner {
	return func(ctx context.Context, inv *invocation.Invocation, o dashboard.Options) error {
		in, out := os.Stdin, os.Stdout
		p := plane.New(inv)
		defer p.Close()
		scope, err := p.Start(ctx)
		if err != nil {
			return err
		}
		if o.Environment != "" {
			scope.Organization, scope.Project, scope.Environment = o.Organization, o.Project, o.Environment
		}
		h := here(inv, o)
		defer h.close()
		return tui.Run(ctx, tui.Config{
			Screens: []screen.Screen{h.tunnels, h.requests,
				routes.New(routes.Config{Routes: plane.Routes{Plane: p}, Drafts: plane.Routes{Plane: p}, Judge: plane.Routes{Plane: p}}),
				warpgates.New(warpgates.Config{Warpgates: plane.Warpgates{Plane: p, Running: h.running}, Way: plane.Warpgates{Plane: p, Running: h.running}}),
				users.New(users.Config{Users: plane.Users{Plane: p}, Mail: plane.Users{Plane: p}}),
				log.New(log.Config{Audit: plane.Audit{Plane: p}, Daemon: logOf{h.running, inv}}),
			},
			Parts: []screen.Part{manage.New(manage.Config{Records: plane.Manage{Plane: p}, Switches: plane.Manage{Plane: p}}), &identity{p}},
			Scope: scope, Theme: themeOf(inv, getenv, o.Theme, in, out), Desktop: desktop{getenv, open}, In: in, Out: out, NoMouse: o.NoMouse,
			Multiplexer: multiplexer(getenv), Remote: getenv("SSH_CONNECTION") != "" || getenv("SSH_TTY") != "", Version: version, Now: inv.Now,
		})
	}
}

// hereOf makes the screens about this machine.
func hereOf(getenv func(string) string) func(*invocation.Invocation, dashboard.Options) machine {
	return func(inv *invocation.Invocation, o dashboard.Options) machine {
		d := clidaemon.New(inv, spawner(getenv))
		h := here.New(here.Config{Invocation: inv, Daemon: d, Own: o.Own, Leave: o.Leave, Dialog: o.Dialog})
		first, second := h.Screens()
		return machine{tunnels: first, requests: second, running: d.Running, close: h.Close}
	}
}

// identity says who is logged in, once that is known, and whenever the profile is another.
type identity struct{ plane *plane.Plane }

// identified is who is logged in at a place.
type identified struct {
	scope screen.Scope
	who   string
}

// Take asks when the dashboard looks at another profile, and tells the dashboard.
func (i *identity) Take(c *screen.Context, msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case screen.Moved:
		if msg.Scope.Who != "" {
			return nil
		}
		life, p := c.Life, i.plane
		return func() tea.Msg {
			ctx, cancel := context.WithTimeout(life, whoTime)
			defer cancel()
			return identified{msg.Scope, p.Who(ctx, msg.Scope)}
		}
	case identified:
		if msg.who != "" {
			return screen.Cmd(screen.Known{Profile: msg.scope.Profile, Who: msg.who})
		}
	}
	return nil
}

// logOf follows the log of the daemon.
type logOf struct {
	running status.Running
	inv     *invocation.Invocation
}

const (
	// logEvery is how often the log is read, logTail how much of it.
	logEvery = 2 * time.Second
	logTail  = 128 << 10
)

// FollowLog gives the last lines whenever there are others.
func (d logOf) FollowLog(ctx context.Context, see func(log.Lines)) error {
	s, err := d.inv.Settings()
	if err != nil {
		return err
	}
	client, err := d.running(ctx, s)
	if err != nil {
		return err
	}
	defer client.Close()
	tick := time.NewTicker(logEvery)
	defer tick.Stop()
	last := ""
	for {
		text, err := client.Log(ctx, logTail)
		if err != nil {
			return err
		}
		if string(text) != last {
			last = string(text)
			see(strings.Split(strings.TrimSuffix(last, "\n"), "\n"))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// themeOf chooses colours and glyphs for the terminal.
func themeOf(inv *invocation.Invocation, getenv func(string) string, asked string, in, out *os.File) *look.Theme {
	glyphs := look.Unicode()
	if !inv.Unicode || getenv("TERM") == "linux" || getenv("MEZU_ASCII") == "1" {
		glyphs = look.ASCII()
	}
	palette := look.Palette(asked)
	if asked == dashboard.ThemeAuto {
		palette = paletteOf(inv, getenv, in, out)
	}
	if !trueColor(getenv) {
		return look.Near(palette, glyphs)
	}
	return look.New(palette, glyphs)
}

// trueColor reports whether the terminal says that it shows all colours.
func trueColor(getenv func(string) string) bool {
	depth := getenv("COLORTERM")
	return depth == "truecolor" || depth == "24bit"
}

// paletteOf is the set of colours that a terminal shows well.
func paletteOf(inv *invocation.Invocation, getenv func(string) string, in, out *os.File) look.Palette {
	switch {
	case !inv.Color():
		return look.None
	case !trueColor(getenv):
		return look.Basic
	}
	switch light, known := tui.Background(in, out); {
	case !known:
		return look.Basic // its own colours are for its own background
	case light:
		return look.Light
	}
	return look.Dark
}

// multiplexer is what lies between this process and the terminal.
func multiplexer(getenv func(string) string) string {
	switch {
	case getenv("TMUX") != "":
		return "tmux"
	case strings.HasPrefix(getenv("TERM"), "screen"):
		return "screen"
	}
	return ""
}

// desktop is this machine as the dashboard uses it.
type desktop struct {
	getenv func(string) string
	open   login.Opener
}

// Copy puts text on the clipboard of the system.
func (d desktop) Copy(_ context.Context, text string) error { return clipboard.WriteAll(text) }

// Browse opens an address.
func (d desktop) Browse(_ context.Context, address string) error {
	if d.open == nil {
		return errors.New("this machine has no browser")
	}
	return d.open(address)
}

// Edit is the person's editor.
func (d desktop) Edit(file string) (string, []string, error) {
	argv, err := requests.Editor(d.getenv)
	if err != nil {
		return "", nil, err
	}
	return argv[0], append(argv[1:], file), nil
}
