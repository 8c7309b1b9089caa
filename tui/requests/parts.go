package requests

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
)

// build makes the lines of the part that is shown.
func (d *detail) build(c *screen.Context) {
	d.lines, d.names = nil, 0
	if d.data == nil {
		return
	}
	switch d.part {
	case partRequest:
		d.lines = d.request(c)
	case partResponse:
		d.lines = d.response(c)
	case partTiming:
		d.lines = d.timing(c)
	case partDiff:
		d.lines = d.differing(c)
	}
	d.lines = d.lines[:min(len(d.lines), maxRows)]
	d.names = namesOf(d.lines)
	d.at = max(min(d.at, len(d.lines)-1), 0)
}

// request are the lines of what came, and of what was sent on.
func (d *detail) request(c *screen.Context) []line {
	e := d.data
	out := d.first(c, &e.Request)
	out = append(out, d.fields("request", e.Request.Fields)...)
	out = append(out, d.trailers("request/trailer", e.Request.Trailers)...)
	var after []line
	if e.Sent != nil {
		after = d.changes("as sent to "+escaped(e.Upstream), &e.Request, e.Sent)
	}
	return d.around(c, out, local.SideRequest, e.Request.Body, after)
}

// around are the lines of a body between others, as many of it as a panel has rows beside them.
func (d *detail) around(c *screen.Context, before []line, side string, of *mezu.ExchangeBody, after []line) []line {
	const notes = 4 // at most, beside the text
	return slices.Concat(before, d.content(c, side, of, max(0, maxRows-notes-len(before)-len(after))), after)
}

// first is the line, or the two, that says what was asked for, by whom.
func (d *detail) first(c *screen.Context, m *mezu.ExchangeMessage) []line {
	e := d.data
	target, proto := m.Line, ""
	if i := strings.LastIndexByte(m.Line, ' '); i > 0 && strings.HasPrefix(m.Line[i+1:], "HTTP/") {
		target, proto = m.Line[:i], m.Line[i+1:]
	}
	masked := strings.Contains(m.Line, mezu.Mask)
	if v, ok := d.shown("request/line"); ok {
		target = v
	}
	out := line{text: escaped(target) + "   " + escaped(proto), tone: look.Strong, key: "request/line", masked: masked}
	var about []string
	if e.Client != "" {
		about = append(about, "from "+escaped(e.Client))
	}
	about = append(about, "id "+d.shortID(c, e.ID))
	if e.Edge != "" {
		about = append(about, escaped(e.Edge))
	}
	if c.Layout == screen.Column || c.Layout == screen.Triple {
		return []line{out, {text: strings.Join(about, "   "), tone: look.Quiet}}
	}
	out.text += "    " + strings.Join(about, "   ")
	return []line{out}
}

// shortID is an id as there is room for it.
func (d *detail) shortID(c *screen.Context, id string) string {
	const ends = 4
	if c.Layout == screen.Triple || len(id) <= 2*ends {
		return escaped(id)
	}
	return escaped(id[:ends]) + c.Theme.Ellipsis + escaped(id[len(id)-2:])
}

// mostValue is how much of a value is shown, in cells: some lines. All of it can be copied.
const mostValue = 512

// escaped is what others wrote, as much of it as is shown.
func escaped(s string) string { return look.Head(s, mostValue) }

// hint says how a secret is shown.
const hint = "(u shows it)"

// fields are lines of fields.
func (d *detail) fields(where string, all []mezu.ExchangeField) []line {
	out := make([]line, 0, len(all))
	for i, f := range all {
		l := line{name: look.Head(f.Name, mostNames), text: escaped(f.Value), key: where + "/" + strconv.Itoa(i), masked: f.Masked}
		if v, ok := d.shown(l.key); ok {
			l.text, l.tone = escaped(v), look.Warn
		} else if f.Masked {
			l.hint = hint
		}
		out = append(out, l)
	}
	return out
}

func (d *detail) trailers(where string, all []mezu.ExchangeField) []line {
	if len(all) == 0 {
		return nil
	}
	return append([]line{{rule: true, text: "trailers"}}, d.fields(where, all)...)
}

// changes are the fields in which a message that went on differs from the one that came.
func (d *detail) changes(title string, came, went *mezu.ExchangeMessage) []line {
	count := map[mezu.ExchangeField]int{}
	for _, f := range came.Fields {
		count[mezu.ExchangeField{Name: strings.ToLower(f.Name), Value: f.Value}]++
	}
	var out []line
	for _, f := range went.Fields {
		key := mezu.ExchangeField{Name: strings.ToLower(f.Name), Value: f.Value}
		if count[key] > 0 {
			count[key]--
			continue
		}
		out = append(out, line{text: "+ " + look.Head(f.Name, mostNames) + ": " + escaped(f.Value), tone: look.Good})
	}
	for _, f := range came.Fields {
		key := mezu.ExchangeField{Name: strings.ToLower(f.Name), Value: f.Value}
		if count[key] > 0 {
			count[key]--
			out = append(out, line{text: "- " + look.Head(f.Name, mostNames) + ": " + escaped(f.Value), tone: look.Quiet})
		}
	}
	if went.Line != came.Line {
		out = append([]line{{text: escaped(went.Line), tone: look.Good}}, out...)
	}
	if len(out) == 0 {
		return nil
	}
	return append([]line{{rule: true, text: title}}, out...)
}

