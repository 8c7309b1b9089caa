package jq

import (
	"context"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu/cli/exit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const tunnels = `[{"name":"shop/dev","up":true,"n":9007199254740993,"rate":0.5,"note":"a\u001bb\n<c>","more":{"b":1,"a":null}},{"name":"日本","up":false,"more":null}]`

func TestApply(t *testing.T) {
	for _, c := range []struct{ text, plain, pretty string }{
		{".[].name", "shop/dev\n日本\n", ""},
		{".[0] | .n, .rate, .up", "9007199254740993\n0.5\ntrue\n", ""},
		{".[0].note", "a\x1bb\n<c>\n", "a\\x1bb\n<c>\n"},
		{".[0].more", "{\"a\":null,\"b\":1}\n", "{\n  \"a\": null,\n  \"b\": 1\n}\n"},
		{".[0] | {note}", "{\"note\":\"a\\u001bb\\n<c>\"}\n", "{\n  \"note\": \"a\\u001bb\\n<c>\"\n}\n"},
		{".[1].more, .[1].none", "\n\n", ""},
		{".[] | select(.up) | .name | @tsv \"\\([., 1])\"", "shop/dev\t1\n", "shop/dev    1\n"},
		{"empty", "", ""},
		{".[0].name, halt, .[1].name", "shop/dev\n", ""},
		{"env | length, ($ENV | length)", "0\n0\n", ""},
		{"\"\\u009b31m\" | {a: .}", "{\"a\":\"\\u009b31m\"}\n", "{\n  \"a\": \"\\u009b31m\"\n}\n"},
	} {
		x, err := Parse(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if c.pretty == "" {
			c.pretty = c.plain
		}
		for pretty, want := range map[bool]string{false: c.plain, true: c.pretty} {
			x.Pretty = pretty
			if got, err := x.Apply(t.Context(), []byte(tunnels)); err != nil || string(got) != want {
				t.Errorf("%s, pretty %v: %q, want %q, %v", c.text, pretty, got, want, err)
			}
		}
	}
}

func TestUnreadableExpressions(t *testing.T) {
	for text, want := range map[string]string{
		".[":                                 `--jq: unexpected EOF at the end`,
		".a } | .b":                          `--jq: unexpected token "}" at "} | .b"`,
		"nothing(1)":                         `--jq: function not defined: nothing/1`,
		"input":                              `--jq: input(s)/0 is not allowed`,
		"$x":                                 `--jq: variable not defined: $x`,
		`include "/etc/passwd"; .`:           `--jq: cannot load module: "/etc/passwd"`,
		strings.Repeat("(", maxExpression+1): `--jq is an expression of 16384 bytes at most`,
	} {
		if _, err := Parse(text); err == nil || err.Error() != want || exit.Of(err) != exit.Usage {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}

func TestExpressionsThatDoNotFit(t *testing.T) {
	for text, want := range map[string]string{
		".name":             "expected an object but got: array",
		".[0].name[]":       `cannot iterate over: string ("shop/dev")`,
		`error("a\u001bb")`: `error: a\x1bb`,
		"[range(infinite)]": errMemory.Error(),
		"def f: [.] + f; f": errMemory.Error(),
		`"xxxxxxxxxxxxxxxx" * 65536 | range(100) as $i | .`: errWritten.Error(),
	} {
		x, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if want == errMemory.Error() {
			x.memory = 64 << 20
		}
		got, err := x.Apply(t.Context(), []byte(tunnels))
		if err == nil || !strings.Contains(err.Error(), want) || exit.Of(err) != exit.Failed || got != nil {
			t.Errorf("%s: %.40q, %v", text, got, err)
		}
	}
}

func TestInterruptedExpression(t *testing.T) {
	x, err := Parse("last(repeat(1))")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := x.Apply(ctx, []byte(tunnels)); exit.Of(err) != exit.Interrupted {
		t.Errorf("%v", err)
	}
}
