package pipe_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/pipe"
)

// piped is an upgraded stream between two outer ends.
type piped struct {
	left, right *net.TCPConn
	done        chan struct{}
	ab, ba      int64
	err         error
}

func startPipe(t *testing.T, idle time.Duration, aheadA, aheadB string) *piped {
	left, a := pair(t)
	b, right := pair(t)
	p := &piped{left: left, right: right, done: make(chan struct{})}
	go p.run(a, b, idle, aheadA, aheadB)
	t.Cleanup(func() {
		left.Close()
		right.Close()
		receive(t, p.done, "end of the pipe")
	})
	return p
}

func (p *piped) run(a, b net.Conn, idle time.Duration, aheadA, aheadB string) {
	defer close(p.done)
	ends := [2]pipe.End{{Conn: a, Ahead: ahead(aheadA), Lost: mezu.CauseClientGone}, {Conn: b, Ahead: ahead(aheadB), Lost: mezu.CauseWorkloadReset}}
	p.ab, p.ba, p.err = pipe.Run(ends[0], ends[1], idle)
	a.Close()
	b.Close()
}

// early is what arrived before the pipe began.
type early struct{ data []byte }

func (e *early) Unread() []byte { return e.data }
func (e *early) Release()       { e.data = nil }

func ahead(data string) pipe.Ahead {
	if data == "" {
		return nil
	}
	return &early{[]byte(data)}
}

func expect(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("%q, %v; want %q", got, err, want)
	}
}

func TestPipeCarriesWhatWasBuffered(t *testing.T) {
	p := startPipe(t, patience, "early", "also early")
	p.left.Write([]byte(" and late"))
	expect(t, p.right, "early and late")
	expect(t, p.left, "also early")
	p.left.Close()
	p.right.Close()
	receive(t, p.done, "end")
	if p.ab != int64(len("early and late")) || p.ba != int64(len("also early")) {
		t.Errorf("%d and %d bytes", p.ab, p.ba)
	}
}

// TestPipeHalfClose: the end of one direction is passed on, and the other one goes
// on until it ends too.
func TestPipeHalfClose(t *testing.T) {
	for _, first := range []string{"left", "right"} {
		p := startPipe(t, patience, "", "")
		from, to := p.left, p.right
		if first == "right" {
			from, to = to, from
		}
		from.Write([]byte("bye"))
		from.CloseWrite()
		if got, err := io.ReadAll(to); err != nil || string(got) != "bye" {
			t.Fatalf("%s: %q, %v", first, got, err)
		}
		big := bytes.Repeat([]byte("x"), 1<<20)
		go func() { to.Write(big); to.CloseWrite() }()
		if got, err := io.ReadAll(from); err != nil || len(got) != len(big) {
			t.Fatalf("%s: %d bytes came back, %v", first, len(got), err)
		}
		receive(t, p.done, "end")
		if p.err != nil || p.ab+p.ba != int64(len(big)+3) {
			t.Errorf("%s: %d and %d bytes, %v", first, p.ab, p.ba, p.err)
		}
	}
}

func TestPipeEndsWhenIdle(t *testing.T) {
	const idle = 50 * time.Millisecond
	start := time.Now()
	p := startPipe(t, idle, "", "")
	receive(t, p.done, "end")
	if p.err == nil || time.Since(start) < idle {
		t.Errorf("%v after %s", p.err, time.Since(start))
	}
	if _, err := p.left.Read(make([]byte, 1)); err == nil {
		t.Error("the left end is open")
	}
}

// TestPipeIdleAfterHalfClose: half of a stream alone is bounded too.
func TestPipeIdleAfterHalfClose(t *testing.T) {
	p := startPipe(t, 50*time.Millisecond, "", "")
	p.left.CloseWrite()
	if _, err := p.right.Read(make([]byte, 1)); err != io.EOF {
		t.Fatal(err)
	}
	receive(t, p.done, "end")
}

