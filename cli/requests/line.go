package requests

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/cli/tunnel/show"
)

// shownID is how much of an id lines show. It is told from those of the others that are kept,
// and if it isn't, the daemon says so.
const shownID = 8

func shortID(id string) string { return terminal.Clean(id[:min(len(id), shownID)]) }

// columns are those of a list as JSON's readers and awk see it. On a terminal lines have the
// same, fitted to it.
func columns() []terminal.Column[mezu.Exchange] {
	return []terminal.Column[mezu.Exchange]{
		{Head: "ID", Rank: terminal.Handle, Value: func(e mezu.Exchange) string { return e.ID }},
		{Head: "STARTED", Value: func(e mezu.Exchange) string { return e.StartedAt.UTC().Format(time.RFC3339Nano) }},
		{Head: "TUNNEL", Value: func(e mezu.Exchange) string { return e.Tunnel }},
		{Head: "METHOD", Value: method},
		{Head: "STATUS", Value: status},
		{Head: "TIME", Value: func(e mezu.Exchange) string { return strconv.FormatFloat(e.DurationMS, 'f', 1, 64) + " ms" }},
		{Head: "SIZE", Value: size},
		{Head: "PATH", Value: func(e mezu.Exchange) string { return e.Path + e.Query }},
		{Head: "USER", Value: func(e mezu.Exchange) string { return e.User }},
		{Head: "CODE", Value: why},
		{Head: "MARKS", Value: func(e mezu.Exchange) string { return strings.Join(words(e), " ") }},
	}
}

// method is the method, or what else says more of what a request is.
func method(e mezu.Exchange) string {
	switch e.Kind {
	case mezu.ExchangeWebSocket:
		return "WS"
	case mezu.ExchangeGRPC:
		return "gRPC"
	}
	return e.Method
}

// status is that of the answer, of a gRPC call its own.
func status(e mezu.Exchange) string {
	switch {
	case e.GRPCStatus != nil:
		return strconv.Itoa(*e.GRPCStatus)
	case e.Status != 0:
		return strconv.Itoa(e.Status)
	}
	return "-"
}

// size is what went to the client, or how many messages went both ways.
func size(e mezu.Exchange) string {
	if e.Frames > 0 {
		return show.Count(uint64(e.Frames)) + " msg"
	}
	return show.Size(e.BytesOut)
}

// why is what kept a request from its proper end.
func why(e mezu.Exchange) string {
	if e.Code != "" {
		return string(e.Code)
	}
	if e.Cause == mezu.CauseRefused {
		return ""
	}
	return string(e.Cause)
}

// words are what else is to say of a request.
func words(e mezu.Exchange) []string {
	var out []string
	for _, w := range []struct {
		is   bool
		word string
	}{{e.Open, "open"}, {e.Pinned, "pinned"}, {e.ReplayOf != "", "replay"}, {e.Depth == mezu.DepthHeads, "no bodies"}} {
		if w.is {
			out = append(out, w.word)
		}
	}
	return out
}

// marks are the same in as little room as possible.
func (o *command) marks(e mezu.Exchange) string {
	pinned, replay := "★", "↻"
	if !o.Unicode {
		pinned, replay = "*", "r"
	}
	out := ""
	if e.Pinned {
		out += pinned
	}
	if e.ReplayOf != "" {
		out += replay
	}
	return out
}

// tunnelWidth and userWidth are how much of a name a line has room for.
const (
	tunnelWidth = 16
	userWidth   = 16
)

// narrowWidth is below which width lines have no room for times and sizes.
const narrowWidth = 72

// narrow reports whether there is no room for more than what a request is and what came of it.
func (o *command) narrow() bool { return o.Width() > 0 && o.Width() < narrowWidth }

// heading is the line above others on a terminal.
func (o *command) heading(several bool) string {
	tunnel := ""
	if several {
		tunnel = fmt.Sprintf("%-*s  ", tunnelWidth, "TUNNEL")
	}
	head := fmt.Sprintf("%-*s  %-8s  %s%-6s %-6s %8s %9s  ", shownID, "ID", "TIME", tunnel, "METHOD", "STATUS", "TIME", "SIZE")
	if o.narrow() {
		head = fmt.Sprintf("%-*s  %-6s %-6s ", shownID, "ID", "METHOD", "STATUS")
	}
	return strings.TrimRight(o.Fit(head, "PATH", "USER"), " ")
}

// line is a request as a line for people.
func (o *command) line(e mezu.Exchange, several bool) string {
	tunnel := ""
	if several {
		tunnel = fmt.Sprintf("%-*s  ", tunnelWidth, o.Cut(terminal.Clean(e.Tunnel), tunnelWidth))
	}
	lasted := show.Span(time.Duration(e.DurationMS * float64(time.Millisecond)))
	if e.Open {
		lasted = "open"
	}
	none := "–"
	if !o.Unicode {
		none = "-"
	}
	is := strings.ReplaceAll(status(e), "-", none)
	carried := size(e)
	if e.BytesOut == 0 && e.Frames == 0 {
		carried = none
	}
	head := fmt.Sprintf("%-*s  %s  %s%-6s %-6s %8s %9s  ", shownID, shortID(e.ID), e.StartedAt.Local().Format(time.TimeOnly), tunnel, o.Cut(terminal.Clean(method(e)), 6), is, lasted, carried)
	if o.narrow() {
		head = fmt.Sprintf("%-*s  %-6s %-6s ", shownID, shortID(e.ID), o.Cut(terminal.Clean(method(e)), 6), is)
	}
	path := terminal.Clean(e.Path + e.Query)
	if !o.Unicode {
		path = strings.ReplaceAll(path, "•", "*")
	}
	tail := []string{}
	for _, part := range []string{why(e), o.Cut(terminal.Clean(cmp.Or(e.User, none)), userWidth), o.marks(e)} {
		if part != "" {
			tail = append(tail, terminal.Clean(part))
		}
	}
	out := o.Fit(head, path, strings.Join(tail, " "))
	if color := colorOf(e); color != "" && o.Color() {
		out = strings.Replace(out, " "+is+" ", " "+color+is+"\x1b[0m ", 1)
	}
	return out
}

func colorOf(e mezu.Exchange) string {
	switch {
	case e.Status >= 500, e.Status == 0 && e.Code != "", e.GRPCStatus != nil && *e.GRPCStatus != 0:
		return "\x1b[31m"
	case e.Status >= 400:
		return "\x1b[33m"
	case e.Status > 0:
		return "\x1b[32m"
	}
	return ""
}