// content are the lines of a body, at most so many of its text.
func (d *detail) content(c *screen.Context, side string, of *mezu.ExchangeBody, most int) []line {
	if of == nil || of.Size == 0 {
		return nil
	}
	b := d.bodies[side]
	out := []line{{rule: true, text: about(of, b.hex)}}
	note := func(tone look.Tone, format string, a ...any) {
		out = append(out, line{text: fmt.Sprintf(format, a...), tone: tone})
	}
	switch {
	case of.Form == mezu.BodyFrames:
		note(look.Quiet, "its frames are in the part Frames")
		return out
	case of.Kept == 0 && d.data.Depth != mezu.DepthAll:
		note(look.Warn, "not kept: there were too many requests a second")
		return out
	case of.Kept == 0:
		note(look.Quiet, "not kept")
		return out
	case b.err != nil:
		note(look.Bad, "%s", escaped(b.err.Error()))
		return out
	case !b.served:
		note(look.Quiet, "%s", c.Theme.Ellipsis)
		return out
	}
	if b.is.Problem != "" {
		note(look.Warn, "%s", escaped(b.is.Problem))
	}
	text, more := b.lines, b.more
	if over := len(text) - most; over > 0 {
		text, more = text[:most], more+over
	}
	for i, one := range text {
		l := line{text: one, key: side + "/body/" + strconv.Itoa(i), masked: strings.Contains(one, mezu.Mask)}
		if v, ok := d.shown(l.key); ok {
			l.text, l.tone = escaped(v), look.Warn
		} else if l.masked && b.is.Masked > 0 {
			l.hint = hint
		}
		out = append(out, l)
	}
	if more > 0 {
		note(look.Quiet, "%s %s lines more; w writes all to a file", c.Theme.More, look.Count(more))
	}
	if of.Kept < of.Size {
		note(look.Warn, "%s of %s are kept", look.Bytes(of.Kept), look.Bytes(of.Size))
	}
	return out
}

// about says what a body is.
func about(b *mezu.ExchangeBody, hex bool) string {
	form := map[mezu.BodyForm]string{mezu.BodyJSON: "JSON", mezu.BodyFields: "form", mezu.BodyMultipart: "multipart", mezu.BodyXML: "XML", mezu.BodyText: "text", mezu.BodyBinary: "binary"}[b.Form]
	s := "body " + look.Bytes(b.Size)
	if form != "" {
		s += ", " + form
	}
	if b.Encoding != "" {
		s += ", " + look.Head(b.Encoding, leastNames)
	}
	if hex {
		s += ", as it came"
	}
	return s
}

// response are the lines of the answer.
func (d *detail) response(c *screen.Context) []line {
	e := d.data
	var out []line
	if e.Code != "" || e.Cause != "" || e.Message != "" {
		text := escaped(strings.TrimSpace(string(e.Code) + " " + string(e.Cause)))
		if e.Message != "" {
			text += ": " + escaped(e.Message)
		}
		out = append(out, line{text: strings.TrimPrefix(text, ": "), tone: look.Bad, key: "response/why"})
	}
	for i := range e.Interims {
		m := &e.Interims[i]
		out = append(out, line{text: escaped(m.Line), tone: look.Quiet})
		out = append(out, d.fields("interim/"+strconv.Itoa(i), m.Fields)...)
	}
	m := d.answer()
	if m == nil {
		text := "no answer"
		if e.Open {
			text = "no answer yet, after " + look.Took(running(c, &e.Exchange))
		}
		return append(out, line{text: text, tone: look.Quiet})
	}
	out = append(out, line{text: escaped(m.Line) + "   after " + look.Took(running(c, &e.Exchange)), tone: look.Strong, key: "response/line"})
	out = append(out, d.fields("response", m.Fields)...)
	after := d.trailers("response/trailer", m.Trailers)
	if e.Response != nil && e.Returned != nil {
		after = append(after, d.changes("as returned", e.Response, e.Returned)...)
	}
	return d.around(c, out, local.SideResponse, m.Body, after)
}

