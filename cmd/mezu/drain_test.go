package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/exit"
)

// lasting is a workload as a development server is: with a WebSocket, a stream of events, and an
// answer that takes its time.
type lasting struct {
	t       *testing.T
	address string
	arrived chan struct{} // closed when the workload has the request for that
	slow    chan struct{} // lets the answer come
	answer  chan string   // what the client of that got
	cut     chan error    // how a stream has ended for its client
}

// whole is that answer if nothing cut it.
const whole = "begun, done"

func newLasting(t *testing.T) *lasting {
	l := &lasting{t: t, arrived: make(chan struct{}), slow: make(chan struct{}), answer: make(chan string, 1), cut: make(chan error, 2)}
	l.address = workload(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ws":
			conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
			if err != nil {
				return
			}
			defer conn.CloseNow()
			conn.Write(r.Context(), websocket.MessageText, []byte("hello"))
			conn.Read(r.Context())
		case "/events":
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprint(w, "data: hello\n\n")
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		case "/slow":
			fmt.Fprint(w, "begun, ") // a download whose length nobody knows, and no stream
			http.NewResponseController(w).Flush()
			close(l.arrived)
			<-l.slow
			fmt.Fprint(w, "done")
		}
	})
	return l
}

// begin has all three under way.
func (l *lasting) begin(client *http.Client, url string) {
	l.t.Helper()
	conn, _, err := websocket.Dial(l.t.Context(), url+"/ws", &websocket.DialOptions{HTTPClient: client})
	if err == nil {
		l.t.Cleanup(func() { conn.CloseNow() })
		_, _, err = conn.Read(l.t.Context())
	}
	if err != nil {
		l.t.Fatal(err)
	}
	go func() {
		_, _, err := conn.Read(context.Background())
		l.cut <- err
	}()
	events, err := client.Get(url + "/events")
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { events.Body.Close() })
	if _, err := io.ReadFull(events.Body, make([]byte, len("data: hello\n\n"))); err != nil {
		l.t.Fatal(err)
	}
	go func() {
		_, err := io.Copy(io.Discard, events.Body)
		l.cut <- err
	}()
	go func() {
		resp, err := client.Get(url + "/slow")
		if err != nil {
			l.answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		l.answer <- string(text)
	}()
	<-l.arrived
}

// ends waits until both streams were cut, and lets the rest end then: it is not cut.
func (l *lasting) ends() {
	l.t.Helper()
	for range 2 {
		if err := <-l.cut; err == nil {
			l.t.Error("a stream looks as if it had ended by itself")
		}
	}
	close(l.slow)
	if got := <-l.answer; got != whole {
		l.t.Errorf("the slow request got %q", got)
	}
}

// TestDevSaysWhatItWaitsFor: the end of mezu dev names the requests under way, cuts streams after
// two seconds and lets the others end. A stream that was cut has a cause.
func TestDevSaysWhatItWaitsFor(t *testing.T) {
	l := newLasting(t)
	r := start(t, t.TempDir(), l.address)
	client := r.client()
	l.begin(client, r.ready.URL)
	r.cancel()
	until(t, "it says what it waits for", func() bool {
		return strings.Contains(r.errors.String(), "stopping: 3 requests under way (GET /ws, ") && strings.Contains(r.errors.String(), " s). Ctrl-C again cuts them.\n")
	})
	l.ends()
	client.CloseIdleConnections()
	if code := r.stop(); code != 0 {
		t.Errorf("stopped with %d: %s", code, r.errors)
	}
	ended := map[string]string{}
	for e := range r.events {
		if e.Event == mezu.EventRequest {
			ended[e.Path] += fmt.Sprint(e.Status, " ", e.Cause)
		}
	}
	if want := fmt.Sprint(map[string]string{"/ws": "101 shutdown", "/events": "200 shutdown", "/slow": "200 "}); fmt.Sprint(ended) != want {
		t.Errorf("%v, want %s", ended, want)
	}
}

// TestTunnelSaysWhatItWaitsFor: so does mezu tunnel, whose daemon carries the requests.
func TestTunnelSaysWhatItWaitsFor(t *testing.T) {
	world := start(t, t.TempDir())
	p := newTunneller(t, world, nil)
	l := newLasting(t)
	h := p.open(l.address)
	url := h.said(h.out, `https://\S+`)
	client := world.client()
	l.begin(client, url)
	h.end()
	until(t, "it says what it waits for", func() bool {
		return strings.Contains(h.talk.String(), "stopping: 3 requests under way (GET /ws, ") && strings.Contains(h.talk.String(), " s). Ctrl-C again cuts them.\n")
	})
	l.ends()
	client.CloseIdleConnections()
	if code := h.ended(); code != 0 {
		t.Errorf("stopped with %d: %s", code, h.talk)
	}
	for _, want := range []string{"  cut  GET    /ws", "  cut  GET    /events", "  200  GET    /slow"} {
		if strings.Count(h.out.String(), want) != 1 {
			t.Errorf("no %q in\n%s", want, h.out)
		}
	}
	if n := strings.Count(h.out.String(), "shutdown"); n != 2 {
		t.Errorf("%d requests have a cause:\n%s", n, h.out)
	}

	// So does mezu tunnel stop, and Ctrl-C cuts all of it there.
	l = newLasting(t)
	out, _ := p.do("tunnel", l.address, "--detach")
	url = strings.TrimSpace(out)
	p.becomes(url, http.StatusOK)
	l.begin(client, url)
	name := strings.TrimPrefix(strings.SplitN(url, "-dev.localhost", 2)[0], "https://shop-")
	h = p.hold("tunnel", "stop", name)
	h.said(h.talk, `stopping: 3 requests under way \(GET /ws, .* s\)\. Ctrl-C cuts them\.\n`)
	if code := h.stop(); code != exit.Interrupted || !strings.Contains(h.talk.String(), "stopped shop/"+name+": ") {
		t.Errorf("stopped with %d: %s", code, h.talk)
	}
	if got := <-l.answer; got == whole {
		t.Error("the slow request was not cut")
	}
	close(l.slow)
	client.CloseIdleConnections()
}
