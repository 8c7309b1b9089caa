package cookie_test

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cookie"
)

// take gives what is left of the Cookie fields of a request, and the session's cookie.
func take(fields ...string) (left []string, session string) {
	var j cookie.Jar
	j.Reset()
	for _, f := range fields {
		if rest := j.Take([]byte(f)); len(rest) > 0 || f == "" {
			left = append(left, string(rest))
		}
	}
	return left, string(j.Get(mezu.SessionCookie))
}

// TestH6_OursNeverGoUp: cookies of ours go, the others stay byte for byte.
func TestH6_OursNeverGoUp(t *testing.T) {
	for in, want := range map[string]string{
		"":                                   "",
		"a=b":                                "a=b",
		" a=b ;c = d;;e;":                    " a=b ;c = d;;e;",
		"__Host-mezu_session=x":              "",
		"__Host-mezu_session=x; a=b":         "a=b",
		"a=b; __Host-mezu_session=x":         "a=b",
		"a=b; __Host-mezu_session=x; c=d":    "a=b; c=d",
		"a=b;__Host-mezu_session=x;c=d":      "a=b;c=d",
		"a=b; __host-MEZU_session=x; c=d":    "a=b; c=d",
		"a=b; __Host-mezu_device=x; c=d":     "a=b; c=d",
		"a=b; __Host-mezu_; c=d":             "a=b; c=d",
		"a=b; __Host-mezu_session; c=d":      "a=b; c=d",
		"a=b; \t__Host-mezu_session = x;c=d": "a=b;c=d",
		"a=b; =__Host-mezu_session=x; c=d":   "a=b; c=d",
		"a=b; \"__Host-mezu_session=x\"":     "a=b",
		"a=b; $__Host-mezu_session=x":        "a=b",
		"a=b; \xe2\x80\x80__Host-mezu_s=x":   "a=b",
		"a=b; \xa0__Host-mezu_session=x":     "a=b",
		"a=b; __%48ost-mezu%5fsession=x":     "a=b",
		"a=b; __Host-mezu.session=x":         "a=b",
		"a=b; __Host-mezu[session=x":         "a=b",
		"a=b,__Host-mezu_session=x":          "a=b",
		"a=b, __Host-mezu_session = x,c=d":   "a=b,c=d",
		"a=b __Host-mezu_session=x; c=d":     "a=b; c=d",
		"$Version=1,__Host-mezu_session=x":   "$Version=1",
		"a=\"x; __Host-mezu_session=y\"":     "a=\"x",
		"a=__Host-mezu_session":              "a=__Host-mezu_session",
		"x__Host-mezu_session=x":             "x__Host-mezu_session=x",
		"__Host-mezu=x; __Host-other_=y":     "__Host-mezu=x; __Host-other_=y",
		"__Secure-mezu_session=x":            "__Secure-mezu_session=x",
	} {
		if left, _ := take(in); strings.Join(left, "|") != want {
			t.Errorf("%q leaves %q, not %q", in, left, want)
		}
	}
}

