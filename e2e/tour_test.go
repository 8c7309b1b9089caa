package e2e

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// TestTour is the main job: five processes and a workload, one request after
// another of every kind.
func TestTour(t *testing.T) {
	t.Parallel()
	wl := newWorkload(t, false)
	w := newWorld(t, 2, open)
	w.addGate("gate-1", wl.addr())
	w.addGate("gate-2", wl.addr())
	for _, e := range w.edges {
		for name, client := range map[string]*http.Client{"h1": w.http(e), "h2": w.http2(e)} {
			t.Run(e.name+"/"+name, func(t *testing.T) { tour(t, w, e, wl, client) })
		}
		t.Run(e.name+"/websocket", func(t *testing.T) { webSocketEcho(t, w, e) })
	}
}

func tour(t *testing.T, w *world, e *edgeNode, wl *workload, client *http.Client) {
	base := "https://" + w.host
	t.Run("get", func(t *testing.T) {
		got := getSeen(t, client, "GET", base+"/a/b?x=1&y=%2F", nil)
		if got.URI != "/a/b?x=1&y=%2F" || got.Host != w.host {
			t.Errorf("the workload saw %s at %s", got.URI, got.Host)
		}
		if got.Header.Get("X-Forwarded-For") != "127.0.0.1" || got.Header.Get("X-Forwarded-Proto") != "https" || got.Header.Get("X-Forwarded-Host") != w.host {
			t.Errorf("forwarded fields are %v", got.Header)
		}
	})
	t.Run("post", func(t *testing.T) {
		if got := getSeen(t, client, "POST", base+"/form", strings.NewReader("hello")); got.Body != "hello" || got.Method != "POST" {
			t.Errorf("the workload saw %+v", got)
		}
		if got := getSeen(t, client, "POST", base+"/stream", io.MultiReader(strings.NewReader("of unknown "), strings.NewReader("length"))); got.Body != "of unknown length" {
			t.Errorf("the workload saw %+v", got)
		}
	})
	t.Run("bulk", func(t *testing.T) { bulk(t, client, base, 16<<20) })
	t.Run("first byte", func(t *testing.T) {
		for _, method := range []string{"GET", "POST"} {
			firstByte(t, client, method, base+"/events", wl)
		}
	})
	t.Run("continue", func(t *testing.T) {
		req, _ := http.NewRequest("POST", base+"/form", strings.NewReader("after 100"))
		req.Header.Set("Expect", "100-continue")
		var got seen
		decode(t, do(t, client, req), &got)
		if got.Body != "after 100" {
			t.Errorf("the workload saw %q", got.Body)
		}
	})
	t.Run("early answer", func(t *testing.T) {
		for range 20 {
			req, _ := http.NewRequest("POST", base+"/early", io.LimitReader(pattern{}, 4<<20))
			resp := do(t, client, req)
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != 413 || !strings.HasPrefix(string(body), "too much") {
				t.Fatalf("answer is %d %q, %v", resp.StatusCode, body, err)
			}
		}
	})
	t.Run("probe", func(t *testing.T) {
		for _, query := range []string{"", "?hop=edge"} {
			resp, err := client.Get(base + "/.mezu/probe" + query)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			timing := resp.Header.Get("Server-Timing")
			if resp.StatusCode != 204 || !strings.HasPrefix(timing, "edge;dur=") || strings.Contains(timing, "warpgate;dur=") != (query == "") {
				t.Errorf("probe%s answers %d with timing %q", query, resp.StatusCode, timing)
			}
		}
	})
	t.Run("cancel", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		req, _ := http.NewRequestWithContext(ctx, "GET", base+"/events", nil)
		resp := do(t, client, req)
		cancel()
		resp.Body.Close()
		select {
		case <-wl.left:
		case <-time.After(patience):
			t.Error("the workload never learned that the client went away")
		}
	})
}

func do(t *testing.T, client *http.Client, req *http.Request) *http.Response {
	t.Helper()
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func decode(t *testing.T, resp *http.Response, into any) {
	t.Helper()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("status %d, %v: %s", resp.StatusCode, err, body)
	}
	if err := json.Unmarshal(body, into); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
}

func getSeen(t *testing.T, client *http.Client, method, url string, body io.Reader) (s seen) {
	t.Helper()
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	decode(t, do(t, client, req), &s)
	return s
}

// bulk sends and receives n bytes and compares digests.
func bulk(t *testing.T, client *http.Client, base string, n int64) {
	t.Helper()
	req, _ := http.NewRequest("POST", base+"/sum", io.LimitReader(pattern{}, n))
	resp := do(t, client, req)
	up, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	resp, err := client.Get(fmt.Sprintf("%s/bytes/%d", base, n))
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	got, err := io.Copy(h, resp.Body)
	resp.Body.Close()
	if err != nil || got != n {
		t.Fatalf("received %d of %d bytes: %v", got, n, err)
	}
	sent := sha256.New()
	io.CopyN(sent, pattern{}, n)
	if want := fmt.Sprintf("%d %s", n, hex.EncodeToString(sent.Sum(nil))); string(up) != want {
		t.Errorf("the workload received %s, want %s", up, want)
	}
}

// firstByte checks that an event arrives while the response is still open.
func firstByte(t *testing.T, client *http.Client, method, url string, wl *workload) {
	t.Helper()
	req, _ := http.NewRequest(method, url, nil)
	resp := do(t, client, req)
	defer resp.Body.Close()
	r := bufio.NewReader(resp.Body)
	for _, want := range []string{"data: first\n", "\n"} {
		if line, err := r.ReadString('\n'); line != want {
			t.Fatalf("first line is %q, %v", line, err)
		}
	}
	wl.release <- struct{}{}
	if line, err := r.ReadString('\n'); line != "data: second\n" {
		t.Fatalf("second event is %q, %v", line, err)
	}
}

func webSocketEcho(t *testing.T, w *world, e *edgeNode) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, _, err := websocket.Dial(ctx, "wss://"+w.host+"/ws", &websocket.DialOptions{HTTPClient: w.http(e)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	c.SetReadLimit(1 << 20)
	for _, size := range []int{1, 100, 5000, 300_000} {
		sent := strings.Repeat("m", size)
		if err := c.Write(ctx, websocket.MessageText, []byte(sent)); err != nil {
			t.Fatal(err)
		}
		_, got, err := c.Read(ctx)
		if err != nil || string(got) != sent {
			t.Fatalf("echo of %d bytes came back as %d: %v", size, len(got), err)
		}
	}
	if err := c.Close(websocket.StatusNormalClosure, "bye"); err != nil {
		t.Error(err)
	}
}
