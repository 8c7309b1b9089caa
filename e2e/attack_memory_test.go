package e2e

import (
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/mezusphere/mezu/testkit/frames"
)

// shedsUntil waits until an edge gives so much up for want of memory, and goes on meanwhile.
func shedsUntil(t *testing.T, e *edgeNode, what string, reached func(level int) bool, do func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if reached(int(measured(t, e.admin, "mezu_edge_shed_level"))) {
			return
		}
		if !do() {
			<-time.After(50 * time.Millisecond)
		}
	}
	t.Fatalf("%s: the edge gives up %v", what, measured(t, e.admin, "mezu_edge_shed_level"))
}

// TestMemoryPressure: an edge whose memory is full of unfinished bodies takes no further
// connection and answers further requests with 503, while its listener for health and metrics, its tunnels and what
// is under way go on. When they have ended it serves as before.
func TestMemoryPressure(t *testing.T) {
	t.Parallel()
	const conns, streams, size = 12, 90, 60_000
	w := newWorld(t, 0, open)
	e := w.addEdgeIn([]string{"GOMEMLIMIT=48MiB"}, "edge-1")
	w.addGate("gate", newWorkload(t, false).addr())
	var all []*frames.Conn
	for i := range conns {
		// No address may hold more than half of the memory for bodies.
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(1+i%4))}}
		conn, err := tls.DialWithDialer(&d, "tcp", e.https, &tls.Config{RootCAs: w.roots, ServerName: w.host, NextProtos: []string{"h2"}})
		if err != nil {
			t.Skipf("this system has one loopback address only: %v", err)
		}
		c := frames.Client(t, conn, frames.Options{Refill: true})
		c.Send(func(f *http2.Framer) {
			for s := range uint32(streams) {
				frames.Headers(f, 2*s+1, false, ":method", "POST", ":scheme", "https", ":authority", w.host, ":path", "/echo", "content-length", fmt.Sprint(size))
			}
		})
		all = append(all, c)
	}
	next := 0
	shedsUntil(t, e, "with all that bodies may take", func(level int) bool { return level == 3 }, func() bool {
		if next == conns*streams {
			return false
		}
		all[next%conns].Upload(uint32(2*(next/conns)+1), size-1, false, patience)
		next++
		return true
	})
	refused := uint32(2*streams + 1)
	all[0].Headers(refused, true, ":method", "GET", ":scheme", "https", ":authority", w.host, ":path", "/echo")
	if got := all[0].End(refused); got != "503" || !strings.Contains(string(all[0].Stream(refused).Body), "overloaded") {
		t.Errorf("a request: %s %s", got, all[0].Stream(refused).Body)
	}
	if conn, err := tls.Dial("tcp", e.https, &tls.Config{RootCAs: w.roots, ServerName: w.host}); err == nil {
		conn.Close()
		t.Error("another connection is taken")
	}
	healthy(t, e.admin)
	before := measured(t, e.admin, "mezu_edge_warpgates")
	w.startGate("late", newWorkload(t, false).addr())
	eventually(t, "another Warpgate to be let in", func() error {
		if n := measured(t, e.admin, "mezu_edge_warpgates"); n != before+1 {
			return fmt.Errorf("%v are connected", n)
		}
		return nil
	})
	if measured(t, e.admin, `mezu_edge_connections_limited_total{limit="memory"}`) < 2 {
		t.Error("what was not taken is not counted")
	}
	// What is under way ends as it would have.
	all[0].Data(1, true, []byte("x"))
	if got := all[0].End(1); got != "200" {
		t.Errorf("a request that was under way: %s", got)
	}
	for _, c := range all {
		c.Close()
	}
	shedsUntil(t, e, "with nobody there", func(level int) bool { return level == 0 }, func() bool { return false })
	served(t, w, e)
}
