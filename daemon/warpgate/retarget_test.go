package warpgate_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/warpgate"
	"github.com/mezusphere/mezu/preface"
	"github.com/mezusphere/mezu/tunnel"
)

// get sends a request through the tunnel as an edge does, and gives the body of its answer.
func (w *world) get(c *tunnel.Conn, r *bufio.Reader, id string) (string, error) {
	c.SetDeadline(time.Now().Add(patience))
	head := preface.AppendRequest(nil, &preface.Request{Client: netip.MustParseAddr("203.0.113.7"), ID: id, Position: mezu.Position{Epoch: 1}})
	if _, err := c.Write(append(head, "GET / HTTP/1.1\r\nHost: shop-acme.localhost\r\n\r\n"...)); err != nil {
		return "", err
	}
	kind, payload, err := preface.Read(r)
	if err != nil {
		return "", err
	}
	if kind != preface.KindResponse {
		return "", fmt.Errorf("typed head %d, %q", kind, payload)
	}
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != 200 {
		err = fmt.Errorf("status %d", resp.StatusCode)
	}
	return string(body), err
}

// workload answers with its name.
func workload(t *testing.T, name string) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, name) }))
	t.Cleanup(s.Close)
	return s
}

// to is the target of a workload.
func to(t *testing.T, s *httptest.Server) *warpgate.Targets {
	t.Helper()
	u, err := mezu.ParseUpstream(strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	return &warpgate.Targets{Upstream: u}
}

// passing wants an event of each begin, and the outcome.
type passing struct {
	begun func(mezu.Event)
	ended func(*warpgate.Outcome)
}

func (p *passing) Begin(_ bool, _ warpgate.Tape, event func() mezu.Event) uint8 {
	p.begun(event())
	return 0
}

func (p *passing) End(_ uint8, _ warpgate.Tape, o *warpgate.Outcome, _ func() mezu.Event) { p.ended(o) }

// Targets change under load, and no request fails. A new session, under another identity, goes
// to what the last change said.
func TestRetarget_UnderLoad(t *testing.T) {
	w := newWorld(t, 1)
	workloads := []*httptest.Server{workload(t, "0"), workload(t, "1")}
	cfg := w.config(t.TempDir())
	cfg.Upstream, cfg.Targets = "", to(t, workloads[0])
	var begun, ended atomic.Int64
	g := watch(t, &cfg)
	cfg.Requests = &passing{begun: func(e mezu.Event) {
		if e.Event != mezu.EventRequest || e.WarpgateID == "" || e.Status != nil {
			t.Errorf("begun: %+v", e)
		}
		begun.Add(1)
	}, ended: func(o *warpgate.Outcome) {
		ended.Add(1)
		if n := begun.Load(); n < ended.Load() {
			t.Errorf("%d requests ended, %d have begun", ended.Load(), n)
		}
		if o.Status != 200 {
			t.Errorf("ended: %+v", o)
		}
	}}
	made, err := warpgate.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	g.Warpgate = made
	made.TestOnlyHurry()
	g.run(made.Run)
	g.ready()
	w.edges[0].applied(t, positionOf(t, w.bundle))

	loading, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	var count [2]atomic.Int64
	for i := range 4 {
		load.Go(func() {
			c := w.edges[0].checkout(t, w.env)
			defer c.Discard()
			r := bufio.NewReader(c)
			for n := 0; loading.Err() == nil; n++ {
				name, err := w.get(c, r, fmt.Sprintf("load-%d-%d", i, n))
				if err != nil {
					t.Errorf("request %d: %v", n, err)
					return
				}
				count[name[0]-'0'].Add(1)
			}
		})
	}
	for turn := range 40 {
		before := count[turn%2].Load()
		eventually(t, "requests to workload "+workloads[turn%2].URL, func() bool { return count[turn%2].Load() > before+8 || t.Failed() })
		made.Retarget(*to(t, workloads[(turn+1)%2]))
	}
	stop()
	load.Wait()
	// A request ends for its event a moment after its answer is there.
	eventually(t, "an end of each request", func() bool { return begun.Load() > 0 && begun.Load() == ended.Load() })

	made.Retarget(*to(t, workloads[1]))
	id := g.ID()
	w.mu.Lock()
	w.env = mezu.NewID("env", time.Now())
	delete(w.known, id)
	w.mu.Unlock()
	w.setBundle(w.env, "/")
	key, err := made.KeySHA256()
	if err != nil {
		t.Fatal(err)
	}
	if err := made.Enrol(t.Context(), w.enrolment(key)); err != nil {
		t.Fatal(err)
	}
	c := w.edges[0].checkout(t, w.env)
	defer c.Discard()
	if name, err := w.get(c, bufio.NewReader(c), "anew"); name != "1" || err != nil || g.ID() == id {
		t.Errorf("answer %q, %v, id %s", name, err, g.ID())
	}
}

// The look at the workload follows the target.
func TestRetarget_TheWorkloadIsLookedAtAnew(t *testing.T) {
	w := newWorld(t, 1)
	cfg := w.config(t.TempDir())
	g := w.start(cfg) // nothing listens at its upstream
	down := func(upstream string) func(mezu.Event) bool {
		return func(e mezu.Event) bool { return e.Code == mezu.CodeWorkloadRefused && e.Upstream == upstream }
	}
	g.event("no workload", down("127.0.0.1:9"))
	up := workload(t, "up")
	g.Retarget(*to(t, up))
	g.ready()
	gone := workload(t, "gone")
	gone.Close()
	target := to(t, gone)
	g.Retarget(*target)
	g.event("no workload at the other target", down(target.Upstream.String()))
	g.Retarget(warpgate.Targets{})
	g.Retarget(*to(t, up))
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	g.Retarget(*target) // after the end it changes nothing
	for len(g.events) > 0 {
		if e := <-g.events; e.Code != "" {
			t.Errorf("event %+v", e)
		}
	}
}
