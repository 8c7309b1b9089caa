package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/relay"
)

// ancient answers as a server of HTTP/1.0 does, by ending the connection.
func ancient(c net.Conn, _ *bufio.Reader, r *http.Request) {
	fmt.Fprint(c, "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nold but whole")
	r.Close = true
}

// TestMessages sends what HTTP has beyond a request and its response, in every
// version on either side.
func TestMessages(t *testing.T) {
	t.Parallel()
	tk, old, wide := newTalker(t, false), rawWorkload(t, ancient), rawWorkload(t, largestAnswer)
	two := newTalker(t, true)
	h2c := "h2c://" + two.addr()
	w := newWorld(t, 1, open, mezu.Route{Prefix: "/old/", Upstream: old}, mezu.Route{Prefix: "/wide/", Upstream: wide}, mezu.Route{Exact: "/trailers", Headers: map[string]string{"X-Version": "2"}, Upstream: h2c},
		mezu.Route{Exact: "/trailers"})
	w.addGate("gate", tk.addr(), "--allow-target", old, "--allow-target", wide, "--allow-target", h2c)
	e := w.edges[0]
	base := "https://" + w.host
	for name, client := range map[string]*http.Client{"h1": w.http(e), "h2": w.http2(e)} {
		for _, test := range []struct {
			name string
			run  func(t *testing.T, client *http.Client, base string, tk *talker)
		}{
			{"events", events}, {"trickle", trickle}, {"early hints", earlyHints}, {"trailers", trailers}, {"HEAD", headOnly}, {"no content", noContent},
			{"ranges", ranges}, {"no length", noLength}, {"large header", largeHeader},
		} {
			t.Run(name+"/"+test.name, func(t *testing.T) { test.run(t, client, base, tk) })
		}
		t.Run(name+"/trailers to h2c", func(t *testing.T) { trailersTo(t, client, base, two, "2") })
	}
	for _, test := range []struct {
		name string
		run  func(t *testing.T, w *world, e *edgeNode)
	}{{"keep-alive", keepAlive}, {"pipelining", pipelining}, {"HTTP/1.0", http10}, {"largest header", largestHeader}} {
		t.Run(test.name, func(t *testing.T) { test.run(t, w, e) })
	}
}

// events are seen while their response is open, whatever the method.
func events(t *testing.T, client *http.Client, base string, tk *talker) {
	for _, method := range []string{"GET", "POST"} {
		firstByte(t, client, method, base+"/events", tk.workload)
	}
}

// trickle sends each byte only when the one before was received.
func trickle(t *testing.T, client *http.Client, base string, tk *talker) {
	const n = 40
	for _, body := range []io.Reader{nil, strings.NewReader("with a body")} {
		resp, err := client.Post(base+"/trickle/"+strconv.Itoa(n), "text/plain", body)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		for i := range n {
			tk.release <- struct{}{}
			var b [10]byte
			if got, err := resp.Body.Read(b[:]); got != 1 || b[0] != 'a'+byte(i%26) || err != nil && err != io.EOF {
				t.Fatalf("byte %d came as %q, %v", i, b[:got], err)
			}
		}
		if rest, err := io.ReadAll(resp.Body); len(rest) > 0 || err != nil {
			t.Errorf("after the last byte came %q, %v", rest, err)
		}
	}
}

func earlyHints(t *testing.T, client *http.Client, base string, _ *talker) {
	var links []string
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		links = append(links, fmt.Sprint(code, " ", h.Get("Link"), h.Get("X-Final")))
		return nil
	}})
	req, _ := http.NewRequestWithContext(ctx, "GET", base+"/hints", nil)
	resp := do(t, client, req)
	if body := readAll(t, resp); resp.StatusCode != 200 || body != "final" || resp.Header.Get("X-Final") != "yes" || resp.Header.Get("Link") != "" {
		t.Errorf("the final response is %v %q", resp, body)
	}
	if want := []string{"103 </a.css>; rel=preload", "103 </b.js>; rel=preload"}; !slices.Equal(links, want) {
		t.Errorf("the interim responses are %q", links)
	}
}

func trailers(t *testing.T, client *http.Client, base string, tk *talker) {
	trailersTo(t, client, base, tk, "1")
}