// TestR14_SessionCookie: which of ours count.
func TestR14_SessionCookie(t *testing.T) {
	for _, c := range []struct {
		fields []string
		want   string
	}{
		{[]string{"a=b; __Host-mezu_session=x.y-z; c=d"}, "x.y-z"},
		{[]string{"__Host-mezu_session=x", "a=b"}, "x"},
		{[]string{"__Host-mezu_session=x; __Host-mezu_session=y"}, ""}, // N15
		{[]string{"__Host-mezu_session=x", "__Host-mezu_session=x"}, ""},
		{[]string{"__Host-mezu_session=x; __host-mezu_session=y"}, "x"}, // L4: a sibling's, ignored
		{[]string{"__Host-mezu_session=x; \xe2\x80\x80__Host-mezu_session=y"}, "x"},
		{[]string{"__Host-mezu_session=x; =__Host-mezu_session=y"}, "x"},
		{[]string{"a=b,__Host-mezu_session=y"}, ""},
		{[]string{"__host-mezu_session=x"}, ""},
		{[]string{"__Host-mezu_session"}, ""},
		{[]string{"a=b"}, ""},
	} {
		if _, got := take(c.fields...); got != c.want {
			t.Errorf("%q: %q, not %q", c.fields, got, c.want)
		}
	}
	// 100 cookies, 8 KiB: cheap, and nothing is lost.
	many := strings.Repeat("c=dddddddddddddddd; ", 99)
	if left, got := take(many + "__Host-mezu_session=x"); len(left) != 1 || left[0] != strings.TrimSuffix(many, "; ") || got != "x" {
		t.Error("of 100 cookies", left, got)
	}
	for _, large := range []string{strings.Repeat("a", 8<<10), strings.Repeat("; ", 4<<10), strings.Repeat(",", 8<<10), strings.Repeat("=", 8<<10)} {
		if left, got := take(large); len(left) != 1 || left[0] != large || got != "" {
			t.Errorf("8 KiB of %q...: %d bytes are left", large[:2], len(left[0]))
		}
	}
}

