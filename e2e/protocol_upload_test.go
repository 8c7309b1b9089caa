package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
)

// TestUploads sends bodies that are cut off, unwelcome or only wanted on
// condition.
func TestUploads(t *testing.T) {
	t.Parallel()
	tk, h2c, deaf := newTalker(t, false), newTalker(t, true), rawWorkload(t, neverContinues)
	w := newWorld(t, 1, open, mezu.Route{Prefix: "/deaf/", Upstream: deaf})
	w.addGate("gate", tk.addr(), "--allow-target", "h2c://"+h2c.addr(), "--allow-target", deaf)
	e := w.edges[0]
	for _, test := range []struct {
		name string
		run  func(*testing.T, *world, *edgeNode)
	}{{"refused before the body", refusedBeforeBody}, {"continue", continues}, {"never continue", continuesAnyway}, {"raw early answer", rawEarlyAnswer}} {
		t.Run(test.name, func(t *testing.T) { test.run(t, w, e) })
	}
	for name, client := range map[string]*http.Client{"h1": w.http(e), "h2": w.http2(e)} {
		for _, path := range []string{"/early", "/some"} {
			for _, expect := range []bool{false, true} {
				for _, chunked := range []bool{false, true} {
					t.Run(fmt.Sprintf("early answer/%s%s/expect=%v/chunked=%v", name, path, expect, chunked), func(t *testing.T) {
						earlyAnswer(t, client, "https://"+w.host+path, expect, chunked)
					})
				}
			}
		}
	}
	aborted := func(name string, tk *talker) {
		for _, version := range []string{"h1", "h2"} {
			t.Run("abort/"+name+"/"+version, func(t *testing.T) { abortUploads(t, w, e, tk, version == "h2") })
		}
	}
	aborted("http", tk)
	w.setRoutes(mezu.Route{Prefix: "/", Upstream: "h2c://" + h2c.addr()})
	eventually(t, "the route to h2c", func() error {
		if got := getSeen(t, w.http(e), "GET", "https://"+w.host+"/x", nil); got.Proto != "HTTP/2.0" {
			return fmt.Errorf("the workload is spoken to in %s", got.Proto)
		}
		return nil
	})
	aborted("h2c", h2c)
}

// neverContinues reads the body without saying that it may come.
func neverContinues(c net.Conn, _ *bufio.Reader, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// refusedBeforeBody: the workload answers 401 instead of 100, and the client keeps
// its body.
func refusedBeforeBody(t *testing.T, w *world, e *edgeNode) {
	for range 20 {
		c := mustDial1(t, w, e)
		fmt.Fprintf(c, "PUT /private HTTP/1.1\r\nHost: %s\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n", w.host)
		resp, body, err := c.answer()
		if err != nil || resp.StatusCode != 401 || !strings.HasPrefix(body, "who are you") || resp.Header.Get("Www-Authenticate") != "Basic" {
			t.Fatalf("the answer is %v %q, %v", resp, body, err)
		}
		c.Close()
	}
	for _, h2 := range []bool{false, true} {
		client := w.expecting(e, h2)
		var sent atomic.Int64
		req, _ := http.NewRequest("PUT", "https://"+w.host+"/private", countingReader{io.LimitReader(pattern{}, 1<<20), &sent})
		req.Header.Set("Expect", "100-continue")
		resp := do(t, client, req)
		if readAll(t, resp); resp.StatusCode != 401 || sent.Load() > 0 {
			t.Errorf("the answer is %d after %d bytes of the body", resp.StatusCode, sent.Load())
		}
	}
}

// expecting is a client that waits long for 100 Continue.
func (w *world) expecting(e *edgeNode, h2 bool) *http.Client {
	client := w.httpClient(e, h2)
	client.Transport.(*http.Transport).ExpectContinueTimeout = patience
	return client
}

type countingReader struct {
	io.Reader
	n *atomic.Int64
}

func (r countingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.n.Add(int64(n))
	return n, err
}

// continues: the workload reads, which is when it says 100.
func continues(t *testing.T, w *world, e *edgeNode) {
	for _, h2 := range []bool{false, true} {
		said := false
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got100Continue: func() { said = true }})
		req, _ := http.NewRequestWithContext(ctx, "PUT", "https://"+w.host+"/echo", strings.NewReader("after 100"))
		req.Header.Set("Expect", "100-continue")
		var got seen
		if decode(t, do(t, w.expecting(e, h2), req), &got); got.Body != "after 100" || !said {
			t.Errorf("the workload saw %+v, 100 was said: %v", got, said)
		}
	}
}

