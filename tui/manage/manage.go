// Package manage is what the palette of the dashboard does beside the screens: it shows, makes,
// switches and removes projects, environments and service accounts.
//
// What lives here: the lines of the palette and their forms. What may not: the rules of the API,
// and calls of it. cmd/mezu imports it.
package manage

import (
	"context"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu/tui/follow"
	"github.com/mezusphere/mezu/tui/form"
	"github.com/mezusphere/mezu/tui/list"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
)

// permissions is the field of an account.
const permissions = "permissions"

// State is what there is in the organization, by name.
type State struct {
	Profiles []Profile
	Projects []string
	// Environments and Accounts are those of the project.
	Environments []Environment
	Accounts     []string
}

// Profile is one of this machine, and where it looks at first.
type Profile struct {
	Name  string
	Scope screen.Scope
}

// Environment is one of the project.
type Environment struct {
	Name    string
	Enabled bool
}

// Kind is what is made or removed.
type Kind string

// Kinds.
const (
	Project Kind = "project"
	Environ Kind = "environment"
	Account Kind = "service account"
)

// Records are followed and changed.
type Records interface {
	Follow(ctx context.Context, scope screen.Scope, see func(State)) error
	// Make makes one. secret is what is shown once: the key of an account.
	Make(ctx context.Context, scope screen.Scope, kind Kind, values map[string]string) (secret string, err error)
	Remove(ctx context.Context, scope screen.Scope, kind Kind, name string) error
}

// Switches changes what is in use.
type Switches interface {
	// Enable switches an environment on or off.
	Enable(ctx context.Context, scope screen.Scope, environment string, on bool) error
	// Rotate gives an account another key.
	Rotate(ctx context.Context, scope screen.Scope, account string) (secret string, err error)
	// Use makes a place the one of the commands of the profile.
	Use(ctx context.Context, scope screen.Scope) error
}

// Config is where they are.
type Config struct {
	Records  Records
	Switches Switches
}

// Part is the part of the dashboard. It is no screen: it has lines in the palette only.
type Part struct {
	cfg     Config
	subject *follow.Subject[State]
	scope   screen.Scope
	state   State
}

var (
	_ screen.Part     = (*Part)(nil)
	_ screen.Offering = (*Part)(nil)
	_ screen.Watching = (*Part)(nil)
)

// New makes it.
func New(cfg Config) *Part {
	p := &Part{cfg: cfg, subject: follow.New(cfg.Records.Follow)}
	p.subject.Want()
	return p
}

// Watch follows what there is.
func (p *Part) Watch() []screen.Source { return []screen.Source{p.subject.Source} }

// changed is what became of a change.
type changed struct {
	what   string
	secret string
	err    error
}

// Take takes a message.
func (p *Part) Take(_ *screen.Context, msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case screen.Moved:
		if p.scope.Profile != msg.Scope.Profile || p.scope.Organization != msg.Scope.Organization {
			p.state.Projects, p.state.Environments, p.state.Accounts = nil, nil, nil
		} else if p.scope.Project != msg.Scope.Project {
			p.state.Environments, p.state.Accounts = nil, nil
		}
		p.scope = msg.Scope
		p.subject.Move(msg.Scope)
	case follow.Got[State]:
		if msg.Scope == p.scope {
			p.state = msg.Value
		}
	case changed:
		p.subject.Again()
		switch {
		case msg.err != nil:
			return screen.Cmd(list.Said(msg.err))
		case msg.secret != "":
			return screen.Cmd(screen.Open{Overlay: &secret{what: msg.what, text: msg.secret}})
		}
		return screen.Cmd(screen.Say{Text: msg.what})
	}
	return nil
}

// Offers are the lines of the palette.
func (p *Part) Offers(c *screen.Context) []screen.Offer {
	var out []screen.Offer
	scope := p.scope // a change is of where the dashboard looked when it was offered
	add := func(text string, do tea.Cmd) { out = append(out, screen.Offer{Text: text, Do: do}) }
	for _, e := range p.state.Environments {
		if e.Name != p.scope.Environment {
			to := p.scope
			to.Environment = e.Name
			add(e.Name+": switch to environment "+e.Name, p.move(c, to))
		}
	}
	for _, name := range p.state.Projects {
		if name != p.scope.Project {
			to := p.scope
			to.Project, to.Environment = name, ""
			add(name+": switch to project "+name, p.move(c, to))
		}
	}
	for _, one := range p.state.Profiles {
		if one.Name != p.scope.Profile {
			add(one.Name+": switch to profile "+one.Name, screen.Cmd(screen.Moved{Scope: one.Scope}))
		}
	}
	if p.scope.Organization == "" {
		return out
	}
	add("New project", p.form(Project))
	if p.scope.Project != "" {
		add("New environment of "+p.scope.Project, p.form(Environ))
		add("New service account of "+p.scope.Project, p.form(Account))
	}
	for _, e := range p.state.Environments {
		name := e.Name
		verb, on := "Switch off environment ", false
		if !e.Enabled {
			verb, on = "Switch on environment ", true
		}
		set := p.do(c, strings.ToLower(verb[:1])+verb[1:]+name+": done", func(ctx context.Context) (string, error) {
			return "", p.cfg.Switches.Enable(ctx, scope, name, on)
		})
		if !on {
			set = screen.Cmd(screen.Ask{Question: "Switch off " + name + "? Its visitors get 503 until it is on again.", Then: set})
		}
		add(verb+name, set)
	}
	for _, name := range p.state.Accounts {
		add("New key for service account "+name, screen.Cmd(screen.Ask{Question: "Give " + name + " another key? The one before ends in a while.",
			Then: p.do(c, "the key of "+name+", shown once", func(ctx context.Context) (string, error) { return p.cfg.Switches.Rotate(ctx, scope, name) })}))
	}
	for _, e := range p.state.Environments {
		add("Remove environment "+e.Name, p.remove(c, Environ, e.Name, "its address and its routes"))
	}
	for _, name := range p.state.Accounts {
		add("Remove service account "+name, p.remove(c, Account, name, "its keys"))
	}
	for _, name := range p.state.Projects {
		add("Remove project "+name, p.remove(c, Project, name, "all that is in it"))
	}
	return out
}

