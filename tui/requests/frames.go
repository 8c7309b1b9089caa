package requests

import (
	"context"
	"strconv"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/tui/keymap"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
)

// framesEvery is the least time between two questions for frames.
const framesEvery = askEvery

// frames are those of one exchange, with one of them in whole.
type frames struct {
	detail *detail

	rows   []mezu.Frame // oldest first
	total  int
	err    error
	got    bool
	asking bool
	asked  time.Time

	at, top int
	still   bool
	knew    int // the last number when it began to stand still

	// number is that of the frame whose content there is or is asked for, in which form.
	number int
	hex    bool
	ticket int
	body   body
	scroll int

	// bare is the selected frame without its masks, while somebody wants to see that, and turn
	// the number of the last question for one.
	bare  *body
	until time.Time
	turn  int
}

type (
	framesRead struct {
		of  *detail
		id  string
		is  local.Frames
		err error
	}
	frameRead struct {
		of     *detail
		ticket int
		body   body
	}
	frameBare struct {
		of   *detail
		turn int
		body body
	}
	frameHide struct {
		of   *detail
		turn int
	}
)

// need asks for frames that came since, and for the selected one.
func (f *frames) need(c *screen.Context) tea.Cmd {
	return tea.Batch(f.ask(c), f.one(c))
}

func (f *frames) ask(c *screen.Context) tea.Cmd {
	d := f.detail
	if f.asking || d.data == nil || f.got && f.err == nil && f.last() >= d.data.Frames || c.Paused && f.got {
		return nil
	}
	if since := c.Now.Sub(f.asked); since >= 0 && since < framesEvery {
		return nil // the next second asks
	}
	f.asking, f.asked = true, c.Now
	after := f.last()
	id, from := d.id, d.cfg.Inspector
	return c.Within(askTime, func(ctx context.Context) tea.Msg {
		is, err := from.Frames(ctx, id, after, maxRows)
		return framesRead{d, id, is, err}
	})
}

// last is the number of the last frame that is there.
func (f *frames) last() int {
	if len(f.rows) == 0 {
		return 0
	}
	return f.rows[len(f.rows)-1].Number
}

// one asks for the content of the selected frame.
func (f *frames) one(c *screen.Context) tea.Cmd {
	if f.at >= len(f.rows) {
		return nil
	}
	d := f.detail
	number := f.rows[f.at].Number
	if f.number == number && f.hex == d.hex {
		return nil
	}
	f.number, f.hex, f.scroll = number, d.hex, 0
	f.ticket++
	f.body = body{asked: true}
	f.conceal()
	ticket := f.ticket
	return f.load(c, false, func(b body) tea.Msg { return frameRead{d, ticket, b} })
}

// form is how the content is shown.
func (f *frames) form() local.Form {
	if f.hex {
		return local.FormHex
	}
	return local.FormPretty
}

// load asks for the content of the frame.
func (f *frames) load(c *screen.Context, unmask bool, give func(body) tea.Msg) tea.Cmd {
	id, number, form, from := f.detail.id, f.number, f.form(), f.detail.cfg.Contents
	return c.Within(askTime, func(ctx context.Context) tea.Msg {
		is, err := from.Frame(ctx, id, number, form, unmask)
		b := body{asked: true, served: true, err: err, is: is}
		b.lines, b.more = look.Lines(is.Data, maxWidth, maxRows)
		b.is.Data = nil
		return give(b)
	})
}

// unmask shows the secrets of the selected frame for a while, or no longer.
func (f *frames) unmask(c *screen.Context) tea.Cmd {
	if f.bare != nil {
		f.conceal()
		return nil
	}
	if f.body.is.Masked == 0 {
		return screen.Cmd(screen.Say{Text: "nothing is masked here"})
	}
	f.conceal()
	d, turn := f.detail, f.turn
	return f.load(c, true, func(b body) tea.Msg { return frameBare{d, turn, b} })
}

// conceal masks what was shown, or was asked for.
func (f *frames) conceal() {
	f.bare = nil
	f.turn++
}

// take takes an answer.
func (f *frames) take(c *screen.Context, msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case framesRead:
		if msg.of != f.detail || msg.id != f.detail.id {
			return nil
		}
		f.asking = false
		if f.err = msg.err; msg.err != nil {
			return nil
		}
		f.got, f.total = true, msg.is.Total
		last := f.last()
		for _, one := range msg.is.Items {
			if one.Number > last {
				f.rows, last = append(f.rows, one), one.Number
			}
		}
		if over := len(f.rows) - maxRows; over > 0 {
			f.rows = append([]mezu.Frame(nil), f.rows[over:]...)
			f.at, f.top = max(0, f.at-over), max(0, f.top-over)
		}
		if !f.still {
			f.at = max(0, len(f.rows)-1)
		}
		return f.one(c)
	case frameRead:
		if msg.of == f.detail && msg.ticket == f.ticket {
			f.body = msg.body
		}
	case frameBare:
		if msg.of != f.detail || msg.turn != f.turn {
			return nil
		}
		if msg.body.err != nil {
			return failed("shown", msg.body.err)
		}
		f.bare, f.until = &msg.body, c.Now.Add(showFor)
		return c.After(showFor, frameHide{msg.of, msg.turn})
	case frameHide:
		if msg.of == f.detail && msg.turn == f.turn {
			f.conceal()
		}
	}
	return nil
}

