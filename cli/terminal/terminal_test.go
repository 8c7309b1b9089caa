package terminal_test

import (
	"bytes"
	"encoding/json"
	"io"
	"reflect"
	"strings"
	"testing"
	"unicode"

	"github.com/goccy/go-yaml"
	"pgregory.net/rapid"

	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/terminal"
)

func TestC2Clean(t *testing.T) {
	for in, want := range map[string]string{
		"plain übergröße 日本": "plain übergröße 日本",
		"\x1b]0;owned\x07":   `\x1b]0;owned\a`,
		"a\nb\rc\td":         `a\nb\rc\td`,
		"\u009b31m":          `\u009b31m`,
		"abc\u202edef":       `abc\u202edef`,
		"bad\xffbyte":        `bad\xffbyte`,
		"line\u2028sep":      `line\u2028sep`,
	} {
		if got := terminal.Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"", "a", "\x1b[2J", "\xff\xfe", "\u202e", "�"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, r := range terminal.Clean(s) {
			if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
				t.Fatalf("Clean(%q) lets %U through", s, r)
			}
		}
	})
}

type thing struct {
	Name  string         `json:"name"`
	Note  string         `json:"note,omitempty"`
	Count int            `json:"count"`
	Deep  map[string]any `json:"deep,omitempty"`
}

var columns = []terminal.Column[thing]{
	{Head: "NAME", Value: func(t thing) string { return t.Name }},
	{Head: "NOTE", Value: func(t thing) string { return t.Note }},
}

func list(t *testing.T, tty bool, f terminal.Format, items ...thing) string {
	t.Helper()
	var out bytes.Buffer
	s := terminal.Streams{Out: &out, Err: io.Discard, OutTerminal: tty, ColorOff: true}
	if err := terminal.WriteList(s, f, items, columns); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestWriteList(t *testing.T) {
	a, b := thing{Name: "shop", Note: "x\ty"}, thing{Name: "longer-name"}
	for _, c := range []struct {
		tty  bool
		f    terminal.Format
		want string
	}{
		{true, terminal.Table, "NAME         NOTE\nshop         x\\ty\nlonger-name\n"},
		{false, terminal.Table, "shop\tx\\ty\nlonger-name\t\n"},
		{false, terminal.JSON, "[\n  {\n    \"name\": \"shop\",\n    \"note\": \"x\\ty\",\n    \"count\": 0\n  },\n  {\n    \"name\": \"longer-name\",\n    \"count\": 0\n  }\n]\n"},
		{true, terminal.YAML, "- name: shop\n  note: \"x\\ty\"\n  count: 0\n- name: longer-name\n  count: 0\n"},
	} {
		if got := list(t, c.tty, c.f, a, b); got != c.want {
			t.Errorf("%s on terminal %v:\n%q, want\n%q", c.f, c.tty, got, c.want)
		}
	}
	if got := list(t, false, terminal.JSON); got != "[]\n" {
		t.Errorf("no items as JSON: %q", got)
	}
	if got := list(t, false, terminal.YAML); got != "[]\n" {
		t.Errorf("no items as YAML: %q", got)
	}
}

func TestC2FormatsHoldNoControlCharacters(t *testing.T) {
	evil := thing{Name: "a\x1b[31m\u009b2J\u202e\x7f", Note: "\U000e0001tag"}
	for _, f := range []terminal.Format{terminal.Table, terminal.JSON, terminal.YAML} {
		for _, r := range list(t, true, f, evil) {
			if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) {
				t.Errorf("%s lets %U through", f, r)
			}
		}
	}
	var back []thing
	if err := json.Unmarshal([]byte(list(t, false, terminal.JSON, evil)), &back); err != nil || !reflect.DeepEqual(back[0], evil) {
		t.Errorf("JSON reads back as %+v, %v", back, err)
	}
}

// TestYAMLReadsBack holds the writer against a reader.
func TestYAMLReadsBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"yes", "Null", "1e3", "- a", "a: b", "#x", "0x1f", "2020-01-01", "~", "", " ", "=", "<<", "_1", "a#b"}))
		in := thing{
			Name: text.Draw(rt, "name"), Note: text.Draw(rt, "note"), Count: rapid.Int().Draw(rt, "count"),
			Deep: map[string]any{
				text.Draw(rt, "key"): []any{text.Draw(rt, "item"), map[string]any{"k": text.Draw(rt, "inner")}, []any{true, nil}, map[string]any{}, []any{}},
			},
		}
		var out bytes.Buffer
		s := terminal.Streams{Out: &out}
		if err := s.WriteValue(terminal.YAML, in); err != nil {
			rt.Fatal(err)
		}
		var decoded, got, want any
		if err := yaml.Unmarshal(out.Bytes(), &decoded); err != nil {
			rt.Fatalf("%v in\n%s", err, out.String())
		}
		asJSON, err := json.Marshal(decoded)
		if err != nil {
			rt.Fatal(err)
		}
		plain, _ := json.Marshal(in)
		json.Unmarshal(plain, &want)
		if err := json.Unmarshal(asJSON, &got); err != nil {
			rt.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			rt.Fatalf("wrote\n%sreads back as\n%s\nwant\n%s", out.String(), asJSON, plain)
		}
	})
}

func TestParseFormat(t *testing.T) {
	if _, err := terminal.ParseFormat("xml"); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "table, json, yaml, name") {
		t.Errorf("xml: %v", err)
	}
}

func TestRulesOfTheEnvironment(t *testing.T) {
	tty := terminal.Streams{InTerminal: true, OutTerminal: true, ErrTerminal: true}
	for _, c := range []struct {
		key, value    string
		color, prompt bool
	}{
		{"", "", true, true},
		{"NO_COLOR", "1", false, true},
		{"TERM", "dumb", false, true},
		{"CI", "true", false, false},
		{"CI", "false", true, true},
	} {
		s := tty.Under(func(k string) string {
			if k == c.key {
				return c.value
			}
			return ""
		})
		if s.Color() != c.color || s.CanPrompt() != c.prompt {
			t.Errorf("%s=%s: colour %v, prompts %v", c.key, c.value, s.Color(), s.CanPrompt())
		}
	}
	if s := (terminal.Streams{OutTerminal: true, ErrTerminal: true}); s.CanPrompt() {
		t.Error("prompts without a terminal to read from")
	}
}