// trailersTo sends and receives trailers, with a workload of this version.
func trailersTo(t *testing.T, client *http.Client, base string, tk *talker, version string) {
	req, _ := http.NewRequest("POST", base+"/trailers", io.MultiReader(strings.NewReader("of unknown "), strings.NewReader("length")))
	req.Trailer = http.Header{"X-Digest": {"d1"}}
	req.Header.Set("X-Version", version)
	resp := do(t, client, req)
	if body := readAll(t, resp); body != "body" || resp.Trailer.Get("X-Sum") != "42" || resp.Trailer.Get("X-Late") != "also" {
		t.Errorf("the answer is %q with the trailer %v", body, resp.Trailer)
	}
	if got := <-tk.trailers; got.Get("X-Digest") != "d1" {
		t.Errorf("the workload saw the trailer %v", got)
	}
}

func headOnly(t *testing.T, client *http.Client, base string, _ *talker) {
	for range 3 {
		resp, err := client.Head(base + "/file")
		if err != nil {
			t.Fatal(err)
		}
		if body := readAll(t, resp); resp.StatusCode != 200 || body != "" || resp.ContentLength != int64(len(fileText)) || resp.Header.Get("Etag") != `"v1"` {
			t.Errorf("HEAD gives %v with %q", resp, body)
		}
	}
}

func noContent(t *testing.T, client *http.Client, base string, _ *talker) {
	for range 3 {
		resp, err := client.Get(base + "/empty")
		if err != nil {
			t.Fatal(err)
		}
		if body := readAll(t, resp); resp.StatusCode != 204 || body != "" || resp.Header.Get("Content-Length") != "" {
			t.Errorf("the answer is %v with %q", resp, body)
		}
	}
}

func ranges(t *testing.T, client *http.Client, base string, _ *talker) {
	for _, test := range []struct {
		name, value, body, contentRange string
		status                          int
	}{
		{"Range", "bytes=10-12", "abc", "bytes 10-12/36", 206},
		{"Range", "bytes=-3", "xyz", "bytes 33-35/36", 206},
		{"Range", "bytes=90-", "", "bytes */36", 416},
		{"If-None-Match", `"v1"`, "", "", 304},
		{"If-Modified-Since", fileTime.Format(http.TimeFormat), "", "", 304},
		{"If-Match", `"v2"`, "", "", 412},
		{"Accept", "*/*", fileText, "", 200},
	} {
		req, _ := http.NewRequest("GET", base+"/file", nil)
		req.Header.Set(test.name, test.value)
		resp := do(t, client, req)
		body := readAll(t, resp)
		if resp.StatusCode != test.status || resp.Header.Get("Content-Range") != test.contentRange || body != test.body && test.status < 400 {
			t.Errorf("%s: %s gives %v with %q", test.name, test.value, resp, body)
		}
	}
}

// noLength is a response whose end is that of its connection.
func noLength(t *testing.T, client *http.Client, base string, _ *talker) {
	for range 3 {
		resp, err := client.Get(base + "/old/")
		if err != nil {
			t.Fatal(err)
		}
		if body := readAll(t, resp); resp.StatusCode != 200 || body != "old but whole" {
			t.Errorf("the answer is %v with %q", resp, body)
		}
	}
}

func largeHeader(t *testing.T, client *http.Client, base string, _ *talker) {
	large := strings.Repeat("q", relay.MaxHead-2<<10)
	req, _ := http.NewRequest("GET", base+"/large", nil)
	req.Header.Set("X-Large", large)
	resp := do(t, client, req)
	if body := readAll(t, resp); resp.StatusCode != 200 || len(resp.Header.Get("X-Large")) != len(large) {
		t.Errorf("a header of %d bytes gives %d with %d, %s", len(large), resp.StatusCode, len(resp.Header.Get("X-Large")), body)
	}
}

// largestHeader sends heads of exactly the limit, in which each field takes more
// room on its way: at the edge they are allowed, so nobody behind may refuse
// them.
func largestHeader(t *testing.T, w *world, e *edgeNode) {
	c := mustDial1(t, w, e)
	for _, over := range []int{0, 1} {
		var head strings.Builder
		fmt.Fprintf(&head, "GET /echo HTTP/1.1\r\nHost:%s\r\n", w.host)
		for i := range relay.MaxFields - 2 {
			fmt.Fprintf(&head, "X%03d:v\r\n", i)
		}
		fmt.Fprintf(&head, "Pad:%s\r\n\r\n", strings.Repeat("p", relay.MaxHead+over-head.Len()-len("Pad:\r\n\r\n")))
		if _, err := io.WriteString(c, head.String()); err != nil {
			t.Fatal(err)
		}
		resp, body, err := c.answer()
		if want := []int{200, 431}[over]; err != nil || resp.StatusCode != want {
			t.Errorf("a head of %d bytes gives %v %.300s, %v", head.Len(), resp, body, err)
		}
	}
	for name, client := range map[string]*http.Client{"h1": w.http(e), "h2": w.http2(e)} {
		resp, err := client.Get("https://" + w.host + "/wide/")
		if err != nil {
			t.Fatal(err)
		}
		if body := readAll(t, resp); resp.StatusCode != 200 || body != "wide" || resp.Header.Get("X001") != "v" {
			t.Errorf("the largest response gives %d %q over %s", resp.StatusCode, body, name)
		}
		req, _ := http.NewRequest("POST", "https://"+w.host+"/echo", nil)
		for i := range relay.MaxFields - 4 { // net/http adds its own
			req.Header.Set(fmt.Sprintf("X%03d", i), "v")
		}
		var got seen
		if decode(t, do(t, client, req), &got); got.Header.Get("X000") != "v" {
			t.Errorf("the workload saw %+v over %s", got, name)
		}
	}
}

