package requests_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen/screentest"
	"github.com/mezusphere/mezu/visible"
)

// hostile are texts that a terminal might act on, or that are larger than what is looked at.
func hostile() map[string]string {
	return map[string]string{
		"escapes": "\x1b[2J\x1b]0;owned\a\x1b]52;c;ZXZpbA==\x07\x9b31m\u009b31m", "bidi": "\u202eevil\u2066\u200f", "lines": "a\r\nb\u2028c\u2029d\te\v\f\x00",
		"bytes": "\xff\xfe\xc3(\xed\xa0\x80", "long": strings.Repeat("x", 1<<20), "marks": "e" + strings.Repeat("\u0301", 1<<19), "wide": strings.Repeat("花👩‍👩‍👧‍👦", 5000), "log": "x\n{\"level\":\"info\"}",
	}
}

// safe fails if a view has what a terminal acts on, other than colours and reverse video.
func safe(t *testing.T, view string) {
	t.Helper()
	if !utf8.ValidString(view) {
		t.Error("it is no UTF-8")
	}
	for _, r := range ansi.Strip(view) {
		if r != '\n' && visible.Unsafe(r) {
			t.Fatalf("it has %U", r)
		}
	}
	for _, s := range strings.Split(view, "\x1b")[1:] {
		if end := strings.IndexByte(s, 'm'); !strings.HasPrefix(s, "[") || end < 0 || strings.Trim(s[1:end], "0123456789;") != "" {
			t.Fatalf("it has the sequence %.20q", s)
		}
	}
	if len(view) > 1<<18 {
		t.Errorf("it has %d bytes", len(view))
	}
}

// TestC2_C5_NothingDrivesTheTerminal: names, paths, fields, bodies, frames and errors are text.
func TestC2_C5_NothingDrivesTheTerminal(t *testing.T) {
	for name, text := range hostile() {
		k := drawn()
		e := &k.rows[0]
		e.Method, e.Path, e.Query, e.User, e.Host, e.Route, e.Edge, e.Client, e.Tunnel, e.Message, e.Code = text, "/"+text, "?"+text, text, text, text, text, text, text, text, mezu.Code(text)
		field := mezu.ExchangeField{Name: text, Value: text, Masked: true}
		d := mezu.ExchangeDetail{Exchange: *e, Upstream: text, Request: mezu.ExchangeMessage{Line: text + " HTTP/1.1", Fields: []mezu.ExchangeField{field}, Trailers: []mezu.ExchangeField{field}, Body: &mezu.ExchangeBody{Size: 1 << 20, Kept: 1 << 20, Form: mezu.BodyText, Encoding: text}}}
		d.Sent = &mezu.ExchangeMessage{Line: text, Fields: []mezu.ExchangeField{{Name: text + "x", Value: text}}}
		d.Response, d.Returned = &d.Request, d.Sent
		k.details[e.ID] = d
		k.bodies[e.ID+"/request"] = local.Content{Data: []byte(text), Problem: text, Masked: 1}
		k.bodies[e.ID+"/response"] = k.bodies[e.ID+"/request"]
		k.diff = local.Difference{A: *e, B: *e, Items: []local.Differing{{Part: text, Name: text, Before: text, After: text}}}
		widths := []int{40, 80, 200}
		if len(text) > 1<<19 {
			widths = widths[1:2] // what is large is cut in the same way everywhere
		}
		for _, w := range widths {
			st := shown(t, k, w, 24, look.New(look.Dark, look.Unicode()), "tab")
			for range 5 {
				safe(t, st.View())
				st.Press("right", "G", "u")
				safe(t, st.View())
			}
			st.Press("enter")
			safe(t, st.View())
			safe(t, st.Screen.(keeping).Heading(&st.C))
		}
		k.err = &mezu.Error{Code: mezu.CodeUnavailable, Detail: text, Hint: text}
		safe(t, shown(t, k, 80, 24, screentest.Plain()).View())
		frames := socket()
		id := frames.rows[0].ID
		frames.frames[id] = []mezu.Frame{{Number: 1, Kind: mezu.FrameKind("text"), Text: text, Name: text, Problem: text, Size: 1 << 20}}
		frames.rows[0].Frames = 1
		frames.content[1] = local.Content{Data: []byte(text), Problem: text}
		for _, w := range widths {
			st := shown(t, frames, w, 24, screentest.Plain(), "enter")
			safe(t, st.View())
			st.Press("/", text[:min(len(text), 50)], "enter")
			safe(t, st.View())
		}
		if t.Failed() {
			t.Fatalf("by %s", name)
		}
	}
}

func TestTenThousandFrames(t *testing.T) {
	k := socket()
	id := k.rows[0].ID
	k.frames[id] = nil
	for n := 9001; n <= 10_000; n++ { // those that the daemon keeps
		k.frames[id] = append(k.frames[id], mezu.Frame{Number: n, Kind: mezu.FrameText, Text: fmt.Sprint("frame ", n), Size: 9, Kept: 9})
	}
	k.rows[0].Frames = 10_000
	st := shown(t, k, 80, 24, screentest.Plain(), "enter")
	shows(t, st, "1,000 of 1,000", "frame 10000")
	st.Press("home")
	shows(t, st, "frame 9001")
}

// A body as large as one is kept, of one line or of very many, is looked at in a moment and a
// bounded number of lines.
func TestLargeBodies(t *testing.T) {
	for name, data := range map[string][]byte{"one line": bytes.Repeat([]byte("x"), 1<<20), "lines": bytes.Repeat([]byte("\n"), 1<<20), "nested": bytes.Repeat([]byte("  [\n"), 1<<18)} {
		lines, more := look.Lines(data, 100, 1000)
		if len(lines) != 1000 || more == 0 {
			t.Errorf("%s: %d lines and %d more", name, len(lines), more)
		}
		for _, l := range lines {
			if look.Width(l) > 100 {
				t.Fatalf("%s: a line of %d cells", name, look.Width(l))
			}
		}
	}
}
