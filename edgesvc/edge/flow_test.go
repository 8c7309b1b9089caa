package edge_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/testkit/frames"
)

// TestHTTP2Streams: what one stream does costs no other one anything, whatever the workload
// speaks.
func TestHTTP2Streams(t *testing.T) {
	for name, two := range map[string]bool{"http": false, "h2c": true} {
		t.Run(name, func(t *testing.T) {
			a := newTarget(t, two, mezu.Route{Prefix: "/small/", MaxBody: 10}, mezu.Route{Prefix: "/impatient/", IdleTimeout: mezu.Duration(time.Second), Timeout: mezu.Duration(time.Second)})
			tests := map[string]func(*testing.T, *target){
				"T7_StalledStream": testT7_StalledStream, "T7_SlowReadersCostLittle": testT7_SlowReadersCostLittle, "T7_StuckUploads": testT7_StuckUploads, "P20_StreamsHaveDeadlines": testP20_StreamsHaveDeadlines,
				"ClientDies": testClientDies, "EarlyAnswer": testEarlyAnswer,
			}
			a.each(t, tests)
			if !two {
				a.again(t)
				testP23_HalfFrames(t, a)
			}
			a.again(t)
			a.stall()
		})
	}
}

// smallWindow lets a response begin and no more of it come; the connection's is large.
func smallWindow(c *frames.Conn) { c.Credit(1<<30, 0) }

// begun waits until something of a response has come.
func begun(t *testing.T, c *frames.Conn, stream uint32) {
	t.Helper()
	if s, ok := c.WaitStream(stream, func(s *frames.Stream) bool { return s.Length > 0 }); !ok {
		t.Fatalf("stream %d: %+v, %v", stream, s, c)
	}
}

// T7: readers that take nothing stop nobody beside them on their connection, nor on others,
// whatever their workload speaks.
func testT7_StalledStream(t *testing.T, a *target) {
	c := a.client(frames.Options{})
	smallWindow(c)
	const stalled = 10
	for i := range stalled {
		a.get(c, odd(i), "/endless")
	}
	for i := range stalled {
		begun(t, c, odd(i))
	}
	unmoved(t, "the stalled responses to stand still", a.wrote.Load)
	for i := stalled; i < stalled+50; i++ {
		a.get(c, odd(i), "/x")
		if got := c.End(odd(i)); got != "200" {
			t.Fatalf("beside the stalled: %s, %v", got, c)
		}
	}
	const large, size = 1001, 4 << 20
	a.get(c, large, fmt.Sprint("/big?", size))
	c.Credit(size, large)
	if got := c.End(large); got != "200" || c.Stream(large).Length != size {
		t.Errorf("a large response beside the stalled: %s, %v", got, c)
	}
	a.alive()
	c.Headers(1003, false, a.request("POST", "/x")...)
	if n := c.Upload(1003, size, true, frames.Patience); n != size || c.End(1003) != "200" {
		t.Errorf("an upload beside the stalled stops at %d bytes: %v", n, c)
	}
	// One that reads on gets on.
	before := c.Stream(1).Length
	c.Credit(1<<20, 1)
	if s, ok := c.WaitStream(1, func(s *frames.Stream) bool { return s.Length == before+1<<20 }); !ok {
		t.Errorf("a reader that goes on got %d bytes more: %v", s.Length-before, c)
	}
	c.Close()
	a.quiet()
}

// T7: what waits in memory for a slow reader is at most 64 KiB at each end of the tunnel, and
// what TLS and goroutines need to write and to read. The windows of a workload's HTTP/2 may have grown before,
// while the buffers of sockets took everything at once, within that of its connection.
func testT7_SlowReadersCostLittle(t *testing.T, a *target) {
	const readers, each, window = 21, 2 * (64 + 48) << 10, 4 << 20
	var conns []*frames.Conn
	for range 3 {
		c := a.client(frames.Options{})
		smallWindow(c)
		for i := range readers / 3 {
			a.get(c, odd(i), "/later")
		}
		conns = append(conns, c)
	}
	waitRunning(a.t, a, readers)
	before := live()
	a.let()
	for _, c := range conns {
		for i := range readers / 3 {
			begun(t, c, odd(i))
		}
	}
	unmoved(t, "the responses to stand still", a.wrote.Load)
	kept := int64(0)
	for _, c := range conns {
		kept += c.Received() // by the test
	}
	cost, most := live()-before-kept, int64(readers*each)
	if a.two {
		most += window
	}
	t.Logf("%d KiB for each slow reader at both ends; %d KiB each left the workload", cost/readers>>10, a.wrote.Load()/readers>>10)
	if cost > most {
		t.Errorf("a slow reader costs %d KiB", cost/readers>>10)
	}
	for _, c := range conns {
		c.Close()
	}
	a.quiet()
}

