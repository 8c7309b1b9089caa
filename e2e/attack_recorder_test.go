package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// recorder is a workload that keeps every byte it receives, whatever it answers.
type recorder struct {
	t  *testing.T
	l  net.Listener
	wg sync.WaitGroup

	mu      sync.Mutex
	conns   []*recording
	scripts map[string]script // by path
}

// script answers a request whose body was read, or not yet if early. It reports
// whether the connection goes on.
type script struct {
	early  bool
	answer func(conn net.Conn, m *message) bool
	ended  func() // called, if not nil, when its connection sends nothing more, maybe twice
}

// recording is one connection of the Warpgate to the workload.
type recording struct {
	mu       sync.Mutex
	net      net.Conn
	raw      bytes.Buffer
	messages []*message // read whole
	partial  *message   // the head that came last and whose body did not end
	err      error      // why reading ended; io.EOF between messages
}

func newRecorder(t *testing.T) *recorder {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{t: t, l: l, scripts: map[string]script{}}
	r.wg.Go(r.accept)
	t.Cleanup(r.close)
	return r
}

func (r *recorder) addr() string { return r.l.Addr().String() }

// on sets how requests for a path are answered.
func (r *recorder) on(path string, s script) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.scripts[path] = s
}

// says answers requests for a path with these bytes, and then closes if last.
func (r *recorder) says(path, answer string, last bool) {
	r.on(path, script{answer: func(conn net.Conn, _ *message) bool {
		io.WriteString(conn, answer)
		return !last
	}})
}

func (r *recorder) close() {
	r.l.Close()
	r.mu.Lock()
	for _, c := range r.conns {
		c.net.Close()
	}
	r.mu.Unlock()
	r.wg.Wait()
}

func (r *recorder) accept() {
	for {
		conn, err := r.l.Accept()
		if err != nil {
			return
		}
		rec := &recording{net: conn}
		r.mu.Lock()
		r.conns = append(r.conns, rec)
		r.mu.Unlock()
		r.wg.Go(func() { r.serve(conn, rec) })
	}
}

// Write keeps what was read.
func (c *recording) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.raw.Write(p)
}

// serve reads requests to the end of the connection and answers them.
func (r *recorder) serve(conn net.Conn, rec *recording) {
	var last script
	defer func() {
		conn.Close()
		last.tell()
	}()
	in := bufio.NewReader(io.TeeReader(conn, rec))
	for {
		answered, goOn := false, true
		m, err := readMessage(in, func(m *message) {
			rec.mu.Lock()
			rec.partial = m
			rec.mu.Unlock()
			if last = r.script(m.path()); last.early {
				answered, goOn = true, last.answer(conn, m)
			} else if m.get("Expect") != "" {
				io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\n")
			}
		})
		rec.mu.Lock()
		rec.err = err
		if err == nil {
			rec.messages, rec.partial = append(rec.messages, m), nil
		}
		rec.mu.Unlock()
		if err != nil {
			return
		}
		if !answered {
			goOn = last.answer(conn, m)
		}
		if !goOn {
			if t, ok := conn.(*net.TCPConn); ok {
				t.CloseWrite()
				last.tell()
				drain(t)
			}
			return
		}
	}
}

// drain reads what still comes after the sending side has ended, so that what was sent
// is not lost in a reset.
func drain(conn net.Conn) {
	conn.SetReadDeadline(time.Now().Add(patience))
	io.Copy(io.Discard, conn)
}

// tell says that nothing more is sent.
func (s *script) tell() {
	if s.ended != nil {
		s.ended()
	}
}

func (r *recorder) script(path string) script {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s, ok := r.scripts[path]; ok {
		return s
	}
	return script{answer: recite}
}

// recite answers with what was received.
func recite(conn net.Conn, m *message) bool {
	text := m.method + " " + m.target + "\n" + m.body
	if m.method == "HEAD" {
		text = ""
	}
	fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Type: text/plain\r\n\r\n%s", len(text), text)
	return true
}

// raw is all that came, connection by connection.
func (r *recorder) raw() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all strings.Builder
	for _, c := range r.conns {
		c.mu.Lock()
		all.Write(c.raw.Bytes())
		c.mu.Unlock()
	}
	return all.String()
}

// whole are all messages that were read whole, on any connection.
func (r *recorder) whole() (all []*message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		c.mu.Lock()
		all = append(all, c.messages...)
		c.mu.Unlock()
	}
	return all
}

// find is the one message with this request id.
func (r *recorder) find(t *testing.T, id string) *message {
	t.Helper()
	var found *message
	for _, m := range r.whole() {
		if m.get("X-Request-Id") != id {
			continue
		}
		if found != nil {
			t.Errorf("the workload received request %s twice", id)
		}
		found = m
	}
	if found == nil {
		t.Fatalf("the workload never received request %s", id)
	}
	return found
}

// heads are the messages that began, by request id, whether or not they were
// finished.
func (r *recorder) heads() map[string]*message {
	all := map[string]*message{}
	for _, m := range r.whole() {
		all[m.get("X-Request-Id")] = m
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		c.mu.Lock()
		if c.partial != nil {
			all[c.partial.get("X-Request-Id")] = c.partial
		}
		c.mu.Unlock()
	}
	return all
}

// faults are the connections whose bytes are not a sequence of strict messages
// with at most one that was cut.
func (r *recorder) faults() (bad []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		c.mu.Lock()
		if errors.Is(c.err, errBadHead) || errors.Is(c.err, errBadBody) || errors.Is(c.err, errBadMethod) {
			bad = append(bad, fmt.Sprintf("%v in %q", c.err, c.raw.String()))
		}
		c.mu.Unlock()
	}
	return bad
}

// followers are the messages that came behind one that must be its connection's
// last.
func (r *recorder) followers(last func(id string) bool) (found []*message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		c.mu.Lock()
		for i, m := range c.messages {
			if last(m.get("X-Request-Id")) {
				found = append(found, c.messages[i+1:]...)
				break
			}
		}
		c.mu.Unlock()
	}
	return found
}
