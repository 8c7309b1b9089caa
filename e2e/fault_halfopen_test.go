package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// TestHalfOpen stops what comes through between the Warpgates and one edge, and
// between the control plane and the other, without closing anything: both ends
// notice, requests under way are answered, and all is well when packets pass
// again.
func TestHalfOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0, open)
	tunnels, stream := newFaultRelay(t, ""), newFaultRelay(t, w.api)
	first := w.addEdge("edge-1", "--tunnel-address", tunnels.addr())
	tunnels.to(first.https)
	second := w.addEdge("edge-2", "--control", "https://"+stream.addr())
	gates := w.addStationGates(2)
	levels := w.levels()
	l := startLoad(w)
	l.flows("the start", time.Now())

	// A short silence is none: everything waits and comes through.
	over := l.fault("a silence of two seconds", nothing)
	tunnels.stall()
	stream.stall()
	l.otherGoesOn(second, time.Now().Add(2*time.Second))
	tunnels.flow()
	stream.flow()
	over(time.Now())

	before := w.setRoutes(open)
	w.applied(before, len(w.edges)+len(gates))
	over = l.fault("silence", halfOpenAt(first))
	began := time.Now()
	tunnels.stall()
	stream.stall()
	metricIs(t, first.admin, "mezu_edge_warpgates", 0)
	noticed(t, "the edge of its Warpgates", began)
	for _, g := range gates {
		metricIs(t, g.health, fmt.Sprintf("mezu_warpgate_tunnel_up{edge=%q}", w.edgeID(first)), 0)
	}
	noticed(t, "the Warpgates of the edge", began)
	metricIs(t, second.admin, "mezu_edge_control_up", 0)
	noticed(t, "the edge of the control plane", began)
	change := w.setRoutes(open, mezu.Route{Exact: "/changed", Methods: []string{"POST"}})
	client := w.http(first)
	eventually(t, "the change at the other edge", func() error { return first.answers(client, "/changed", mezu.CodeMethodNotAllowed) })
	if err := second.answers(w.http(second), "/changed", ""); err != nil {
		t.Errorf("the change passed through the silence: %v", err)
	}
	tunnels.flow()
	stream.flow()
	w.tunnels(len(gates))
	over(time.Now().Add(slower(gateRecovers)))
	client = w.http(second)
	eventually(t, "the change after the silence", func() error { return second.answers(client, "/changed", mezu.CodeMethodNotAllowed) })
	w.applied(change, len(w.edges)+len(gates))
	l.judge()
	for _, level := range levels {
		level.returns(t, 2*(len(l.workers)+8), 5)
	}
}

// levels measures the control plane and the edges.
func (w *world) levels() []level {
	w.t.Helper()
	all := []level{levelOf(w.t, w.control, w.admin)}
	for _, e := range w.edges {
		all = append(all, levelOf(w.t, e.process, e.admin))
	}
	return all
}

// otherGoesOn waits until a time has come and requests through an edge were good
// after it.
func (l *faultLoad) otherGoesOn(e *edgeNode, until time.Time) {
	l.w.t.Helper()
	eventually(l.w.t, "requests through "+e.name, func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, k := range l.workers {
			if k.edge == e && !k.lastGood.After(until) {
				return fmt.Errorf("%s over %s has none", k.kind, k.proto)
			}
		}
		return nil
	})
}

// halfOpenAt allows what was sent into the silence to fail when it is noticed (a
// repetition meets the same silence), and later requests to find no Warpgate.
func halfOpenAt(e *edgeNode) func(loadOutcome) bool {
	return func(o loadOutcome) bool {
		if o.edge != e || o.ended.Sub(o.begun) > slower(silenceNoticed) {
			return false
		}
		cut := o.by != "" && o.err != nil && o.code == ""
		return cut || o.code == mezu.CodeNoWarpgate || o.code == mezu.CodeWorkloadReset
	}
}

// noticed checks how long it took to notice.
func noticed(t *testing.T, what string, since time.Time) {
	t.Helper()
	took := time.Since(since)
	t.Logf("noticed by %s: %v", what, took.Round(100*time.Millisecond))
	if took > slower(silenceNoticed) {
		t.Errorf("it took %s %v to be noticed", what, took)
	}
}

