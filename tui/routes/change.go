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

// applied is what became of a change.
type applied struct {
	warnings []string
	err      error
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
	apply := c.Within(screen.DoTime, func(ctx context.Context) tea.Msg {
		warnings, err := msg.proposal.Apply(ctx)
		return applied{warnings, err}
	})
	return screen.Cmd(screen.Open{Overlay: &proposed{proposal: msg.proposal, apply: apply}})
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
	// warnings are what the control plane says of the change, which it has made.
	warnings []string
}

// maxWarnings is how many are shown: a route has a few fields that there can be one for.
const maxWarnings = 20

// warned reports whether the change was made, and there are warnings to be read.
func (p *proposed) warned() bool { return len(p.warnings) > 0 }

// Footer are its keys.
func (p *proposed) Footer(*screen.Context) keymap.Map {
	if p.warned() {
		return keymap.Map{{Show: "enter", Footer: "close"}, {Show: "↑↓", Footer: "scroll"}}
	}
	return keymap.Map{{Show: "enter", Footer: "apply"}, {Show: "↑↓", Footer: "scroll"}, {Show: "esc", Footer: "leave it as it is"}}
}

// Key takes a key.
func (p *proposed) Key(c *screen.Context, k tea.KeyMsg) tea.Cmd {
	switch k.String() {
	case "esc", "q", "n":
		return screen.Cmd(screen.Close{})
	case "up", "k":
		p.top = max(0, p.top-1)
	case "down", "j":
		p.top = min(p.top+1, max(0, len(p.lines(width(c.Width)))-1))
	case "enter", "y":
		if p.warned() {
			return screen.Cmd(screen.Close{})
		}
		if p.busy {
			return nil
		}
		p.busy = true
		return p.apply
	}
	return nil
}

// Take closes it when the change was made, or refused. What the control plane warns of stays
// until somebody has read it.
func (p *proposed) Take(_ *screen.Context, msg tea.Msg) tea.Cmd {
	end, ok := msg.(applied)
	if !ok {
		return nil
	}
	if len(end.warnings) == 0 || end.err != nil {
		return screen.Cmd(screen.Close{})
	}
	p.busy, p.top, p.warnings = false, 0, end.warnings[:min(len(end.warnings), maxWarnings)]
	return nil
}

// width is that of its panel on a screen that is w wide.
func width(w int) int { return min(100, w-2) }

// lines are what its panel has to show, in one that is wide.
func (p *proposed) lines(wide int) []string {
	if !p.warned() {
		return p.proposal.Lines()
	}
	var out []string
	for _, text := range p.warnings {
		out = append(out, look.Wrap(look.Text(text), wide-2)...)
	}
	return out
}

// View draws it over the screen.
func (p *proposed) View(c *screen.Context, under []string, w, h int) []string {
	t := c.Theme
	wide := width(w)
	panel := look.Panel{Title: "What applying it changes", Right: "nothing is changed yet", Focused: true}
	if p.warned() {
		panel.Title, panel.Right = "Applied, and this is to be known", ""
	}
	lines := p.lines(wide)
	var out []string
	// A terminal that grew wider leaves fewer lines than were gone past.
	for _, l := range lines[min(p.top, max(0, len(lines)-1)):] {
		tone := look.Plain
		switch {
		case p.warned():
			tone = look.Warn
		case strings.HasPrefix(l, "+"):
			tone = look.Good
		case strings.HasPrefix(l, "-"):
			tone = look.Bad
		}
		out = append(out, t.Paint(tone, look.Text(l)))
	}
	tall := min(len(lines)+2, h)
	if p.busy {
		panel.Right = t.Ellipsis
	}
	return t.Put(under, panel.Draw(t, out, wide, tall), (w-wide)/2, max(0, (h-tall)/3))
}
