package e2e

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
)

// TestAttackSlow holds connections open in each way and checks that each is cut
// in its time while others are served. All wait at once.
func TestAttackSlow(t *testing.T) {
	t.Parallel()
	routes := append(attackRoutes(), mezu.Route{Name: "impatient", Prefix: "/impatient", IdleTimeout: mezu.Duration(time.Second)})
	a := newTarget(t, routes...)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { slowHead(t, a, "GET /p/19 HTTP/1.1\r\nHost: ", true) })
	wg.Go(func() { slowHead(t, a, "", false) })
	wg.Go(func() { slowHandshake(t, a) })
	wg.Go(func() { slowBody(t, a) })
	wg.Go(func() { slowRead(t, a) })
	wg.Go(func() {
		for range 20 {
			a.alive(t)
		}
	})
	wg.Wait()
	a.settle(t)
}

// slowHead is P19: a head at a byte a second is answered with 408 at the head
// time-out of 10 s, whatever trickles; a connection that says nothing is closed.
func slowHead(t *testing.T, a *target, first string, trickle bool) {
	c := a.dial(t)
	c.SetDeadline(time.Now().Add(time.Minute))
	start := time.Now()
	if trickle {
		c.send(first)
		stop := make(chan struct{})
		defer close(stop)
		go every(time.Second, stop, func() { io.WriteString(c.Conn, "x") })
		if got, err := c.read("GET"); err != nil || got.code != "request_timeout" || !got.close {
			t.Errorf("a slow head was answered with %+v, %v", got, err)
		}
	} else if rest, err := io.ReadAll(c.in); len(rest) > 0 || err != nil {
		t.Errorf("a silent connection got %q, %v", rest, err)
	}
	if took := time.Since(start); took < 8*time.Second || took > 50*time.Second {
		t.Errorf("the slow head was cut after %v", took)
	}
}

// slowCrowd is how many connections trickle at once in P19.
const slowCrowd = 5000

// TestAttackSlowCrowd is P19: thousands of connections that send a byte now and
// then hold nobody up, and every one of them is cut at the head time-out.
func TestAttackSlowCrowd(t *testing.T) {
	if len(raceFlag) > 0 {
		t.Skip("the race detector's memory for so many connections says nothing more")
	}
	// All of them are of one address and one environment, which may have all places here.
	w := newWorld(t, 0, attackRoutes()...)
	w.addEdge("edge-1", "--environment-share", "100")
	a := newTargetAt(w)
	before := a.edge.resident()
	crowd := make([]net.Conn, slowCrowd)
	var dialling, cut sync.WaitGroup
	next := make(chan int)
	for range 64 {
		dialling.Go(func() {
			for i := range next {
				conn, err := tls.Dial("tcp", a.edge.https, &tls.Config{RootCAs: a.roots, ServerName: a.host, NextProtos: []string{"http/1.1"}})
				if err != nil {
					t.Error(err)
					continue
				}
				io.WriteString(conn, "GET /p/19 HTTP/1.1\r\nHost: ")
				crowd[i] = conn
			}
		})
	}
	var answered atomic.Int64
	for i := range slowCrowd {
		next <- i
	}
	close(next)
	dialling.Wait()
	if t.Failed() {
		return
	}
	grown := a.edge.resident() - before
	stop := make(chan struct{})
	for _, conn := range crowd {
		cut.Go(func() {
			defer conn.Close()
			conn.SetReadDeadline(time.Now().Add(time.Minute))
			if rest, _ := io.ReadAll(conn); strings.HasPrefix(string(rest), "HTTP/1.1 408 ") {
				answered.Add(1)
			}
		})
	}
	go every(time.Second, stop, func() {
		for _, conn := range crowd {
			io.WriteString(conn, "x") // fails once it is cut
		}
	})
	for range 100 {
		a.alive(t)
	}
	cut.Wait()
	close(stop)
	if n := answered.Load(); n < slowCrowd*9/10 {
		t.Errorf("%d of %d slow heads were answered with 408", n, slowCrowd)
	}
	if per := grown / slowCrowd; per > 64<<10 {
		t.Errorf("a slow connection costs %d KiB", per>>10)
	}
	a.alive(t)
}

// every calls until stop is closed.
func every(d time.Duration, stop <-chan struct{}, call func()) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			call()
		}
	}
}

// slowHandshake is P19 before TLS.
func slowHandshake(t *testing.T, a *target) {
	conn, err := net.Dial("tcp", a.edge.https)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	start := time.Now()
	io.WriteString(conn, "\x16\x03\x01\x02\x00\x01")
	io.Copy(io.Discard, conn)
	if took := time.Since(start); took < 8*time.Second || took > 50*time.Second {
		t.Errorf("the slow handshake was cut after %v", took)
	}
}

// slowBody is P20: a body that stops is answered with 408 after the silence that
// the route allows, and the workload never sees it finished.
func slowBody(t *testing.T, a *target) {
	for _, framing := range []string{"Content-Length: 10\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "Transfer-Encoding: chunked\r\n\r\n"} {
		c := a.dial(t)
		id := a.newID()
		a.expect(id, delivery{cut: true})
		c.send(a.fill(head("POST", "/impatient")+framing, id))
		if got, err := c.read("POST"); err != nil || got.code != "request_timeout" || !got.close {
			t.Errorf("a slow body was answered with %+v, %v", got, err)
		}
	}
}

// slowRead is P20: a client that takes nothing frees its slot, the workload's
// included, after the silence that the route allows.
func slowRead(t *testing.T, a *target) {
	freed := make(chan struct{}, 1)
	a.rec.on("/impatient/read", script{answer: func(conn net.Conn, _ *message) bool {
		fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", int64(1)<<40)
		io.Copy(conn, pattern{})
		freed <- struct{}{}
		return false
	}})
	c := a.dial(t)
	c.SetDeadline(time.Now().Add(3 * time.Minute))
	id := a.newID()
	a.expect(id, delivery{method: "GET", target: "/impatient/read", route: "impatient"})
	before := a.edge.resident() + a.gate.resident()
	c.send(a.fill(head("GET", "/impatient/read")+"\r\n", id))
	select {
	case <-freed:
	case <-time.After(2 * time.Minute):
		t.Error("the slow reader holds its slot for ever")
	}
	if grown := a.edge.resident() + a.gate.resident() - before; len(raceFlag) == 0 && grown > 64<<20 {
		t.Errorf("a slow reader costs %d MiB", grown>>20)
	}
}
