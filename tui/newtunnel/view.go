package newtunnel

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu/tui/keymap"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
)

const (
	// width is how wide the dialog is where there is room.
	width = 73
	// labels is how wide the column of names is.
	labels = 14
)

// area is where the dialog is over a screen, and its lines.
type area struct {
	look.Rect
	lines []string
	// ports, field and foot are the indexes of the first line of each part; first is the port that
	// is shown first.
	ports, field, foot int
	first              int
}

// area puts it over a screen of w by h cells.
func (d *Dialog) area(c *screen.Context, w, h int) area {
	wide := min(width, w-2)
	inner := wide - 4
	foot, blank := d.foot(c, inner), 1
	if least := 2 + 1 + 1 + len(foot); least > h { // of the frame, a port, the field
		foot, blank = slices.DeleteFunc(foot, func(l string) bool { return l == "" }), 0
	}
	head := []string{"What answers on this machine (yours, listening):", ""}
	room := h - 2 - len(head) - len(foot) - 1
	if room < 3 {
		head, room = nil, h-2-len(foot)-1
	}
	n := min(len(d.listeners), max(1, room-1))
	p := area{first: keymap.Scroll(0, min(d.at, len(d.listeners)-1), len(d.listeners), n), ports: len(head)}
	p.lines = append(head, d.list(c, inner, p.first, n)...)
	p.field = len(p.lines)
	p.foot = p.field + blank
	p.lines = append(append(p.lines, d.field(c, inner)), foot...)
	tall := min(len(p.lines)+2, h)
	p.Rect = look.Rect{X: min(3, (w-wide)/2), Y: max(0, (h-tall)/2), W: wide, H: tall}
	return p
}

// View draws it over the screen.
func (d *Dialog) View(c *screen.Context, under []string, w, h int) []string {
	t := c.Theme
	right := "nothing is open yet"
	if d.busy {
		right = "opening " + t.Ellipsis
	}
	at := d.area(c, w, h)
	p := look.Panel{Title: "New tunnel", Right: right, Focused: true}
	return t.Put(under, p.Draw(t, at.lines, at.W, at.H), at.X, at.Y)
}

// Click chooses what is there.
func (d *Dialog) Click(c *screen.Context, x, y int, _ bool) tea.Cmd {
	at := d.area(c, c.Width, c.Height)
	line := y - at.Y - 1
	if d.busy || !at.Has(x, y) || line < at.ports || line >= at.Body() {
		return nil
	}
	if line <= at.field {
		n := at.first + line - at.ports
		if line == at.field {
			n = len(d.listeners)
		}
		if n >= 0 && n <= len(d.listeners) {
			d.row, d.at = onTarget, n
			d.propose()
		}
		return nil
	}
	t := c.Theme
	x -= at.X + 2 + labels
	host := 3
	if d.way != everyone {
		host = 4 // the way says more in a line of its own
	}
	switch line -= at.foot; {
	case line == 1:
		d.row = onEnvironment
	case line == 2:
		d.row = onAccess
		o := d.reach(at.W - 4)
		if i := o.at(t, x); i >= 0 && i != d.way && len(o.all) == ways {
			d.choose(i)
		}
	case line == host:
		d.row = onHost
		if i := d.headers().at(t, x); i >= 0 {
			d.chosen, d.host = true, hosts()[i]
		}
	case line == 3:
		d.row = onAccess
	}
	return nil
}

// options are some of which one is chosen, in a line.
type options struct {
	chosen int
	all    []string
}

// between is what stands between two options.
const between = "   "

// one is an option as it is drawn.
func (o options) one(t *look.Theme, i int) string {
	if i == o.chosen {
		return t.Paint(look.Strong, t.Selected+" "+o.all[i])
	}
	return o.all[i]
}

// line is all of them.
func (o options) line(t *look.Theme) string {
	out := make([]string, len(o.all))
	for i := range o.all {
		out[i] = o.one(t, i)
	}
	return strings.Join(out, between)
}

// at is the index of the option at a cell of the line, -1 for none.
func (o options) at(t *look.Theme, x int) int {
	for i := range o.all {
		w := look.Width(o.one(t, i))
		if x >= 0 && x < w {
			return i
		}
		x -= w + len(between)
	}
	return -1
}

// reach are the ways to be reached: all where there is room for them.
func (d *Dialog) reach(w int) options {
	all := []string{"everyone", "people of a directory", "password", "CIDR"}
	if w < 66 {
		return options{0, all[d.way : d.way+1]}
	}
	return options{d.way, all}
}