// move moves the cursor among the frames.
func (f *frames) move(c *screen.Context, a keymap.Action, page int) tea.Cmd {
	at, ok := keymap.Move(a, f.at, len(f.rows), page)
	if !ok {
		return nil
	}
	return f.put(c, at, page)
}

func (f *frames) put(c *screen.Context, at, page int) tea.Cmd {
	if !f.still {
		f.knew = f.last()
	}
	f.at = max(min(at, len(f.rows)-1), 0)
	f.top = keymap.Scroll(f.top, f.at, len(f.rows), page)
	f.still = f.at < len(f.rows)-1
	return f.one(c)
}

// table is the list of frames in w cells, with page of them.
func (f *frames) table(c *screen.Context, w, page int) []string {
	t := c.Theme
	if f.err != nil {
		return []string{t.Paint(look.Bad, escaped(f.err.Error()))}
	}
	if !f.got {
		return []string{t.Paint(look.Quiet, t.Ellipsis)}
	}
	if len(f.rows) == 0 {
		return []string{t.Paint(look.Quiet, "no frame yet")}
	}
	digits := max(3, len(strconv.Itoa(f.last())))
	b := look.Table{Columns: []look.Column{{Head: "#", Width: digits}, {Head: "TIME", Width: 13}, {Head: "DIR", Width: 4}, {Head: "KIND", Width: 7}, {Head: "SIZE", Width: 6, Right: true}, {Head: " DATA", Width: 10, Grow: 1}}, Selected: -1}
	if c.Layout == screen.Column {
		b.Columns[1].Rank, b.Columns[4].Rank = 2, 1
	}
	page--
	top := keymap.Scroll(f.top, f.at, len(f.rows), page)
	for i := top; i < min(len(f.rows), top+page); i++ {
		one := &f.rows[i]
		if i == f.at {
			b.Selected = i - top
		}
		dir, tone := t.In, look.Accent
		if one.Out {
			dir, tone = t.Out, look.Good
		}
		text := look.Head(one.Text, w)
		if one.Name != "" {
			text = look.Head(one.Name, w) + "  " + text
		}
		if one.Problem != "" {
			text += "  " + look.Head(one.Problem, w)
		}
		if len(text) > w {
			text = t.Cut(text, w)
		}
		kind := look.Plain
		if one.Kind == mezu.FrameBroken {
			kind = look.Bad
		}
		b.Rows = append(b.Rows, []look.Cell{{Text: strconv.Itoa(one.Number)}, {Text: one.Time.In(c.Now.Location()).Format("15:04:05.000")}, {Text: dir, Tone: tone}, {Text: string(one.Kind), Tone: kind},
			{Text: look.Bytes(one.Size)}, {Text: " " + text}})
	}
	return b.Draw(t, w)
}

// right is what stands right of the title of the list.
func (f *frames) right(t *look.Theme) string {
	if len(f.rows) == 0 {
		return ""
	}
	s := look.Count(f.at+1) + " of " + look.Count(len(f.rows))
	if n := f.last() - f.knew; f.still && n > 0 {
		s = t.More + " " + look.Count(n) + " new   " + s
	}
	if f.total > len(f.rows) {
		s = "last " + look.Count(len(f.rows)) + " of " + look.Count(f.total) + "   " + s
	}
	return s
}

// title is that of the selected frame.
func (f *frames) title(c *screen.Context) (title, right string) {
	if f.at >= len(f.rows) {
		return "Frame", ""
	}
	one := &f.rows[f.at]
	from := c.Theme.In + " from the client"
	if one.Out {
		from = c.Theme.Out + " from the workload"
	}
	title = "Frame " + strconv.Itoa(one.Number) + "   " + from
	if one.Name != "" {
		title += "   " + look.Head(one.Name, maxWidth)
	}
	right = look.Bytes(one.Size)
	if one.Kept < one.Size {
		right = look.Bytes(one.Kept) + " of " + right
	}
	if f.hex {
		right = "hex   " + right
	}
	return title, right
}

// content is the selected frame in h lines of w cells.
func (f *frames) content(c *screen.Context, w, h int) []string {
	t := c.Theme
	if f.at >= len(f.rows) {
		return nil
	}
	b := &f.body
	if f.bare != nil {
		b = f.bare
	}
	switch {
	case b.err != nil:
		return []string{t.Paint(look.Bad, escaped(b.err.Error()))}
	case !b.served:
		return []string{t.Paint(look.Quiet, t.Ellipsis)}
	}
	var out []string
	if b.is.Problem != "" {
		out = append(out, t.Paint(look.Warn, escaped(b.is.Problem)))
	}
	for i := min(f.scroll, len(b.lines)); i < len(b.lines) && len(out) < h; i++ {
		out = append(out, look.Wrap(b.lines[i], min(w, maxWidth))...)
	}
	if b.more > 0 && len(out) < h {
		out = append(out, t.Paint(look.Quiet, look.Count(b.more)+" lines more; w writes all to a file"))
	}
	return out
}

// find moves to the next frame with a text in its line, and reports whether there is one.
func (f *frames) find(c *screen.Context, text string, page int) (bool, tea.Cmd) {
	text = strings.ToLower(text)
	for n := 1; n <= len(f.rows); n++ {
		i := (f.at + n) % len(f.rows)
		if strings.Contains(strings.ToLower(f.rows[i].Name+" "+f.rows[i].Text), text) {
			return true, f.put(c, i, page)
		}
	}
	return false, nil
}
