// Package tunnels is the first screen of the dashboard: the tunnels of the local daemon, how one of
// them is, and its last requests.
//
// What lives here: the list, the figures of the last minutes, which are collected here, and what
// can be done with a tunnel. What may not: opening one, which is tui/newtunnel's; how the daemon
// and the control plane are asked. cmd/mezu imports it.
package tunnels

import (
	"context"
	"slices"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/tui/feed"
	"github.com/mezusphere/mezu/tui/keymap"
	"github.com/mezusphere/mezu/tui/newtunnel"
	"github.com/mezusphere/mezu/tui/requests"
	"github.com/mezusphere/mezu/tui/screen"
)

// Number is the screen's.
const Number = 1

const (
	// askTime bounds a question to the daemon or the control plane.
	askTime = 10 * time.Second
	// doTime bounds what is done with a tunnel. To stop one, requests in flight are waited for.
	doTime = local.DrainTimeout + 20*time.Second
	// probeEvery is how often the selected tunnel is probed while it is shown.
	probeEvery = 15 * time.Second
	// guardEvery is how often it is asked who may enter the selected one.
	guardEvery = time.Minute
)

// Actions are done with tunnels.
type Actions interface {
	// Start starts one that was stopped, and enrols it if it has to be.
	Start(ctx context.Context, t mezu.Tunnel) error
	Stop(ctx context.Context, t mezu.Tunnel) error
	// Remove removes one with what it has at the control plane, and says what stays.
	Remove(ctx context.Context, t mezu.Tunnel) (stays string, err error)
}

// Settings are those of tunnels.
type Settings interface {
	// Host sets the Host header: mezu.HostKeep, mezu.HostTarget or a host.
	Host(ctx context.Context, t mezu.Tunnel, host string) error
	// Protect says who may enter, and gives a password that was made.
	Protect(ctx context.Context, t mezu.Tunnel, a newtunnel.Access) (password string, err error)
	// Leave leaves one running when the dashboard ends.
	Leave(ctx context.Context, t mezu.Tunnel) error
}

// Looks looks at tunnels.
type Looks interface {
	Probe(ctx context.Context, t mezu.Tunnel) (local.Probe, error)
	Guard(ctx context.Context, t mezu.Tunnel) (Guard, error)
	// Shutdown ends the daemon.
	Shutdown(ctx context.Context) error
}

// Guard is what the control plane has of a tunnel's environment.
type Guard struct {
	// Open says in a word or two who may enter, as its routes ask.
	Open string
	// Newest is the position of its newest configuration.
	Newest mezu.Position
}

// Config is where tunnels are.
type Config struct {
	Daemon   feed.Daemon
	Actions  Actions
	Settings Settings
	Looks    Looks
	Opening  newtunnel.Opening
	Requests requests.Config
	// Held are the ids of the tunnels that end with the dashboard.
	Held []string
	// Dialog shows the dialog that opens one first.
	Dialog bool
	// Show is a target as people read it here; if nil, as it is.
	Show func(target string) string
}

// panel is one that can have the focus.
type panel uint8

const (
	onTunnels panel = iota
	onRequests
	onRequest // where there are three columns
)

// Screen is the screen.
type Screen struct {
	cfg     Config
	all     []mezu.Tunnel // by name
	known   bool
	away    error
	since   time.Time // of away
	history map[string]*history
	looks   map[string]*looked
	busy    map[string]string // what is being done, by id
	held    map[string]bool

	// later has tunnels and figures as they are now, while those that are shown stand still.
	later *Screen

	at, top int
	focus   panel
	part    *requests.Screen
	edges   screen.Edges
	ends    string
}

// looked is what was seen of a tunnel.
type looked struct {
	probe    local.Probe
	probed   time.Time // zero: never with success
	probeErr error
	asked    time.Time // when it was probed last, or is

	guard      Guard
	guarded    time.Time // zero: never with success
	guardErr   error
	guardAsked time.Time
}