// edgeID is the id of an edge.
func (w *world) edgeID(e *edgeNode) string {
	w.t.Helper()
	edges := invoke[api.List[mezu.Edge]](w, w.client, api.OpListEdges, nil)
	for _, known := range edges.Items {
		if known.Name == e.name {
			return known.ID
		}
	}
	w.t.Fatalf("the control plane knows no %s", e.name)
	return ""
}

// TestFencing pauses a Warpgate and starts a second process from a copy of its
// state: it takes over at once, and the first, continued, is refused and told why
// instead of taking turns with it.
func TestFencing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, open)
	old := w.addStationGates(1)[0]
	stationOfCopy := newStation(t, "station of the copy")
	l := startLoad(w)
	l.flows("the start", time.Now())

	over := l.fault("the takeover", func(o loadOutcome) bool {
		return o.by == old.station.name && o.err != nil && o.code == "" || o.kind == "post" && o.code == mezu.CodeWorkloadReset
	})
	began := time.Now()
	resume := old.pause()
	state := filepath.Join(w.dir, "copy")
	if out, err := exec.Command("cp", "-a", filepath.Join(w.dir, old.name), state).CombinedOutput(); err != nil {
		t.Fatalf("copying the state: %v: %s", err, out)
	}
	next := w.startGate("copy", stationOfCopy.addr())
	healthy(t, next.health)
	for _, e := range w.edges {
		client := w.http(e)
		eventually(t, "the copy to take over at "+e.name, func() error { return e.servedBy(client, stationOfCopy) })
	}
	if took := time.Since(began); took > slower(5*time.Second) {
		t.Errorf("the copy took over after %v, as if it had waited for the first to be given up", took)
	}
	over(time.Now())

	over = l.fault("the first goes on", nothing)
	before, err := metric(next.health, "mezu_warpgate_tunnel_connects_total")
	if err != nil {
		t.Fatal(err)
	}
	resume()
	eventually(t, "the first to be refused by both edges, again and again, and told why", func() error {
		for _, e := range w.edges {
			n := 0
			for line := range strings.Lines(old.log.String()) {
				if strings.Contains(line, "keeping the tunnel to edge "+e.name) && strings.Contains(line, "copy of this state directory") {
					n++
				}
			}
			if n < 2 {
				return fmt.Errorf("%s refused it %d times", e.name, n)
			}
		}
		return nil
	})
	over(time.Now())
	if v, err := metric(next.health, "mezu_warpgate_tunnel_connects_total"); err != nil || v != before {
		t.Errorf("the copy had to register again: %v times, before %v; %v", v, before, err)
	}
	if v, err := metric(old.health, "mezu_warpgate_ready"); err != nil || v != 0 {
		t.Errorf("the first says it is ready: %v, %v", v, err)
	}
	for _, e := range w.edges {
		if err := e.servedBy(w.http(e), stationOfCopy); err != nil {
			t.Error(err)
		}
	}
	l.judge()
}

// TestPaused stops one of two Warpgates and the control plane without closing
// anything, as a host does that hangs: requests move to the other Warpgate, those
// that may be repeated with them, and all is as before when both go on.
func TestPaused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, open)
	gates := w.addStationGates(2)
	levels := w.levels()
	l := startLoad(w)
	l.flows("the start", time.Now())

	over := l.fault("the pause", lostWith(gates[0].station))
	began := time.Now()
	gateGoesOn, controlGoesOn := gates[0].pause(), w.control.pause()
	w.tunnels(1)
	noticed(t, "the edges of the Warpgate", began)
	l.flows("the pause of the Warpgate", time.Now())
	for _, e := range w.edges {
		metricIs(t, e.admin, "mezu_edge_control_up", 0)
	}
	noticed(t, "the edges of the control plane", began)
	over(time.Now())

	over = l.fault("their return", nothing)
	gateGoesOn()
	controlGoesOn()
	w.tunnels(2)
	w.inStep()
	over(time.Now())
	w.changeArrives()
	l.judge()
	for _, level := range levels {
		level.returns(t, 2*(len(l.workers)+8), 5)
	}
}