func waitRunning(t *testing.T, a *target, n int64) {
	t.Helper()
	eventually(t, fmt.Sprint(n, " requests at the workload"), func() bool { return a.running.Load() == n })
}

// T7: uploads that their workload does not take stop none beside them.
func testT7_StuckUploads(t *testing.T, a *target) {
	c := a.client(frames.Options{})
	const stuck, quiet = 2, 300 * time.Millisecond
	for i := range stuck {
		c.Headers(odd(i), false, a.request("POST", "/stuck")...)
	}
	waitRunning(a.t, a, stuck)
	var wg sync.WaitGroup
	for i := range stuck {
		wg.Go(func() {
			if n := c.Upload(odd(i), 1<<30, true, quiet); n > 64<<20 {
				t.Errorf("%d bytes of an upload that nobody takes went out", n)
			}
		})
	}
	wg.Wait()
	const fast, size = 101, 8 << 20
	c.Headers(fast, false, a.request("POST", "/x")...)
	if n := c.Upload(fast, size, true, frames.Patience); n != size || c.End(fast) != "200" {
		t.Errorf("an upload beside the stuck stops at %d bytes: %v", n, c)
	}
	// A slow one beside a fast one comes as it is sent.
	c.Headers(103, false, a.request("POST", "/x")...)
	c.Headers(105, false, a.request("POST", "/x")...)
	for range 20 {
		c.Data(103, false, []byte("s"))
		if n := c.Upload(105, 100<<10, false, frames.Patience); n != 100<<10 {
			t.Fatalf("the fast one stops at %d bytes: %v", n, c)
		}
	}
	c.Data(103, true, nil)
	c.Data(105, true, nil)
	if got := c.End(103) + " " + c.End(105); got != "200 200" || string(c.Stream(103).Body) != "POST /x 20" {
		t.Errorf("%s %q", got, c.Stream(103).Body)
	}
	a.alive()
	a.let()
	c.Close()
	a.quiet()
}

// An answer before the end of an upload arrives complete. What still comes is taken and
// dropped for a while, and then the rest is refused without an error.
func testEarlyAnswer(t *testing.T, a *target) {
	c := a.client(frames.Options{Refill: true})
	stream := uint32(1)
	early := func(path, status string, length int64) uint32 {
		t.Helper()
		id := stream
		stream += 2
		c.Headers(id, false, a.request("POST", path, "content-type", "text/plain")...)
		c.Upload(id, 1<<10, false, frames.Patience)
		s, ok := c.WaitStream(id, func(s *frames.Stream) bool { return s.Ended || s.Reset != nil })
		if !ok || !s.Ended || s.Status != status || length >= 0 && s.Length != length {
			t.Fatalf("%s: %s with %d bytes, reset %v: %v", path, s.Status, s.Length, s.Reset, c)
		}
		return id
	}
	var left []uint32
	for path, k := range map[string]struct {
		status string
		length int64
	}{"/early": {"413", 100_000}, "/.mezu/nothing": {"404", -1}, "/small/x": {"413", -1}} {
		// A client that goes on and comes to its end hears no more. It may have been reset
		// without an error before.
		id := early(path, k.status, k.length)
		const more = 1 << 20
		n := c.Upload(id, more, true, frames.Patience)
		if s := c.Stream(id); s.Reset != nil && *s.Reset != http2.ErrCodeNo || s.Reset == nil && n != more {
			t.Errorf("%s: %d of %d bytes went out, reset %v: %v", path, n, more, s.Reset, c)
		}
		left = append(left, early(path, k.status, k.length))
	}
	// One that doesn't is told that nothing more is needed. What it sent before it heard of
	// that is nobody's fault.
	for _, id := range left {
		if s, ok := c.WaitStream(id, func(s *frames.Stream) bool { return s.Reset != nil }); !ok || *s.Reset != http2.ErrCodeNo {
			t.Errorf("reset %v: %v", s.Reset, c)
		}
		c.Data(id, false, []byte("late"))
		c.Headers(id, true, "x-late", "trailer")
	}
	// One that never ends is stopped, too.
	id := early("/early", "413", 100_000)
	const most = 64 << 20
	if n := c.Upload(id, 2*most, false, frames.Patience); n > most+8<<20 {
		t.Errorf("%d MiB were taken: %v", n>>20, c)
	}
	if s, ok := c.WaitStream(id, func(s *frames.Stream) bool { return s.Reset != nil }); !ok || *s.Reset != http2.ErrCodeNo {
		t.Errorf("reset %v: %v", s.Reset, c)
	}
	a.get(c, stream, "/x")
	if got := c.End(stream); got != "200" {
		t.Errorf("the connection does not go on: %s, %v", got, c)
	}
	a.quiet()
}