// TestPipeOneDirectionIsEnough: a stream that only ever flows one way is not idle,
// and when it stops, it ends after idle and no later.
func TestPipeOneDirectionIsEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const idle = time.Minute
		left, a := net.Pipe()
		b, right := net.Pipe()
		done := make(chan error, 1)
		go func() {
			_, _, err := pipe.Run(pipe.End{Conn: a, Ahead: ahead("")}, pipe.End{Conn: b, Ahead: ahead("")}, idle)
			done <- err
		}()
		tick := time.NewTicker(idle - time.Second)
		for range 10 {
			<-tick.C
			if _, err := right.Write([]byte("tick")); err != nil {
				t.Fatal(err)
			}
			expect(t, left, "tick")
		}
		tick.Stop()
		start := time.Now()
		if err := <-done; err == nil || time.Since(start) > idle+time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		for _, c := range []net.Conn{left, a, b, right} {
			c.Close()
		}
	})
}

// TestPipeBreaksAsAWhole: a reset of one side ends both directions at once.
func TestPipeBreaksAsAWhole(t *testing.T) {
	for _, side := range []string{"left", "right"} {
		p := startPipe(t, patience, "", "")
		p.left.Write([]byte("x"))
		expect(t, p.right, "x")
		broken, other := p.left, p.right
		if side == "right" {
			broken, other = other, broken
		}
		broken.SetLinger(0)
		broken.Close()
		start := time.Now()
		receive(t, p.done, "end")
		if p.err == nil || time.Since(start) > patience/2 {
			t.Errorf("%s: %v after %s", side, p.err, time.Since(start))
		}
		if _, err := other.Read(make([]byte, 1)); err == nil {
			t.Errorf("%s: the other side is open", side)
		}
	}
}

// TestPipeReaderThatDoesNotRead: a stalled receiver ends the stream in idle time.
func TestPipeReaderThatDoesNotRead(t *testing.T) {
	p := startPipe(t, 100*time.Millisecond, "", "")
	go func() {
		big := make([]byte, 1<<20)
		for {
			if _, err := p.left.Write(big); err != nil {
				return
			}
		}
	}()
	receive(t, p.done, "end")
	if p.err == nil {
		t.Error("ended without an error")
	}
}

// TestPipeReaderBehind_Row20: an upgraded stream whose one end reads nothing goes on
// while that end still speaks.
func TestPipeReaderBehind_Row20(t *testing.T) {
	const (
		hush = time.Second
		// A test that gets no CPU for this long is silent itself.
		idle = 4 * hush
	)
	p := startPipe(t, idle, "", "")
	flood(t, p.right) // left reads nothing of it
	tick := time.NewTicker(hush / 4)
	defer tick.Stop()
	for begun := time.Now(); time.Since(begun) < idle+hush; {
		select {
		case <-tick.C:
		case <-p.done:
			t.Fatalf("ended while one end speaks: %v", p.err)
		}
		if _, err := p.left.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		expect(t, p.right, "x")
	}
	receive(t, p.done, "end")
	if !errors.Is(p.err, pipe.ErrSilent) {
		t.Error(p.err)
	}
}

// TestRow22_CausesOfPipes: the first end that breaks is what ended the stream.
func TestRow22_CausesOfPipes(t *testing.T) {
	for _, c := range []struct {
		name string
		idle time.Duration
		end  func(p *piped)
		want mezu.Cause
	}{
		{"client", patience, func(p *piped) { reset(p.left) }, mezu.CauseClientGone},
		{"workload", patience, func(p *piped) { reset(p.right) }, mezu.CauseWorkloadReset},
		{"silence", 50 * time.Millisecond, func(*piped) {}, mezu.CauseIdleTimeout},
	} {
		p := startPipe(t, c.idle, "", "")
		c.end(p)
		receive(t, p.done, "end")
		if cut := (*mezu.Cut)(nil); !errors.As(p.err, &cut) || cut.Cause != c.want {
			t.Errorf("%s: %v, want the cause %q", c.name, p.err, c.want)
		}
	}
}

// reset ends a connection with a reset.
func reset(c *net.TCPConn) {
	c.SetLinger(0)
	c.Close()
}