// largestAnswer is as large as a head may be, and grows on its way.
func largestAnswer(c net.Conn, _ *bufio.Reader, r *http.Request) {
	var head strings.Builder
	head.WriteString("HTTP/1.1 200 OK\r\n")
	for i := range relay.MaxFields - 1 {
		fmt.Fprintf(&head, "X%03d:v\r\n", i)
	}
	fmt.Fprintf(&head, "Pad:%s\r\n\r\nwide", strings.Repeat("p", relay.MaxHead-head.Len()-len("Pad:\r\n\r\n")))
	io.WriteString(c, head.String())
	r.Close = true
}

func mustDial1(t *testing.T, w *world, e *edgeNode) *client1 {
	t.Helper()
	c, err := w.dial1(e, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func keepAlive(t *testing.T, w *world, e *edgeNode) {
	c := mustDial1(t, w, e)
	for i := range 1000 {
		if err := c.get(w.host, fmt.Sprintf("/again/%d", i)); err != nil {
			t.Fatal(err)
		}
		if resp, body, err := c.answer(); err != nil || resp.StatusCode != 200 || resp.Close || !strings.Contains(body, fmt.Sprintf(`"/again/%d"`, i)) {
			t.Fatalf("answer %d is %v %q, %v", i, resp, body, err)
		}
	}
}

// pipelining sends requests of all kinds at once; the answers come in their
// order.
func pipelining(t *testing.T, w *world, e *edgeNode) {
	c := mustDial1(t, w, e)
	const n = 60
	var all strings.Builder
	for i := range n {
		switch i % 3 {
		case 0:
			fmt.Fprintf(&all, "GET /slow/%d?%d HTTP/1.1\r\nHost: %s\r\n\r\n", 10-i%10, i, w.host)
		case 1:
			fmt.Fprintf(&all, "POST /n/%d HTTP/1.1\r\nHost: %s\r\nContent-Length: 4\r\n\r\n%4d", i, w.host, i)
		case 2:
			fmt.Fprintf(&all, "POST /n/%d HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n%4d\r\n0\r\n\r\n", i, w.host, i)
		}
	}
	if _, err := io.WriteString(c, all.String()); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		want := fmt.Sprintf(`"Body":"%4d"`, i)
		if i%3 == 0 {
			want = "slow"
		}
		if resp, body, err := c.answer(); err != nil || resp.StatusCode != 200 || !strings.Contains(body, want) {
			t.Fatalf("answer %d is %v %q, %v", i, resp, body, err)
		}
	}
}

// http10 is a client of HTTP/1.0: it gets no chunks and, unless it asks, no second
// answer.
func http10(t *testing.T, w *world, e *edgeNode) {
	ask := func(c *client1, path, more string) (*http.Response, string) {
		t.Helper()
		fmt.Fprintf(c, "GET %s HTTP/1.0\r\nHost: %s\r\n%s\r\n", path, w.host, more)
		resp, body, err := c.answer()
		if err != nil {
			t.Fatal(err)
		}
		return resp, body
	}
	c := mustDial1(t, w, e)
	for i := range 3 {
		if resp, body := ask(c, "/file", "Connection: keep-alive\r\n"); resp.StatusCode != 200 || body != fileText {
			t.Fatalf("answer %d is %v %q", i, resp, body)
		}
	}
	for _, path := range []string{"/hints", "/trailers", "/old/"} {
		c := mustDial1(t, w, e)
		resp, body := ask(c, path, "")
		if resp.StatusCode != 200 || body == "" || len(resp.TransferEncoding) > 0 {
			t.Errorf("%s gives %v %q", path, resp, body)
		}
		if _, err := c.in.ReadByte(); err != io.EOF {
			t.Errorf("after %s the connection goes on: %v", path, err)
		}
	}
}