// P20: each stream has a deadline of its own, which is its route's. What it costs is that
// stream; the others of its connection go on.
func testP20_StreamsHaveDeadlines(t *testing.T, a *target) {
	c := a.client(frames.Options{})
	smallWindow(c)
	const other, upload, stalled, silent, idle, half = 1, 3, 5, 7, 9, 11
	a.get(c, other, "/endless") // whose route is patient
	begun(t, c, other)
	c.Headers(upload, false, a.request("POST", "/x")...)
	c.Data(upload, false, []byte("1"))
	// All at once.
	a.get(c, stalled, "/impatient/endless")
	a.get(c, silent, "/impatient/hold")
	a.get(c, idle, "/impatient/silent")
	c.Headers(half, false, a.request("POST", "/impatient/x")...)
	c.Data(half, false, []byte("1"))
	// A client that reads nothing at all.
	deaf := a.client(frames.Options{Deaf: true, Settings: []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1}}})
	deaf.Credit(1<<30, 0)
	a.get(deaf, 1, "/impatient/endless")

	for stream, want := range map[uint32]string{stalled: "200 then ", silent: "504", half: "408", idle: "200 then "} {
		if got := c.End(stream); !strings.HasPrefix(got, want) {
			t.Errorf("stream %d ended with %s, not %s: %v", stream, got, want, c)
		}
	}
	freed := map[string]int{}
	for range 5 {
		select {
		case path := <-a.freed:
			freed[path]++
		case <-time.After(frames.Patience):
			t.Fatalf("only %v are freed", freed)
		}
	}
	if freed["/impatient/endless"] != 2 || freed["/impatient/hold"] != 1 || freed["/impatient/x"] != 1 || freed["/impatient/silent"] != 1 {
		t.Errorf("freed were %v", freed)
	}
	c.Data(upload, true, []byte("2"))
	if got := c.End(upload); got != "200" || string(c.Stream(upload).Body) != "POST /x 2" {
		t.Errorf("the upload beside them: %s %q, %v", got, c.Stream(upload).Body, c)
	}
	before := c.Stream(other).Length
	c.Credit(100_000, other)
	if s, ok := c.WaitStream(other, func(s *frames.Stream) bool { return s.Length == before+100_000 }); !ok {
		t.Errorf("the response beside them got %d bytes more: %v", s.Length-before, c)
	}
	c.Close()
	a.quiet()
}

// A client that dies costs its own requests, at once, and leaves nothing.
func testClientDies(t *testing.T, a *target) {
	for name, die := range map[string]func(c *frames.Conn){
		"reset":  func(c *frames.Conn) { kill(c) },
		"closed": func(c *frames.Conn) { c.Close() },
		"GOAWAY": func(c *frames.Conn) {
			c.Send(func(w *http2.Framer) { w.WriteGoAway(0, http2.ErrCodeInternal, nil) })
			c.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := a.client(frames.Options{})
			a.get(c, 1, "/endless")
			begun(t, c, 1)
			a.get(c, 3, "/hold")
			c.Headers(5, false, a.request("POST", "/x")...)
			c.Data(5, false, []byte("half"))
			a.get(c, 7, "/silent")
			waitRunning(a.t, a, 4)
			die(c)
			a.quiet()
			freed := map[string]int{}
			for range 4 {
				freed[<-a.freed]++
			}
			if len(freed) != 4 {
				t.Errorf("freed were %v", freed)
			}
		})
	}
	a.alive()
}

// stall leaves readers that take nothing and uploads that nobody takes. What ends beside them
// still ends: the edge and the Warpgate with their test, and goleak looks.
func (a *target) stall() {
	for range 3 {
		c := a.client(frames.Options{})
		a.get(c, 1, "/endless")
		begun(a.t, c, 1)
		c.Headers(3, false, a.request("POST", "/stuck")...)
	}
	waitRunning(a.t, a, 6)
	a.let()
}
