package e2e

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
)

const (
	// returns is five times as long as a tunnel takes to come back when the network does, or
	// this machine.
	returns = 5 * 2 * time.Second
	// returnsAfterKill is five times as long as it takes after its daemon was killed.
	returnsAfterKill = 5 * 3 * time.Second
	// outage is long enough that pauses between tries have grown.
	outage = 4 * time.Second
)

// TestTunnelReturns: whatever happens to the network, to the machine or to the daemon, the
// command goes on, and its tunnel comes back with the same address and the same Warpgate.
func TestTunnelReturns(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0, open)
	relay := newFaultRelay(t, "")
	e := w.addEdge("edge-1", "--tunnel-address", relay.addr())
	relay.to(e.https)
	p := w.newTunneller()
	d := p.daemon()
	a := p.attach(newWorkload(t, false).addr())
	ready := a.ready()
	is := func(want mezu.TunnelState) {
		t.Helper()
		eventually(t, "the tunnel is "+string(want), func() error {
			if now := p.tunnel(); now.State != want {
				return fmt.Errorf("it is %s", now.State)
			}
			return nil
		})
	}
	same := func(path string) {
		t.Helper()
		a.requested(path)
		a.runs()
		is(mezu.TunnelLive)
		if now := p.tunnel(); now.URL != ready.URL || now.Warpgate != ready.WarpgateID {
			t.Errorf("after %s it is %s at %s, was %s at %s", path, now.Warpgate, now.URL, ready.WarpgateID, ready.URL)
		}
	}
	w.good(e, "/start")
	same("/start")

	relay.refuse()
	is(mezu.TunnelDown)
	if status, body, err := w.ask(e, "/cut"); status != 503 {
		t.Errorf("without a network: %d %s %v", status, body, err)
	}
	<-time.After(outage)
	began := time.Now()
	relay.listen()
	w.good(e, "/uncut")
	backBy(t, "a cut", began, returns)
	same("/uncut")

	relay.stall()
	relay.forget()
	metricIs(t, e.admin, "mezu_edge_warpgates", 0)
	is(mezu.TunnelDown)
	began = time.Now()
	relay.flow()
	w.good(e, "/thawed")
	backBy(t, "a silence", began, returns)
	same("/thawed")

	goOn := d.pause()
	metricIs(t, e.admin, "mezu_edge_warpgates", 0)
	began = time.Now()
	goOn()
	w.good(e, "/awake")
	backBy(t, "sleep", began, returns)
	same("/awake")

	d.kill()
	began = time.Now()
	w.good(e, "/killed")
	backBy(t, "kill -9", began, returnsAfterKill)
	// Nobody is told of requests that come through before the command is there again.
	eventually(t, "the command holds it again", func() error {
		if p.tunnel().Attached != 1 {
			return errWaiting
		}
		return nil
	})
	w.good(e, "/held")
	same("/held")

	n := 0
	for _, e := range a.events() {
		if e.Event == mezu.EventReady {
			n++
		}
	}
	if n != 1 {
		t.Errorf("ready was said %d times", n)
	}
	a.signal(syscall.SIGTERM)
	if code := a.exit(); code != 0 {
		t.Errorf("code %d: %s", code, a.log.String())
	}
}
