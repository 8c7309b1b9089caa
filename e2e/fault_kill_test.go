package e2e

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
)

// Promises of recovery, with the room that a busy machine needs.
const (
	edgeRecovers = 5 * 300 * time.Millisecond // from when it listens again
	gateRecovers = 5 * 50 * time.Millisecond  // from when it is registered again
	gateNoticed  = time.Second                // from its death by a reset connection
	// silenceNoticed is when both ends know that nothing comes through, with
	// the time that a busy machine takes to act on it.
	silenceNoticed = 15*time.Second + time.Second
)

// stationGate is a Warpgate before a workload of its own.
type stationGate struct {
	*gate
	station *station
}

// addStationGates starts Warpgates and waits until every edge holds all of them.
func (w *world) addStationGates(n int) []*stationGate {
	w.t.Helper()
	all := make([]*stationGate, 0, n)
	for i := range n {
		name := fmt.Sprintf("gate-%d", i+1)
		s := newStation(w.t, "station of "+name)
		all = append(all, &stationGate{w.addGate(name, s.addr()), s})
	}
	w.tunnels(n)
	return all
}

// TestKillUnderLoad ends each process in turn, without warning and with, under
// load through two edges and two Warpgates, and starts it again.
func TestKillUnderLoad(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, open)
	gates := w.addStationGates(2)
	first, second := gates[0], gates[1]
	edge := w.edges[0]
	levels := []level{levelOf(t, w.edges[1].process, w.edges[1].admin), levelOf(t, second.process, second.health)}

	l := startLoad(w)
	l.flows("the start", time.Now())
	for _, hard := range []bool{true, false} {
		how := map[bool]string{true: "kill -9 of ", false: "SIGTERM of "}[hard]

		over := l.fault(how+"the control plane", nothing)
		w.control.down(hard)
		l.flows("the control plane is down", time.Now())
		w.startControl()
		over(time.Now())
		w.inStep()

		over = l.fault(how+"an edge", broken(edge, hard))
		over(edge.restart(hard).Add(slower(edgeRecovers)))

		allows := nothing
		if hard {
			allows = lostWith(first.station)
		}
		over = l.fault(how+"a Warpgate", allows)
		first.down(hard)
		over(time.Now().Add(slower(gateNoticed)))
		over = l.fault("its return", nothing)
		first.run(first.name)
		healthy(t, first.health)
		w.tunnels(2)
		over(time.Now())
	}
	l.judge()
	w.changeArrives()
	// Data connections idle for a while after the load, each with one goroutine
	// and perhaps one more connection at the Warpgate.
	pool := len(l.workers) + 8
	levels[0].returns(t, 2*pool, 3)
	levels[1].returns(t, 2*pool, pool+3)
}

// broken is what may fail at an edge that is killed or stopped.
func broken(e *edgeNode, hard bool) func(loadOutcome) bool {
	if hard {
		return brokenAt(e)
	}
	return stoppedAt(e)
}

