package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// seen is what the workload says of a request.
type seen struct {
	Method, Host, URI, Proto string
	Header                   http.Header
	Body                     string
}

// workload is a real HTTP server with the behaviours that the tests need.
type workload struct {
	*httptest.Server
	release chan struct{} // lets /hold answer
	left    chan string   // paths of requests whose client went away
	echoes  atomic.Int64  // requests that were echoed
	holds   atomic.Int64  // requests that /hold took
}

func newWorkload(t *testing.T, h2c bool) *workload {
	t.Helper()
	wl := &workload{release: make(chan struct{}), left: make(chan string, 100)}
	mux := http.NewServeMux()
	mux.HandleFunc("/", wl.echo)
	mux.HandleFunc("/bytes/{n}", wl.bytes)
	mux.HandleFunc("/sum", wl.sum)
	mux.HandleFunc("/sum/", wl.sum)
	mux.HandleFunc("/events", wl.events)
	mux.HandleFunc("/hold", wl.hold)
	mux.HandleFunc("/slow/{ms}", wl.slow)
	mux.HandleFunc("/ws", wl.socket)
	mux.HandleFunc("/early", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "too much", http.StatusRequestEntityTooLarge)
	})
	wl.Server = httptest.NewUnstartedServer(mux)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(h2c)
	wl.Config.Protocols = protocols
	wl.Start()
	t.Cleanup(wl.Close)
	return wl
}

func (wl *workload) addr() string { return wl.Listener.Addr().String() }

func (wl *workload) echo(w http.ResponseWriter, r *http.Request) {
	wl.echoes.Add(1)
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(seen{r.Method, r.Host, r.RequestURI, r.Proto, r.Header, string(body)})
}

// bytes answers with n bytes of a pattern.
func (wl *workload) bytes(w http.ResponseWriter, r *http.Request) {
	n, _ := strconv.ParseInt(r.PathValue("n"), 10, 64)
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	io.CopyN(w, pattern{}, n)
}

// pattern is an endless stream whose bytes are checked by sum.
type pattern struct{}

func (pattern) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(i * 7)
	}
	return len(p), nil
}

// sum answers with the length and digest of the body.
func (wl *workload) sum(w http.ResponseWriter, r *http.Request) {
	h := sha256.New()
	n, err := io.Copy(h, r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	fmt.Fprintf(w, "%d %s", n, hex.EncodeToString(h.Sum(nil)))
}

// events sends one event at once and the second when released.
func (wl *workload) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprint(w, "data: first\n\n")
	http.NewResponseController(w).Flush()
	select {
	case <-wl.release:
		fmt.Fprint(w, "data: second\n\n")
	case <-r.Context().Done():
		wl.left <- r.URL.Path
	}
}

// hold answers when released.
func (wl *workload) hold(w http.ResponseWriter, r *http.Request) {
	wl.holds.Add(1)
	select {
	case <-wl.release:
		fmt.Fprint(w, "held")
	case <-r.Context().Done():
		wl.left <- r.URL.Path
	}
}

func (wl *workload) slow(w http.ResponseWriter, r *http.Request) {
	ms, _ := strconv.Atoi(r.PathValue("ms"))
	select {
	case <-time.After(time.Duration(ms) * time.Millisecond):
		fmt.Fprint(w, "slow")
	case <-r.Context().Done():
	}
}

// socket echoes messages.
func (wl *workload) socket(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return
	}
	defer c.CloseNow()
	c.SetReadLimit(1 << 20)
	for {
		kind, data, err := c.Read(r.Context())
		if err != nil {
			return
		}
		if c.Write(r.Context(), kind, data) != nil {
			return
		}
	}
}
