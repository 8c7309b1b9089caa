// Package newtunnel is the dialog of the dashboard that opens a tunnel: what listens here, or what
// is typed, which environment it gets, and who may enter.
//
// What lives here: the dialog. What may not: how a tunnel is opened and what a target is, which
// cmd/mezu does as "mezu tunnel" does. tui/tunnels and cmd/mezu import it.
package newtunnel

import (
	"context"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/tui/field"
	"github.com/mezusphere/mezu/tui/keymap"
	"github.com/mezusphere/mezu/tui/screen"
)

const (
	// lookTime bounds the look at what listens, and at the environment.
	lookTime = 10 * time.Second
	// openTime bounds the opening: an environment is made, the tunnel registers, and a daemon
	// starts, on a machine that has other things to do.
	openTime = time.Minute
	// maxTarget bounds what is typed.
	maxTarget = 512
	// maxListeners is how many ports are shown. What is behind can be typed.
	maxListeners = 100
)

// Listener is a port on which a program of this person listens.
type Listener struct {
	Port int
	// Program is the name of its file, Command what it runs, Dir where, as far as they are
	// known.
	Program, Command, Dir string
	// Addresses are those of the port, if not everybody reaches it at localhost.
	Addresses []netip.Addr
}

// Wish is what is asked for.
type Wish struct {
	// Target is as it was typed, or a port.
	Target string
	// Name is that of the tunnel; if empty, the environment is the caller's own.
	Name   string
	Access Access
	// HostHeader is mezu.HostKeep or mezu.HostTarget.
	HostHeader string
}

// Access is who may enter. With nothing set it is everyone.
type Access struct {
	// Directory has them log in with an account of it.
	Directory string
	// User has them know a password, which is made and shown.
	User  string
	CIDRs []string
	// Public takes away what an environment asks for.
	Public bool
}

// Site is where a tunnel would be reached.
type Site struct {
	// Environment is its name; URL the address, if it is there already.
	Environment, URL string
	// Directories are those whose people may be let in.
	Directories []string
}

// Opened is a tunnel that was opened. All screens are told.
type Opened struct {
	Tunnel mezu.Tunnel
	// Password was made for this tunnel, for User; it is shown once.
	User, Password string
	// Notes are sentences about what was kept or is special.
	Notes []string
}

// Opening opens tunnels.
type Opening interface {
	Listening(ctx context.Context) ([]Listener, error)
	// Site says where a tunnel of this name would be reached. Nothing is made.
	Site(ctx context.Context, name string) (Site, error)
	Open(ctx context.Context, w Wish) (Opened, error)
}

// row is a line of the dialog that can be chosen.
type row uint8

const (
	onTarget row = iota
	onEnvironment
	onAccess
	onHost
	rows
)

// Ways to be reached, in the order in which they are shown.
const (
	everyone = iota
	members
	password
	ranges
	ways
)

// Dialog is the dialog.
type Dialog struct {
	opening Opening

	listeners []Listener
	listed    bool
	listErr   error
	at        int // in listeners; len(listeners) is the field
	typed     *field.Field

	site    Site
	sited   bool
	siteErr error
	name    *field.Field

	way    int
	detail *field.Field // directory, user or ranges
	host   string
	chosen bool // somebody chose the host

	row  row
	busy bool
	err  error
}

var (
	_ screen.Overlay = (*Dialog)(nil)
	_ screen.Clicked = (*Dialog)(nil)
)

// Messages of what was asked for.
type (
	listed struct {
		of  *Dialog
		is  []Listener
		err error
	}
	sited struct {
		of  *Dialog
		is  Site
		err error
	}
	opened struct {
		of  *Dialog
		is  Opened
		err error
	}
)

// New makes the dialog, and the command that asks for what it shows.
func New(c *screen.Context, o Opening) (*Dialog, tea.Cmd) {
	d := &Dialog{opening: o, typed: field.New(maxTarget), name: field.New(mezu.MaxLabelLength), detail: field.New(maxTarget), host: mezu.HostKeep}
	list := c.Within(lookTime, func(ctx context.Context) tea.Msg {
		is, err := o.Listening(ctx)
		return listed{d, is[:min(len(is), maxListeners)], err}
	})
	site := c.Within(lookTime, func(ctx context.Context) tea.Msg {
		is, err := o.Site(ctx, "")
		return sited{d, is, err}
	})
	return d, tea.Batch(list, site)
}

// Open is the command that opens the dialog.
func Open(c *screen.Context, o Opening) tea.Cmd {
	d, ask := New(c, o)
	return tea.Batch(screen.Cmd(screen.Open{Overlay: d}), ask)
}

// Footer are its keys.
func (d *Dialog) Footer(*screen.Context) keymap.Map {
	return keymap.Map{{Show: "↑↓", Footer: "choose"}, {Show: "tab", Footer: "next field"}, {Show: "enter", Footer: "open the tunnel"}, {Show: "esc", Footer: "cancel"}}
}

