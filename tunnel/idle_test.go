package tunnel_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/tunnel"
)

// fleetVariable makes this test program play many idle Warpgates, in a process of
// their own so that the edge's memory is seen alone.
const fleetVariable = "MEZU_TEST_FLEET"

// fleetSize is how many.
const fleetSize = 1000

// playFleet plays the Warpgates of BenchmarkIdleSession if asked to: each takes a
// certificate from stdin and keeps one control and two data connections.
func playFleet() bool {
	address := os.Getenv(fleetVariable)
	if address == "" {
		return false
	}
	in := bufio.NewReader(os.Stdin)
	var keep []*tls.Conn
	var mu sync.Mutex
	var all sync.WaitGroup
	slots := make(chan struct{}, 8)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil || len(line) < 2 {
			break
		}
		var der struct{ Cert, Key []byte }
		if err := json.Unmarshal(line, &der); err != nil {
			panic(err)
		}
		slots <- struct{}{}
		all.Go(func() {
			conns, err := playIdle(address, der.Cert, der.Key)
			if err != nil {
				panic(err)
			}
			mu.Lock()
			keep = append(keep, conns...)
			mu.Unlock()
			<-slots
		})
	}
	all.Wait()
	fmt.Println("ready")
	io.Copy(io.Discard, in) // until the benchmark is over
	runtime.KeepAlive(keep)
	return true
}

// playIdle makes one Warpgate's connections.
func playIdle(address string, cert, key []byte) ([]*tls.Conn, error) {
	private, err := parseKey(key)
	if err != nil {
		return nil, err
	}
	dial := func(alpn string) (*tls.Conn, error) {
		return tls.Dial("tcp", address, &tls.Config{
			InsecureSkipVerify: true, NextProtos: []string{alpn}, MinVersion: tls.VersionTLS13,
			Certificates: []tls.Certificate{{Certificate: [][]byte{cert}, PrivateKey: private}},
		})
	}
	control, err := dial(mezu.ProtocolControl)
	if err != nil {
		return nil, err
	}
	if _, err := control.Write(frame(register, []byte(`{"protocol":1,"version":"fleet","epoch":1}`)...)); err != nil {
		return nil, err
	}
	f, err := readRaw(control)
	if err != nil {
		return nil, err
	}
	var w struct{ Token []byte }
	if err := json.Unmarshal(f.payload, &w); err != nil || f.kind != welcome {
		return nil, fmt.Errorf("frame %#x: %s", f.kind, f.payload)
	}
	conns := []*tls.Conn{control}
	for n := range uint64(2) {
		c, err := dial(mezu.ProtocolData)
		if err != nil {
			return nil, err
		}
		if _, err := c.Write(frame(hello, binary.BigEndian.AppendUint64(w.Token, n)...)); err != nil {
			return nil, err
		}
		conns = append(conns, c)
	}
	go func() { // heartbeats for as long as the process lives
		for range time.Tick(4 * time.Second) {
			control.Write(frame(heartbeat))
		}
	}()
	return conns, nil
}

// resident is this process's resident memory in KiB, or 0 where /proc has none.
func resident() int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(status), "VmRSS:")
	kib, _ := strconv.Atoi(strings.Fields(after + " 0")[0])
	return kib
}

// heap is what the heap and stacks of goroutines take after a collection, in KiB.
func heap() int {
	debug.FreeOSMemory()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapInuse+m.StackInuse) >> 10
}

// BenchmarkIdleSession reports what one idle Warpgate costs the edge: one control
// connection, two warm data connections, with TLS.
func BenchmarkIdleSession(b *testing.B) {
	ca := newAuthority(b)
	e := startEdge(b, ca, "", tunnel.HubConfig{})
	fleet := exec.Command(os.Args[0])
	fleet.Env = append(os.Environ(), fleetVariable+"="+e.address)
	fleet.Stderr = os.Stderr
	in, err := fleet.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := fleet.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := fleet.Start(); err != nil {
		b.Fatal(err)
	}
	defer fleet.Wait()
	defer in.Close()
	var lines []byte
	for range fleetSize {
		cert := ca.issue(b, newWarpgateID())
		line, err := json.Marshal(struct{ Cert, Key []byte }{cert.Certificate[0], marshalKey(b, cert.PrivateKey)})
		if err != nil {
			b.Fatal(err)
		}
		lines = append(append(lines, line...), '\n')
	}
	heapBefore, before, goroutines := heap(), resident(), runtime.NumGoroutine()
	if _, err := in.Write(append(lines, '\n')); err != nil {
		b.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		b.Fatalf("the fleet says %q: %v", line, err)
	}
	eventually(b, "all data connections", func() bool { return e.accepted.Load() == 3*fleetSize })
	if n := len(e.Presence()); n != fleetSize {
		b.Fatalf("%d sessions", n)
	}
	heapAfter, after := heap(), resident()
	for b.Loop() { // what is measured isn't time
	}
	b.ReportMetric(float64(heapAfter-heapBefore)/fleetSize, "heapKiB/session")
	b.ReportMetric(float64(after-before)/fleetSize, "residentKiB/session")
	b.ReportMetric(float64(runtime.NumGoroutine()-goroutines)/fleetSize, "goroutines/session")
}

// warm gives a session with n idle data connections.
func warm(b *testing.B, n int) *tunnel.Session {
	h := newHub(b, tunnel.Limits{LowWater: 1, Heartbeat: time.Hour, Dead: time.Hour})
	g := join(b, h, newWarpgateID())
	g.dial(n)
	return h.PickBut(environment, nil)
}

// BenchmarkCheckout is the pool's part of one request.
func BenchmarkCheckout(b *testing.B) {
	s := warm(b, 64)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		c, err := s.Checkout(ctx, 0)
		if err != nil {
			b.Fatal(err)
		}
		c.Release()
	}
}

// BenchmarkCheckoutParallel is the same from all processors at once, with the
// choice of the session.
func BenchmarkCheckoutParallel(b *testing.B) {
	h := newHub(b, tunnel.Limits{Heartbeat: time.Hour, Dead: time.Hour})
	for range 2 {
		join(b, h, newWarpgateID()).dial(32)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		ctx := context.Background()
		for pb.Next() {
			c, err := h.PickBut(environment, nil).Checkout(ctx, 0)
			if err != nil {
				b.Error(err)
				return
			}
			c.Release()
		}
	})
}

func TestCheckout_AllocatesNothing(t *testing.T) {
	h := newHub(t, tunnel.Limits{Heartbeat: time.Hour, Dead: time.Hour})
	g := join(t, h, newWarpgateID())
	g.dial(16)
	join(t, h, newWarpgateID()).dial(16)
	ctx := context.Background()
	if n := testing.AllocsPerRun(1000, func() {
		s := h.PickBut(environment, nil)
		c, err := s.Checkout(ctx, 0)
		if err != nil {
			t.Fatal(err)
		}
		c.Release()
	}); n != 0 {
		t.Fatalf("%v allocations for a request", n)
	}
}
