package tunnels

import (
	"context"
	"strconv"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/tui/form"
	"github.com/mezusphere/mezu/tui/keymap"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/newtunnel"
	"github.com/mezusphere/mezu/tui/requests"
	"github.com/mezusphere/mezu/tui/screen"
)

// Actions of the screen.
const (
	actInspect keymap.Action = "inspect"
	actCopy    keymap.Action = "copy-url"
	actOpen    keymap.Action = "open"
	actQR      keymap.Action = "qr"
	actNew     keymap.Action = "new"
	actStop    keymap.Action = "stop"
	actRestart keymap.Action = "restart"
	actHost    keymap.Action = "host"
	actProtect keymap.Action = "protect"
	actLeave   keymap.Action = "leave"
	actRemove  keymap.Action = "remove"
	actProbe   keymap.Action = "probe"
	actFocus   keymap.Action = "focus"
	actBack    keymap.Action = "back-to-tunnels"
)

// Keys are those that work now.
func (s *Screen) Keys(c *screen.Context) keymap.Map {
	if s.focus != onTunnels {
		back := keymap.Map{{Keys: []string{"tab", "shift+tab"}, Action: actFocus, Show: "tab", Help: "next panel"}, {Keys: []string{"esc"}, Action: actBack, Help: "back to the tunnels"}}
		if s.focus == onRequests && c.Layout != screen.Triple {
			back = append(back, keymap.Binding{Action: "", Show: "enter", Footer: "opens"})
		}
		return append(back, s.part.Keys(c)...)
	}
	m := keymap.Map{{Keys: []string{"n"}, Action: actNew, Footer: "new", Help: "new tunnel: pick a port", Palette: "New tunnel"}}
	name := ""
	if t, ok := s.selected(); ok {
		name = look.Head(t.Environment, 40)
		stop := keymap.Binding{Keys: []string{"s"}, Action: actStop, Footer: "stop", Help: "stop, or start again", Palette: "Stop tunnel " + name}
		if t.State == mezu.TunnelStopped {
			stop.Footer, stop.Palette = "start", "Start tunnel "+name
		}
		m = keymap.Map{
			{Keys: []string{"enter"}, Action: actInspect, Footer: "inspect", Help: "requests of the tunnel", Palette: "Requests of " + name},
			{Keys: []string{"c", "y"}, Action: actCopy, Show: "c", Footer: "copy URL", Help: "copy its URL", Palette: "Copy the URL of " + name},
			{Keys: []string{"o"}, Action: actOpen, Footer: "open", Help: "open it in the browser", Palette: "Open " + name + " in the browser"},
			{Keys: []string{"Q"}, Action: actQR, Footer: "QR", Help: "QR code", Palette: "QR code of " + name},
			m[0], stop,
			{Keys: []string{"r"}, Action: actRestart, Footer: "restart", Help: "restart", Palette: "Restart tunnel " + name},
			{Keys: []string{"D"}, Action: actLeave, Footer: "detach", Help: "leave it running", Palette: "Leave " + name + " running"},
			{Keys: []string{"h"}, Action: actHost, Help: "set the Host header", Palette: "Set the Host header of " + name},
			{Keys: []string{"b"}, Action: actProtect, Help: "protect: login, password", Palette: "Protect " + name},
			{Keys: []string{"p"}, Action: actProbe, Help: "probe it now", Palette: "Probe " + name},
			{Keys: []string{"x"}, Action: actRemove, Help: "remove (asks)", Palette: "Remove tunnel " + name},
		}
	}
	return append(append(m, keymap.Binding{Keys: []string{"tab", "shift+tab"}, Action: actFocus, Show: "tab"}), keymap.Moves()...)
}