func TestTake_AllocatesNothing(t *testing.T) {
	var j cookie.Jar
	with, without := []byte("a=b; __Host-mezu_session=x; c=d"), []byte(strings.Repeat("c=dddddddddddddddd; ", 100))
	if n := testing.AllocsPerRun(100, func() { j.Reset(); j.Take(with); j.Take(without); j.Get(mezu.SessionCookie) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestH10_FieldsOfResponses(t *testing.T) {
	const domain = "edge.example"
	for _, c := range []struct{ name, value, want string }{
		{"Set-Cookie", "a=b", "a=b"},
		{"set-cookie", "a=b; Path=/; Expires=Wed, 21 Oct 2026 07:28:00 GMT; HttpOnly", "a=b; Path=/; Expires=Wed, 21 Oct 2026 07:28:00 GMT; HttpOnly"},
		{"Set-Cookie", "a=b; Domain=shop-acme.edge.example", "a=b; Domain=shop-acme.edge.example"},
		{"Set-Cookie", "a=b; Domain=", "a=b; Domain="},
		{"Set-Cookie", "a=b; Domain=other.example", "a=b; Domain=other.example"},
		{"Set-Cookie", "a=b; Domain=ge.example", "a=b; Domain=ge.example"},
		{"Set-Cookie", "a=domain=edge.example", "a=domain=edge.example"},
		{"Set-Cookie", "__Host-mezu_session=x", ""},
		{"SET-COOKIE", "__HOST-MEZU_SESSION=x; Path=/; Secure", ""},
		{"Set-Cookie", " \t__Host-mezu_session=x", ""},
		{"Set-Cookie", "=__Host-mezu_session=x", ""},
		{"Set-Cookie", " = __Host-mezu_session=x", ""},
		{"Set-Cookie", "__Host-mezu_session", ""},
		{"Set-Cookie", "\xe2\x80\x80__Host-mezu_session=x; Domain=shop-acme.edge.example", ""},
		{"Set-Cookie", "a=b, __Host-mezu_session=x", ""},
		{"Set-Cookie", "a=b; Domain=edge.example", ""},
		{"Set-Cookie", "a=b; domain = .EDGE.example; Path=/", ""},
		{"Set-Cookie", "a=b; Domain=edge.example.", ""},
		{"Set-Cookie", "a=b; Domain=example", ""},
		{"Set-Cookie", "a=b; Domain=edge%2eexample", ""},
		{"Set-Cookie", "a=b; Domain=\"edge.example\"", ""},
		{"Set-Cookie", "a=b; Domain=ｅdge.example", ""},
		{"Set-Cookie", "a=b; Domain=shop-acme.edge.example; Domain=edge.example", ""},
		{"Set-Cookie", "a=b; Domain=edge.example; Domain=shop-acme.edge.example", ""},
		{"Clear-Site-Data", `"cache"`, `"cache"`},
		{"Clear-Site-Data", `"storage", "executionContexts"`, `"storage", "executionContexts"`},
		{"Clear-Site-Data", `"cookies"`, ""},
		{"clear-site-data", `"cache", "cookies","storage"`, `"cache", "storage"`},
		{"Clear-Site-Data", `"*"`, `"cache", "storage"`},
		{"Clear-Site-Data", `"Cookies"`, ""},
		{"Content-Type", "__Host-mezu_session=x", "__Host-mezu_session=x"},
	} {
		got, ok := cookie.Response([]byte(c.name), []byte(c.value), domain)
		if ok != (c.want != "") || ok && string(got) != c.want {
			t.Errorf("%s: %s\npasses as %q %v, not %q", c.name, c.value, got, ok, c.want)
		}
	}
	if cookie.Foreign([]byte("a=b; Domain=edge.example"), "") || !cookie.Foreign([]byte("__Host-mezu_a=b"), "") {
		t.Error("without a known domain")
	}
}

// names are the names of cookies as servers of several kinds see them.
func names(field string) (out []string) {
	r := http.Request{Header: http.Header{"Cookie": {field}}}
	for _, c := range r.Cookies() {
		out = append(out, c.Name)
	}
	for _, split := range []string{";", ";,", ";, \t"} {
		for _, part := range strings.FieldsFunc(field, func(r rune) bool { return strings.ContainsRune(split, r) }) {
			name, _, _ := strings.Cut(part, "=")
			name = strings.Trim(strings.TrimSpace(name), `"'$`)
			out = append(out, name, strings.ReplaceAll(name, ".", "_"))
		}
	}
	return out
}

// FuzzTake: no server sees a cookie of ours in what is left, and all others are there as they
// came.
func FuzzTake(f *testing.F) {
	f.Add("a=b; __Host-mezu_session=x; c=d")
	f.Add("a=\"b; __Host-mezu_session=x\", $Version=1,__host-mezu_x = 1")
	f.Add("=__Host-mezu_session=x;;, \t; __%48ost-mezu_a;\xa0__Host-mezu_b=,")
	f.Fuzz(func(t *testing.T, field string) {
		if !mezu.ValidHeaderValue(field) {
			return // the parser of heads lets no other come here
		}
		var j cookie.Jar
		in := []byte(field)
		left := string(j.Take(in))
		if string(in) != field {
			t.Fatal("the field was changed in place")
		}
		if again := string(j.Take([]byte(left))); again != left {
			t.Fatalf("%q becomes %q, then %q", field, left, again)
		}
		for _, n := range names(left) {
			if strings.HasPrefix(strings.ToLower(n), "__host-mezu_") {
				t.Fatalf("%q leaves %q, with %q", field, left, n)
			}
		}
		var others []string
		for segment := range strings.SplitSeq(field, ";") {
			if string(j.Take([]byte(segment))) == segment {
				others = append(others, strings.Trim(segment, " \t"))
			}
		}
		rest := strings.Split(left, ";")
		for _, o := range others {
			i := slices.IndexFunc(rest, func(s string) bool { return strings.Trim(s, " \t") == o })
			if i < 0 && o != "" {
				t.Fatalf("%q leaves %q, without %q", field, left, o)
			}
			if i >= 0 {
				rest = rest[i+1:]
			}
		}
		if len(left) > len(field) || bytes.ContainsAny([]byte(left), "\r\n\x00") {
			t.Fatalf("%q leaves %q", field, left)
		}
	})
}

func BenchmarkTake(b *testing.B) {
	session := "__Host-mezu_session=" + strings.Repeat("s", 900)
	for name, field := range map[string]string{
		"session alone": session, "beside ten": strings.Repeat("_ga=GA1.2.1234567890.1234567890; ", 10) + session, "none in 8 KiB": strings.Repeat("_ga=GA1.2.1234567890.1234567890; ", 256),
	} {
		b.Run(name, func(b *testing.B) {
			var j cookie.Jar
			b.ReportAllocs()
			for b.Loop() {
				j.Reset()
				j.Take([]byte(field))
				j.Get(mezu.SessionCookie)
			}
		})
	}
}
