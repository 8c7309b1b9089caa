package requests

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
)

// table are rows of requests in w cells, as many columns as there is room for.
func table(c *screen.Context, rows []mezu.Exchange, w int, marked string) look.Table {
	t := c.Theme
	if w < 60 && c.Layout != screen.Beside {
		return narrow(c, rows)
	}
	stamp := look.Column{Head: "TIME", Width: 9}
	if c.Layout == screen.Triple {
		stamp = look.Column{Head: "TIME", Width: 13}
	}
	// Its width has the second blank before the path.
	b := look.Table{Selected: -1, Columns: []look.Column{stamp, {Head: "METHOD", Width: 6}, {Head: "STATUS", Width: 6}, {Head: "TIME", Width: 6, Right: true}, {Head: "SIZE ", Width: 7, Right: true}}}
	wide := c.Layout == screen.Triple && w >= 75
	if wide {
		b.Columns = append(b.Columns, look.Column{Head: "HOST", Width: 22, Rank: 4})
	}
	b.Columns = append(b.Columns, look.Column{Head: "PATH", Width: 16, Grow: 1}, look.Column{Head: "USER", Width: 7, Rank: 2})
	if wide {
		b.Columns = append(b.Columns, look.Column{Head: "ROUTE", Width: 8, Rank: 5}, look.Column{Head: "EDGE", Width: 7, Rank: 3})
	}
	b.Columns = append(b.Columns, look.Column{Head: "", Width: 1})
	for i := range rows {
		e := &rows[i]
		cells := []look.Cell{{Text: stampOf(c, e), Tone: look.Quiet}, {Text: methodOf(e)}, {Text: statusOf(c, e), Tone: toneOf(e)}, {Text: shortly(running(c, e))}, {Text: sizeOf(c, e) + " "}}
		if wide {
			cells = append(cells, look.Cell{Text: look.Head(e.Host, 22)})
		}
		cells = append(cells, look.Cell{Text: look.Head(e.Path+e.Query, w)}, look.Cell{Text: orDash(c, e.User), Tone: look.Quiet})
		if wide {
			cells = append(cells, look.Cell{Text: orDash(c, e.Route), Tone: look.Quiet}, look.Cell{Text: orDash(c, e.Edge), Tone: look.Quiet})
		}
		b.Rows = append(b.Rows, append(cells, look.Cell{Text: signOf(t, e, marked), Tone: look.Accent}))
	}
	return b
}

// narrow are rows where there is little room: without their time.
func narrow(c *screen.Context, rows []mezu.Exchange) look.Table {
	b := look.Table{Selected: -1, Columns: []look.Column{{Head: "ST", Width: 3}, {Head: "METH", Width: 4}, {Head: "TIME", Width: 6, Right: true}, {Head: "PATH", Width: 10, Grow: 1}, {Width: 1}}}
	for i := range rows {
		e := &rows[i]
		b.Rows = append(b.Rows, []look.Cell{{Text: statusOf(c, e), Tone: toneOf(e)}, {Text: methodOf(e)}, {Text: shortly(running(c, e))}, {Text: look.Head(e.Path+e.Query, 80)}, {Text: signOf(c.Theme, e, ""), Tone: look.Accent}})
	}
	return b
}

// recent are lines of w cells about requests. selected is the one with the cursor, -1 if none has
// it.
func recent(c *screen.Context, rows []mezu.Exchange, selected, w, h int) []string {
	rows = rows[:min(len(rows), max(h, 0))]
	var b look.Table
	if c.Layout == screen.Column {
		b = narrow(c, rows)
	} else {
		b = look.Table{Columns: []look.Column{{Width: 9}, {Width: 6}, {Width: 3}, {Width: 8, Right: true}, {Width: 9, Right: true}, {Width: 10, Grow: 1}, {Width: 18, Rank: 1}}}
		if !slices.ContainsFunc(rows, func(e mezu.Exchange) bool { return e.Code != "" || e.Cause != "" }) {
			b.Columns = b.Columns[:6]
		}
		for i := range rows {
			e := &rows[i]
			why := string(e.Code)
			if why == "" {
				why = string(e.Cause)
			}
			b.Rows = append(b.Rows, []look.Cell{{Text: e.StartedAt.In(c.Now.Location()).Format("15:04:05"), Tone: look.Quiet}, {Text: methodOf(e)}, {Text: statusOf(c, e), Tone: toneOf(e)}, {Text: look.Took(running(c, e))},
				{Text: sizeOf(c, e) + " "}, {Text: look.Head(e.Path+e.Query, w)}, {Text: look.Head(why, 18), Tone: look.Bad}})
		}
	}
	b.NoHead, b.NoMark, b.Selected = true, selected < 0, selected
	return b.Draw(c.Theme, w)
}

// shortly is a duration in six cells.
func shortly(ms float64) string {
	switch d := time.Duration(ms * float64(time.Millisecond)); {
	case d >= 10*time.Minute:
		return look.Ago(d)
	case d >= time.Minute:
		return strings.TrimSuffix(look.Took(ms), " s")
	}
	return look.Took(ms)
}

func stampOf(c *screen.Context, e *mezu.Exchange) string {
	format := "15:04:05"
	if c.Layout == screen.Triple {
		format = "15:04:05.000"
	}
	return e.StartedAt.In(c.Now.Location()).Format(format)
}

// methodOf is the method, or what says more of what a request is.
func methodOf(e *mezu.Exchange) string {
	switch e.Kind {
	case mezu.ExchangeWebSocket:
		return "WS"
	case mezu.ExchangeGRPC:
		return "gRPC"
	case mezu.ExchangeEvents:
		return "SSE"
	}
	return look.Head(e.Method, 7)
}

// statusOf is that of the answer, of a gRPC call its own.
func statusOf(c *screen.Context, e *mezu.Exchange) string {
	switch {
	case e.GRPCStatus != nil:
		return strconv.Itoa(*e.GRPCStatus)
	case e.Status != 0:
		return strconv.Itoa(e.Status)
	case e.Open:
		return c.Theme.Ellipsis
	}
	return c.Theme.Dash
}

// toneOf is how good an answer is.
func toneOf(e *mezu.Exchange) look.Tone {
	switch {
	case e.GRPCStatus != nil && *e.GRPCStatus != 0, e.Status >= 500, e.Cause != "" && e.Cause != mezu.CauseRefused:
		return look.Bad
	case e.Status >= 400, e.Code != "":
		return look.Warn
	case e.Status == 0:
		return look.Quiet
	}
	return look.Good
}

// running is how long a request took, or takes until now.
func running(c *screen.Context, e *mezu.Exchange) float64 {
	if e.Open && !c.Paused {
		return max(e.DurationMS, float64(c.Now.Sub(e.StartedAt).Milliseconds()))
	}
	return e.DurationMS
}

// sizeOf is what went to the client, or how many messages went both ways.
func sizeOf(c *screen.Context, e *mezu.Exchange) string {
	switch {
	case e.Frames > 0:
		return look.Count(e.Frames) + " msg"
	case e.BytesOut == 0:
		return c.Theme.Dash
	}
	return look.Bytes(e.BytesOut)
}

// signOf is the sign behind a row.
func signOf(t *look.Theme, e *mezu.Exchange, marked string) string {
	switch {
	case marked != "" && e.ID == marked:
		return t.Live
	case e.Pinned:
		return t.Pinned
	case e.ReplayOf != "":
		return t.Replay
	}
	return ""
}

func orDash(c *screen.Context, text string) string {
	if text == "" {
		return c.Theme.Dash
	}
	return look.Head(text, 20)
}