// continuesAnyway: a workload that knows nothing of 100 gets the body all the
// same.
func continuesAnyway(t *testing.T, w *world, e *edgeNode) {
	for _, h2 := range []bool{false, true} {
		req, _ := http.NewRequest("PUT", "https://"+w.host+"/deaf/", strings.NewReader("in the end"))
		req.Header.Set("Expect", "100-continue")
		resp := do(t, w.expecting(e, h2), req)
		if body := readAll(t, resp); resp.StatusCode != 200 || body != "in the end" {
			t.Errorf("the answer is %d %q", resp.StatusCode, body)
		}
	}
}

// earlyTries is how often an early answer must get through out of as many. Under
// the race detector each takes long.
func earlyTries() int {
	if raceEnabled {
		return 4
	}
	return 20
}

// rawEarlyAnswer: a client that sends all of its upload before it reads still
// finds the answer.
func rawEarlyAnswer(t *testing.T, w *world, e *edgeNode) {
	const size = 50 << 20
	for i := range earlyTries() {
		c := mustDial1(t, w, e)
		fmt.Fprintf(c, "POST /early HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n", w.host, size)
		n, werr := io.Copy(c, io.LimitReader(pattern{}, size)) // ends early when the edge has had enough
		resp, body, err := c.answer()
		if err != nil || resp.StatusCode != 413 || !strings.HasPrefix(body, "too much") {
			t.Fatalf("answer %d is %v %q, %v; %d bytes were sent: %v", i, resp, body, err, n, werr)
		}
		c.Close()
	}
}

// earlyAnswer: the workload answers 413 to 50 MB before it has read them.
func earlyAnswer(t *testing.T, client *http.Client, url string, expect, chunked bool) {
	const size = 50 << 20
	for i := range earlyTries() {
		req, _ := http.NewRequest("POST", url, io.LimitReader(pattern{}, size))
		if !chunked {
			req.ContentLength = size
		}
		if expect {
			req.Header.Set("Expect", "100-continue")
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		if body := readAll(t, resp); resp.StatusCode != 413 || !strings.HasPrefix(body, "too much") {
			t.Fatalf("answer %d is %d %q", i, resp.StatusCode, body)
		}
	}
}

// abortUploads breaks uploads off in every way that there is: the workload must
// never take what came for the whole.
func abortUploads(t *testing.T, w *world, e *edgeNode, tk *talker, h2 bool) {
	if h2 {
		client := w.http2(e)
		for _, length := range []int64{-1, 1 << 20} {
			ctx, cancel := context.WithCancel(t.Context())
			out, in := io.Pipe()
			req, _ := http.NewRequestWithContext(ctx, "POST", "https://"+w.host+"/swallow", out)
			req.ContentLength = length
			done := make(chan error, 1)
			go func() {
				resp, err := client.Do(req)
				if err == nil {
					resp.Body.Close()
				}
				done <- err
			}()
			in.Write(make([]byte, 100<<10))
			tk.sawBegin(t)
			cancel()
			in.CloseWithError(context.Canceled)
			<-done
			tk.sawBroken(t, fmt.Sprint("length ", length))
		}
		return
	}
	for _, framing := range []string{"Content-Length: 1000000", "Transfer-Encoding: chunked"} {
		for name, end := range map[string]func(*client1){
			"close":      func(c *client1) { c.Close() },
			"half-close": func(c *client1) { c.CloseWrite() },
			"reset": func(c *client1) {
				c.NetConn().(*net.TCPConn).SetLinger(0)
				c.NetConn().Close()
			},
		} {
			c := mustDial1(t, w, e)
			fmt.Fprintf(c, "POST /swallow HTTP/1.1\r\nHost: %s\r\n%s\r\n\r\n", w.host, framing)
			if strings.HasSuffix(framing, "chunked") {
				fmt.Fprintf(c, "%x\r\n%s\r\n", 100<<10, make([]byte, 100<<10)) // a whole chunk, and no last one
			} else {
				c.Write(make([]byte, 100<<10))
			}
			tk.sawBegin(t) // what is cut earlier may never get there
			end(c)
			tk.sawBroken(t, framing+", "+name)
		}
	}
}

func (tk *talker) sawBegin(t *testing.T) {
	t.Helper()
	select {
	case <-tk.began:
	case <-time.After(patience):
		t.Fatal("the upload never came to the workload")
	}
}

func (tk *talker) sawBroken(t *testing.T, what string) {
	t.Helper()
	select {
	case err := <-tk.broken:
		if errors.Is(err, errComplete) {
			t.Errorf("%s: %v", what, err)
		}
	case <-time.After(patience):
		t.Errorf("%s: the workload never learned that the upload was cut", what)
	}
}
