package requests

import (
	"context"
	"strconv"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
)

// shown is a value that is shown although it is a secret.
func (d *detail) shown(key string) (string, bool) {
	if d.reveal.key != key || key == "" || len(d.reveal.text) == 0 {
		return "", false
	}
	return d.reveal.text[0], true
}

// conceal masks what was shown. A value that was asked for and has not come is not shown any more.
func (d *detail) conceal(c *screen.Context) {
	d.frames.conceal()
	was := d.reveal.key
	d.reveal = reveal{ticket: d.reveal.ticket + 1}
	if was != "" {
		d.build(c)
	}
}

// unmask shows the secret at the cursor, or the first one behind it.
func (d *detail) unmask(c *screen.Context) tea.Cmd {
	if d.data == nil {
		return nil
	}
	at := -1
	for i := range d.lines {
		if d.lines[i].masked && (i >= d.at || at < 0) {
			if at = i; i >= d.at {
				break
			}
		}
	}
	if at < 0 {
		return screen.Cmd(screen.Say{Text: "nothing is masked here"})
	}
	d.at = at
	key := d.lines[at].key
	if d.reveal.key == key {
		d.conceal(c)
		return nil
	}
	d.conceal(c)
	tick, id := d.reveal.ticket, d.id
	masked, from := d.masked(key), d.cfg
	return c.Within(askTime, func(ctx context.Context) tea.Msg {
		text, err := from.secret(ctx, id, key, masked)
		return revealed{of: d, key: key, tick: tick, text: []string{text}, err: err}
	})
}

// masked is how many lines the body has in which the secret is, to tell whether the unmasked one
// has the same.
func (d *detail) masked(key string) int {
	side, _, _ := strings.Cut(key, "/")
	return len(d.bodies[side].lines)
}

// secret asks for all of a request unmasked, and gives the one value.
func (cfg *Config) secret(ctx context.Context, id, key string, lines int) (string, error) {
	side, rest, _ := strings.Cut(key, "/")
	if n, ok := strings.CutPrefix(rest, "body/"); ok {
		is, err := cfg.Contents.Body(ctx, id, side, local.FormPretty, true)
		if err != nil {
			return "", err
		}
		all, _ := look.Lines(is.Data, maxWidth, maxRows)
		i, err := strconv.Atoi(n)
		if err != nil || i >= len(all) || len(all) != lines {
			return "", &mezu.Error{Code: mezu.CodeInvalid, Detail: "the body has other lines without masks, so one can't be shown alone", Hint: "mezu requests show " + id + " --body --unmask"}
		}
		return all[i], nil
	}
	e, err := cfg.Inspector.Exchange(ctx, id, true)
	if err != nil {
		return "", err
	}
	if v, ok := value(&e, key); ok {
		return v, nil
	}
	return "", &mezu.Error{Code: mezu.CodeNotFound, Detail: "the value isn't there any more"}
}

// value is the value of a line, by its key.
func value(e *mezu.ExchangeDetail, key string) (string, bool) {
	side, rest, _ := strings.Cut(key, "/")
	var m *mezu.ExchangeMessage
	switch side {
	case "request":
		m = &e.Request
	case "response":
		if m = e.Response; m == nil {
			m = e.Returned
		}
	case "interim":
		var n string
		n, rest, _ = strings.Cut(rest, "/")
		if i, err := strconv.Atoi(n); err == nil && i < len(e.Interims) {
			m = &e.Interims[i]
		}
	}
	if m == nil {
		return "", false
	}
	if rest == "line" {
		target := m.Line
		if i := strings.LastIndexByte(target, ' '); side == "request" && i > 0 && strings.HasPrefix(target[i+1:], "HTTP/") {
			target = target[:i]
		}
		return target, true
	}
	fields := m.Fields
	if n, ok := strings.CutPrefix(rest, "trailer/"); ok {
		fields, rest = m.Trailers, n
	}
	i, err := strconv.Atoi(rest)
	if err != nil || i < 0 || i >= len(fields) {
		return "", false
	}
	return fields[i].Value, true
}

// revealed takes a secret, and hides it again after a while.
func (d *detail) revealed(c *screen.Context, msg revealed) tea.Cmd {
	if msg.of != d || msg.tick != d.reveal.ticket {
		return nil
	}
	if msg.err != nil {
		return failed("shown", msg.err)
	}
	d.reveal = reveal{key: msg.key, ticket: msg.tick, text: msg.text, until: c.Now.Add(showFor)}
	d.build(c)
	return c.After(showFor, hide{d, msg.tick})
}

// copied is what y copies of the line at the cursor: what is shown, whole.
func (d *detail) copied() (string, bool) {
	if d.at >= len(d.lines) || d.data == nil {
		return "", false
	}
	l := &d.lines[d.at]
	if v, ok := d.shown(l.key); ok {
		return v, true
	}
	if l.key != "" && !strings.Contains(l.key, "/body/") {
		if v, ok := value(d.data, l.key); ok {
			return v, true
		}
	}
	return l.text, l.text != ""
}
