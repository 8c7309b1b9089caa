package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/mezusphere/mezu"
)

// heldRequests are requests that wait for a station to release them.
type heldRequests struct {
	t       *testing.T
	running sync.WaitGroup

	mu   sync.Mutex
	done []loadOutcome
}

// hold begins n requests, each on a connection of its own.
func (w *world) hold(e *edgeNode, method string, n int) *heldRequests {
	w.t.Helper()
	body := ""
	if method == "POST" {
		body = "held"
	}
	h := &heldRequests{t: w.t}
	for range n {
		client := w.http(e)
		h.running.Go(func() {
			defer client.CloseIdleConnections()
			o := loadOutcome{kind: method, proto: "h1", edge: e, begun: time.Now()}
			ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
			defer cancel()
			o.fetch(ctx, client, method, "https://"+w.host+"/hold", body)
			o.ended = time.Now()
			h.mu.Lock()
			defer h.mu.Unlock()
			h.done = append(h.done, o)
		})
	}
	w.t.Cleanup(h.running.Wait)
	return h
}

// wait returns when all have ended.
func (h *heldRequests) wait() []loadOutcome {
	h.running.Wait()
	return h.done
}

// count is how many have ended with a code; an empty one stands for 200.
func (h *heldRequests) count(code mezu.Code) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, o := range h.done {
		if o.err == nil && o.code == code {
			n++
		}
	}
	return n
}

func (h *heldRequests) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var b strings.Builder
	for _, o := range h.done {
		fmt.Fprintf(&b, "\n%v", o)
	}
	return b.String()
}

// holds waits until a station holds so many requests.
func (s *station) holds(t *testing.T, n int) {
	t.Helper()
	eventually(t, s.name+" to hold requests", func() error {
		if now := s.held.Load(); now != int64(n) {
			return fmt.Errorf("it holds %d, want %d", now, n)
		}
		return nil
	})
}

// eventStream is an open response of /stream.
type eventStream struct {
	resp *http.Response
	read sync.WaitGroup

	mu    sync.Mutex
	count int
	err   error
	whole bool // it ended as it should
}

// stream opens one and reads it.
func (w *world) stream(client *http.Client) *eventStream {
	w.t.Helper()
	resp, err := client.Get("https://" + w.host + "/stream")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		w.t.Fatalf("the stream's status is %d", resp.StatusCode)
	}
	s := &eventStream{resp: resp}
	s.read.Go(s.follow)
	return s
}

func (s *eventStream) follow() {
	lines := bufio.NewScanner(s.resp.Body)
	for lines.Scan() {
		s.mu.Lock()
		if strings.HasPrefix(lines.Text(), "data: ") {
			s.count++
		}
		s.whole = s.whole || lines.Text() == "data: end"
		s.mu.Unlock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = lines.Err()
}

// goesOn waits for some more events.
func (s *eventStream) goesOn(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	before := s.count
	s.mu.Unlock()
	eventually(t, "more events", func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.count < before+3 {
			return fmt.Errorf("%d came, before %d; %v", s.count, before, s.err)
		}
		return nil
	})
}

// ends waits for the end and checks that it is the stream's own.
func (s *eventStream) ends(t *testing.T) {
	t.Helper()
	s.read.Wait()
	if s.err != nil || !s.whole {
		t.Errorf("the stream was cut: %v", s.err)
	}
}

// h2Conn is a connection of HTTP/2 as frames.
type h2Conn struct {
	*tls.Conn
	framer *http2.Framer
}

// rawH2 opens a connection and does one request, so that it is in use and idle.
func (w *world) rawH2(e *edgeNode) *h2Conn {
	w.t.Helper()
	conn, err := tls.Dial("tcp", e.https, &tls.Config{RootCAs: w.roots, ServerName: w.host, NextProtos: []string{"h2"}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	c := &h2Conn{conn, http2.NewFramer(conn, conn)}
	if _, err := conn.Write([]byte(http2.ClientPreface)); err != nil {
		w.t.Fatal(err)
	}
	if err := c.framer.WriteSettings(); err != nil {
		w.t.Fatal(err)
	}
	if err := c.framer.WriteSettingsAck(); err != nil {
		w.t.Fatal(err)
	}
	c.until(w.t, func(f http2.Frame) bool { s, ok := f.(*http2.SettingsFrame); return ok && s.IsAck() })
	return c
}

// until reads frames up to one that is looked for.
func (c *h2Conn) until(t *testing.T, wanted func(http2.Frame) bool) {
	t.Helper()
	for {
		f, err := c.framer.ReadFrame()
		if err != nil {
			t.Fatalf("reading frames: %v", err)
		}
		if wanted(f) {
			return
		}
	}
}

// freshH2 opens a connection on which nothing is asked before the function is
// called.
func (w *world) freshH2(e *edgeNode) (ask func(t *testing.T) (*http.Response, error)) {
	w.t.Helper()
	conn, err := tls.Dial("tcp", e.https, &tls.Config{RootCAs: w.roots, ServerName: w.host, NextProtos: []string{"h2"}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return func(t *testing.T) (*http.Response, error) {
		t.Helper()
		protocols := new(http.Protocols)
		protocols.SetHTTP2(true)
		c := &http.Transport{Protocols: protocols, DialTLSContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil }}
		t.Cleanup(c.CloseIdleConnections)
		req, err := http.NewRequest("GET", "https://"+w.host+"/", nil)
		if err != nil {
			return nil, err
		}
		resp, err := c.RoundTrip(req)
		if err == nil {
			if resp.Body.Close(); resp.ProtoMajor != 2 {
				t.Errorf("it is HTTP/%d", resp.ProtoMajor)
			}
		}
		return resp, err
	}
}
