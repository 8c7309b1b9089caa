package export_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/inspect/export"
	"github.com/mezusphere/mezu/daemon/inspect/show"
	"github.com/mezusphere/mezu/local"
)

// differing are the differences of two exchanges, a line each.
func differing(a, b *show.Complete) []string {
	out := []string{}
	for _, d := range export.Diff(a, b, &a.ExchangeDetail, &b.ExchangeDetail).Items {
		out = append(out, fmt.Sprintf("%s %s: %s -> %s", d.Part, d.Name, d.Before, d.After))
	}
	return out
}

// answered is an exchange with a body in its answer.
func answered(body string) *show.Complete {
	x := request("", "GET / HTTP/1.1", nil)
	x.Response = &mezu.ExchangeMessage{Line: "HTTP/1.1 200 OK"}
	x.ResponseBody = local.Content{Data: []byte(body)}
	return x
}

func TestDiff_Heads(t *testing.T) {
	a := request("", "GET /a HTTP/1.1", nil, "Accept", "x", "X-Two", "1", "x-two", "2", "X-Gone", "g", "X-Request-Id", "1")
	b := request("", "POST /a HTTP/1.1", nil, "accept", "x", "X-Two", "1", "X-New", "n", "X-Request-Id", "2")
	a.Response = &mezu.ExchangeMessage{Line: "HTTP/1.1 200 OK", Trailers: []mezu.ExchangeField{{Name: "Grpc-Status", Value: "0"}}}
	b.Returned = &mezu.ExchangeMessage{Line: "HTTP/1.1 502 Bad Gateway"}
	a.Timing.EndMS, b.Timing.EndMS = 12.34, 12.31
	a.Timing.FirstByteMS = 2
	want := []string{
		"request line: GET /a HTTP/1.1 -> POST /a HTTP/1.1", "request X-Two: 1, 2 -> 1", "request X-Gone: g -> ", "request X-New:  -> n",
		"response line: HTTP/1.1 200 OK -> HTTP/1.1 502 Bad Gateway", "response trailer Grpc-Status: 0 -> ", "timing first byte: 2.0 ms -> ",
	}
	if got := differing(a, b); !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
	if got := differing(a, a); len(got) != 0 {
		t.Errorf("with itself: %q", got)
	}
	// Secrets that differ do, whatever is shown of them.
	a, b = request("", "GET / HTTP/1.1", nil, "Authorization", "Bearer "+mezu.Mask), request("", "GET / HTTP/1.1", nil, "Authorization", "Bearer "+mezu.Mask)
	real := b.ExchangeDetail
	real.Request.Fields = []mezu.ExchangeField{{Name: "Authorization", Value: "Bearer x"}}
	if got := export.Diff(a, b, &a.ExchangeDetail, &real).Items; len(got) != 1 || got[0].Before != "Bearer "+mezu.Mask || got[0].After != "Bearer "+mezu.Mask+" (another)" {
		t.Errorf("%+v", got)
	}
}

func TestDiff_Bodies(t *testing.T) {
	long := strings.Repeat("x\n", 3000)
	for name, c := range map[string]struct {
		a, b string
		want []string
	}{
		"the same":           {"{}", "{}", nil},
		"JSON otherwise":     {`{"a": 1, "b": [1]}`, `{"b":[1],"a":1}`, nil},
		"members":            {`{"a":1,"b/c":{"~d":[1,2]},"e":null}`, `{"a":1.0,"b/c":{"~d":[1,3,4]},"f":"<"}`, []string{"/a: 1 -> 1.0", "/b~1c/~0d/1: 2 -> 3", "/b~1c/~0d/2:  -> 4", "/e: null -> ", `/f:  -> "<"`}},
		"an object and none": {`{"a":{"b":1}}`, `{"a":[]}`, []string{`/a: {"b":1} -> []`}},
		"the root":           {`{"a":1}`, `[1]`, []string{`: {"a":1} -> [1]`}},
		"not JSON":           {`{"a":1}`, `{"a":`, []string{`body:1: {"a":1} -> {"a":`}},
		"two values":         {`{"a":1}{}`, `{"a":1}[]`, []string{`body:1: {"a":1}{} -> {"a":1}[]`}},
		"a line changed":     {"a\nb\nc\n", "a\nx\nc\n", []string{"body:2: b -> x"}},
		"a line less":        {"a\nb\nc\nd\n", "a\nc\nd\n", []string{"body:2: b -> "}},
		"a line more":        {"a\nc\n", "a\nb\nc\n", []string{"body:2:  -> b"}},
		"lines moved":        {"a\nb\nc\n", "c\na\nb\n", []string{"body:1:  -> c", "body:3: c -> "}},
		"nothing":            {"", "a\n", []string{"body:1:  -> a"}},
		"binary":             {"\x00a", "\x00b", []string{"body: 2 bytes -> 2 bytes, others"}},
		"binary and none":    {"\x00a", "", []string{"body: 2 bytes -> "}},
		"deep":               {strings.Repeat("[", 20_000), strings.Repeat("[", 20_001), []string{"body:1: " + strings.Repeat("[", 4096) + "… -> " + strings.Repeat("[", 4096) + "…"}},
		"long":               {"a\n" + long + "b\n", "c\n" + long + "d\n", []string{"body:1: a -> c", "body:3002: b -> d"}},
	} {
		t.Run(name, func(t *testing.T) {
			want := []string{}
			for _, w := range c.want {
				want = append(want, "response "+w)
			}
			if got := differing(answered(c.a), answered(c.b)); !slices.Equal(got, want) {
				t.Errorf("%.500q\nwant %.500q", got, want)
			}
		})
	}
	if n := len(differing(answered(strings.Repeat("a\n", 100_000)), answered(strings.Repeat("b\n", 100_000)))); n != 1000 {
		t.Errorf("%d differences are told", n)
	}
	long = strings.Repeat("\x01", 2000) + "\n"
	all := export.Diff(answered(strings.Repeat("a"+long, 900)), answered(strings.Repeat("b"+long, 900)), &mezu.ExchangeDetail{}, &mezu.ExchangeDetail{})
	if text, err := json.Marshal(all); err != nil || len(text) > local.MaxAnswer {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}
