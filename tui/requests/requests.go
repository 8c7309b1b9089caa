// Package requests is the second screen of the dashboard: the requests that the inspector of the
// local daemon keeps, one of them in all its parts, and what can be done with it.
//
// What lives here: the list, the parts of a request, frames, and the log of the last requests that
// the first screen shows too. What may not: masking, filtering and pretty printing, which the
// daemon does once for everybody; how requests are asked for. tui/tunnels and cmd/mezu import it.
package requests

import (
	"context"
	"io"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/tui/feed"
	"github.com/mezusphere/mezu/tui/field"
	"github.com/mezusphere/mezu/tui/screen"
)

// Number is the screen's.
const Number = 2

const (
	// askTime bounds each question to the daemon, which is on this machine.
	askTime = 5 * time.Second
	// maxRows bounds what a panel holds.
	maxRows = local.MaxPage
	// maxWidth is the widest that text is, so that eyes find the next line.
	maxWidth = 100
	// showFor is how long a secret is shown.
	showFor = 10 * time.Second
)

// Inspector is asked for what is kept of requests.
type Inspector interface {
	Requests(ctx context.Context, q local.RequestsQuery) (local.Requests, error)
	Exchange(ctx context.Context, id string, unmask bool) (mezu.ExchangeDetail, error)
	Frames(ctx context.Context, id string, after, size int) (local.Frames, error)
}

// Contents is asked for bytes.
type Contents interface {
	Body(ctx context.Context, id, side string, form local.Form, unmask bool) (local.Content, error)
	Frame(ctx context.Context, id string, number int, form local.Form, unmask bool) (local.Content, error)
	Diff(ctx context.Context, a, b string, unmask bool) (local.Difference, error)
}

// Actions change something.
type Actions interface {
	Replay(ctx context.Context, id string, r local.Replay) (local.Replayed, error)
	Pin(ctx context.Context, id string, pinned bool) (mezu.Exchange, error)
	Clear(ctx context.Context, filter string) (local.Cleared, error)
}

// Exports make something for other programs.
type Exports interface {
	Curl(ctx context.Context, id string, unmask bool) (string, error)
	HAR(ctx context.Context, to io.Writer, q local.HARQuery) error
}

// Drafts make requests texts that somebody edits.
type Drafts interface {
	// Draft is a request as text. notes say what is special about it, in a sentence each.
	Draft(ctx context.Context, id string) (d Draft, notes []string, err error)
}

// Draft is a request as text.
type Draft interface {
	Text() []byte
	// Send sends what was saved.
	Send(ctx context.Context, saved []byte) (local.Replayed, error)
}

// Config is where requests are.
type Config struct {
	Inspector Inspector
	Contents  Contents
	Actions   Actions
	Exports   Exports
	Drafts    Drafts
}

// Beside is what stands left of the requests where there are three columns.
type Beside interface {
	// Side gives h lines of w cells.
	Side(c *screen.Context, w, h int) []string
}

// Show has the screen show the requests of a filter, or one of them by its id.
type Show struct{ Filter, ID string }

// panel is one that can have the focus.
type panel uint8

const (
	onList panel = iota
	onDetail
)

// Screen is the screen.
type Screen struct {
	cfg    Config
	log    *Log
	list   list
	detail detail
	side   Beside

	filter *field.Field
	typing bool
	// search is what is looked for in the parts of a request.
	search    *field.Field
	searching bool

	focus panel
	// full says that one request has the whole screen.
	full bool
	// part says that it is a part of another screen, without the line of the filter.
	part bool
	// unfocused says that the focus is outside of the part.
	unfocused bool
	// marked is the id of the exchange that others are compared with.
	marked string
	away   error
	// still is how much was kept when the dashboard was paused.
	still local.InspectorState
	// uninspected are the names of the tunnels whose requests nobody keeps, by their ids.
	uninspected map[string]string
}

var (
	_ screen.Screen   = (*Screen)(nil)
	_ screen.Typist   = (*Screen)(nil)
	_ screen.Pointed  = (*Screen)(nil)
	_ screen.Offering = (*Screen)(nil)
	_ screen.Headed   = (*Screen)(nil)
)

// New makes the screen.
func New(cfg Config) *Screen {
	s := &Screen{cfg: cfg, log: NewLog(cfg.Inspector, ""), filter: field.New(local.MaxFilter), search: field.New(maxSearch), uninspected: map[string]string{}}
	s.detail.cfg = cfg
	return s
}

