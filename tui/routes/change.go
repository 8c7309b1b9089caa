package routes

import (
	"context"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/tui/keymap"
	"github.com/mezusphere/mezu/tui/list"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
)

// compared is a route that was saved, and what applying it would change.
type compared struct {
	proposal Proposal
	err      error
	same     bool // nothing was changed
}

// edit opens a route in the editor, or a new one.
func (s *Screen) edit(c *screen.Context, route *mezu.Route) tea.Cmd {
	text, err := s.cfg.Drafts.Text(route)
	if err != nil {
		return screen.Cmd(list.Said(err))
	}
	scope, life, drafts := s.Scope, c.Life, s.cfg.Drafts
	return screen.Cmd(screen.Edit{Name: "route.yaml", Text: text, Then: func(saved []byte, other bool, err error) tea.Msg {
		if err != nil || !other && route != nil {
			return compared{err: err, same: true}
		}
		ctx, cancel := context.WithTimeout(life, screen.DoTime)
		defer cancel()
		p, err := drafts.Compare(ctx, scope, route, saved)
		return compared{proposal: p, err: err}
	}})
}

// compare shows what would change, and asks.
func (s *Screen) compare(c *screen.Context, msg compared) tea.Cmd {
	switch {
	case msg.err != nil:
		return screen.Cmd(list.Said(msg.err))
	case msg.same:
		return screen.Cmd(screen.Say{Text: "nothing was changed"})
	case len(msg.proposal.Lines()) == 0:
		return screen.Cmd(screen.Say{Text: "what was saved changes nothing"})
	}
	return screen.Cmd(screen.Open{Overlay: &proposed{proposal: msg.proposal, apply: s.Do(c, "applied; edges and Warpgates take it up now", msg.proposal.Apply)}})
}

// remove asks, and removes a route.
func (s *Screen) remove(c *screen.Context, route mezu.Route) tea.Cmd {
	scope, routes := s.Scope, s.cfg.Routes
	return screen.Cmd(screen.Ask{Question: "Delete the route " + match(&route) + " of " + scope.Environment + "?", Then: s.Do(c, "deleted the route "+route.Label(), func(ctx context.Context) error {
		return routes.Delete(ctx, scope, route)
	})})
}

// copy copies a route as mezu.yaml has it.
func (s *Screen) copy(route mezu.Route) tea.Cmd {
	text, err := s.cfg.Drafts.Text(&route)
	if err != nil {
		return screen.Cmd(list.Said(err))
	}
	return screen.Cmd(screen.Copy{What: "the route", Text: string(text)})
}

// proposed shows what a change would be, before it is made.
type proposed struct {
	proposal Proposal
	apply    tea.Cmd
	top      int
	busy     bool
}

// Footer are its keys.
func (p *proposed) Footer(*screen.Context) keymap.Map {
	return keymap.Map{{Show: "enter", Footer: "apply"}, {Show: "↑↓", Footer: "scroll"}, {Show: "esc", Footer: "leave it as it is"}}
}

// Key takes a key.
func (p *proposed) Key(_ *screen.Context, k tea.KeyMsg) tea.Cmd {
	switch k.String() {
	case "esc", "q", "n":
		return screen.Cmd(screen.Close{})
	case "up", "k":
		p.top = max(0, p.top-1)
	case "down", "j":
		p.top = min(p.top+1, max(0, len(p.proposal.Lines())-1))
	case "enter", "y":
		if p.busy {
			return nil
		}
		p.busy = true
		return p.apply
	}
	return nil
}

// Take closes it when the change was made, or refused.
func (p *proposed) Take(_ *screen.Context, msg tea.Msg) tea.Cmd {
	if _, ok := msg.(list.Changed[State]); ok {
		return screen.Cmd(screen.Close{})
	}
	return nil
}

// View draws it over the screen.
func (p *proposed) View(c *screen.Context, under []string, w, h int) []string {
	t := c.Theme
	wide := min(100, w-2)
	lines := p.proposal.Lines()
	var out []string
	for _, l := range lines[min(p.top, len(lines)):] {
		tone := look.Plain
		switch {
		case strings.HasPrefix(l, "+"):
			tone = look.Good
		case strings.HasPrefix(l, "-"):
			tone = look.Bad
		}
		out = append(out, t.Paint(tone, look.Text(l)))
	}
	tall := min(len(lines)+2, h)
	panel := look.Panel{Title: "What applying it changes", Right: "nothing is changed yet", Focused: true}
	if p.busy {
		panel.Right = t.Ellipsis
	}
	return t.Put(under, panel.Draw(t, out, wide, tall), (w-wide)/2, max(0, (h-tall)/3))
}