var (
	_ screen.Screen   = (*Screen)(nil)
	_ screen.Pointed  = (*Screen)(nil)
	_ screen.Watching = (*Screen)(nil)
	_ screen.Offering = (*Screen)(nil)
	_ requests.Beside = (*Screen)(nil)
)

// New makes the screen.
func New(cfg Config) *Screen {
	s := &Screen{cfg: cfg, history: map[string]*history{}, looks: map[string]*looked{}, busy: map[string]string{}, held: map[string]bool{}}
	for _, id := range cfg.Held {
		s.held[id] = true
	}
	s.part = requests.NewPart(cfg.Requests, s)
	return s
}

// Title is its name.
func (s *Screen) Title() string { return "Tunnels" }

// Watch follows the daemon.
func (s *Screen) Watch() []screen.Source { return []screen.Source{feed.Source(s.cfg.Daemon)} }

// Select has the tunnel of an id be selected.
type Select struct{ ID string }

// Messages of what was asked for and done.
type (
	probed struct {
		id  string
		is  local.Probe
		err error
	}
	guarded struct {
		id  string
		is  Guard
		err error
	}
	done struct {
		id, said string
		left     bool // it runs on without the dashboard
		removed  bool
		err      error
	}
)

// Take takes a message.
func (s *Screen) Take(c *screen.Context, msg tea.Msg) tea.Cmd {
	var cmds []tea.Cmd
	if s.cfg.Dialog && c.Shown {
		s.cfg.Dialog = false
		cmds = append(cmds, newtunnel.Open(c, s.cfg.Opening))
	}
	switch msg := msg.(type) {
	case feed.Listing:
		s.known, s.away = true, nil
		s.now().list(msg.Tunnels)
	case feed.Batch:
		for i := range msg.Events {
			s.now().event(&msg.Events[i])
		}
	case screen.Freed:
		s.free(msg.Paused)
	case feed.Away:
		if s.away == nil {
			s.since = c.Now
		}
		s.away = msg.Err
	case probed:
		l := s.look(msg.id)
		if l.probeErr = msg.err; msg.err == nil {
			l.probe, l.probed = msg.is, c.Now
			s.now().measure(msg.id, msg.is.Links)
		}
	case guarded:
		l := s.look(msg.id)
		if l.guardErr = msg.err; msg.err == nil {
			l.guard, l.guarded = msg.is, c.Now
		}
	case begun:
		s.busy[msg.id] = msg.doing
		cmds = append(cmds, msg.act)
	case *password: // who may enter has changed, and there may be one
		s.look(msg.id).guardAsked = time.Time{}
		if msg.text != "" {
			cmds = append(cmds, screen.Cmd(screen.Open{Overlay: msg}))
		}
	case done:
		cmds = append(cmds, s.done(msg))
	case newtunnel.Opened:
		cmds = append(cmds, s.opened(msg))
	case Select:
		s.choose(msg.ID)
	}
	cmds = append(cmds, s.choice(c), s.part.Take(c, msg), s.lookAt(c), s.tell())
	return tea.Batch(cmds...)
}

// now is what takes what comes.
func (s *Screen) now() *Screen {
	if s.later != nil {
		return s.later
	}
	return s
}

// free has all stand still, or shows what came meanwhile.
func (s *Screen) free(paused bool) {
	switch {
	case paused && s.later == nil:
		s.later = &Screen{all: slices.Clone(s.all), history: map[string]*history{}, looks: map[string]*looked{}, busy: map[string]string{}, held: map[string]bool{}}
		for id, h := range s.history {
			s.later.history[id] = &history{slices.Clone(h.samples)}
		}
	case !paused && s.later != nil:
		id := s.id()
		for gone := range s.history {
			if s.later.history[gone] == nil {
				s.forget(gone)
			}
		}
		s.all, s.history, s.later = s.later.all, s.later.history, nil
		s.choose(id)
	}
}

// selected is the tunnel at the cursor.
func (s *Screen) selected() (*mezu.Tunnel, bool) {
	if s.at >= len(s.all) {
		return nil, false
	}
	return &s.all[s.at], true
}