// Take takes what was asked for.
func (d *Dialog) Take(_ *screen.Context, msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case listed:
		if msg.of == d {
			d.listeners, d.listErr, d.listed = msg.is, msg.err, true
			if d.typed.Value() != "" {
				d.at = len(d.listeners)
			}
			d.propose()
		}
	case sited:
		if msg.of == d {
			d.site, d.siteErr, d.sited = msg.is, msg.err, true
		}
	case opened:
		if msg.of != d {
			return nil
		}
		d.busy = false
		if d.err = msg.err; msg.err != nil {
			return nil
		}
		return tea.Sequence(screen.Cmd(screen.Close{}), screen.Cmd(msg.is))
	}
	return nil
}

// propose chooses the Host header for a server that is known to check it.
func (d *Dialog) propose() {
	if d.chosen {
		return
	}
	d.host = mezu.HostKeep
	if d.at < len(d.listeners) && checksHost(d.listeners[d.at].Command) {
		d.host = mezu.HostTarget
	}
}

// checksHost reports whether a server refuses names that it doesn't know.
func checksHost(command string) bool {
	first, _, _ := strings.Cut(command, " ")
	return slices.Contains([]string{"vite", "webpack", "webpack-dev-server", "angular", "react-scripts", "vue", "astro", "nuxt"}, first)
}

// Key takes a key.
func (d *Dialog) Key(c *screen.Context, k tea.KeyMsg) tea.Cmd {
	if k.Type == tea.KeyEsc {
		return screen.Cmd(screen.Close{})
	}
	if d.busy {
		return nil
	}
	switch k.Type {
	case tea.KeyTab:
		d.row = (d.row + 1) % rows
	case tea.KeyShiftTab:
		d.row = (d.row + rows - 1) % rows
	case tea.KeyEnter:
		return d.open(c)
	default:
		d.edit(k)
	}
	return nil
}

// edit takes a key of the line that has the cursor.
func (d *Dialog) edit(k tea.KeyMsg) {
	up, down := k.Type == tea.KeyUp, k.Type == tea.KeyDown
	side := 0
	switch k.Type {
	case tea.KeyLeft:
		side = -1
	case tea.KeyRight:
		side = 1
	}
	switch {
	case d.row == onTarget && (up || down):
		by := 1
		if up {
			by = -1
		}
		d.at = max(0, min(d.at+by, len(d.listeners)))
		d.propose()
	case d.row == onTarget:
		if d.typed.Key(k) {
			d.at = len(d.listeners)
			d.propose()
		}
	case up:
		d.row--
	case down:
		d.row = min(d.row+1, rows-1)
	case d.row == onEnvironment:
		d.name.Key(k)
	case d.row == onAccess && side != 0:
		d.choose((d.way + side + ways) % ways)
	case d.row == onAccess && d.way != everyone:
		d.detail.Key(k)
	case d.row == onHost && side != 0:
		d.chosen = true
		d.host = hosts()[1-d.keeps()]
	}
}

// choose chooses who may enter.
func (d *Dialog) choose(way int) {
	d.way = way
	d.detail.Set("")
	if way == members && len(d.site.Directories) > 0 {
		d.detail.Set(d.site.Directories[0])
	}
}

// hosts are the Host headers, in the order in which they are shown.
func hosts() [2]string { return [...]string{mezu.HostTarget, mezu.HostKeep} }

// keeps is the index of the one that is chosen.
func (d *Dialog) keeps() int {
	if d.host == mezu.HostTarget {
		return 0
	}
	return 1
}

// open opens what is chosen.
func (d *Dialog) open(c *screen.Context) tea.Cmd {
	w := Wish{Target: strings.TrimSpace(d.typed.Value()), Name: d.name.Value(), HostHeader: d.host}
	if d.at < len(d.listeners) {
		w.Target = strconv.Itoa(d.listeners[d.at].Port)
	}
	if w.Target == "" {
		d.row, d.err = onTarget, mezu.Invalid("target", "a port, an address or a folder is missing")
		return nil
	}
	var err error
	if w.Access, err = d.access(); err != nil {
		d.row, d.err = onAccess, err
		return nil
	}
	d.busy, d.err = true, nil
	o := d.opening
	return c.Within(openTime, func(ctx context.Context) tea.Msg {
		is, err := o.Open(ctx, w)
		return opened{d, is, err}
	})
}

// access is who may enter, as it was chosen.
func (d *Dialog) access() (Access, error) {
	text := strings.TrimSpace(d.detail.Value())
	switch d.way {
	case members:
		if err := mezu.ValidateName("directory", text); err != nil {
			return Access{}, err
		}
		return Access{Directory: text}, nil
	case password:
		if text == "" {
			return Access{}, mezu.Invalid("user", "the name that visitors type beside the password is missing")
		}
		return Access{User: text}, nil
	case ranges:
		all := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' })
		if len(all) == 0 {
			return Access{}, mezu.Invalid("cidr", "a range is missing, such as 203.0.113.0/24")
		}
		for _, one := range all {
			if _, err := mezu.ParseIPRange(one); err != nil {
				return Access{}, mezu.Below("cidr", err)
			}
		}
		return Access{CIDRs: all}, nil
	}
	return Access{}, nil
}
