package requests

import (
	"context"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
)

// part is one of a request.
type part string

// Parts of a request.
const (
	partRequest  part = "Request"
	partResponse part = "Response"
	partFrames   part = "Frames"
	partTiming   part = "Timing"
	partDiff     part = "Diff"
)

// loadEvery is the least time between two looks at the selected request while the list moves.
const loadEvery = 400 * time.Millisecond

// detail is one request in all its parts.
type detail struct {
	cfg Config
	// id and revision are of the exchange that is asked for, and ticket of the last question.
	id       string
	revision uint64
	ticket   int
	loaded   time.Time
	late     bool // what is shown is not the newest, and is looked at again in a moment

	data *mezu.ExchangeDetail
	err  error
	got  time.Time

	part   part
	bodies map[string]body // by side
	hex    bool
	diff   difference
	frames frames

	lines  []line // of the part that is shown
	names  int    // the width of their names
	at     int
	top    int
	reveal reveal
}

// body is what there is of a body as people look at it.
type body struct {
	asked  bool
	hex    bool
	lines  []string // escaped, maxWidth cells at most
	more   int      // lines that are left out
	is     local.Content
	err    error
	served bool
}

// reveal is a value that is shown although it is a secret.
type reveal struct {
	key    string // of its line
	ticket int
	text   []string
	until  time.Time
}

// difference is what differs from another exchange.
type difference struct {
	with  string
	asked bool
	is    local.Difference
	err   error
	got   bool
}

// Messages of what was asked for. A ticket that is not the last one's is of what was selected
// before.
type (
	loaded struct {
		of     *detail
		ticket int
		data   mezu.ExchangeDetail
		err    error
	}
	read struct {
		of   *detail
		id   string
		side string
		body body
	}
	compared struct {
		of       *detail
		id, with string
		is       local.Difference
		err      error
	}
	revealed struct {
		of   *detail
		key  string
		tick int
		text []string
		err  error
	}
	hide struct {
		of   *detail
		tick int
	}
	again struct{ of *detail }
)

// clear forgets the request.
func (d *detail) clear() {
	// Tickets go on: an answer about what was selected before must not be taken for this one's.
	*d = detail{cfg: d.cfg, part: d.part, ticket: d.ticket + 1, reveal: reveal{ticket: d.reveal.ticket + 1}, frames: frames{detail: d, ticket: d.frames.ticket + 1, turn: d.frames.turn + 1}}
}

// of has the detail be of an exchange, compared with another.
func (d *detail) of(c *screen.Context, e mezu.Exchange, with string) tea.Cmd {
	same := d.id == e.ID
	if !same {
		keep, hex := d.part, d.hex
		d.clear()
		d.id, d.part, d.hex = e.ID, keep, hex
		d.bodies = map[string]body{}
		if d.part == "" {
			d.part = partRequest
		}
		if d.part == partFrames && !framed(e) {
			d.part = partResponse
		}
	}
	if same && d.revision == e.Revision {
		return d.compare(c, with)
	}
	if same && c.Paused {
		return d.compare(c, with)
	}
	if since := c.Now.Sub(d.loaded); since >= 0 && since < loadEvery {
		if d.late {
			return nil
		}
		d.late = true
		return c.After(loadEvery-since, again{d})
	}
	d.revision, d.loaded, d.late = e.Revision, c.Now, false
	d.ticket++
	return tea.Batch(d.load(c), d.compare(c, with))
}

func (d *detail) load(c *screen.Context) tea.Cmd {
	id, ticket, from := d.id, d.ticket, d.cfg.Inspector
	return c.Within(askTime, func(ctx context.Context) tea.Msg {
		data, err := from.Exchange(ctx, id, false)
		return loaded{d, ticket, data, err}
	})
}

