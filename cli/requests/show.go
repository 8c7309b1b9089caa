package requests

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/cli/tunnel/show"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/namedfile"
)

// shownLines is how many lines of a body stand below its head, and shownWidth how much of each.
// --body has all.
const (
	shownLines = 100
	shownWidth = 1000
)

type showOptions struct {
	*command
	// Body is the side whose body alone is asked for; Frames asks for the list of frames, and
	// Frame is the number of the one that is asked for.
	Body        string
	Frames      bool
	Frame       int
	Hex, Unmask bool
	Descriptors string
}

// show is "mezu requests show".
func (o *command) show() *cli.Command {
	c := o.one("show", "Show a request and its answer: heads, bodies, frames, times", []cli.Flag{
		&cli.StringFlag{Name: "body", Usage: "only the body of `SIDE`: request or response (byte for byte, or for people on a terminal)"},
		flag("frames", "the frames of a WebSocket, the events of an event stream or the messages of gRPC"),
		&cli.IntFlag{Name: "frame", Usage: "only the content of the frame `N`, as --body"},
		flag("hex", "bytes in hexadecimal, with --body or --frame"),
		unmaskFlag(),
		&cli.PathFlag{Name: "descriptors", Usage: "name gRPC's fields as `FILE` does, written by protoc --include_imports --descriptor_set_out"},
	}, func(line *cli.Context) (action, error) {
		s := &showOptions{o, line.String("body"), line.Bool("frames"), line.Int("frame"), line.Bool("hex"), line.Bool("unmask"), o.Path(line.Path("descriptors"))}
		return s.run, s.check(line.IsSet("frame"))
	})
	c.Before = func(line *cli.Context) error {
		if line.IsSet("body") || line.IsSet("frame") {
			return o.Is(invocation.Shows | invocation.Text)(line)
		}
		return o.Is(invocation.Shows | invocation.Named)(line)
	}
	return c
}

func (o *showOptions) check(framed bool) error {
	parts := 0
	for _, is := range []bool{o.Body != "", o.Frames, framed} {
		if is {
			parts++
		}
	}
	switch {
	case o.Body != "" && o.Body != local.SideRequest && o.Body != local.SideResponse:
		return exit.Usagef("--body is %s or %s, not %q", local.SideRequest, local.SideResponse, o.Body)
	case parts > 1:
		return exit.Usagef("--body, --frames and --frame exclude each other")
	case framed && o.Frame < 1:
		return exit.Usagef("--frame is 1 or more, not %d", o.Frame)
	case o.Hex && o.Body == "" && !framed:
		return exit.Usagef("--hex is for --body or --frame")
	}
	return nil
}

func (o *showOptions) run(ctx context.Context, c *local.Client, id string) error {
	if o.Descriptors != "" {
		set, err := namedfile.Read(o.Descriptors, local.MaxDescriptors)
		if err != nil {
			return fmt.Errorf("reading the descriptors: %w", err)
		}
		if err := c.Descriptors(ctx, set); err != nil {
			return err
		}
	}
	switch {
	case o.Body != "":
		content, err := c.Body(ctx, id, o.Body, o.form(), o.Unmask)
		if err != nil {
			return err
		}
		return o.content(content)
	case o.Frame > 0:
		content, err := c.Frame(ctx, id, o.Frame, o.form(), o.Unmask)
		if err != nil {
			return err
		}
		return o.content(content)
	case o.Frames:
		return o.frames(ctx, c, id)
	}
	d, err := c.Exchange(ctx, id, o.Unmask)
	if err != nil {
		return err
	}
	if o.Flags.Output != terminal.Table {
		return o.WriteValue(o.Flags.Output, d)
	}
	text, err := o.detail(ctx, c, &d)
	if err != nil {
		return err
	}
	_, err = o.Out.Write(text)
	return err
}

// form is how bytes are to be given.
func (o *showOptions) form() local.Form {
	switch {
	case o.Hex:
		return local.FormHex
	case o.OutTerminal:
		return local.FormPretty
	}
	return local.FormRaw
}

// content writes bytes to stdout, and says on stderr what is not in them.
func (o *showOptions) content(c local.Content) error {
	data := c.Data
	if o.form() != local.FormRaw {
		data = cleanLines(data)
	}
	if _, err := o.Out.Write(data); err != nil {
		return err
	}
	o.maskedNote(c.Masked)
	if o.form() == local.FormRaw && c.Masked == 0 && c.Problem == "" && c.Size > int64(len(c.Data)) {
		o.Signf(terminal.Caution, "the first %s of %s are kept", show.Size(int64(len(c.Data))), show.Size(c.Size))
	}
	if c.Problem != "" {
		o.Signf(terminal.Caution, "%s", terminal.Clean(c.Problem))
	}
	return nil
}

// cleanLines makes lines of a body safe for a terminal. The daemon has done so already; this
// command doesn't rely on it.
func cleanLines(data []byte) []byte {
	var b bytes.Buffer
	for line := range bytes.Lines(data) {
		b.WriteString(terminal.Clean(strings.ReplaceAll(strings.TrimRight(string(line), "\r\n"), "\t", "    ")) + "\n")
	}
	return b.Bytes()
}