// do is the command of a change.
func (p *Part) do(c *screen.Context, what string, change func(context.Context) (string, error)) tea.Cmd {
	return c.Within(screen.DoTime, func(ctx context.Context) tea.Msg {
		secret, err := change(ctx)
		return changed{what, secret, err}
	})
}

// move looks at another place, which commands of the profile use from then on too.
func (p *Part) move(c *screen.Context, to screen.Scope) tea.Cmd {
	use := p.cfg.Switches
	return tea.Batch(screen.Cmd(screen.Moved{Scope: to}), c.Within(screen.DoTime, func(ctx context.Context) tea.Msg {
		if err := use.Use(ctx, to); err != nil {
			return list.Said(err)
		}
		return screen.Say{Text: "looking at " + strings.TrimRight(strings.Join([]string{to.Organization, to.Project, to.Environment}, "/"), "/")}
	}))
}

// remove asks for the name, and removes.
func (p *Part) remove(c *screen.Context, kind Kind, name, with string) tea.Cmd {
	scope := p.scope
	return screen.Cmd(screen.Ask{Question: "Remove the " + string(kind) + " " + name + ", and " + with + "?", Word: name,
		Then: p.do(c, "removed the "+string(kind)+" "+name, func(ctx context.Context) (string, error) {
			return "", p.cfg.Records.Remove(ctx, scope, kind, name)
		})})
}

// form opens the form of a new one.
func (p *Part) form(kind Kind) tea.Cmd {
	fields := []form.Field{{Name: "name", Label: "name", Note: "lower-case letters, digits and '-'"}}
	switch kind {
	case Project:
		fields = append(fields, form.Field{Name: "display_name", Label: "shown as", Note: "what people read; may be empty"})
	case Environ:
		fields = append(fields, form.Field{Name: "directory", Label: "directory", Note: "of the users who may log in; empty for none"})
	case Account:
		fields = append(fields, form.Field{Name: permissions, Label: "permissions", Value: "warpgate.register", Note: "separated by spaces; mezu help has all"},
			form.Field{Name: "environment", Label: "environment", Note: "that its Warpgates serve; empty for production"})
	}
	records, scope := p.cfg.Records, p.scope
	var made string
	f := form.New("New "+string(kind), fields, func(ctx context.Context, v map[string]string) (string, error) {
		secret, err := records.Make(ctx, scope, kind, v)
		made = secret
		return "made the " + string(kind) + " " + v["name"], err
	}, nil)
	f.After(func(v map[string]string) tea.Msg {
		return changed{what: "made the " + string(kind) + " " + v["name"], secret: made}
	})
	return screen.Cmd(screen.Open{Overlay: f})
}

// secret shows something once.
type secret struct{ what, text string }

// Footer are its keys.
func (s *secret) Footer(*screen.Context) screen.Keys {
	return screen.Keys{{Show: "y", Footer: "copy"}, {Show: "esc", Footer: "close; it is not shown again"}}
}

// Key takes a key.
func (s *secret) Key(_ *screen.Context, k tea.KeyMsg) tea.Cmd {
	switch k.String() {
	case "y":
		return screen.Cmd(screen.Copy{What: "the key", Text: s.text})
	case "esc", "q":
		return screen.Cmd(screen.Close{})
	}
	return nil
}

// Take does nothing.
func (s *secret) Take(*screen.Context, tea.Msg) tea.Cmd { return nil }

// View draws it over the screen.
func (s *secret) View(c *screen.Context, under []string, w, h int) []string {
	t := c.Theme
	const width = 76
	wide := min(width, w-2)
	lines := []string{look.Text(s.what), ""}
	lines = append(lines, look.Wrap(look.Text(s.text), wide-4)...)
	lines = append(lines, "", t.Paint(look.Warn, "it is shown here and now, and never again"))
	tall := min(len(lines)+2, h)
	return t.Put(under, look.Panel{Title: "A new key", Focused: true}.Draw(t, lines, wide, tall), (w-wide)/2, max(0, (h-tall)/3))
}
