package e2e

import (
	"bufio"
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/mezusphere/mezu"
)

// headCase is what a workload says and what a client may see of it.
type headCase struct {
	name   string
	method string // GET if empty
	status string
	fields []string // lines of the head, framing included
	body   string   // as it stands on the wire
	unseen []string // names, in lower case, that stop at the edge
	seen   string   // the body that the client gets, if it isn't the one above
}

// headCases are responses of all kinds.
func headCases() (all []headCase) {
	length := func(n int) string { return fmt.Sprintf("Content-Length: %d", n) }
	add := func(c headCase) { all = append(all, c) }
	hello := length(5)
	html := "<html><script>alert(1)</script>"
	// Nothing is guessed about content.
	add(headCase{name: "no type, HTML", status: "200 OK", fields: []string{length(len(html)), "X-Content-Type-Options: nosniff"}, body: html})
	add(headCase{name: "no type, HTML in chunks", status: "200 OK", fields: []string{"Transfer-Encoding: chunked"}, body: "5\r\n<html\r\n0\r\n\r\n", seen: "<html"})
	add(headCase{name: "no type, to the end", status: "200 OK", fields: []string{"Connection: close"}, body: html})
	add(headCase{name: "no type, image", status: "200 OK", fields: []string{length(8)}, body: "\x89PNG\r\n\x1a\n"})
	add(headCase{name: "no type, 404", status: "404 Not Found", fields: []string{hello}, body: "hello"})
	add(headCase{name: "no type, 500", status: "500 Internal Server Error", fields: []string{hello}, body: "hello"})
	add(headCase{name: "empty type", status: "200 OK", fields: []string{hello, "Content-Type:"}, body: "hello"})
	add(headCase{name: "type twice", status: "200 OK", fields: []string{hello, "Content-Type: text/plain", "Content-Type: text/html"}, body: "hello"})
	add(headCase{name: "odd type", status: "200 OK", fields: []string{hello, "content-TYPE: Text/HTML;  charset=\"x\""}, body: "hello"})
	add(headCase{name: "encoding without type", status: "200 OK", fields: []string{hello, "Content-Encoding: br"}, body: "hello"})
	// Statuses, with a body and without.
	for _, status := range []string{"200 OK", "201 Created", "202 Accepted", "203 Non-Authoritative", "206 Partial Content", "299 Own", "301 Moved Permanently", "302 Found", "307 Temporary Redirect", "400 Bad Request", "401 Unauthorized", "418 I'm a teapot", "451 Legal", "503 Service Unavailable", "599 Last"} {
		add(headCase{name: status, status: status, fields: []string{hello, "Location: /x", "WWW-Authenticate: Basic", "Retry-After: 7"}, body: "hello"})
		add(headCase{name: status + ", empty", status: status, fields: []string{length(0)}})
	}
	add(headCase{name: "200 without a length", status: "200 OK", fields: []string{"Connection: close"}})
	add(headCase{name: "200 in no chunk", status: "200 OK", fields: []string{"Transfer-Encoding: chunked"}, body: "0\r\n\r\n", seen: ""})
	add(headCase{name: "200 without a reason", status: "200 ", fields: []string{hello}, body: "hello"})
	add(headCase{name: "204", status: "204 No Content", fields: []string{"ETag: \"x\""}})
	add(headCase{name: "204 with a length", status: "204 No Content", fields: []string{length(0)}, unseen: []string{"content-length"}})
	add(headCase{name: "205", status: "205 Reset Content", fields: []string{length(0)}})
	add(headCase{name: "304", status: "304 Not Modified", fields: []string{"ETag: \"x\""}})
	add(headCase{name: "304 with a length", status: "304 Not Modified", fields: []string{length(77), "ETag: \"x\""}})
	// HEAD says what GET would.
	add(headCase{name: "HEAD with a length", method: "HEAD", status: "200 OK", fields: []string{length(77), "Content-Type: text/html"}})
	add(headCase{name: "HEAD with length 0", method: "HEAD", status: "200 OK", fields: []string{length(0)}})
	add(headCase{name: "HEAD without", method: "HEAD", status: "200 OK"})
	add(headCase{name: "HEAD of 404", method: "HEAD", status: "404 Not Found", fields: []string{length(9)}})
	// Fields of every kind.
	add(headCase{name: "date", status: "200 OK", fields: []string{hello, "Date: Tue, 15 Nov 1994 08:12:31 GMT"}, body: "hello"})
	add(headCase{name: "odd date", status: "200 OK", fields: []string{hello, "dAtE: yesterday"}, body: "hello"})
	add(headCase{name: "date, empty", status: "200 OK", fields: []string{length(0), "Date: Tue, 15 Nov 1994 08:12:31 GMT"}})
	add(headCase{name: "server and via", status: "200 OK", fields: []string{hello, "Server: Apache/2.4 (Unix)", "Via: 1.1 inner", "X-Powered-By: PHP"}, body: "hello"})
	add(headCase{name: "repeated", status: "200 OK", fields: []string{hello, "Set-Cookie: a=1", "X-A: 1", "Set-Cookie: b=2; Path=/", "x-a: 2", "X-A: 1"}, body: "hello"})
	add(headCase{name: "lists", status: "200 OK", fields: []string{hello, "Vary: Accept, Cookie", "Vary: *", "Cache-Control: no-store"}, body: "hello"})
	add(headCase{name: "odd names", status: "200 OK", fields: []string{hello, "x_under.dot~!: 1", "UPPER: 2", "x-forwarded-for: 10.0.0.1", "X-Mezu-User-Id: root"}, body: "hello"})
	add(headCase{name: "empty and odd values", status: "200 OK", fields: []string{hello, "X-Empty:", "X-Tab: a\tb", "X-High: \xc3\xa9\xff", "X-Colon: :", "X-Spaces:   a  b   "}, body: "hello"})
	add(headCase{name: "of one hop", status: "200 OK", fields: []string{hello, "Connection: keep-alive, X-Hop", "X-Hop: 1", "Keep-Alive: timeout=5", "Proxy-Connection: x", "X-End: 1"}, body: "hello", unseen: []string{"x-hop", "keep-alive", "proxy-connection"}})
	add(headCase{name: "request id", status: "200 OK", fields: []string{hello, "X-Request-Id: forged"}, body: "hello", unseen: []string{"x-request-id"}})
	add(headCase{name: "trailers", status: "200 OK", fields: []string{"Transfer-Encoding: chunked", "Content-Type: text/plain"}, body: "5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n", seen: "hello"})
	add(headCase{name: "upgrade offered", status: "200 OK", fields: []string{hello, "Upgrade: h2c", "Connection: upgrade"}, body: "hello", unseen: []string{"upgrade"}})
	add(headCase{name: "security fields", status: "200 OK", fields: []string{hello, "Strict-Transport-Security: max-age=1", "Content-Security-Policy: default-src 'none'", "Access-Control-Allow-Origin: *", "Alt-Svc: h3=\":443\""}, body: "hello"})
	return all
}