// clock is a time with its milliseconds: by the clock of this machine on a terminal, where people
// compare it with other logs, and in RFC 3339 elsewhere.
func (o *showOptions) clock(t time.Time, layout string) string {
	if !o.OutTerminal {
		return t.UTC().Format(time.RFC3339Nano)
	}
	return t.Local().Format(layout)
}

// frames lists the frames that are kept.
func (o *showOptions) frames(ctx context.Context, c *local.Client, id string) error {
	all := []mezu.Frame{}
	var got local.Frames
	for after := 0; len(all) <= mezu.MaxFrames; {
		var err error
		if got, err = c.Frames(ctx, id, after, local.MaxPage); err != nil {
			return err
		}
		all = append(all, got.Items...)
		if len(got.Items) == 0 || got.Items[len(got.Items)-1].Number >= got.Total {
			break
		}
		after = got.Items[len(got.Items)-1].Number
	}
	if err := terminal.WriteList(o.Streams, o.Flags.Output, all, o.frameColumns()); err != nil {
		return err
	}
	switch {
	case got.Total == 0:
		o.Sayf("it has no frames")
	case got.First > 1:
		o.Signf(terminal.Caution, "the first %d of %d are not kept any more", got.First-1, got.Total)
	}
	return nil
}

func (o *showOptions) frameColumns() []terminal.Column[mezu.Frame] {
	in, out := "→", "←" // to the workload, and from it
	if !o.Unicode {
		in, out = ">", "<"
	}
	return []terminal.Column[mezu.Frame]{
		{Head: "#", Rank: terminal.Handle, Value: func(f mezu.Frame) string { return fmt.Sprint(f.Number) }},
		{Head: "TIME", Value: func(f mezu.Frame) string { return o.clock(f.Time, "15:04:05.000") }},
		{Head: "DIR", Value: func(f mezu.Frame) string {
			if f.Out {
				return out
			}
			return in
		}},
		{Head: "KIND", Value: func(f mezu.Frame) string { return string(f.Kind) }},
		{Head: "SIZE", Value: func(f mezu.Frame) string { return show.Size(f.Size) }},
		{Head: "DATA", Value: func(f mezu.Frame) string {
			return strings.TrimSpace(strings.Join([]string{f.Name, f.Text, f.Problem}, " "))
		}},
	}
}

// detailPage is what is shown of one request.
type detailPage struct {
	*showOptions
	b      bytes.Buffer
	masked int
}

// detail is a whole request for people.
func (o *showOptions) detail(ctx context.Context, c *local.Client, d *mezu.ExchangeDetail) ([]byte, error) {
	p := &detailPage{showOptions: o}
	p.summary(d)
	p.title("request")
	p.message(&d.Request)
	if err := p.body(ctx, c, d, local.SideRequest, &d.Request); err != nil {
		return nil, err
	}
	if d.Sent != nil {
		p.changes("as sent to "+d.Upstream, &d.Request, d.Sent)
	}
	for i := range d.Interims {
		p.title("interim response")
		p.message(&d.Interims[i])
	}
	if r := d.Response; r != nil {
		p.title("response")
		p.message(r)
		if err := p.body(ctx, c, d, local.SideResponse, r); err != nil {
			return nil, err
		}
		if d.Returned != nil {
			p.changes("as returned to the edge", r, d.Returned)
		}
	} else if d.Returned != nil {
		p.title("answer")
		p.message(d.Returned)
		if err := p.body(ctx, c, d, local.SideResponse, d.Returned); err != nil {
			return nil, err
		}
	}
	p.timing(&d.Timing)
	p.maskedNote(p.masked)
	if d.Frames > 0 {
		o.Sayf("%s; mezu requests show %s --frames lists them", counted(d.Frames, "frame", "frames"), shortID(d.ID))
	}
	return p.b.Bytes(), nil
}

// title begins a part.
func (p *detailPage) title(text string) {
	line := "──"
	if !p.Unicode {
		line = "--"
	}
	before, after := "", ""
	if p.Color() {
		before, after = "\x1b[1m", "\x1b[0m"
	}
	fmt.Fprintf(&p.b, "\n%s%s %s %s%s\n", before, line, terminal.Clean(text), line, after)
}

// factWidth is how far the values of facts are indented.
const factWidth = 12

// fact is a line of name and value.
func (p *detailPage) fact(name, value string) {
	if value != "" {
		p.b.WriteString(p.Beside(name, factWidth, terminal.Clean(value)))
	}
}