// Offers are lines for the palette.
func (s *Screen) Offers(c *screen.Context) []screen.Offer {
	var out []screen.Offer
	for i := range s.all {
		t := s.all[i]
		name := look.Head(t.Environment, 40)
		goTo := func(msg tea.Msg) tea.Cmd { return screen.Cmd(screen.GoTo{Screen: Number, Then: msg}) }
		out = append(out, screen.Offer{Text: "Tunnel " + look.Head(t.Name, 80), Do: goTo(Select{ID: t.ID})},
			screen.Offer{Text: "Requests of tunnel " + name, Do: screen.Cmd(screen.GoTo{Screen: requests.Number, Then: requests.Show{Filter: "tunnel:" + t.Name}})})
		if i == s.at {
			continue // it is offered with its key
		}
		if t.State == mezu.TunnelStopped {
			out = append(out, screen.Offer{Text: "Start tunnel " + name, Do: s.start(c, t)})
		} else {
			out = append(out, screen.Offer{Text: "Stop tunnel " + name, Do: s.stop(c, t)})
		}
	}
	if s.known && s.away == nil {
		question := "Stop the daemon, and with it " + count(len(s.all), "tunnel") + "?"
		out = append(out, screen.Offer{Text: "Stop the daemon (" + count(len(s.all), "tunnel") + ")", Do: screen.Cmd(screen.Ask{Question: question, Then: c.Within(doTime, func(ctx context.Context) tea.Msg {
			return done{said: "the daemon ends when its requests have", err: s.cfg.Looks.Shutdown(ctx)}
		})})})
	}
	return out
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return strconv.Itoa(n) + " " + what
}

// Act does what a key asks for.
func (s *Screen) Act(c *screen.Context, a keymap.Action) tea.Cmd {
	switch a {
	case actFocus:
		return s.next(c)
	case actBack:
		return s.focused(c, onTunnels)
	case actNew:
		return newtunnel.Open(c, s.cfg.Opening)
	}
	if s.focus != onTunnels {
		return s.part.Act(c, a)
	}
	if at, ok := s.selected(); ok {
		if cmd, ok := s.do(c, a, *at); ok {
			return cmd
		}
	}
	return s.move(c, a)
}

// next gives another panel the focus.
func (s *Screen) next(c *screen.Context) tea.Cmd {
	all := panel(2)
	if c.Layout == screen.Triple {
		all = 3
	}
	return s.focused(c, (s.focus+1)%all)
}

func (s *Screen) focused(c *screen.Context, at panel) tea.Cmd {
	s.focus = at
	return s.part.Focused(c, requests.Focus(at))
}

// do does something with a tunnel, and reports whether the action is one of these.
func (s *Screen) do(c *screen.Context, a keymap.Action, t mezu.Tunnel) (tea.Cmd, bool) {
	addressed := func(then tea.Msg) tea.Cmd {
		if !strings.HasPrefix(t.URL, "https://") {
			return screen.Cmd(screen.Say{Text: t.Name + " has no address yet", Bad: true})
		}
		return screen.Cmd(then)
	}
	switch a {
	case actInspect:
		return screen.Cmd(screen.GoTo{Screen: requests.Number, Then: requests.Show{Filter: "tunnel:" + t.Name}}), true
	case actCopy:
		return addressed(screen.Copy{What: "the URL", Text: t.URL}), true
	case actOpen:
		return addressed(screen.Browse{URL: t.URL}), true
	case actQR:
		return addressed(screen.Open{Overlay: &code{url: t.URL}}), true
	case actStop:
		if t.State == mezu.TunnelStopped {
			return s.start(c, t), true
		}
		return s.stop(c, t), true
	case actRestart:
		return s.run(c, t, "restarts", "restarted "+t.Name, func(ctx context.Context) error {
			if t.State != mezu.TunnelStopped {
				if err := s.cfg.Actions.Stop(ctx, t); err != nil {
					return err
				}
			}
			return s.cfg.Actions.Start(ctx, t)
		}), true
	case actLeave:
		if t.Detached {
			return screen.Cmd(screen.Say{Text: t.Name + " runs on without the dashboard already"}), true
		}
		return c.Within(askTime, func(ctx context.Context) tea.Msg {
			return done{id: t.ID, said: t.Name + " runs on when the dashboard ends", left: true, err: s.cfg.Settings.Leave(ctx, t)}
		}), true
	case actHost:
		return s.host(t), true
	case actProtect:
		return s.protect(t), true
	case actProbe:
		return s.probe(c), true
	case actRemove:
		return s.remove(c, t), true
	}
	return nil, false
}

// run does something that takes a while. What is under way stands in the list.
func (s *Screen) run(c *screen.Context, t mezu.Tunnel, doing, said string, do func(context.Context) error) tea.Cmd {
	act := c.Within(doTime, func(ctx context.Context) tea.Msg { return done{id: t.ID, said: said, err: do(ctx)} })
	return screen.Cmd(begun{t.ID, doing, act})
}

// begun says that something is under way, and begins it.
type begun struct {
	id, doing string
	act       tea.Cmd
}