// NewPart makes what another screen shows of requests: the list, and where there are three columns
// the one that is selected, beside what that screen has.
func NewPart(cfg Config, b Beside) *Screen {
	s := New(cfg)
	s.part, s.unfocused, s.side = true, true, b
	return s
}

// Choose shows the requests of a filter.
func (s *Screen) Choose(c *screen.Context, filter string) tea.Cmd {
	if filter == s.filter.Value() {
		return nil
	}
	return s.show(c, Show{Filter: filter})
}

// Focused says which panel of the part has the focus: none, the list, or the request.
func (s *Screen) Focused(c *screen.Context, at Focus) tea.Cmd {
	s.unfocused = at == Nowhere
	if s.focus = onList; at == OnRequest {
		s.focus = onDetail
	}
	return s.follow(c)
}

// ScrollRecent scrolls what Recent draws of page rows.
func (s *Screen) ScrollRecent(by, page int) { s.list.scroll(by, page) }

// Focus is where in a part the focus is.
type Focus uint8

// Places of the focus.
const (
	Nowhere Focus = iota
	OnRequests
	OnRequest
)

// Beside sets what stands left of the requests where there are three columns.
func (s *Screen) Beside(b Beside) { s.side = b }

// Title is its name.
func (s *Screen) Title() string { return "Requests" }

// Heading says where the requests are of, and whether they move.
func (s *Screen) Heading(c *screen.Context) string {
	state := c.Theme.Live + " live"
	if c.Paused {
		state = c.Theme.Paused + " paused"
	}
	return escaped(c.Scope.Environment) + "   " + state
}

// Typing reports whether somebody types.
func (s *Screen) Typing() bool { return s.typing || s.searching }

// Take takes a message.
func (s *Screen) Take(c *screen.Context, msg tea.Msg) tea.Cmd {
	var cmd tea.Cmd
	switch msg := msg.(type) {
	case feed.Listing:
		s.away, s.uninspected = nil, map[string]string{}
		for i := range msg.Tunnels {
			s.inspects(msg.Tunnels[i].ID, &msg.Tunnels[i])
		}
	case feed.Batch:
		for i := range msg.Events {
			if e := &msg.Events[i]; e.Event.Event == local.EventTunnel {
				s.inspects(e.TunnelID, e.Record)
			}
		}
	case feed.Away:
		s.away = msg.Err
	case Show:
		if !s.part {
			cmd = s.show(c, msg)
		}
	case screen.Freed:
		if s.still = s.log.state; !msg.Paused {
			s.adopt(c)
		}
	case pinned, replayed, cleared, copied, archived, drafted, saved:
		cmd = s.acted(c, msg)
	}
	took, asks := s.log.Take(c, msg)
	if took {
		s.adopt(c)
	}
	return tea.Batch(cmd, asks, s.detail.take(c, msg), s.follow(c))
}

// inspects takes whether requests of a tunnel are kept; nil is one that is no more.
func (s *Screen) inspects(id string, t *mezu.Tunnel) {
	delete(s.uninspected, id)
	if t != nil && t.Uninspected {
		s.uninspected[id] = t.Name
	}
}

// adopt has the list show what the log has now, as far as it doesn't stand still.
func (s *Screen) adopt(c *screen.Context) {
	if !c.Paused || s.list.rows == nil {
		s.list.take(s.log.rows)
		return
	}
	s.list.newest = s.log.rows
}

// follow has the detail be of what is selected.
func (s *Screen) follow(c *screen.Context) tea.Cmd {
	if !c.Shown || s.part && c.Layout != screen.Triple || c.Layout == screen.Column && s.focus == onList && !s.full {
		return nil
	}
	e, ok := s.list.selected()
	if !ok {
		s.detail.clear()
		return nil
	}
	return s.detail.of(c, e, s.against(e))
}

// against is the id of the exchange that another is compared with: the one that was marked, the
// one that it repeats, or the last one like it before.
func (s *Screen) against(e mezu.Exchange) string {
	switch {
	case s.marked != "" && s.marked != e.ID:
		return s.marked
	case e.ReplayOf != "":
		return e.ReplayOf
	}
	for _, o := range s.list.rows {
		if o.Sequence < e.Sequence && o.Method == e.Method && o.Path == e.Path && o.Host == e.Host {
			return o.ID
		}
	}
	return ""
}

// show shows what another screen asks for.
func (s *Screen) show(c *screen.Context, msg Show) tea.Cmd {
	s.full, s.focus, s.typing = false, onList, false
	s.filter.Set(msg.Filter)
	s.list = list{want: msg.ID}
	cmd := s.log.Filter(c, msg.Filter)
	if cmd == nil {
		s.adopt(c)
	}
	return cmd
}