// seenHead is a head as a client received it: lines in lower case and sorted, but
// the values of one name in their order.
type seenHead struct {
	status string
	lines  []string
	body   string
}

func sorted(fields [][2]string) (lines []string) {
	slices.SortStableFunc(fields, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	for _, f := range fields {
		lines = append(lines, f[0]+": "+f[1])
	}
	return lines
}

// TestRow19_HeadsAreTheWorkloads: over either version of HTTP a client sees the head
// that the workload sent. What is added is the request id, which is ours, and a Date
// where there is none, as RFC 9110 (6.6.1) asks of who forwards.
func TestRow19_HeadsAreTheWorkloads(t *testing.T) {
	t.Parallel()
	a := newTarget(t, attackRoutes()...)
	cases := headCases()
	if len(cases) < 40 {
		t.Fatalf("%d responses only", len(cases))
	}
	for i, c := range cases {
		path := fmt.Sprintf("/p/heads/%d", i)
		if c.method == "" {
			c.method = "GET"
		}
		raw := "HTTP/1.1 " + c.status + "\r\n" + strings.Join(append(slices.Clone(c.fields), ""), "\r\n") + "\r\n" + c.body
		a.rec.says(path, raw, slices.Contains(c.fields, "Connection: close"))
		want := seenHead{status: c.status[:3], body: c.body}
		if strings.Contains(raw, "chunked") {
			want.body = c.seen
		}
		var fields [][2]string
		dated := false
		for _, l := range c.fields {
			name, value, _ := strings.Cut(l, ":")
			name = strings.ToLower(name)
			dated = dated || name == "date"
			if name != "connection" && name != "transfer-encoding" && !slices.Contains(c.unseen, name) {
				fields = append(fields, [2]string{name, strings.Trim(value, " ")})
			}
		}
		want.lines = sorted(fields)
		for version, see := range map[string]func(*testing.T, *target, string, string, string) seenHead{"1.1": seeHead1, "2": seeHead2} {
			got := see(t, a, c.method, path, a.newID())
			if dates := textprotoValues(got.lines, "date"); !dated {
				if len(dates) != 1 {
					t.Errorf("%s over HTTP/%s: the dates %q", c.name, version, dates)
				} else if at, err := http.ParseTime(dates[0]); err != nil || time.Since(at).Abs() > patience {
					t.Errorf("%s over HTTP/%s: the date %q", c.name, version, dates[0])
				}
				got.lines = slices.DeleteFunc(got.lines, func(l string) bool { return strings.HasPrefix(l, "date: ") })
			}
			if got.status != want.status || !slices.Equal(got.lines, want.lines) || got.body != want.body {
				t.Errorf("%s over HTTP/%s: the client sees\n%+v\nthe workload said\n%+v", c.name, version, got, want)
			}
		}
	}
	t.Run("answers of the edge", func(t *testing.T) {
		for version, see := range map[string]func(*testing.T, *target, string, string, string) seenHead{"1.1": seeHead1, "2": seeHead2} {
			for _, path := range []string{"/none", "/.mezu/probe?hop=edge"} {
				if got := see(t, a, "GET", path, a.newID()); len(textprotoValues(got.lines, "date")) != 1 {
					t.Errorf("%s over HTTP/%s: %+v", path, version, got)
				}
			}
		}
	})
	t.Run("OPTIONS *", func(t *testing.T) { starIsJudged(t, a) })
}

func textprotoValues(lines []string, name string) (values []string) {
	for _, l := range lines {
		if v, ok := strings.CutPrefix(l, name+": "); ok {
			values = append(values, v)
		}
	}
	return values
}

// withoutOurs takes out what is the edge's own on each response.
func withoutOurs(t *testing.T, fields [][2]string, id string, framing ...string) [][2]string {
	t.Helper()
	ids := 0
	out := slices.DeleteFunc(fields, func(f [2]string) bool {
		if f[0] == "x-request-id" && f[1] == id {
			ids++
			return true
		}
		return slices.Contains(framing, f[0])
	})
	if ids != 1 {
		t.Errorf("the request id stands %d times", ids)
	}
	return out
}

func seeHead1(t *testing.T, a *target, method, path, id string) (h seenHead) {
	t.Helper()
	c := a.dial(t)
	defer c.Close()
	c.send(a.fill(head(method, path)+"Connection: close\r\n\r\n", id))
	in := textproto.NewReader(bufio.NewReader(c))
	first, err := in.ReadLine()
	if err != nil {
		t.Fatal(err)
	}
	h.status = strings.Fields(first)[1]
	var fields [][2]string
	chunked := false
	for {
		l, err := in.ReadLine()
		if err != nil {
			t.Fatal(err)
		}
		if l == "" {
			break
		}
		name, value, _ := strings.Cut(l, ":")
		chunked = chunked || strings.EqualFold(name, "transfer-encoding")
		fields = append(fields, [2]string{strings.ToLower(name), strings.Trim(value, " ")})
	}
	h.lines = sorted(withoutOurs(t, fields, id, "connection", "transfer-encoding"))
	var body strings.Builder
	if chunked {
		text, err := readChunks(in.R)
		if err != nil {
			t.Fatal(err)
		}
		body.WriteString(text)
	} else if _, err := in.R.WriteTo(&body); err != nil {
		t.Fatal(err)
	}
	h.body = body.String()
	return h
}

func seeHead2(t *testing.T, a *target, method, path, id string) (h seenHead) {
	t.Helper()
	c := a.dialHTTP2(t)
	defer c.Close()
	c.headers(1, true, a.request2(method, path, id))
	var fields [][2]string
	heads, open := 0, true
	dec := hpack.NewDecoder(4096, func(f hpack.HeaderField) {
		switch {
		case f.Name == ":status":
			h.status = f.Value
		case heads == 1:
			fields = append(fields, [2]string{f.Name, f.Value})
		}
	})
	for open {
		f, err := c.f.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch f := f.(type) {
		case *http2.HeadersFrame:
			heads++
			if _, err := dec.Write(f.HeaderBlockFragment()); err != nil {
				t.Fatal(err)
			}
			open = !f.StreamEnded()
		case *http2.DataFrame:
			h.body += string(f.Data())
			open = !f.StreamEnded()
		case *http2.RSTStreamFrame:
			t.Fatalf("%s: the stream was reset: %v", path, f.ErrCode)
		case *http2.SettingsFrame:
			if !f.IsAck() {
				c.f.WriteSettingsAck()
			}
		}
	}
	h.lines = sorted(withoutOurs(t, fields, id))
	return h
}

// starIsJudged: the server as a whole is nobody's resource here, and the answer to
// «OPTIONS *» comes from us and not from a library.
func starIsJudged(t *testing.T, a *target) {
	a.refused(t, "OPTIONS * HTTP/1.1\r\nHost: {host}\r\nX-Request-Id: {id}\r\n\r\n", mezu.CodeNotCanonical)
	got := seeHead2(t, a, "OPTIONS", "*", a.newID())
	if got.status != "400" || !strings.Contains(got.body, string(mezu.CodeNotCanonical)) {
		t.Errorf("over HTTP/2 the answer is %+v", got)
	}
}
