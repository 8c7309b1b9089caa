package relay_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/preface"
	"github.com/mezusphere/mezu/relay"
)

// accepted, in a table, says that the message must be understood.
const accepted mezu.Code = ""

type headCase struct {
	name, raw string
	want      mezu.Code
}

func runHeads(t *testing.T, cases []headCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := understand(strings.NewReader(c.raw))
			if got := code(m.err); got != c.want {
				t.Errorf("%q: code %q (%v), want %q", c.raw, got, m.err, c.want)
			}
			// In HTTP/2 it is the same, where it has a form there.
			if b, ok := bothOf(c.raw); ok {
				refusal, err := b.compare()
				if err != nil {
					t.Errorf("%.500q: %v", c.raw, err)
				}
				if got := code(refusal); got != c.want && !isMalformed(refusal) && c.name != "head at the limit" { // it counts more for a field
					t.Errorf("%.500q: code %q (%v) in HTTP/2, want %q", c.raw, got, refusal, c.want)
				}
			}
		})
	}
}

// post is a request with these field lines.
func post(lines ...string) string {
	return "POST /x HTTP/1.1\r\nHost: a\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n"
}

func TestP1LengthBesideChunked(t *testing.T) {
	runHeads(t, []headCase{
		{"CL.TE", post("Content-Length: 4", "Transfer-Encoding: chunked") + "0\r\n\r\n", mezu.CodeNotCanonical},
		{"TE.CL", post("Transfer-Encoding: chunked", "Content-Length: 4") + "0\r\n\r\n", mezu.CodeNotCanonical},
		{"zero length", post("Transfer-Encoding: chunked", "Content-Length: 0") + "0\r\n\r\n", mezu.CodeNotCanonical},
		{"HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", mezu.CodeNotCanonical},
		{"chunked alone", post("Transfer-Encoding: chunked") + "0\r\n\r\n", accepted},
	})
}

func TestP2ContentLength(t *testing.T) {
	bad := []string{"", "+1", "-1", "0x1", "1, 1", "1,2", "1 1", "1.0", "1e3", "\v1", "1\x00", "00000000000000000001", "99999999999999999999", "٣", "1;", "1_0"}
	for _, v := range bad {
		runHeads(t, []headCase{{fmt.Sprintf("%q", v), post("Content-Length: "+v) + "x", mezu.CodeNotCanonical}})
	}
	runHeads(t, []headCase{
		{"repeated equal", post("Content-Length: 1", "Content-Length: 1") + "x", mezu.CodeNotCanonical},
		{"repeated different", post("Content-Length: 1", "content-length: 2") + "xx", mezu.CodeNotCanonical},
		{"one", post("Content-Length: 1") + "x", accepted},
		{"blanks around", post("Content-Length:  \t1 ") + "x", accepted},
		{"leading zeros", post("Content-Length: 001") + "x", accepted},
		{"zero", post("Content-Length: 0"), accepted},
	})
}

func TestP3TransferEncoding(t *testing.T) {
	for _, v := range []string{"xchunked", "identity", "chunked, chunked", "\x0bchunked", "chunked, gzip", "gzip, chunked", "chunked;q=1", "\"chunked\"", "chunked\x00", ""} {
		runHeads(t, []headCase{{fmt.Sprintf("%q", v), post("Transfer-Encoding: "+v) + "0\r\n\r\n", mezu.CodeNotCanonical}})
	}
	runHeads(t, []headCase{
		{"repeated", post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + "0\r\n\r\n", mezu.CodeNotCanonical},
		{"identity beside", post("Transfer-Encoding: chunked", "Transfer-Encoding: identity") + "0\r\n\r\n", mezu.CodeNotCanonical},
		{"space before colon", post("Transfer-Encoding : chunked") + "0\r\n\r\n", mezu.CodeNotCanonical},
		{"capitals", post("TRANSFER-ENCODING: CHUNKED") + "1\r\nx\r\n0\r\n\r\n", accepted},
		{"tab", post("Transfer-Encoding:\tchunked") + "0\r\n\r\n", accepted},
	})
}

