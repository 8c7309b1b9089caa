package forward

import (
	"context"
	"io"
	"net"
	"testing"
	"time"
)

// dialled is a pool over loopback, and the workload's ends of its connections.
func dialled(t *testing.T, life time.Duration) (*pool, chan net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	ends := make(chan net.Conn, 100)
	p := &pool{life: life, dial: func(ctx context.Context, _ time.Time) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
		if err != nil {
			return nil, err
		}
		other, err := l.Accept()
		if err != nil {
			return nil, err
		}
		other.SetDeadline(time.Now().Add(10 * time.Second))
		t.Cleanup(func() { other.Close() })
		ends <- other
		return c, nil
	}}
	t.Cleanup(p.close)
	return p, ends
}

func take(t *testing.T, p *pool) *workloadConn {
	t.Helper()
	c, err := p.get(context.Background(), time.Now().Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func ended(t *testing.T, c net.Conn, why string) {
	t.Helper()
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("%s: %v", why, err)
	}
}

// TestPoolTakesTheWarmest: last in, first out, so that surplus ones grow old.
func TestPoolTakesTheWarmest(t *testing.T) {
	p, _ := dialled(t, time.Hour)
	a, b := take(t, p), take(t, p)
	p.put(a)
	p.put(b)
	if got := take(t, p); got != b || !got.reused {
		t.Error("not the warmest")
	}
	if got := take(t, p); got != a {
		t.Error("not the other one")
	}
	a.Close()
	b.Close()
}

// TestPoolLooksPastDeadlines: the deadline of an earlier exchange must not make an
// idle connection look dead.
func TestPoolLooksPastDeadlines(t *testing.T) {
	p, _ := dialled(t, time.Hour)
	c := take(t, p)
	c.SetReadDeadline(time.Unix(1, 0))
	p.put(c)
	if take(t, p) != c {
		t.Error("a live connection was thrown away")
	}
	c.Close()
}

func TestPoolDropsTheDead(t *testing.T) {
	p, ends := dialled(t, time.Hour)
	for name, spoil := range map[string]func(net.Conn){
		"closed":  func(c net.Conn) { c.Close() },
		"chatty":  func(c net.Conn) { c.Write([]byte("x")) },
		"aborted": func(c net.Conn) { c.(*net.TCPConn).SetLinger(0); c.Close() },
	} {
		c, far := take(t, p), <-ends
		p.put(c)
		spoil(far)
		var got *workloadConn
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); p.put(got) {
			if got = take(t, p); got != c { // loopback may take a moment
				break
			}
		}
		if got == c {
			t.Errorf("%s: still handed out", name)
		}
		if got.reused {
			t.Errorf("%s: not a new one", name)
		}
		got.Close()
		<-ends
	}
}

// TestPoolSweeps: what nobody needs is closed without anybody asking.
func TestPoolSweeps(t *testing.T) {
	const life = 60 * time.Millisecond
	p, ends := dialled(t, life)
	var held []*workloadConn
	for range 3 {
		held = append(held, take(t, p))
	}
	start := time.Now()
	for _, c := range held {
		p.put(c)
	}
	for range held {
		ended(t, <-ends, "idle")
	}
	if time.Since(start) < life {
		t.Error("closed before its time")
	}
	p.put(take(t, p)) // armed anew
	ended(t, <-ends, "idle later")
}

func TestPoolClosed(t *testing.T) {
	p, ends := dialled(t, time.Hour)
	idle, busy := take(t, p), take(t, p)
	p.put(idle)
	p.close()
	ended(t, <-ends, "idle")
	p.put(busy)
	ended(t, <-ends, "come back late")
	p.close()
}