// timing are the lines of when what happened, and on which way.
func (d *detail) timing(c *screen.Context) []line {
	e := d.data
	t := e.Timing
	end := t.EndMS
	if end == 0 {
		end = running(c, &e.Exchange)
	}
	var out []line
	add := func(name string, from, to float64, note string) {
		if to <= 0 && from <= 0 {
			return
		}
		out = append(out, line{name: name, span: &span{from, to, end}, text: millis(max(0, to-from)) + note})
	}
	add("queued", 0, t.QueuedMS, "")
	note := ""
	if t.Reused {
		note = "  a connection that there was"
	}
	if t.Reused && t.ConnectMS == 0 {
		out = append(out, line{name: "connect", text: strings.TrimSpace(note), tone: look.Quiet})
	} else if t.ConnectMS > 0 {
		add("connect", t.QueuedMS, t.QueuedMS+t.ConnectMS, note)
	}
	connected := t.QueuedMS + t.ConnectMS
	if t.SentMS > 0 {
		add("head sent", connected, t.SentMS, "")
	}
	if t.UploadedMS > 0 {
		add("body sent", t.SentMS, t.UploadedMS, "")
	}
	if t.FirstByteMS > 0 {
		add("first byte", max(t.SentMS, connected), t.FirstByteMS, "")
		add("answer", t.FirstByteMS, end, "")
	}
	state := ""
	if e.Open {
		state = "  so far"
	}
	out = append(out, line{name: "all", text: millis(end) + state, tone: look.Strong})
	out = append(out, line{rule: true, text: "the way"})
	for _, one := range []struct{ name, text string }{
		{"began", e.StartedAt.In(c.Now.Location()).Format("2006-01-02 15:04:05.000")}, {"tunnel", e.Tunnel}, {"edge", e.Edge}, {"Warpgate", e.Warpgate}, {"workload", e.Upstream},
		{"route", e.Route}, {"user", e.User}, {"client", e.Client}, {"host", e.Host}, {"id", e.ID}, {"request id", e.RequestID}, {"replay of", e.ReplayOf},
	} {
		if one.text != "" {
			out = append(out, line{name: one.name, text: escaped(one.text), key: "timing/" + one.name})
		}
	}
	out = append(out, line{name: "bytes", text: look.Bytes(e.BytesIn) + " in, " + look.Bytes(e.BytesOut) + " out"})
	return out
}

// millis is a time of the timing, which is finer than those of lists.
func millis(ms float64) string {
	if ms < 100 {
		return strconv.FormatFloat(ms, 'f', 1, 64) + " ms"
	}
	return look.Took(ms)
}

// span is a part of all the time that a request took.
type span struct{ from, to, all float64 }

// bar draws it where a line has w cells for it and for how long it is.
func (s *span) bar(t *look.Theme, w int) string {
	const most, least, times = 30, 4, 10 // the last are those of how long, and the gap before
	cells := max(least, min(most, w-times))
	if s.all <= 0 {
		return strings.Repeat(" ", cells)
	}
	left := min(int(s.from/s.all*float64(cells)), cells-1)
	n := max(1, int((s.to-s.from)/s.all*float64(cells)+0.5))
	return t.Fit(strings.Repeat(" ", left)+strings.Repeat(t.Bar[len(t.Bar)-1], min(n, cells-left)), cells)
}

// differing are the lines of what differs from another exchange.
func (d *detail) differing(c *screen.Context) []line {
	x := &d.diff
	switch {
	case x.with == "":
		return []line{{text: "nothing to compare with: d marks this one, and d on another compares them", tone: look.Quiet}}
	case x.err != nil:
		return []line{{text: escaped(x.err.Error()), tone: look.Bad}}
	case !x.got:
		return []line{{text: c.Theme.Ellipsis, tone: look.Quiet}}
	}
	at := func(e mezu.Exchange) string {
		return d.shortID(c, e.ID) + " of " + e.StartedAt.In(c.Now.Location()).Format("15:04:05")
	}
	out := []line{{text: "- " + at(x.is.A) + "   + " + at(x.is.B), tone: look.Strong}}
	if len(x.is.Items) == 0 {
		return append(out, line{text: "nothing differs", tone: look.Quiet})
	}
	for i, one := range x.is.Items {
		if len(out) >= maxRows-2 {
			return append(out, line{text: look.Count(len(x.is.Items)-i) + " more", tone: look.Quiet})
		}
		out = append(out, line{rule: true, text: escaped(one.Part) + " " + escaped(one.Name)})
		if one.Before != "" {
			out = append(out, line{text: "- " + escaped(one.Before), tone: look.Bad, key: "diff/before/" + strconv.Itoa(i)})
		}
		if one.After != "" {
			out = append(out, line{text: "+ " + escaped(one.After), tone: look.Good, key: "diff/after/" + strconv.Itoa(i)})
		}
	}
	return out
}