func TestP7Lines(t *testing.T) {
	get := func(lines string) string { return "GET / HTTP/1.1\r\nHost: a\r\n" + lines }
	runHeads(t, []headCase{
		{"bare LF in fields", get("X: a\nY: b\r\n\r\n"), mezu.CodeNotCanonical},
		{"bare LF after request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", mezu.CodeNotCanonical},
		{"bare LF at the end", get("X: a\r\n\n"), mezu.CodeNotCanonical},
		{"folded", get("X: a\r\n b\r\n\r\n"), mezu.CodeNotCanonical},
		{"folded by tab", get("X: a\r\n\tb\r\n\r\n"), mezu.CodeNotCanonical},
		{"bare CR in a value", get("X: a\rb\r\n\r\n"), mezu.CodeNotCanonical},
		{"bare CR in a name", get("X\r: a\r\n\r\n"), mezu.CodeNotCanonical},
		{"NUL in a value", get("X: a\x00b\r\n\r\n"), mezu.CodeNotCanonical},
		{"DEL in a value", get("X: a\x7fb\r\n\r\n"), mezu.CodeNotCanonical},
		{"NUL in a name", get("X\x00Y: a\r\n\r\n"), mezu.CodeNotCanonical},
		{"space before colon", get("X : a\r\n\r\n"), mezu.CodeNotCanonical},
		{"8-bit name", get("X\xe9: a\r\n\r\n"), mezu.CodeNotCanonical},
		{"no colon", get("X\r\n\r\n"), mezu.CodeNotCanonical},
		{"empty name", get(": a\r\n\r\n"), mezu.CodeNotCanonical},
		{"leading-space first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", mezu.CodeNotCanonical},
		{"leading empty line", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", accepted},
		{"CR in the target", "GET /a\rb HTTP/1.1\r\nHost: a\r\n\r\n", mezu.CodeNotCanonical},
		{"space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", mezu.CodeNotCanonical},
		{"two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", mezu.CodeNotCanonical},
		{"tab as separator", "GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n", mezu.CodeNotCanonical},
		{"HTTP/0.9", "GET /\r\n\r\n", mezu.CodeNotCanonical},
		{"HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", mezu.CodeNotCanonical},
		{"HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", mezu.CodeNotCanonical},
		{"http/1.1", "GET / http/1.1\r\nHost: a\r\n\r\n", mezu.CodeNotCanonical},
		{"preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", mezu.CodeNotCanonical},
		{"8-bit value", get("X: \xe9\r\n\r\n"), accepted},
		{"empty value", get("X:\r\n\r\n"), accepted},
		{"HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\n\r\n", accepted},
	})
}

func TestP9Host(t *testing.T) {
	with := func(lines string) string { return "GET / HTTP/1.1\r\n" + lines + "\r\n" }
	runHeads(t, []headCase{
		{"two", with("Host: a\r\nHost: a\r\n"), mezu.CodeNotCanonical},
		{"two, cases", with("Host: a\r\nhOST: b\r\n"), mezu.CodeNotCanonical},
		{"none", with(""), mezu.CodeNotCanonical},
		{"none in HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", mezu.CodeNotCanonical},
	})
	for _, h := range []string{"", "a@b", "a/b", "a b", "[::1", "::1", "a:b", "a:0", "a:99999", "a,b", "a..b", ".", "a?b", "a#b", "a%41"} {
		runHeads(t, []headCase{{fmt.Sprintf("%q", h), with("Host: " + h + "\r\n"), mezu.CodeNotCanonical}})
	}
}

func TestR10HostForms(t *testing.T) {
	for _, h := range []string{"app.example.com", "APP.example.COM", "app.example.com.", "app.example.com:443", "App.example.com.:443", "app.example.com\t"} {
		m := understand(strings.NewReader("GET / HTTP/1.1\r\nHost: " + h + "\r\n\r\n"))
		if m.err != nil || m.req.Host != "app.example.com" {
			t.Errorf("%q: host %q, %v", h, m.req.Host, m.err)
		}
		if m.req.Authority != "app.example.com" {
			t.Errorf("%q: authority %q", h, m.req.Authority)
		}
	}
	// Row 21: it goes on in one form, with a port that isn't the scheme's own.
	for h, want := range map[string]string{"App.Example.com.:8443": "app.example.com:8443", "a:08080": "a:8080", "a:00443": "a", "[2001:DB8::0:1]:8443": "[2001:db8::1]:8443", "[::1]:443": "[::1]", "[0::1]": "[::1]"} {
		m := understand(strings.NewReader("GET / HTTP/1.1\r\nHost: " + h + "\r\n\r\n"))
		if m.err != nil || m.req.Authority != want {
			t.Errorf("%q: authority %q, %v; want %q", h, m.req.Authority, m.err, want)
		}
	}
}

func TestP10AbsoluteForm(t *testing.T) {
	with := func(target string) string { return "GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n" }
	runHeads(t, []headCase{
		{"other host", with("http://b/x"), mezu.CodeNotCanonical},
		{"user info", with("http://a@a/x"), mezu.CodeNotCanonical},
		{"user info that ends in ours", with("http://b@a/x"), mezu.CodeNotCanonical},
		{"backslash", with(`http://a\@b/x`), mezu.CodeNotCanonical},
		{"fragment", with("http://a#b/x"), mezu.CodeNotCanonical},
		{"no host", with("http:///x"), mezu.CodeNotCanonical},
		{"scheme alone", with("http://"), mezu.CodeNotCanonical},
		{"other scheme", with("ftp://a/x"), mezu.CodeNotCanonical},
		{"asterisk", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", mezu.CodeNotCanonical},
		{"relative", with("x"), mezu.CodeNotCanonical},
		{"authority", with("a:443"), mezu.CodeNotCanonical},
	})
	for target, want := range map[string]string{
		"http://a/x": "/x", "https://A./x?q": "/x?q", "http://a": "/", "HTTP://a?q=/": "/?q=/", "http://a:8443//x/../y": "/y",
	} {
		m := understand(strings.NewReader(with(target)))
		if got := m.req.Path.Path + m.req.Query; m.err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", target, got, m.err, want)
		}
	}
}

func TestP15Methods(t *testing.T) {
	for _, m := range []string{"TRACE", "TRACK", "get", "Get", "G3T", strings.Repeat("A", 33), "GET!"} {
		runHeads(t, []headCase{{m, m + " / HTTP/1.1\r\nHost: a\r\n\r\n", mezu.CodeNotImplemented}})
	}
	runHeads(t, []headCase{
		{"CONNECT in authority form", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", mezu.CodeNotImplemented},
		{"CONNECT in origin form", "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", mezu.CodeNotImplemented},
		{"no token", "G@T / HTTP/1.1\r\nHost: a\r\n\r\n", mezu.CodeNotCanonical},
		{"empty", " / HTTP/1.1\r\nHost: a\r\n\r\n", mezu.CodeNotCanonical},
		{"PROPFIND", "PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n", accepted},
	})
}

func TestP16Upgrades(t *testing.T) {
	websocket := "GET / HTTP/1.1\r\nHost: a\r\nConnection: %s\r\nUpgrade: %s\r\nSec-WebSocket-Version: %s\r\nSec-WebSocket-Key: k\r\nHTTP2-Settings: AAMAAABk\r\n%s\r\n"
	for _, c := range []struct{ name, connection, upgrade, version, more, want string }{
		{"websocket", "Upgrade, HTTP2-Settings", "websocket", "13", "", "websocket"},
		{"capitals", "keep-alive, UPGRADE", "WebSocket", "13", "", "websocket"},
		{"h2c", "Upgrade, HTTP2-Settings", "h2c", "13", "", ""},
		{"both", "Upgrade", "websocket, h2c", "13", "", ""},
		{"not in Connection", "keep-alive", "websocket", "13", "", ""},
		// The workload may say which it speaks; a 101 to it counts for nothing.
		{"old version", "Upgrade", "websocket", "8", "", "websocket"},
		{"two versions (P17)", "Upgrade", "websocket", "13\r\nSec-WebSocket-Version: 8", "", ""},
		{"list of versions (P17)", "Upgrade", "websocket", "13, 8", "", ""},
		{"version that is none (P17)", "Upgrade", "websocket", "256", "", ""},
		{"no version (P17)", "Upgrade", "websocket", "", "", ""},
		{"version listed as hop-by-hop", "Upgrade, Sec-WebSocket-Version", "websocket", "13", "", ""},
		{"with a body", "Upgrade", "websocket", "13", "Content-Length: 1\r\n", ""},
		{"TLS", "Upgrade", "TLS/1.0", "13", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := understand(strings.NewReader(fmt.Sprintf(websocket, c.connection, c.upgrade, c.version, c.more) + "x"))
			if m.err != nil || m.req.Upgrade != c.want {
				t.Fatalf("upgrade %q, %v; want %q", m.req.Upgrade, m.err, c.want)
			}
			out := strings.ToLower(string(m.req.Append(nil)))
			if strings.Contains(out, "http2-settings") || strings.Contains(out, "h2c") {
				t.Errorf("h2c passes:\n%s", out)
			}
			if has := strings.Contains(out, "\r\nupgrade: "); has != (c.want != "") {
				t.Errorf("Upgrade goes on: %t\n%s", has, out)
			}
		})
	}
	m := understand(strings.NewReader("POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n"))
	if m.req.Upgrade != "" {
		t.Error("a POST upgrades")
	}
}

func TestP25Sizes(t *testing.T) {
	many := func(n int) string { return strings.Repeat("X: y\r\n", n) }
	get := func(target, lines string) string {
		return "GET " + target + " HTTP/1.1\r\nHost: a\r\n" + lines + "\r\n"
	}
	filler := func(size int) string { // a head of exactly this size
		empty := get("/", "X: \r\n")
		return get("/", "X: "+strings.Repeat("y", size-len(empty))+"\r\n")
	}
	runHeads(t, []headCase{
		{"1 MiB of fields", get("/", "X: "+strings.Repeat("y", 1<<20)+"\r\n"), mezu.CodeHeaderTooLarge},
		{"10,000 fields", get("/", many(10_000)), mezu.CodeHeaderTooLarge},
		{"one field too many", get("/", many(relay.MaxFields)), mezu.CodeHeaderTooLarge},
		{"as many fields as may be", get("/", many(relay.MaxFields-1)), accepted},
		{"64 KiB target", get("/"+strings.Repeat("a", 64<<10), ""), mezu.CodeURITooLong},
		{"target over the limit", get("/"+strings.Repeat("a", relay.MaxTarget), ""), mezu.CodeURITooLong},
		{"target at the limit", get("/"+strings.Repeat("a", relay.MaxTarget-1), ""), accepted},
		{"head at the limit", filler(relay.MaxHead), accepted},
		{"head over the limit", filler(relay.MaxHead + 1), mezu.CodeHeaderTooLarge},
		{"endless method", strings.Repeat("A", 1<<20), mezu.CodeURITooLong},
	})
}

// countingReader counts what is taken from it.
type countingReader struct {
	r io.Reader
	n int
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

func TestP25ReadsNoMoreThanTheLimit(t *testing.T) {
	src := &countingReader{r: strings.NewReader("GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("y", 1<<20))}
	if m := understand(src); code(m.err) != mezu.CodeHeaderTooLarge {
		t.Error(m.err)
	}
	if src.n > relay.MaxHead {
		t.Errorf("%d bytes were read", src.n)
	}
}

func TestHeadEnds(t *testing.T) {
	for raw, want := range map[string]error{"": io.EOF, "G": io.ErrUnexpectedEOF, "GET / HTTP/1.1\r\nHost: a\r\n": io.ErrUnexpectedEOF} {
		if m := understand(strings.NewReader(raw)); m.err != want {
			t.Errorf("%q: %v, want %v", raw, m.err, want)
		}
	}
}

func TestExpect(t *testing.T) {
	runHeads(t, []headCase{{"other expectation", post("Content-Length: 1", "Expect: the-moon") + "x", mezu.CodeNotCanonical}})
	for raw, want := range map[string]bool{
		post("Content-Length: 1", "Expect: 100-Continue") + "x":                            true,
		post("Content-Length: 0", "Expect: 100-continue"):                                  false,
		"POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\nx": false,
	} {
		if m := understand(strings.NewReader(raw)); m.err != nil || m.req.Expect != want {
			t.Errorf("%q: %t, %v", raw, m.req.Expect, m.err)
		}
	}
}

func TestH1ReservedFieldsAreDropped(t *testing.T) {
	m := understand(strings.NewReader("GET / HTTP/1.1\r\nHost: a\r\nX-FORWARDED-for: 1\r\nX-Forwarded-Prefix: /\r\nForwarded: for=1\r\nx-real-ip: 1\r\n" +
		"X-Mezu-User-Id: root\r\nX-Original-URL: /admin\r\nX-Rewrite-URL: /admin\r\nX-HTTP-Method-Override: DELETE\r\nX-Auth-User: root\r\nAccept: */*\r\n\r\n"))
	if got := fieldLines(m.req.Fields); m.err != nil || got != "Accept: */*\n" {
		t.Errorf("%q, %v", got, m.err)
	}
}

func TestH2Lookalikes(t *testing.T) {
	for _, n := range []string{"X_Auth_User", "x_forwarded_for", "X-Auth.User", "X-Forwarded_Host", "x.real.ip", "X_MEZU_USER_ID", "X-Mezu_Anything"} {
		runHeads(t, []headCase{{n, "GET / HTTP/1.1\r\nHost: a\r\n" + n + ": x\r\n\r\n", mezu.CodeNotCanonical}})
	}
	runHeads(t, []headCase{{"innocent", "GET / HTTP/1.1\r\nHost: a\r\nMy_Header: x\r\n\r\n", accepted}})
}

func TestH3ConnectionTakesAwayOnlyItsOwn(t *testing.T) {
	m := understand(strings.NewReader("GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X-Secret,, Host , X-Forwarded-Host\r\nX-Secret: 1\r\nX-Kept: 2\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nTE: trailers, deflate\r\nTrailer: X\r\n\r\n"))
	if got := fieldLines(m.req.Fields); m.err != nil || got != "X-Kept: 2\n" || m.req.Host != "a" || !m.req.Trailers {
		t.Errorf("%q, host %q, %v", got, m.req.Host, m.err)
	}
}

func TestRequestID(t *testing.T) {
	for raw, kept := range map[string]bool{"abc-1_2.Z": true, "": false, "a b": false, "a/b": false, strings.Repeat("a", preface.MaxRequestID): true, strings.Repeat("a", preface.MaxRequestID+1): false, "é": false} {
		m := understand(strings.NewReader("GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: " + raw + "\r\n\r\n"))
		if m.err != nil || (m.req.ID == raw) != kept || len(m.req.ID) < 20 && !kept {
			t.Errorf("%q: id %q, %v", raw, m.req.ID, m.err)
		}
	}
	seen := map[string]bool{}
	for range 10_000 {
		id := relay.NewRequestID()
		if seen[id] {
			t.Fatal("an id came twice")
		}
		seen[id] = true
	}
}

func readResponse(src io.Reader, method string) (h relay.ResponseHead, body string, err error) {
	var r relay.Reader
	r.Reset(src)
	if err = r.ReadResponse(&h, method); err != nil {
		return h, "", err
	}
	h.Fields, h.Reason = cloneFields(h.Fields), append([]byte(nil), h.Reason...)
	body, _, err = drain(&r, h.Framing, h.Length, 0)
	return h, body, err
}

func TestP18Responses(t *testing.T) {
	for name, raw := range map[string]string{
		"CL and TE":               "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"two lengths":             "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
		"two equal lengths":       "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
		"bare LF":                 "HTTP/1.1 200 OK\nContent-Length: 1\r\n\r\nx",
		"bare CR in a value":      "HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\nContent-Length: 1\r\n\r\nx",
		"folded":                  "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 1\r\n\r\nx",
		"1 MiB header":            "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("a", 1<<20) + "\r\n\r\n",
		"10,000 fields":           "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: a\r\n", 10_000) + "\r\n",
		"chunks in HTTP/1.0":      "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"gzip, chunked":           "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"negative length":         "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"status of two digits":    "HTTP/1.1 20 OK\r\n\r\n",
		"status of four digits":   "HTTP/1.1 2000 OK\r\n\r\n",
		"status 600":              "HTTP/1.1 600 OK\r\n\r\n",
		"status 099":              "HTTP/1.1 099 OK\r\n\r\n",
		"HTTP/2":                  "HTTP/2.0 200 OK\r\n\r\n",
		"garbage":                 "\x15\x03\x01\x00\x02\x02\x28\r\n\r\n",
		"SSH":                     "SSH-2.0-OpenSSH_9.2\r\n\r\n",
		"control in reason":       "HTTP/1.1 200 O\x01K\r\n\r\n",
		"no status line":          "Content-Length: 1\r\n\r\nx",
		"empty line first":        "\r\nHTTP/1.1 200 OK\r\n\r\n",
		"space before the status": "HTTP/1.1  200 OK\r\n\r\n",
	} {
		if _, _, err := readResponse(strings.NewReader(raw), "GET"); !errors.Is(err, relay.ErrMalformedResponse) {
			t.Errorf("%s: %v, want ErrMalformedResponse", name, err)
		}
	}
}

// TestRow21_NoBodyWhereThereIsNone: what says that it has a body and never has one
// ends with its head (RFC 9112, 6.3), and nothing can follow it.
func TestRow21_NoBodyWhereThereIsNone(t *testing.T) {
	for _, raw := range []string{
		"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
		"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", "HTTP/1.0 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\nTransfer-Encoding: chunked\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
	} {
		h, body, err := readResponse(strings.NewReader(raw+"hello"), "GET")
		if err != nil || body != "" || h.Framing != relay.NoBody || h.KeepAlive() || h.DeclaredLength() != -1 {
			t.Errorf("%q: %+v %q, %v", raw, h, body, err)
		}
		if out := string(h.Append(nil, relay.Hop{})); strings.Contains(out, "Content-Length") || strings.Contains(out, "Transfer-Encoding") {
			t.Errorf("%q goes on as %q", raw, out)
		}
	}
	if h, _, err := readResponse(strings.NewReader("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"), "GET"); err != nil || !h.KeepAlive() {
		t.Errorf("an honest 204 costs its connection: %+v, %v", h, err)
	}
}

// TestRow21_InterimsByTheirRate: as many as one likes, if they come slowly enough.
func TestRow21_InterimsByTheirRate(t *testing.T) {
	at := time.Unix(1000, 0)
	var i relay.Interims
	for n := range 10_000 {
		if at = at.Add(time.Second / relay.InterimRate); !i.Take(at) {
			t.Fatalf("the %dth is refused", n)
		}
	}
	for n := range relay.MaxInterim - 1 {
		if !i.Take(at) {
			t.Fatalf("the %dth at once is refused", n)
		}
	}
	if i.Take(at) {
		t.Error("there is no bound on what comes at once")
	}
	// What the network held up on a tunnel is not the other end's doing.
	tunnel := relay.Interims{Tunnel: true}
	for n := range 10 * relay.MaxInterim {
		if !tunnel.Take(at) {
			t.Fatalf("the %dth is refused on a tunnel", n)
		}
	}
}

// TestRow21_EmptyLineFirst: one empty line before a request is none of it.
func TestRow21_EmptyLineFirst(t *testing.T) {
	for raw, want := range map[string]mezu.Code{"\r\n": accepted, "\r\n\r\n": mezu.CodeNotCanonical, "\n": mezu.CodeNotCanonical, "\r": mezu.CodeNotCanonical, "\r\r\n": mezu.CodeNotCanonical, " \r\n": mezu.CodeNotCanonical} {
		if m := understand(iotest.OneByteReader(strings.NewReader(raw + "GET / HTTP/1.1\r\nHost: a\r\n\r\n"))); code(m.err) != want {
			t.Errorf("%q: %v, want %q", raw, m.err, want)
		}
	}
	if m := understand(strings.NewReader("\r\n")); m.err != io.EOF {
		t.Errorf("an empty line alone: %v", m.err)
	}
	r := relay.Reader{Tunnel: true}
	r.Reset(strings.NewReader("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"))
	var h relay.RequestHead
	if err := r.ReadRequest(&h); code(err) != mezu.CodeNotCanonical {
		t.Errorf("an edge may send one: %v", err)
	}
}

func TestResponses(t *testing.T) {
	const withLength = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
	for _, c := range []struct {
		name, method, raw, body string
		framing                 relay.Framing
		keep                    bool
	}{
		{"length", "GET", withLength, "hello", relay.Length, true},
		{"HEAD", "HEAD", withLength, "", relay.NoBody, true},
		{"HEAD chunked", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "", relay.NoBody, true},
		{"304", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "", relay.NoBody, true},
		{"204", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "", relay.NoBody, true},
		{"empty", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", relay.NoBody, true},
		{"chunked", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "hello", relay.Chunked, true},
		{"until close", "GET", "HTTP/1.1 200 OK\r\n\r\nhello", "hello", relay.UntilClose, true},
		{"until close, HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\n\r\nhello", "hello", relay.UntilClose, false},
		{"HTTP/1.0 keep-alive", "GET", "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 5\r\n\r\nhello", "hello", relay.Length, true},
		{"close", "GET", "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 5\r\n\r\nhello", "hello", relay.Length, false},
		{"no reason", "GET", "HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello", "hello", relay.Length, true},
	} {
		h, body, err := readResponse(strings.NewReader(c.raw), c.method)
		if err != nil || body != c.body || h.Framing != c.framing || h.KeepAlive() != c.keep {
			t.Errorf("%s: framing %d, body %q, keep-alive %t, %v", c.name, h.Framing, body, h.KeepAlive(), err)
		}
	}
}

// TestResponseGoesOn compares what leaves for the next hop.
func TestResponseGoesOn(t *testing.T) {
	for _, c := range []struct {
		name, method, raw string
		hop               relay.Hop
		want              string
	}{
		{"hop-by-hop fields stay behind", "GET", "HTTP/1.1 200 Fine\r\nconnection: X-Mine\r\nX-Mine: 1\r\nKeep-Alive: 2\r\nProxy-Authenticate: x\r\nServer: s\r\nContent-Length: 5\r\n\r\n",
			relay.Hop{}, "HTTP/1.1 200 Fine\r\nServer: s\r\nContent-Length: 5\r\n\r\n"},
		{"request id replaced", "GET", "HTTP/1.1 200 OK\r\nX-Request-Id: theirs\r\nContent-Length: 0\r\n\r\n",
			relay.Hop{RequestID: "ours", Close: true}, "HTTP/1.1 200 OK\r\nX-Request-Id: ours\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"},
		{"request id kept", "GET", "HTTP/1.1 200 OK\r\nX-Request-Id: theirs\r\nContent-Length: 0\r\n\r\n",
			relay.Hop{}, "HTTP/1.1 200 OK\r\nX-Request-Id: theirs\r\nContent-Length: 0\r\n\r\n"},
		{"until close becomes chunks", "GET", "HTTP/1.0 200 OK\r\n\r\n", relay.Hop{}, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{"no chunks for HTTP/1.0", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", relay.Hop{HTTP10: true, Close: true}, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"},
		{"HEAD keeps the length", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", relay.Hop{}, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"},
		{"304 keeps the length", "GET", "HTTP/1.1 304 \r\nContent-Length: 5\r\n\r\n", relay.Hop{}, "HTTP/1.1 304 \r\nContent-Length: 5\r\n\r\n"},
		{"204 has none", "GET", "HTTP/1.1 204 \r\nContent-Length: 0\r\n\r\n", relay.Hop{}, "HTTP/1.1 204 \r\n\r\n"},
		{"interim", "GET", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nConnection: close\r\n\r\n", relay.Hop{Close: true}, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"},
		{"upgrade", "GET", "HTTP/1.1 101 \r\nConnection: upgrade\r\nupgrade: WebSocket\r\nSec-WebSocket-Accept: x\r\n\r\n", relay.Hop{},
			"HTTP/1.1 101 \r\nSec-WebSocket-Accept: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"},
	} {
		var r relay.Reader
		r.Reset(strings.NewReader(c.raw))
		var h relay.ResponseHead
		if err := r.ReadResponse(&h, c.method); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := string(h.Append(nil, c.hop)); got != c.want {
			t.Errorf("%s:\n%q, want\n%q", c.name, got, c.want)
		}
		r.Release()
	}
}
