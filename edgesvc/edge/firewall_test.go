package edge_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/testkit/frames"
)

// attacks as they are in a query, a form and JSON.
const (
	attack        = "1' UNION SELECT password FROM users -- "
	attackInQuery = "1%27%20UNION%20SELECT%20password%20FROM%20users%20--%20"
)

// ruleNumber is what no answer has.
var ruleNumber = regexp.MustCompile(`\b9[0-9]{5}\b`)

// TestFirewall: a route's firewall judges what reaches it in both versions of HTTP, and nothing of
// what it refuses reaches the workload.
func TestFirewall(t *testing.T) {
	a := newTarget(t, false,
		mezu.Route{Name: "guarded", Prefix: "/guarded/", WAF: mezu.WAFBlock},
		mezu.Route{Name: "watched", Prefix: "/watched/", WAF: mezu.WAFDetect},
		mezu.Route{Name: "tuned", Prefix: "/tuned/", WAF: mezu.WAFBlock, WAFSettings: &mezu.WAFSettings{Threshold: 100, Body: 1 << 10}},
		mezu.Route{Name: "small", Prefix: "/small/", WAF: mezu.WAFBlock, MaxBody: 100},
	)
	for name, two := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			a.again(t)
			b := a.world.browser().from(1, two)
			b.client.Timeout = frames.Patience
			a.firewalled(b)
		})
	}
	a.t = t
	if log := a.log.String(); !strings.Contains(log, "rules=") && !strings.Contains(log, `"rules":`) || strings.Contains(log, "UNION") {
		t.Errorf("the log does not name the rules, or has what was sent: %.2000s", log)
	}
}

func (a *target) firewalled(b *browser) {
	t := a.t
	const multipart = "multipart/form-data; boundary=b"
	part := func(name, value string) string {
		return fmt.Sprintf("--b\r\nContent-Disposition: form-data; name=%q\r\n\r\n%s\r\n", name, value)
	}
	file := func(size int) string {
		return "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.jpg\"\r\nContent-Type: image/jpeg\r\n\r\n" + strings.Repeat("\xff", size) + "\r\n"
	}
	for _, c := range []struct {
		what, method, path, body, mediaType string
		status                              int
		code                                mezu.Code
	}{
		{"query", "GET", "/guarded/?id=" + attackInQuery, "", "", 403, mezu.CodeForbidden},
		{"harmless query", "GET", "/guarded/?id=1", "", "", 200, ""},
		{"JSON", "POST", "/guarded/", `{"id":"` + attack + `"}`, "application/json", 403, mezu.CodeForbidden},
		{"harmless JSON", "POST", "/guarded/", `{"id":1}`, "application/json", 200, ""},
		{"form", "POST", "/guarded/", "id=" + attackInQuery, "application/x-www-form-urlencoded", 403, mezu.CodeForbidden},
		{"part", "POST", "/guarded/", part("id", attack) + "--b--", multipart, 403, mezu.CodeForbidden},
		{"harmless parts", "POST", "/guarded/", part("a", "b") + part("c", "d") + "--b--\r\n", multipart, 200, ""},
		{"a file of a megabyte", "POST", "/guarded/", part("a", "b") + file(1<<20) + part("c", "d") + "--b--\r\n", multipart, 200, ""},
		{"a part behind it", "POST", "/guarded/", part("a", "b") + file(1<<20) + part("id", attack) + "--b--\r\n", multipart, 403, mezu.CodeForbidden},
		{"half a body", "POST", "/guarded/", part("a", "b") + file(1<<20), multipart, 403, mezu.CodeForbidden},
		{"an image", "PUT", "/guarded/a.png", strings.Repeat(attack, 10_000), "image/png", 200, ""},
		{"JSON that is too long", "POST", "/guarded/", `"` + strings.Repeat("a", 65<<10) + `"`, "application/json", 413, mezu.CodeBodyTooLarge},
		{"P30: 8,000 values", "GET", "/guarded/?" + strings.Repeat("a&", 7_999), "", "", 413, mezu.CodeBodyTooLarge},
		{"P29: a key twice", "POST", "/guarded/", `{"a":1,"a":2}`, "application/json", 403, mezu.CodeForbidden},
		{"detected", "POST", "/watched/", `{"id":"` + attack + `"}`, "application/json", 200, ""},
		{"detected, too long", "POST", "/watched/", `"` + strings.Repeat("a", 300<<10) + `"`, "application/json", 200, ""},
		{"detected, in parts", "POST", "/watched/", part("id", attack) + file(300<<10) + part("id", attack) + "--b--", multipart, 200, ""},
		{"detected, unreadable", "POST", "/watched/", part("id", "1") + file(300<<10) + "--c", multipart, 200, ""},
		{"below its threshold", "GET", "/tuned/?id=" + attackInQuery, "", "", 200, ""},
		{"over its bound", "POST", "/tuned/", `"` + strings.Repeat("a", 2<<10) + `"`, "application/json", 413, mezu.CodeBodyTooLarge},
		{"over the route's bound", "POST", "/small/", `"` + strings.Repeat("a", 101) + `"`, "application/json", 413, mezu.CodeBodyTooLarge},
	} {
		a.wire.reset()
		fields := []string{"User-Agent", "Mozilla/5.0"}
		if c.mediaType != "" {
			fields = append(fields, "Content-Type", c.mediaType)
		}
		got := b.send(c.method, c.path, c.body, fields...)
		path, _, _ := strings.Cut(c.path, "?")
		switch {
		case got.StatusCode != c.status:
			t.Errorf("%s: %s %.300s", c.what, got.Status, got.body)
		case c.status == 200 && got.body != fmt.Sprintf("%s %s %d", c.method, path, len(c.body)):
			t.Errorf("%s: the workload got %s", c.what, got.body)
		case c.code != "" && (!strings.Contains(got.body, string(c.code)) || ruleNumber.MatchString(got.body)):
			t.Errorf("%s: %s", c.what, got.body)
		}
		if c.status != 200 && strings.Contains(a.wire.String(), "UNION") {
			t.Errorf("%s reached the workload", c.what)
		}
	}
	// P27, through an edge.
	var bomb bytes.Buffer
	w := gzip.NewWriter(&bomb)
	w.Write(make([]byte, 10<<20))
	w.Close()
	if got := b.send("POST", "/guarded/", bomb.String(), "Content-Type", "application/json", "Content-Encoding", "gzip"); got.StatusCode != 413 {
		t.Errorf("a bomb: %s", got.Status)
	}
}

