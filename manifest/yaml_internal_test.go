package manifest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/strictjson"
)

// tree is what a text means to our reader.
func tree(data []byte) (any, error) {
	s := newSource(data)
	defer s.stop()
	t, err := s.Next()
	if err != nil {
		return nil, err
	}
	out, err := value(s, t)
	if err == nil {
		t, err = s.Next()
	}
	if err == nil && t.Kind != strictjson.End {
		err = errors.New("something follows")
	}
	return out, err
}

func value(s *source, t strictjson.Token) (any, error) {
	switch t.Kind {
	case strictjson.ObjectBegin:
		out := map[string]any{}
		for {
			t, err := s.Next()
			if err != nil || t.Kind == strictjson.ObjectEnd {
				return out, err
			}
			if t.Kind != strictjson.Key {
				return nil, errors.New(string(t.Text))
			}
			key := string(t.Text)
			if _, twice := out[key]; twice {
				return nil, errors.New("twice")
			}
			if t, err = s.Next(); err != nil {
				return nil, err
			}
			if out[key], err = value(s, t); err != nil {
				return nil, err
			}
		}
	case strictjson.ListBegin:
		out := []any{}
		for {
			t, err := s.Next()
			if err != nil || t.Kind == strictjson.ListEnd {
				return out, err
			}
			v, err := value(s, t)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
	case strictjson.String:
		return string(t.Text), nil
	case strictjson.Number:
		return json.Number(t.Text), nil
	case strictjson.True, strictjson.False:
		return t.Kind == strictjson.True, nil
	}
	return nil, errors.New(string(t.Text))
}

// reference is what a text means to a reader of all of YAML.
func reference(data []byte) (any, error) {
	d := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	if err := d.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return map[string]any{}, nil
		}
		return nil, err
	}
	var more yaml.Node
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, errors.New("a second document")
	}
	return meaning(doc.Content[0])
}

func meaning(n *yaml.Node) (any, error) {
	if n.Kind == yaml.AliasNode || n.Anchor != "" || n.Style&yaml.TaggedStyle != 0 || n.Tag == "!!merge" {
		return nil, errors.New("not taken")
	}
	switch n.Kind {
	case yaml.MappingNode:
		out := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			if _, twice := out[key.Value]; twice || key.Kind != yaml.ScalarNode || key.Anchor != "" || key.Style&yaml.TaggedStyle != 0 || key.Tag == "!!merge" {
				return nil, errors.New("not taken")
			}
			v, err := meaning(n.Content[i+1])
			if err != nil {
				return nil, err
			}
			out[key.Value] = v
		}
		return out, nil
	case yaml.SequenceNode:
		out := []any{}
		for _, e := range n.Content {
			v, err := meaning(e)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
		return out, nil
	}
	switch plain := n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0; {
	case !plain:
		return n.Value, nil
	case n.Value == "" || n.Tag == "!!null":
		return nil, errors.New("no value")
	case n.Value == "true", n.Value == "false":
		return n.Value == "true", nil
	case strictjson.IsNumber([]byte(n.Value)):
		return json.Number(n.Value), nil
	}
	return n.Value, nil
}

// texts are YAML that our reader takes, as people write it.
var texts = []string{
	"a: b", "a:\n  b: c\n  d: e\nf: g\n", "a:\n- b\n- c\nd: e\n", "a:\n  - b\n  -   c: d\n      e: f\n  - - g\n    - h\n",
	"# c\na: b # d\n\n# e\nf: [g, h] # i\n", "---\na: b\n...\n", "--- {a: b}\n", "a: {b: c, \"d\":e, 'f': [g, {h: i}, ], }\n",
	"a: \"x \\\n  y\\tz\\u00e9\\x41\\\"\"\n", "a: \"x\n  y\n\n  z  \"\n", "a: 'it''s\n  x'\n", "a: x\n  y\n\n  z\nb: c\n", "a:\n  x\n  y\nb: c",
	"a: |\n  x\n   y\n\n  z\nb: c\n", "a: >\n  x\n  y\n\n  z\n   w\n  v\n\n\nb: c\n", "a: |-\n  x\n\nb: >+\n  y\n\n", "a: |2\n   x\n  y\n", "a: |\n\n\n  x\n",
	"- a\n- b: c\n  d: e\n-\n  - f\n-\n  g: h\n", "a: http://x:80/y#z\n", "a: -1\nb: 1.5e3\nc: true\nd: \"true\"\ne: 0x1\nf: yes\ng: 1_000\n", "a: x, y] z\n", "\"a b\": c\n'd': e\nf g: h\n",
	"\ufeffa: b\n", "a: b\r\nc:\r\n  - d\r\n", "[a, b]", "{\"a\":[1,true,\"x\\u003c\"]}", "a:    b\nc:\t d\n", "a: [\n  b,\n  # c\n  d\n]\n", "a: {\n b: c\n}\n", "a: x:y\nb: -z\nc: ?q\nd: :r\n",
	"a: |\n x\n#c\nb: d\n", "a: >\n\n x\n  y\n z\n", "a: x #y\n", "a: x#y\n", "a: [x#y, 'z' ]\n", "a: [x\n  y, z]\n", "", "# nothing\n", "{}",
	"a: |\n  \n  x\n", "a: |+\n\nb: c\n", "a: >-\n  x\n\n\n  y\n", "a: \"\"\nb: ''\n", "a: |\nb: c\n", "x: ab\n y\n\n\n z # c\nk: l\n",
}