// TestKillLeavesNothing kills a Warpgate again and again while many requests are
// under way on it: those that may be repeated are carried to the other one, those
// that may not are answered at once, and the edge keeps nothing of them.
func TestKillLeavesNothing(t *testing.T) {
	t.Parallel()
	const each = 20 // requests of either kind on either Warpgate
	w := newWorld(t, 1, open)
	gates := w.addStationGates(2)
	dying, living := gates[0].station, gates[1].station
	e := w.edges[0]
	settle := func() {
		t.Helper()
		eventually(t, "held requests to end", func() error {
			if n := dying.held.Load() + living.held.Load(); n != 0 {
				return fmt.Errorf("%d are held", n)
			}
			return nil
		})
	}
	var before []level
	for cycle := range 4 {
		posts, gets := w.hold(e, "POST", 2*each), w.hold(e, "GET", 2*each)
		eventually(t, "requests to be under way", func() error {
			if a, b := dying.held.Load(), living.held.Load(); a+b != 4*each || a < each {
				return fmt.Errorf("%d and %d are", a, b)
			}
			return nil
		})
		lost := 0
		if cycle > 0 {
			gates[0].kill()
			eventually(t, "the rest to be at the other Warpgate", func() error {
				if n := int(living.held.Load()) + posts.count(mezu.CodeWorkloadReset); n != 4*each {
					return fmt.Errorf("%d of %d are accounted for", n, 4*each)
				}
				return nil
			})
			lost = posts.count(mezu.CodeWorkloadReset)
			gates[0].run(gates[0].name)
		}
		dying.release()
		living.release()
		posts.wait()
		gets.wait()
		if good := posts.count(""); good != 2*each-lost || lost == 0 && cycle > 0 {
			t.Errorf("of %d held POSTs %d were answered and %d lost with the Warpgate: %v", 2*each, good, lost, posts)
		}
		if good := gets.count(""); good != 2*each {
			t.Errorf("of %d held GETs %d were answered: %v", 2*each, good, gets)
		}
		settle()
		healthy(t, gates[0].health)
		w.tunnels(2)
		if cycle == 0 {
			before = []level{levelOf(t, e.process, e.admin), levelOf(t, gates[1].process, gates[1].health)}
		}
	}
	before[0].returns(t, each, 3)
	before[1].returns(t, 4*each, 2*each) // it may have carried them all
}

// TestKillOnlyWarpgate ends the only Warpgate of an environment: the edge says so
// at once, and serves as soon as it is back.
func TestKillOnlyWarpgate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, open)
	g := w.addStationGates(1)[0]
	e := w.edges[0]
	client := w.http(e)
	before := levelOf(t, e.process, e.admin)
	l := startLoad(w)
	l.flows("the start", time.Now())
	for _, hard := range []bool{true, false} {
		var over func(time.Time)
		if hard {
			over = l.fault("kill -9 of the Warpgate", goneWith(g.station))
		} else {
			over = l.fault("SIGTERM of the Warpgate", func(o loadOutcome) bool { return o.code == mezu.CodeNoWarpgate })
		}
		g.down(hard)
		eventually(t, "the edge to say so", func() error { return e.answers(client, "/", mezu.CodeNoWarpgate) })
		g.run(g.name)
		healthy(t, g.health)
		over(time.Now().Add(slower(gateRecovers)))
	}
	l.judge()
	before.returns(t, len(l.workers)+8, 3)
}

// TestKillAmongIdle kills one of two Warpgates that have many idle connections,
// while requests come that may be repeated: however many dead connections they
// meet, each is answered by the other Warpgate.
func TestKillAmongIdle(t *testing.T) {
	t.Parallel()
	const clients = 30
	w := newWorld(t, 1, open)
	gates := w.addStationGates(2)
	e := w.edges[0]
	for range 4 {
		held := w.hold(e, "GET", 2*clients)
		eventually(t, "requests to be under way", func() error {
			if n := gates[0].station.held.Load() + gates[1].station.held.Load(); n != 2*clients {
				return fmt.Errorf("%d are", n)
			}
			return nil
		})
		for _, g := range gates {
			g.station.release()
		}
		held.wait()
		asked := make(chan loadOutcome, clients)
		var asking sync.WaitGroup
		killed := make(chan struct{})
		for range clients {
			client := w.http(e)
			asking.Go(func() {
				for over := false; !over; {
					select {
					case <-killed:
						over = true // once more
					default:
					}
					if o := e.get(client, "/"); !o.good() {
						asked <- o
						return
					}
				}
			})
		}
		gates[0].kill()
		close(killed)
		asking.Wait()
		close(asked)
		for o := range asked {
			t.Errorf("failed: %v", o)
		}
		gates[0].run(gates[0].name)
		healthy(t, gates[0].health)
		w.tunnels(2)
	}
}
