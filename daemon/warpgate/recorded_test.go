package warpgate_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon"
	"github.com/mezusphere/mezu/daemon/inspect"
	"github.com/mezusphere/mezu/daemon/inspect/show"
	"github.com/mezusphere/mezu/local"
)

// inspecting has a host keep the requests of its tunnels.
func inspecting() (*inspect.Inspector, func(*daemon.Config)) {
	i := inspect.New(inspect.Config{})
	return i, func(c *daemon.Config) {
		c.Inspector, c.Show = i, show.New(show.Config{Inspector: i, Address: func(string) (string, string) { return "", "" }, Now: time.Now})
	}
}

// TestRecordedTunnel: requests are kept and told of as they are kept, masked, until somebody wants
// that no more; one is sent again through the tunnel, and to another one.
func TestRecordedTunnel(t *testing.T) {
	w := newWorld(t, 1)
	i, keep := inspecting()
	h := w.hostTunnels(t.TempDir(), keep)
	spec := detached(w.spec("dev-ada"))
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if strings.HasPrefix(r.URL.Path, "/events") {
			rw.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(rw, "data: the first\n\n")
			return
		}
		io.WriteString(rw, "here")
	}))
	t.Cleanup(s.Close)
	spec.Target = strings.TrimPrefix(s.URL, "http://")
	o := h.open(spec)
	h.becomes(o.ID, mezu.TunnelLive)
	w.edges[0].applied(t, positionOf(t, w.bundle))
	r := h.hub.Reader(o.ID, "")
	defer r.Close()
	c := w.edges[0].checkout(t, w.env)
	defer c.Discard()
	in := bufio.NewReader(c)
	get := func(id string) {
		t.Helper()
		if _, err := w.get(c, in, id); err != nil {
			t.Fatal(err)
		}
	}
	get("request-1")
	var events []local.Event
	tells := func(what string, is func(*local.Event) bool) (found local.Event) {
		t.Helper()
		eventually(t, what, func() bool {
			events, _ = r.Take(events, 1000)
			for len(events) > 0 {
				e := events[0]
				events = events[1:]
				if is(&e) {
					found = e
					return true
				}
			}
			return false
		})
		return found
	}
	begin := tells("the begin", func(e *local.Event) bool { return e.Phase == local.PhaseBegin })
	end := tells("the end", func(e *local.Event) bool { return e.Phase == local.PhaseEnd })
	if begin.Exchange == nil || !begin.Exchange.Open || begin.Exchange.RequestID != "request-1" || end.Exchange == nil || end.Exchange.ID != begin.Exchange.ID ||
		end.Exchange.Open || end.Exchange.Status != 200 || end.Exchange.Tunnel != "shop/dev-ada" || end.Exchange.Edge == "" || end.Exchange.Warpgate == "" {
		t.Errorf("begin %+v, end %+v", begin.Exchange, end.Exchange)
	}
	ids, err := h.Replay(t.Context(), end.Exchange.ID[:8], local.Replay{Times: 3, Wait: true})
	if err != nil || len(ids) != 3 || asked.Load() != 4 {
		t.Fatalf("%q, %v; %d requests", ids, err, asked.Load())
	}
	for _, id := range ids {
		if again, err := i.Get(id); err != nil || again.ReplayOf != end.Exchange.ID || again.Status != 200 || again.TunnelID != o.ID || string(again.ResponseBody.Bytes()) != "here" {
			t.Errorf("%+v, %v", again, err)
		}
	}
	tells("the end of a replay", func(e *local.Event) bool {
		return e.Phase == local.PhaseEnd && e.Exchange != nil && e.Exchange.ReplayOf != ""
	})
	ids, err = h.Replay(t.Context(), "request-1", local.Replay{Edited: &local.EditedRequest{Method: "GET", Target: "/events"}})
	if err != nil || len(ids) != 1 {
		t.Fatal(ids, err)
	}
	frame := tells("a frame", func(e *local.Event) bool { return e.Event.Event == local.EventFrame })
	if frame.Frame == nil || frame.Frame.Text != "the first" || frame.Frame.Kind != mezu.FrameEvent || frame.Exchange == nil || frame.Exchange.ID != ids[0] || frame.TunnelID != o.ID {
		t.Errorf("%+v, %+v", frame.Frame, frame.Exchange)
	}
	refused := func(id string, how local.Replay, code mezu.Code) {
		t.Helper()
		if ids, err := h.Replay(t.Context(), id, how); mezu.CodeOf(err) != code {
			t.Errorf("%+v: %q, %v", how, ids, err)
		}
	}
	refused("none", local.Replay{}, mezu.CodeNotFound)
	refused("request-1", local.Replay{To: "shop/none"}, mezu.CodeNotFound)
	refused("request-1", local.Replay{SetHeader: []mezu.ExchangeField{{Name: "Host", Value: "evil.example"}}}, mezu.CodeInvalid)
	yes := true
	if is, err := h.Patch(t.Context(), o.ID, local.TunnelPatch{Uninspected: &yes}); err != nil || !is.Uninspected {
		t.Fatal(is, err)
	}
	kept := i.State().Kept
	get("request-2")
	tells("the end of one that isn't kept", func(e *local.Event) bool {
		return e.Phase == local.PhaseEnd && e.ID == "request-2" && e.Exchange == nil
	})
	if n := i.State().Kept; n != kept {
		t.Errorf("%d are kept, %d were", n, kept)
	}
	refused("request-1", local.Replay{Wait: true}, mezu.CodeConflict)
}

