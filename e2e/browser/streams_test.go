package browser

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/coder/websocket"
)

// How many streams a page keeps open at once: more event streams than browsers make connections to one host
// (6), and with the WebSockets fewer than the edge lets a connection have (100).
const (
	eventStreams = 80
	webSockets   = 10
)

// ticker is a workload whose event streams get an event when it is told to tick.
type ticker struct {
	mu   sync.Mutex
	next chan struct{} // closed by the next tick
}

func newTicker() *ticker { return &ticker{next: make(chan struct{})} }

// upcoming is closed by the next tick.
func (k *ticker) upcoming() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.next
}

// ServeHTTP opens an event stream, which begins with an event; POST ticks.
func (k *ticker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		k.mu.Lock()
		defer k.mu.Unlock()
		close(k.next)
		k.next = make(chan struct{})
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	for {
		next := k.upcoming()
		fmt.Fprint(w, "data: tick\n\n")
		if http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-next:
		case <-r.Context().Done():
			return
		}
	}
}

// echoSocket sends each message back.
func echoSocket(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true, CompressionMode: websocket.CompressionContextTakeover})
	if err != nil {
		return
	}
	defer c.CloseNow()
	for {
		kind, data, err := c.Read(r.Context())
		if err != nil || c.Write(r.Context(), kind, data) != nil {
			return
		}
	}
}

// openStreams opens event streams and WebSockets, and counts what comes over each.
const openStreams = `(async () => {
  window.ticks = Array(%d).fill(0);
  window.echoes = Array(%d).fill("");
  window.ended = [];
  const streams = window.ticks.map((_, i) => new EventSource("/streams/events?" + i));
  window.sockets = window.echoes.map((_, i) => new WebSocket("wss://" + location.host + "/streams/socket?" + i));
  streams.forEach((s, i) => { s.onmessage = () => window.ticks[i]++; s.onerror = () => window.ended.push("event stream " + i); });
  window.sockets.forEach((s, i) => {
    s.onmessage = (m) => window.echoes[i] += m.data;
    s.onerror = () => window.ended.push("WebSocket " + i);
    s.onclose = (e) => window.ended.push("code " + e.code);
  });
  await Promise.all([...streams, ...window.sockets].map((s) => new Promise((done) => s.addEventListener("open", done))));
})()`

// TestStreams_ShareOneConnection: a page has event streams and WebSockets open on one connection of
// HTTP/2, all of them move, and the page goes on beside them.
func TestStreams_ShareOneConnection(t *testing.T) {
	w := newWorld(t)
	b := w.visitor(t)
	var mu sync.Mutex
	connections, handshakes := map[float64]int{}, b.handshakes()
	if err := chromedp.Listen(b.ctx, func(event any) {
		if e, ok := event.(*network.EventResponseReceived); ok && e.Type == network.ResourceTypeEventSource && e.Response.Protocol == "h2" {
			mu.Lock()
			defer mu.Unlock()
			connections[e.Response.ConnectionID]++
		}
	}); err != nil {
		t.Fatal(err)
	}
	b.visit("/")
	eval[chromedp.Void](b, openStreams, eventStreams, webSockets)
	all := func(n int) func() bool {
		return func() bool {
			return eval[bool](b, fmt.Sprintf(`window.ticks.every((n) => n === %d)`, n))
		}
	}
	b.eventually("the first event of each stream", all(1))
	for i := 1; i <= 3; i++ {
		if got := eval[int](b, `fetch("/streams/events", {method: "POST"}).then((r) => r.status)`); got != http.StatusOK {
			t.Fatalf("beside its streams the page gets %d", got)
		}
		b.eventually("an event of each stream", all(1+i))
		eval[chromedp.Void](b, fmt.Sprintf(`window.sockets.forEach((s) => s.send("%d".repeat(1000)))`, i))
	}
	want := strings.Repeat("1", 1000) + strings.Repeat("2", 1000) + strings.Repeat("3", 1000)
	b.eventually("each WebSocket to echo", func() bool { return eval[bool](b, `window.echoes.every((s) => s === %s)`, want) })
	if got := eval[int](b, `window.ended.length`); got != 0 {
		t.Errorf("of the streams broke: %s", eval[string](b, `window.ended.join(", ")`))
	}
	// A WebSocket is closed with its code by either version.
	eval[chromedp.Void](b, `window.sockets.forEach((s) => s.close(4000, "enough"))`)
	b.eventually("each WebSocket to close", func() bool {
		return eval[int](b, `window.ended.filter((s) => s === "code 4000").length`) == webSockets
	})
	mu.Lock()
	defer mu.Unlock()
	n := 0
	for _, streams := range connections {
		n += streams
	}
	if len(connections) != 1 || n != eventStreams {
		t.Errorf("%d event streams came over %d connections of HTTP/2", n, len(connections))
	}
	if got := handshakes(); got[http.StatusOK] != webSockets || len(got) != 1 {
		t.Errorf("not all WebSockets came over HTTP/2: %v", got)
	}
}
