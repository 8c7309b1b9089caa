package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// talker is a workload that uses what HTTP has beyond a request and its response.
type talker struct {
	*workload
	trailers chan http.Header // of requests to /trailers
	began    chan struct{}    // a body came to /swallow
	broken   chan error       // how it ended
}

func newTalker(t *testing.T, h2c bool) *talker {
	t.Helper()
	tk := &talker{workload: newWorkload(t, h2c), trailers: make(chan http.Header, 10), began: make(chan struct{}, 10), broken: make(chan error, 10)}
	mux := http.NewServeMux()
	mux.Handle("/", tk.Config.Handler)
	mux.HandleFunc("/trickle/{n}", tk.trickle)
	mux.HandleFunc("/hints", hints)
	mux.HandleFunc("/trailers", tk.trailing)
	mux.HandleFunc("/file", file)
	mux.HandleFunc("/empty", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("/large", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Large", strings.Repeat("r", len(r.Header.Get("X-Large"))))
	})
	mux.HandleFunc("/swallow", tk.swallow)
	mux.HandleFunc("/some", func(w http.ResponseWriter, r *http.Request) {
		io.CopyN(io.Discard, r.Body, 300<<10)
		http.Error(w, "too much", http.StatusRequestEntityTooLarge)
	})
	mux.HandleFunc("/private", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", "Basic")
		http.Error(w, "who are you", http.StatusUnauthorized)
	})
	tk.Config.Handler = mux
	return tk
}

// trickle sends n bytes, each when released.
func (tk *talker) trickle(w http.ResponseWriter, r *http.Request) {
	n := 0
	fmt.Sscan(r.PathValue("n"), &n)
	out := http.NewResponseController(w)
	out.Flush()
	for i := range n {
		select {
		case <-tk.release:
		case <-r.Context().Done():
			return
		}
		w.Write([]byte{'a' + byte(i%26)})
		out.Flush()
	}
}

// hints sends two interim responses before the final one.
func hints(w http.ResponseWriter, _ *http.Request) {
	for _, link := range []string{"</a.css>; rel=preload", "</b.js>; rel=preload"} {
		w.Header().Set("Link", link)
		w.WriteHeader(http.StatusEarlyHints)
	}
	w.Header().Del("Link")
	w.Header().Set("X-Final", "yes")
	fmt.Fprint(w, "final")
}

// trailing tells the trailers that it was sent, and sends some.
func (tk *talker) trailing(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	tk.trailers <- r.Trailer
	w.Header().Set("Trailer", "X-Sum")
	fmt.Fprint(w, "body")
	w.Header().Set("X-Sum", "42")
	w.Header().Set(http.TrailerPrefix+"X-Late", "also")
}

// fileTime and fileText are what /file serves, with ranges and validators.
var fileTime = time.Date(2024, 2, 3, 4, 5, 6, 0, time.UTC)

const fileText = "0123456789abcdefghijklmnopqrstuvwxyz"

func file(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("ETag", `"v1"`)
	http.ServeContent(w, r, "file.txt", fileTime, strings.NewReader(fileText))
}

// swallow reads a body and tells how it ended.
func (tk *talker) swallow(_ http.ResponseWriter, r *http.Request) {
	if _, err := io.CopyN(io.Discard, r.Body, 1); err != nil {
		tk.broken <- err
		return
	}
	tk.began <- struct{}{}
	n, err := io.Copy(io.Discard, r.Body)
	if err == nil {
		err = fmt.Errorf("%w after %d bytes", errComplete, n)
	}
	tk.broken <- err
}

var errComplete = fmt.Errorf("the body was complete")

// rawWorkload answers each connection by a function, byte for byte.
func rawWorkload(t *testing.T, serve func(net.Conn, *bufio.Reader, *http.Request)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				in := bufio.NewReader(c)
				for {
					r, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					serve(c, in, r)
					if r.Close {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}
