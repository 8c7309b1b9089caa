package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// stationHeader names the workload that answered.
const stationHeader = "X-Station"

// station is a workload that says who it is, so that a test knows which Warpgate
// carried a request.
type station struct {
	*httptest.Server
	name string
	held atomic.Int64 // requests that wait for release

	taking atomic.Int64 // uploads to /take under way
	taken  atomic.Int64 // and those that came to their end

	mu      sync.Mutex
	waiting chan struct{}
}

func newStation(t *testing.T, name string) *station {
	t.Helper()
	s := &station{name: name, waiting: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("/", s.echo)
	mux.HandleFunc("/ticks", s.ticks)
	mux.HandleFunc("/stream", s.stream)
	mux.HandleFunc("/hold", s.hold)
	mux.HandleFunc("/ws", s.socket)
	mux.HandleFunc("/half", s.half)
	mux.HandleFunc("/take", s.take)
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	t.Cleanup(s.release) // before Close, which waits for handlers
	return s
}

func (s *station) addr() string { return s.Listener.Addr().String() }

// release lets go what is held now and ends the streams.
func (s *station) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.waiting)
	s.waiting = make(chan struct{})
}

func (s *station) released() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiting
}

// echo answers with the body.
func (s *station) echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set(stationHeader, s.name)
	w.Write(body)
}

// hold answers when released.
func (s *station) hold(w http.ResponseWriter, r *http.Request) {
	released := s.released()
	io.Copy(io.Discard, r.Body) // an upload under way is watched by nobody
	s.held.Add(1)
	defer s.held.Add(-1)
	select {
	case <-released:
		w.Header().Set(stationHeader, s.name)
		fmt.Fprint(w, "held")
	case <-r.Context().Done():
	}
}

// take says how much it was sent.
func (s *station) take(w http.ResponseWriter, r *http.Request) {
	if _, err := io.ReadFull(r.Body, make([]byte, 1)); err != nil {
		panic(http.ErrAbortHandler)
	}
	s.taking.Add(1)
	defer s.taking.Add(-1)
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	s.taken.Add(1)
	fmt.Fprint(w, n+1)
}

// halfBody is how much /half sends before it is released, and after it.
const halfBody = 200 << 10

// half sends one half of a body, and the other one when released. With the query «length» it says
// how long the body is.
func (s *station) half(w http.ResponseWriter, r *http.Request) {
	released := s.released()
	if r.URL.RawQuery == "length" {
		w.Header().Set("Content-Length", fmt.Sprint(2*halfBody))
	}
	w.Write(make([]byte, halfBody))
	http.NewResponseController(w).Flush()
	s.held.Add(1)
	defer s.held.Add(-1)
	select {
	case <-released:
		w.Write(make([]byte, halfBody))
	case <-r.Context().Done():
		panic(http.ErrAbortHandler)
	}
}

// tickTime is between two events of a stream.
const tickTime = 25 * time.Millisecond

// shortStream is how many events /ticks sends.
const shortStream = 10

// ticks is a stream of events that ends by itself.
func (s *station) ticks(w http.ResponseWriter, r *http.Request) {
	s.events(w, r, shortStream, nil)
}

// stream is a stream of events that ends when released.
func (s *station) stream(w http.ResponseWriter, r *http.Request) {
	s.events(w, r, -1, s.released())
}

func (s *station) events(w http.ResponseWriter, r *http.Request, n int, released <-chan struct{}) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set(stationHeader, s.name)
	ticker := time.NewTicker(tickTime)
	defer ticker.Stop()
	for i := 0; i != n; i++ {
		fmt.Fprintf(w, "data: %d\n\n", i)
		if http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-ticker.C:
		case <-released:
			n = i + 1
		case <-r.Context().Done():
			return
		}
	}
	fmt.Fprint(w, "data: end\n\n")
}

// socket echoes messages.
func (s *station) socket(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(stationHeader, s.name)
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
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
