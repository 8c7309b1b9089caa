package e2e

import (
	"bufio"
	"cmp"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// target is what the attack tests send to: a world with one edge, a real
// Warpgate that prints events, behind it a recorder, and the books of what may
// have arrived there.
type target struct {
	*world
	edge *edgeNode
	gate *gate
	rec  *recorder
	ids  atomic.Int64

	mu    sync.Mutex
	books map[string]delivery // by request id
}

// delivery is what the workload and the Warpgate's event must say of a request.
type delivery struct {
	method, target, body, route string
	path                        string // that the event says; if empty, the target's
	cut                         bool   // it began and was never finished
	any                         bool   // it may have arrived any number of times, but not altered
	last                        bool   // nothing followed on the same connection
	status                      int    // that the Warpgate saw; zero if any
}

// newTarget starts a world for attacks with these routes.
func newTarget(t *testing.T, routes ...mezu.Route) *target {
	t.Helper()
	return newTargetAt(newWorld(t, 1, routes...))
}

// newTargetAt is newTarget in a world that has an edge.
func newTargetAt(w *world) *target {
	w.t.Helper()
	a := &target{world: w, rec: newRecorder(w.t), books: map[string]delivery{}}
	a.edge = a.edges[0]
	a.gate = a.addGate("gate", a.rec.addr(), "--json")
	return a
}

// newID makes a request id that no other request has.
func (a *target) newID() string { return fmt.Sprintf("attack-%d", a.ids.Add(1)) }

// fill puts host and id into a raw request.
func (a *target) fill(raw, id string) string {
	return strings.NewReplacer("{host}", a.host, "{id}", id).Replace(raw)
}

// expect enters a request into the books.
func (a *target) expect(id string, d delivery) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.books[id] = d
}

// rawConn is a public connection on which raw bytes are sent.
type rawConn struct {
	*tls.Conn
	t  *testing.T
	in *bufio.Reader
}

func (a *target) dial(t *testing.T) *rawConn {
	t.Helper()
	return a.dialName(t, a.host)
}