// take takes a message.
func (d *detail) take(c *screen.Context, msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case loaded:
		if msg.of != d || msg.ticket != d.ticket {
			return nil
		}
		if d.err = msg.err; msg.err != nil {
			return nil
		}
		grown := d.data == nil || d.data.Open || d.data.Revision != msg.data.Revision
		d.data, d.got = &msg.data, c.Now
		for side, b := range d.bodies {
			if grown {
				b.asked = false
				d.bodies[side] = b
			}
		}
		return d.need(c)
	case read:
		if msg.of == d && msg.id == d.id && msg.body.hex == d.bodies[msg.side].hex {
			d.bodies[msg.side] = msg.body
			d.build(c)
		}
	case compared:
		if msg.of == d && msg.id == d.id && msg.with == d.diff.with {
			d.diff.is, d.diff.err, d.diff.got = msg.is, msg.err, true
			d.build(c)
		}
	case again:
		if msg.of == d {
			d.late = false
		}
	case revealed:
		return d.revealed(c, msg)
	case hide:
		if msg.of == d && msg.tick == d.reveal.ticket {
			d.conceal(c)
		}
	case screen.Second:
		if d.reveal.key != "" && !c.Now.Before(d.reveal.until) || d.frames.bare != nil && !c.Now.Before(d.frames.until) {
			d.conceal(c)
		}
		if d.data != nil && d.data.Open && c.Shown {
			d.build(c)
			if d.part == partFrames {
				return d.frames.need(c)
			}
		}
	case framesRead, frameRead, frameBare, frameHide:
		return d.frames.take(c, msg)
	}
	return nil
}

// need asks for what the part that is shown needs, and draws what is there.
func (d *detail) need(c *screen.Context) tea.Cmd {
	if d.data == nil {
		return nil
	}
	d.build(c)
	switch d.part {
	case partRequest:
		return d.body(c, local.SideRequest, d.data.Request.Body)
	case partResponse:
		if m := d.answer(); m != nil {
			return d.body(c, local.SideResponse, m.Body)
		}
	case partFrames:
		return d.frames.need(c)
	}
	return nil
}

// answer is the head of the answer: the workload's, or else the Warpgate's.
func (d *detail) answer() *mezu.ExchangeMessage {
	if d.data.Response != nil {
		return d.data.Response
	}
	return d.data.Returned
}

// body asks for a body, if it is to be shown and is not there.
func (d *detail) body(c *screen.Context, side string, of *mezu.ExchangeBody) tea.Cmd {
	was := d.bodies[side]
	if of == nil || of.Kept == 0 || of.Form == mezu.BodyFrames || was.asked && was.hex == d.hex {
		return nil
	}
	was.asked, was.hex = true, d.hex
	d.bodies[side] = was
	form := local.FormPretty
	if d.hex {
		form = local.FormHex
	}
	id, from, hex := d.id, d.cfg.Contents, d.hex
	return c.Within(askTime, func(ctx context.Context) tea.Msg {
		is, err := from.Body(ctx, id, side, form, false)
		b := body{asked: true, served: true, hex: hex, err: err, is: is}
		b.lines, b.more = look.Lines(is.Data, maxWidth, maxRows)
		b.is.Data = nil
		return read{d, id, side, b}
	})
}

// compare asks what differs from another exchange, if that is to be shown.
func (d *detail) compare(c *screen.Context, with string) tea.Cmd {
	if d.diff.with != with {
		d.diff = difference{with: with}
	}
	if d.part != partDiff || with == "" || d.diff.asked {
		return nil
	}
	d.diff.asked = true
	id, from := d.id, d.cfg.Contents
	return c.Within(askTime, func(ctx context.Context) tea.Msg {
		is, err := from.Diff(ctx, with, id, false)
		return compared{d, id, with, is, err}
	})
}

// parts are those that there are of the request.
func (d *detail) parts() []part {
	all := []part{partRequest, partResponse}
	if d.data != nil && framed(d.data.Exchange) {
		all = append(all, partFrames)
	}
	return append(all, partTiming, partDiff)
}

// turn shows another part.
func (d *detail) turn(c *screen.Context, by int) tea.Cmd {
	all := d.parts()
	at := 0
	for i, p := range all {
		if p == d.part {
			at = i
		}
	}
	return d.open(c, all[(at+by+len(all))%len(all)])
}

// open shows a part.
func (d *detail) open(c *screen.Context, p part) tea.Cmd {
	d.part, d.at, d.top = p, 0, 0
	d.conceal(c)
	return tea.Batch(d.need(c), d.compare(c, d.diff.with))
}

// framed reports whether an exchange has frames.
func framed(e mezu.Exchange) bool {
	return e.Kind == mezu.ExchangeWebSocket || e.Kind == mezu.ExchangeEvents || e.Kind == mezu.ExchangeGRPC
}