// headers are the Host headers.
func (d *Dialog) headers() options {
	check := "target"
	if d.at < len(d.listeners) && checksHost(d.listeners[d.at].Command) {
		check += " (" + called(d.listeners[d.at].Command) + " checks it)"
	}
	return options{d.keeps(), []string{check, "keep"}}
}

// list are the ports, n of them from the first on.
func (d *Dialog) list(c *screen.Context, w, first, n int) []string {
	t := c.Theme
	switch {
	case !d.listed:
		return []string{"  " + t.Paint(look.Quiet, t.Ellipsis)}
	case d.listErr != nil:
		return []string{"  " + t.Paint(look.Quiet, t.Cut("it can't be seen what listens here: "+look.Head(d.listErr.Error(), 512), w-2))}
	case len(d.listeners) == 0:
		return []string{"  " + t.Paint(look.Quiet, "nothing of yours listens here now")}
	}
	b := look.Table{NoHead: true, Selected: -1, Columns: []look.Column{{Width: 6}, {Width: 10}, {Width: 12, Grow: 1}, {Width: 10, Grow: 1, Rank: 2}, {Width: 6, Rank: 1}}}
	for i, l := range d.listeners[first : first+n] {
		if first+i == d.at {
			b.Selected = i
		}
		b.Rows = append(b.Rows, []look.Cell{{Text: strconv.Itoa(l.Port), Tone: look.Strong}, {Text: look.Head(l.Program, 10)}, {Text: look.Head(l.Command, w)}, {Text: look.Head(l.Dir, w), Tone: look.Quiet}, {Text: families(l.Addresses), Tone: look.Quiet}})
	}
	return b.Draw(t, w)
}

// families names the only family of addresses at which a port is reached.
func families(all []netip.Addr) string {
	four := slices.ContainsFunc(all, func(a netip.Addr) bool { return a.Is4() || a.IsUnspecified() })
	if len(all) > 0 && !four {
		return "[::1]"
	}
	return ""
}

// field is the line in which a target is typed.
func (d *Dialog) field(c *screen.Context, w int) string {
	t := c.Theme
	const label = "or type a port, an address, a folder: "
	sign := "  "
	typing := d.row == onTarget && d.at == len(d.listeners)
	if typing {
		sign = t.Selected + " "
	}
	if w < len(label)+12 {
		const short = "or type: "
		return sign + short + d.typed.View(t, w-len(short)-2, typing)
	}
	return sign + label + d.typed.View(t, w-len(label)-2, typing)
}

// foot are the lines below the target.
func (d *Dialog) foot(c *screen.Context, w int) []string {
	t := c.Theme
	label := func(at row, text string) string {
		if d.row == at {
			return t.Paint(look.Accent, t.Fit(text, labels))
		}
		return t.Fit(text, labels)
	}
	environment := t.Paint(look.Quiet, t.Ellipsis)
	switch {
	case d.siteErr != nil:
		environment = t.Dash
	case d.sited:
		environment = look.Head(d.site.Environment, 60)
		switch {
		case d.row == onEnvironment:
			environment += "-" + d.name.View(t, 20, true)
		case d.name.Value() != "":
			environment += "-" + look.Text(d.name.Value())
		default:
			environment = t.Fit(environment, 16) + " its address never changes"
		}
	}
	out := []string{"", label(onEnvironment, "Environment") + environment, label(onAccess, "Reachable by") + d.reach(w).line(t)}
	if name := [ways]string{"", "directory", "user", "ranges"}[d.way]; name != "" {
		out = append(out, t.Fit("", labels)+name+": "+d.detail.View(t, w-labels-len(name)-2, d.row == onAccess))
	}
	out = append(out, label(onHost, "Host header")+d.headers().line(t), "")
	switch err := cmp.Or(d.err, d.siteErr); {
	case err != nil:
		for _, line := range look.Wrap(look.Head(err.Error(), 512), w) {
			out = append(out, t.Paint(look.Bad, line))
		}
	case d.site.URL != "" && d.name.Value() == "":
		out = append(out, look.Head(d.site.URL, w))
	default:
		out = append(out, t.Paint(look.Quiet, "its address is made when it is opened"))
	}
	return append(out, "")
}

// called is how people call a program.
func called(command string) string {
	first, _, _ := strings.Cut(command, " ")
	if first == "" {
		return ""
	}
	return look.Text(strings.ToUpper(first[:1]) + first[1:])
}