// summary is what is to say of the request as a whole.
func (p *detailPage) summary(d *mezu.ExchangeDetail) {
	lasted := show.Span(time.Duration(d.DurationMS * float64(time.Millisecond)))
	if d.Open {
		lasted = "open for " + lasted
	}
	what := strings.Join(compact(method(d.Exchange), d.Path+d.Query, p.arrow(), status(d.Exchange), why(d.Exchange)), " ")
	p.b.WriteString(p.Hang(strings.Join(compact(p.text(what), lasted, p.marks(d.Exchange)), "  ")))
	p.fact("id", d.ID)
	p.fact("request id", d.RequestID)
	p.fact("at", p.clock(d.StartedAt, "2006-01-02 15:04:05.000"))
	p.fact("tunnel", d.Tunnel)
	p.fact("workload", d.Upstream)
	p.fact("host", d.Host)
	p.fact("from", d.Client)
	p.fact("user", d.User)
	p.fact("edge", d.Edge)
	p.fact("route", d.Route)
	p.fact("why", d.Message)
	p.fact("repeats", d.ReplayOf)
	if d.Depth == mezu.DepthHeads {
		p.fact("bodies", "not kept: there were too many requests at a time")
	}
}

func (p *detailPage) arrow() string {
	if p.Unicode {
		return "→"
	}
	return "->"
}

// message writes a head.
func (p *detailPage) message(m *mezu.ExchangeMessage) {
	p.b.WriteString(p.Hang(p.text(m.Line)))
	p.fields(m.Fields)
	if len(m.Trailers) > 0 {
		p.title("trailers")
		p.fields(m.Trailers)
	}
}

// text is one line of a head.
func (p *detailPage) text(s string) string {
	s = terminal.Clean(s)
	if !p.Unicode {
		s = strings.ReplaceAll(s, "•", "*")
	}
	return s
}

func (p *detailPage) fields(list []mezu.ExchangeField) {
	for _, f := range list {
		if f.Masked {
			p.masked++
		}
		p.b.WriteString(p.Hang(p.text(f.Name) + ": " + p.text(f.Value)))
	}
}

// changes says in which fields two heads differ, if they do.
func (p *detailPage) changes(title string, from, to *mezu.ExchangeMessage) {
	var lines []string
	if from.Line != to.Line {
		lines = append(lines, "- "+from.Line, "+ "+to.Line)
	}
	left := map[mezu.ExchangeField]int{}
	for _, f := range to.Fields {
		left[f]++
	}
	for _, f := range from.Fields {
		if left[f]--; left[f] < 0 {
			lines = append(lines, "- "+f.Name+": "+f.Value)
		}
	}
	had := map[mezu.ExchangeField]int{}
	for _, f := range from.Fields {
		had[f]++
	}
	for _, f := range to.Fields {
		if had[f]--; had[f] < 0 {
			lines = append(lines, "+ "+f.Name+": "+f.Value)
		}
	}
	if len(lines) == 0 {
		return
	}
	p.title(title)
	for _, l := range lines {
		p.b.WriteString(p.Hang(p.text(l)))
	}
}

// body writes the first lines of a body, for people.
func (p *detailPage) body(ctx context.Context, c *local.Client, d *mezu.ExchangeDetail, side string, m *mezu.ExchangeMessage) error {
	b := m.Body
	if b == nil || b.Size == 0 || b.Form == mezu.BodyFrames {
		return nil
	}
	p.title(strings.Join(compact("body "+show.Size(b.Size), string(b.Form), cut(b)), ", "))
	if b.Kept == 0 {
		return nil
	}
	content, err := c.Body(ctx, d.ID, side, local.FormPretty, p.Unmask)
	if err != nil {
		return err
	}
	p.masked += content.Masked
	lines := strings.Split(strings.TrimSuffix(string(cleanLines(content.Data)), "\n"), "\n")
	for _, l := range lines[:min(len(lines), shownLines)] {
		p.b.WriteString(p.Cut(p.text(l), shownWidth) + "\n")
	}
	if more := len(lines) - shownLines; more > 0 {
		fmt.Fprintf(&p.b, "… %s more: mezu requests show %s --body %s\n", counted(more, "line", "lines"), shortID(d.ID), side)
	}
	if content.Problem != "" {
		fmt.Fprintf(&p.b, "(%s)\n", terminal.Clean(content.Problem))
	}
	return nil
}

// cut says how much of a body is kept, if that is not all.
func cut(b *mezu.ExchangeBody) string {
	switch {
	case b.Kept >= b.Size:
		return ""
	case b.Kept == 0:
		return "not kept"
	}
	return "the first " + show.Size(b.Kept) + " of it kept"
}

func compact(texts ...string) []string {
	var out []string
	for _, t := range texts {
		if t != "" {
			out = append(out, t)
		}
	}
	return out
}

// timing is when what happened.
func (p *detailPage) timing(t *mezu.ExchangeTiming) {
	ms := func(v float64) string {
		if v == 0 {
			return ""
		}
		return fmt.Sprintf("%.1f ms", v)
	}
	connect := ms(t.ConnectMS)
	if t.Reused {
		connect = cmp.Or(connect, "an open connection was used again")
	}
	p.title("timing")
	p.fact("queued", ms(t.QueuedMS))
	p.fact("connect", connect)
	p.fact("sent", ms(t.SentMS))
	p.fact("uploaded", ms(t.UploadedMS))
	p.fact("first byte", ms(t.FirstByteMS))
	p.fact("end", ms(t.EndMS))
}