// The edge itself says 100 to a client that waits before it sends what the firewall looks at.
func TestFirewall_SaysContinue(t *testing.T) {
	a := newTarget(t, false, mezu.Route{Prefix: "/guarded/", WAF: mezu.WAFBlock})
	conn := a.dial()
	r := bufio.NewReader(conn)
	for body, want := range map[string]string{`{"id":1}`: "200", `{"id":"` + attack + `"}`: "403"} {
		fmt.Fprintf(conn, "POST /guarded/ HTTP/1.1\r\nHost: %s\r\nUser-Agent: Mozilla/5.0\r\nContent-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", a.host, len(body))
		line, err := r.ReadString('\n')
		if err != nil || line != "HTTP/1.1 100 Continue\r\n" {
			t.Fatalf("%q, %v", line, err)
		}
		r.ReadString('\n')
		io.WriteString(conn, body)
		resp, err := http.ReadResponse(r, nil)
		if err != nil || !strings.HasPrefix(resp.Status, want) {
			t.Fatalf("%v, %v", resp, err)
		}
		io.Copy(io.Discard, resp.Body)
	}
}

// Streams are judged at their start, and then go on as without a firewall: the first event comes at
// once, and what goes over a WebSocket or in a call of gRPC is nobody's business.
func TestFirewall_Streams(t *testing.T) {
	a := newTarget(t, false, mezu.Route{Prefix: "/guarded/", WAF: mezu.WAFBlock, WAFSettings: &mezu.WAFSettings{Paranoia: 2}})
	for name, two := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		b := a.world.browser().from(2, two)
		req, err := http.NewRequestWithContext(t.Context(), "GET", a.env.URL+"/guarded/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("User-Agent", "Mozilla/5.0")
		req.Header.Set("Accept", "text/event-stream")
		resp, err := b.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		first := make([]byte, 9)
		if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "data: 1\n\n" {
			t.Errorf("%s: %s %q, %v", name, resp.Status, first, err)
		}
		resp.Body.Close()
	}
	conn := a.dial()
	fmt.Fprintf(conn, "GET /guarded/echo HTTP/1.1\r\nHost: %s\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", a.host)
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != 101 {
		t.Fatalf("%v, %v", resp, err)
	}
	io.WriteString(conn, attack)
	back := make([]byte, len(attack))
	if _, err := io.ReadFull(r, back); err != nil || string(back) != attack {
		t.Errorf("%q came back, %v", back, err)
	}
	// A call of gRPC, with messages that come one by one.
	c := a.client(frames.Options{})
	c.Headers(1, false, a.request("POST", "/guarded/shop.Cart/Add", "user-agent", "grpc-go/1.85.0", "content-type", "application/grpc", "te", "trailers")...)
	n := 0
	for range 3 {
		message := "\x00\x00\x00\x00" + string(rune(len(attack))) + attack
		n += len(message)
		c.Data(1, false, []byte(message))
		if !c.Ping() {
			t.Fatal(c)
		}
	}
	c.Data(1, true, nil)
	if got := c.End(1); got != "200" || string(c.Stream(1).Body) != fmt.Sprint("POST /guarded/shop.Cart/Add ", n) {
		t.Errorf("%s %q: %v", got, c.Stream(1).Body, c)
	}
}