// dialName connects with another server name, trusting whatever certificate
// comes.
func (a *target) dialName(t *testing.T, name string) *rawConn {
	t.Helper()
	conn, err := tls.Dial("tcp", a.edge.https, &tls.Config{RootCAs: a.roots, ServerName: name, InsecureSkipVerify: name != a.host, NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return &rawConn{conn, t, bufio.NewReader(conn)}
}

func (c *rawConn) send(raw string) {
	c.t.Helper()
	if _, err := io.WriteString(c.Conn, raw); err != nil {
		c.t.Fatalf("sending: %v", err)
	}
}

// rawAnswer is one response.
type rawAnswer struct {
	status int
	header http.Header
	body   string
	code   string // of an answer of the edge's own
	early  int    // 1xx responses before it
	close  bool
}

// read reads one response to a request with this method.
func (c *rawConn) read(method string) (*rawAnswer, error) {
	for early := 0; ; early++ {
		resp, err := http.ReadResponse(c.in, &http.Request{Method: method})
		if err != nil {
			return nil, err
		}
		if resp.StatusCode < 200 && resp.StatusCode != 101 {
			continue
		}
		a := &rawAnswer{status: resp.StatusCode, header: resp.Header, early: early, close: resp.Close}
		if resp.StatusCode == 101 {
			return a, nil
		}
		body, err := io.ReadAll(resp.Body)
		a.body = string(body)
		if err != nil {
			return a, fmt.Errorf("reading the body: %w", err)
		}
		var p struct {
			Code      string `json:"code"`
			RequestID string `json:"request_id"`
		}
		if resp.Header.Get("Content-Type") == "application/problem+json" && method != "HEAD" {
			if err := json.Unmarshal(body, &p); err != nil || p.RequestID != resp.Header.Get("X-Request-Id") || p.Code == "" {
				return a, fmt.Errorf("problem %q beside X-Request-Id %q", body, resp.Header.Get("X-Request-Id"))
			}
			a.code = p.Code
		}
		return a, nil
	}
}

// must reads one response.
func (c *rawConn) must(method string) *rawAnswer {
	c.t.Helper()
	a, err := c.read(method)
	if err != nil {
		c.t.Fatalf("reading an answer: %v", err)
	}
	return a
}

// ended checks that nothing more comes and the connection is closed.
func (c *rawConn) ended() {
	c.t.Helper()
	rest, err := io.ReadAll(c.in)
	if len(rest) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
		c.t.Errorf("instead of the connection's end came %q, %v", rest, err)
	}
}

// refused sends a request and checks that it is answered with one of these
// codes, by the edge alone, on a connection that is closed after it if the code
// is that of a request without one meaning.
func (a *target) refused(t *testing.T, raw string, codes ...mezu.Code) *rawAnswer {
	t.Helper()
	c := a.dial(t)
	id := a.newID()
	c.send(a.fill(raw, id))
	got := c.must("GET")
	if !slices.Contains(codes, mezu.Code(got.code)) || got.status != mezu.Code(got.code).Status() {
		t.Errorf("answer to %.200q is %d %q, want %v", raw, got.status, got.code, codes)
	}
	if got.header.Get("X-Request-Id") == "" {
		t.Errorf("the answer has no request id")
	}
	if got.status == 400 {
		if !got.close {
			t.Errorf("400 to %.200q leaves the connection open", raw)
			return got
		}
		c.ended()
	}
	return got
}

// accepted sends a request and checks that its answer comes from the workload,
// which received exactly this.
func (a *target) accepted(t *testing.T, raw, route, method, target, body string) *message {
	t.Helper()
	c := a.dial(t)
	id := a.newID()
	c.send(a.fill(raw, id))
	got := c.must(method)
	if got.status != 200 {
		t.Fatalf("answer to %.200q is %d %s", raw, got.status, got.body)
	}
	if got.header.Get("X-Request-Id") != id {
		t.Errorf("the answer has the request id %q, sent was %q", got.header.Get("X-Request-Id"), id)
	}
	a.expect(id, delivery{method: method, target: target, body: body, route: route, status: 200})
	m := a.rec.find(t, id)
	if m.method != method || m.target != target || m.body != body {
		t.Errorf("the workload received %v, want %s %s %q", m, method, target, body)
	}
	return m
}

// broken sends a request whose body is malformed and checks that nobody takes
// it for whole.
func (a *target) broken(t *testing.T, raw string) {
	t.Helper()
	c := a.dial(t)
	id := a.newID()
	c.send(a.fill(raw, id))
	got, err := c.read("POST")
	switch {
	case err == nil && (got.code != "not_canonical" || !got.close):
		t.Errorf("answer to %.200q is %d %q, closing %v", raw, got.status, got.code, got.close)
	case err != nil:
		t.Errorf("no answer to %.200q: %v", raw, err)
	}
	c.ended()
	a.expect(id, delivery{cut: true})
}

// settle ends the Warpgate, so that everything that was sent has arrived, and
// compares the workload's recording and the Warpgate's decisions with the books.
func (a *target) settle(t *testing.T) {
	t.Helper()
	if code := a.gate.stop(); code != 0 {
		t.Errorf("the Warpgate ended with %d", code)
	}
	for _, f := range a.rec.faults() {
		t.Errorf("the workload received %s", f)
	}
	for id, m := range a.rec.heads() {
		if _, ok := a.books[id]; !ok {
			t.Errorf("the workload received what was refused or never sent: %v", m)
		}
	}
	counts := map[string]int{}
	for _, m := range a.rec.whole() {
		id := m.get("X-Request-Id")
		counts[id]++
		want, ok := a.books[id]
		switch {
		case !ok:
		case want.cut:
			t.Errorf("the workload took for whole what was malformed: %v", m)
		case m.method != want.method || m.target != want.target || m.body != want.body:
			t.Errorf("the workload received %v, want %+v", m, want)
		}
	}
	for _, follower := range a.rec.followers(func(id string) bool { return a.books[id].last }) {
		t.Errorf("on a connection that must not be reused came %v", follower)
	}
	events := a.requestEvents(t)
	for id, want := range a.books {
		if want.cut || want.any {
			continue
		}
		if counts[id] != 1 {
			t.Errorf("the workload received %s %d times (%+v)", id, counts[id], want)
		}
		path, _, _ := strings.Cut(want.target, "?")
		path = cmp.Or(want.path, path)
		e := events[id]
		if e.Method != want.method || e.Path != path || e.Host != a.host || e.Route != want.route || want.status != 0 && e.Status != float64(want.status) {
			t.Errorf("the Warpgate decided on %s %s%s by route %q with status %v, want %+v", e.Method, e.Host, e.Path, e.Route, e.Status, want)
		}
	}
}

// requestEvents are the Warpgate's events of requests, by id.
func (a *target) requestEvents(t *testing.T) map[string]mezu.Event {
	t.Helper()
	all := map[string]mezu.Event{}
	for l := range strings.Lines(a.gate.out.String()) {
		var e mezu.Event
		if err := json.Unmarshal([]byte(l), &e); err != nil {
			t.Fatalf("event %q: %v", l, err)
		}
		if e.Event != mezu.EventRequest {
			continue
		}
		want, known := a.books[e.ID]
		if _, twice := all[e.ID]; twice && known && !want.any {
			t.Errorf("two events of request %s", e.ID)
		}
		all[e.ID] = e
	}
	return all
}

// running reports whether the edge and the Warpgate run the configuration at a
// position: the edge relays what it runs itself.
func (a *target) running(p mezu.Position) error {
	if !strings.Contains(a.gate.log.String(), "revision="+p.String()+" ") {
		return fmt.Errorf("the Warpgate does not run it")
	}
	return nil
}

// alive checks that the edge serves somebody else.
func (a *target) alive(t *testing.T) {
	t.Helper()
	a.accepted(t, "GET /p/alive HTTP/1.1\r\nHost: {host}\r\nX-Request-Id: {id}\r\n\r\n", "p", "GET", "/p/alive", "")
}

// routed waits until the edge has the routes of an environment that has no
// Warpgate yet.
func (a *target) routed(t *testing.T, host, path string) {
	t.Helper()
	eventually(t, "the routes of "+host, func() error {
		conn, err := tls.Dial("tcp", a.edge.https, &tls.Config{RootCAs: a.roots, ServerName: host, NextProtos: []string{"http/1.1"}})
		if err != nil {
			return err
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(patience))
		c := &rawConn{conn, t, bufio.NewReader(conn)}
		c.send("GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
		got, err := c.read("GET")
		if err == nil && got.code != string(mezu.CodeNoWarpgate) {
			err = fmt.Errorf("answer is %d %s", got.status, got.code)
		}
		return err
	})
}

// setEnabled switches the environment on or off.
func (w *world) setEnabled(environment string, on bool) {
	w.t.Helper()
	invoke[mezu.Environment](w, w.client, api.OpUpdateEnvironment, map[string]any{"enabled": on}, "acme", "shop", environment)
}