// TestCapturedTunnel: a tunnel without a workload is up, and what it took is sent to another one.
func TestCapturedTunnel(t *testing.T) {
	w := newWorld(t, 1)
	i, keep := inspecting()
	h := w.hostTunnels(t.TempDir(), keep)
	spec := detached(w.spec("dev-ada"))
	spec.Target, spec.Capture = mezu.TargetCapture, &mezu.TunnelCapture{MediaType: "text/plain"}
	o := h.open(spec)
	h.becomes(o.ID, mezu.TunnelLive)
	w.edges[0].applied(t, positionOf(t, w.bundle))
	c := w.edges[0].checkout(t, w.env)
	defer c.Discard()
	in := bufio.NewReader(c)
	if _, err := w.get(c, in, "hook-1"); err != nil {
		t.Fatal(err)
	}
	r, err := i.Get("hook-1")
	if err != nil || r.Returned.Line() != "HTTP/1.1 200 OK" {
		t.Fatalf("%+v, %v", r, err)
	}
	if p, err := h.Probe(t.Context(), o.ID); err != nil || p.Workload.Up == nil || !*p.Workload.Up || p.Workload.Program != mezu.TargetCapture {
		t.Errorf("%+v, %v", p, err)
	}
	s := workload(t, "there")
	if _, err := h.Patch(t.Context(), o.ID, local.TunnelPatch{Target: &mezu.TunnelTarget{Target: strings.TrimPrefix(s.URL, "http://")}}); err != nil {
		t.Fatal(err)
	}
	ids, err := h.Replay(context.Background(), "hook-1", local.Replay{To: "shop/dev-ada", Wait: true})
	if err != nil || len(ids) != 1 {
		t.Fatal(ids, err)
	}
	if again, err := i.Get(ids[0]); err != nil || string(again.ResponseBody.Bytes()) != "there" {
		t.Errorf("%s, %v", fmt.Sprint(again), err)
	}
}

// TestReplaysAtOnce: a workload that doesn't answer holds a few replays, each of whose requests is
// cut in time, and whoever waits no longer ends theirs.
func TestReplaysAtOnce(t *testing.T) {
	w := newWorld(t, 1)
	i, keep := inspecting()
	const each = time.Second
	h := w.hostTunnels(t.TempDir(), func(cfg *daemon.Config) {
		keep(cfg)
		cfg.ReplayTime = each
	})
	spec := detached(w.spec("dev-ada"))
	var holds atomic.Bool
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if holds.Load() {
			<-r.Context().Done()
		}
	}))
	t.Cleanup(s.Close)
	spec.Target = strings.TrimPrefix(s.URL, "http://")
	o := h.open(spec)
	h.becomes(o.ID, mezu.TunnelLive)
	w.edges[0].applied(t, positionOf(t, w.bundle))
	c := w.edges[0].checkout(t, w.env)
	defer c.Discard()
	if _, err := w.get(c, bufio.NewReader(c), "request-1"); err != nil {
		t.Fatal(err)
	}
	holds.Store(true)
	const most = 16
	ctx, end := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range most {
		all.Go(func() {
			if ids, err := h.Replay(ctx, "request-1", local.Replay{Times: 1000, Wait: true}); err == nil {
				t.Errorf("%q", ids)
			}
		})
	}
	open := func() (n int) {
		page, _, _ := i.List(inspect.Query{Match: func(r *inspect.Record) bool { return r.Open && r.ReplayOf != "" }})
		return len(page)
	}
	eventually(t, "as many replays as may be", func() bool { return open() == most })
	if ids, err := h.Replay(t.Context(), "request-1", local.Replay{}); mezu.CodeOf(err) != mezu.CodeConflict {
		t.Errorf("%q, %v", ids, err)
	}
	eventually(t, "one that is cut", func() bool {
		page, _, _ := i.List(inspect.Query{Match: func(r *inspect.Record) bool {
			return !r.Open && r.ReplayOf != "" && r.Duration >= each && r.Cause != ""
		}})
		return len(page) > 0
	})
	end()
	all.Wait()
	eventually(t, "their end", func() bool { return open() == 0 })
	holds.Store(false)
	eventually(t, "room", func() bool {
		ids, err := h.Replay(t.Context(), "request-1", local.Replay{Wait: true})
		return err == nil && len(ids) == 1
	})
}
