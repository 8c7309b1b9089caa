package e2e

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// TestTunnelEvents: what scripts rely on in "mezu tunnel --json": which events come, in which
// order and of which tunnel, that nothing is ready before a request got through, and how each
// end of a run is told by its exit code.
func TestTunnelEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0, open)
	relay := newFaultRelay(t, "")
	e := w.addEdge("edge-1", "--tunnel-address", relay.addr())
	relay.to(e.https)
	wl := newWorkload(t, false)
	p := w.newTunneller()

	// No edge can be reached: the command says so, and ends with its own code.
	relay.refuse()
	late := p.attach(wl.addr(), "--timeout", "2s")
	if code := late.exit(); code != 7 {
		t.Errorf("without an edge: code %d, %s", code, late.log.String())
	}
	all := late.events()
	for _, e := range all {
		if e.Event == mezu.EventReady {
			t.Errorf("ready without an edge: %+v", e)
		}
	}
	if last := all[len(all)-1]; last.Event != mezu.EventError || last.Tunnel != "shop/production" || last.Code != mezu.CodeRequestTimeout || !strings.Contains(last.Message, "does not answer yet") {
		t.Errorf("without an edge the last event is %+v", last)
	}

	// It waits for one that comes.
	a := p.attach(wl.addr())
	a.tells("down", func(e mezu.Event) bool {
		return e.Event == mezu.EventWarpgate && e.Status != string(mezu.TunnelLive)
	})
	relay.listen()
	ready := a.ready()
	if status, body, err := w.ask(e, "/first"); status != 200 {
		t.Errorf("it is ready, but %d %s %v", status, body, err)
	}
	first := a.requested("/first")
	if first.ID == "" || first.Method != "GET" || first.Host != w.host || first.BytesOut == 0 {
		t.Errorf("%+v", first)
	}
	last := time.Time{}
	for _, e := range a.events() {
		if e.Tunnel != "shop/production" || e.Time.IsZero() {
			t.Errorf("%+v", e)
		}
		if e.Event == mezu.EventRequest && e.Path != "/first" { // a probe is none
			t.Errorf("%+v", e)
		}
		if e.Event == mezu.EventReady && !e.Time.Equal(ready.Time) {
			t.Errorf("ready again: %+v", e)
		}
		if e.Event == mezu.EventRequest && e.Time.Before(last) {
			t.Errorf("out of order: %+v", e)
		}
		if e.Event == mezu.EventRequest {
			last = e.Time
		}
	}

	// SIGTERM lets what is in flight come to its end.
	answered := make(chan int, 1)
	hold := func() {
		t.Helper()
		before := wl.holds.Load()
		go func() {
			status, _, _ := w.ask(e, "/hold")
			answered <- status
		}()
		eventually(t, "a request in flight", func() error {
			if wl.holds.Load() == before {
				return errWaiting
			}
			return nil
		})
	}
	hold()
	a.signal(syscall.SIGTERM)
	eventually(t, "the drain", func() error {
		if p.tunnel().State != mezu.TunnelDraining {
			return errWaiting
		}
		return nil
	})
	wl.release <- struct{}{}
	if status := <-answered; status != 200 {
		t.Errorf("what was in flight: %d", status)
	}
	if code := a.exit(); code != 0 {
		t.Errorf("after SIGTERM: code %d, %s", code, a.log.String())
	}
	all = a.events()
	if last := all[len(all)-1]; last.Event != mezu.EventStopped || last.Tunnel != "shop/production" {
		t.Errorf("the last event is %+v", last)
	}

	// A second Ctrl-C waits for nothing.
	a = p.attach(wl.addr())
	a.ready()
	hold()
	a.signal(syscall.SIGINT)
	eventually(t, "the drain", func() error {
		if p.tunnel().State != mezu.TunnelDraining {
			return errWaiting
		}
		return nil
	})
	again := time.NewTimer(200 * time.Millisecond) // two signals within a moment are one
	<-again.C
	a.signal(syscall.SIGINT)
	if code := a.exit(); code != 130 {
		t.Errorf("after two Ctrl-C: code %d, %s", code, a.log.String())
	}
	if status := <-answered; status == 200 {
		t.Error("what was cut was answered")
	}

	// The Warpgate of somebody else keeps the environment.
	theirs, err := warpgateID(w.addGate("theirs", wl.addr()))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the control plane to know of it", func() error {
		for _, g := range invoke[api.List[mezu.Warpgate]](w, w.client, api.OpListWarpgates, nil, w.path()...).Items {
			if g.ID == theirs && g.Status == mezu.WarpgateConnected {
				return nil
			}
		}
		return errWaiting
	})
	refused := p.attach(wl.addr())
	if code := refused.exit(); code != 5 || !strings.Contains(refused.log.String(), "--join to share its requests") {
		t.Errorf("beside another Warpgate: code %d, %s", code, refused.log.String())
	}
	if all := refused.events(); len(all) != 1 || all[0].Event != mezu.EventError || all[0].Code != mezu.CodeConflict {
		t.Errorf("beside another Warpgate: %+v", all)
	}
	joined := p.attach(wl.addr(), "--join")
	joined.ready()
	joined.signal(syscall.SIGINT)
	if code := joined.exit(); code != 0 {
		t.Errorf("after one Ctrl-C: code %d, %s", code, joined.log.String())
	}
}