func (s *Screen) stop(c *screen.Context, t mezu.Tunnel) tea.Cmd {
	return s.run(c, t, "stops", "stopped "+t.Name, func(ctx context.Context) error { return s.cfg.Actions.Stop(ctx, t) })
}

func (s *Screen) start(c *screen.Context, t mezu.Tunnel) tea.Cmd {
	return s.run(c, t, "starts", "started "+t.Name, func(ctx context.Context) error { return s.cfg.Actions.Start(ctx, t) })
}

// remove asks, and removes.
func (s *Screen) remove(c *screen.Context, t mezu.Tunnel) tea.Cmd {
	return screen.Cmd(screen.Ask{Question: "Remove " + t.Name + ", its address and its Warpgate?", Word: t.Environment, Then: c.Within(doTime, func(ctx context.Context) tea.Msg {
		stays, err := s.cfg.Actions.Remove(ctx, t)
		said := "removed " + t.Name
		if stays != "" {
			said += "; " + stays
		}
		return done{id: t.ID, said: said, removed: true, err: err}
	})})
}

// host asks for the Host header.
func (s *Screen) host(t mezu.Tunnel) tea.Cmd {
	now := t.HostHeader
	if now == "" {
		now = mezu.HostKeep
	}
	f := form.New("Host header of "+look.Head(t.Name, 80), []form.Field{{Name: "host_header", Label: "Host", Value: now, Note: "keep, target, or a host such as localhost:3000"}}, func(ctx context.Context, values map[string]string) (string, error) {
		return t.Name + " gets the Host header " + values["host_header"], s.cfg.Settings.Host(ctx, t, strings.TrimSpace(values["host_header"]))
	}, nil)
	return screen.Cmd(screen.Open{Overlay: f})
}

// protect asks who may enter.
func (s *Screen) protect(t mezu.Tunnel) tea.Cmd {
	const everyone, members, secret, ranges = "everyone", "people of a directory", "password", "CIDR"
	then := &password{id: t.ID, tunnel: t.Name}
	f := form.New("Who may enter "+look.Head(t.Name, 80), []form.Field{
		{Name: "way", Label: "Open to", Value: everyone, Choices: []string{everyone, members, secret, ranges}},
		{Name: "of", Label: "of", Note: "the directory, the user of the password, or ranges such as 203.0.113.0/24"},
	}, func(ctx context.Context, values map[string]string) (string, error) {
		var a newtunnel.Access
		of := strings.TrimSpace(values["of"])
		if of == "" && values["way"] != everyone {
			return "", mezu.Invalid("of", "is missing: which directory, user or ranges")
		}
		switch values["way"] {
		case everyone:
			a.Public = true
		case members:
			a.Directory = of
		case secret:
			a.User = of
		case ranges:
			a.CIDRs = strings.FieldsFunc(of, func(r rune) bool { return r == ' ' || r == ',' })
		}
		made, err := s.cfg.Settings.Protect(ctx, t, a)
		then.user, then.text = a.User, made // it is sent when this has returned
		return t.Name + " is open to " + strings.TrimSpace(values["way"]+" "+of), err
	}, then)
	return screen.Cmd(screen.Open{Overlay: f})
}

// done takes what came of what was done.
func (s *Screen) done(msg done) tea.Cmd {
	delete(s.busy, msg.id)
	if msg.err != nil {
		return screen.Cmd(screen.Say{Text: msg.err.Error(), Bad: true})
	}
	if msg.left || msg.removed {
		delete(s.held, msg.id)
	}
	return screen.Cmd(screen.Say{Text: msg.said})
}

// opened takes a tunnel that the dialog has opened.
func (s *Screen) opened(msg newtunnel.Opened) tea.Cmd {
	t := msg.Tunnel
	if !t.Detached {
		s.held[t.ID] = true
	}
	s.away, s.known = nil, true
	if s.choose(t.ID); s.id() != t.ID {
		for _, is := range []*Screen{s, s.now()} {
			if is.index(t.ID) < 0 {
				is.all = append(is.all, t)
				is.sort()
			}
		}
		s.choose(t.ID)
	}
	said := "opened " + t.Name
	for _, n := range msg.Notes {
		said += "; " + n
	}
	say := screen.Cmd(screen.Say{Text: said})
	if msg.Password == "" {
		return say
	}
	return tea.Batch(say, screen.Cmd(screen.Open{Overlay: &password{t.ID, t.Name, msg.User, msg.Password}}))
}