// Our reader and one of all of YAML read the same.
func TestYAML_MeansTheSame(t *testing.T) {
	for _, text := range texts {
		got, err := tree([]byte(text))
		want, wantErr := reference([]byte(text))
		if err != nil || wantErr != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q\n got %#v, %v\nwant %#v, %v", text, got, err, want, wantErr)
		}
	}
}

func FuzzYAML(f *testing.F) {
	for _, text := range texts {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		// Line ends of YAML 1.1 that 1.2 has not; JSON's pairs, which the other reader
		// does not know.
		if bytes.ContainsAny(data, "\u0085\u2028\u2029\ufeff") || bytes.Contains(bytes.ToLower(data), []byte(`\ud`)) {
			return
		}
		got, err := tree(data)
		if err != nil {
			return
		}
		want, err := reference(data)
		if err == nil && !reflect.DeepEqual(got, want) {
			t.Fatalf("%q\n got %#v\nwant %#v", data, got, want)
		}
	})
}

// Row 3 of the attacks: twice the text takes twice the steps.
func TestSteps_AreLinear(t *testing.T) {
	many := func(head, part, tail string) func(int) string {
		return func(n int) string { return head + strings.Repeat(part, n) + tail }
	}
	for name, text := range map[string]func(int) string{
		"a long key above a list": func(n int) string {
			return "roles: {" + strings.Repeat("k", strictjson.MaxKey) + ": {permissions: [" + strings.Repeat("a, ", n) + "7]}}"
		},
		"a key that is too long": many("roles: {", "kk", ": {permissions: [a, b]}}"),
		"entries":                many("environments: {e: {routes: [{methods: [", "a, ", "]}]}}"),
		"routes":                 many("environments:\n  e:\n    routes:\n", "    - {exact: /}\n", "    - 7\n"),
		"lines":                  many("project: a\n", "# c\n\n", "roles: 7\n"),
		"folded":                 many("project: a\n", "  a\n\n", "roles: 7\n"),
		"block":                  many("project: |\n", "  a\n\n", "roles: 7\n"),
		"quotation":              many("project: \"", "a\n\n", "\"\nroles: 7\n"),
		"deep":                   many("", "[", ""),
		"deep block":             many("", "- ", ""),
		"blanks before a colon":  many("roles", " ", ": 7"),
	} {
		t.Run(name, func(t *testing.T) {
			steps := func(n int) int {
				data := []byte(text(n))
				s := newSource(data)
				defer s.stop()
				var m mezu.Manifest
				err := strictjson.Read(context.Background(), s, strictjson.Options{}, &m)
				if err == nil {
					t.Fatal("taken")
				}
				_ = s.locate("f", err)
				found := newSource(data)
				defer found.stop()
				l := locator{source: found, best: -1}
				if t, err := found.Next(); err == nil {
					l.value(t.Kind, 0, "environments.e.routes[7].exact", 0, true)
				}
				return s.parser.steps + found.parser.steps
			}
			const n = 1000
			before := steps(n)
			for _, times := range []int{2, 4, 8, 16} {
				took := steps(times * n)
				if took > 3*before { // a square takes four times as many
					t.Errorf("%d steps, and %d for a text of twice the size", before, took)
				}
				before = took
			}
		})
	}
}