func (s *Screen) id() string {
	if t, ok := s.selected(); ok {
		return t.ID
	}
	return ""
}

// choose puts the cursor on the tunnel of an id, if it is there.
func (s *Screen) choose(id string) {
	if i := s.index(id); i >= 0 {
		s.at = i
		return
	}
	s.at = max(0, min(s.at, len(s.all)-1))
}

// choice has the requests be those of the selected tunnel.
func (s *Screen) choice(c *screen.Context) tea.Cmd {
	if t, ok := s.selected(); ok {
		return s.part.Choose(c, "tunnel:"+t.Name)
	}
	return nil
}

func (s *Screen) look(id string) *looked {
	l := s.looks[id]
	if l == nil {
		l = &looked{}
		s.looks[id] = l
	}
	return l
}

// lookAt looks at the selected tunnel, while it is shown.
func (s *Screen) lookAt(c *screen.Context) tea.Cmd {
	t, ok := s.selected()
	if !ok || !c.Shown || c.Paused || s.away != nil {
		return nil
	}
	l := s.look(t.ID)
	var cmds []tea.Cmd
	if up(t) && c.Now.Sub(l.asked).Abs() >= probeEvery {
		cmds = append(cmds, s.probe(c))
	}
	if c.Now.Sub(l.guardAsked).Abs() >= guardEvery {
		l.guardAsked = c.Now
		of := *t
		cmds = append(cmds, c.Within(askTime, func(ctx context.Context) tea.Msg {
			is, err := s.cfg.Looks.Guard(ctx, of)
			return guarded{of.ID, is, err}
		}))
	}
	return tea.Batch(cmds...)
}

func (s *Screen) probe(c *screen.Context) tea.Cmd {
	t, ok := s.selected()
	if !ok {
		return nil
	}
	s.look(t.ID).asked = c.Now
	of := *t
	return c.Within(askTime, func(ctx context.Context) tea.Msg {
		is, err := s.cfg.Looks.Probe(ctx, of)
		return probed{of.ID, is, err}
	})
}

// up reports whether a tunnel is there for requests.
func up(t *mezu.Tunnel) bool {
	return t.State != mezu.TunnelStopped && t.State != mezu.TunnelNeedsLogin
}

// tell tells the dashboard of the edges, and of what ends with it.
func (s *Screen) tell() tea.Cmd {
	var edges screen.Edges
	if t, ok := s.selected(); ok {
		edges.All = len(t.Links)
		for i := range t.Links {
			if t.Links[i].State == mezu.LinkConnected {
				edges.Up++
			}
		}
	}
	var names []string
	for i := range s.all {
		if t := &s.all[i]; s.held[t.ID] && t.State != mezu.TunnelStopped {
			names = append(names, t.Name)
		}
	}
	ends := ""
	switch n := len(names); {
	case n == 1:
		ends = "closes " + names[0] + "; D leaves it running"
	case n > 1:
		ends = "closes " + strings.Join(names[:min(n, 3)], ", ")
		if n > 3 {
			ends += " and others"
		}
		ends += "; D leaves one running"
	}
	var cmds []tea.Cmd
	if edges != s.edges {
		s.edges = edges
		cmds = append(cmds, screen.Cmd(edges))
	}
	if ends != s.ends {
		s.ends = ends
		cmds = append(cmds, screen.Cmd(screen.Ends{Text: ends}))
	}
	return tea.Batch(cmds...)
}

// move moves the cursor of the panel that has the focus.
func (s *Screen) move(c *screen.Context, a keymap.Action) tea.Cmd {
	if s.focus != onTunnels {
		return s.part.Act(c, a)
	}
	page := s.page(c)
	at, ok := keymap.Move(a, s.at, len(s.all), page)
	if !ok {
		return nil
	}
	s.at, s.top = at, keymap.Scroll(s.top, at, len(s.all), page)
	return tea.Batch(s.choice(c), s.lookAt(c), s.tell())
}
