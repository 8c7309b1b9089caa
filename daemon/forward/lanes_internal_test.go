package forward

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/mezusphere/mezu/h2"
)

// shared is the lanes to a workload of HTTP/2 that answers nothing.
func shared(t *testing.T, life time.Duration) *lanes {
	server := h2.NewServer(h2.ServerConfig{Serve: func(*h2.Stream) {}})
	return lanesTo(t, life, server.Close, func(c net.Conn) { server.ServeConn(c, everybody{}, nil) })
}

// lanesTo is the lanes to a workload that serves its connections so, until it is closed.
func lanesTo(t *testing.T, life time.Duration, closed func(), serve func(net.Conn)) *lanes {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				serve(c)
				c.Close()
			})
		}
	})
	f := &Forwarder{pingAfter: pingAfter, pingTimeout: pingTimeout}
	f.life, f.end = context.WithCancel(context.Background())
	t.Cleanup(func() {
		f.end()
		f.beside.Wait()
		f.crew.Close()
		l.Close()
		closed()
		serving.Wait()
	})
	return &lanes{f: f, two: true, life: life, dial: func(ctx context.Context, _ time.Time) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	}}
}

// everybody is a place that admits all requests.
type everybody struct{}

func (everybody) BeginStream(time.Time) bool { return true }
func (everybody) EndStream()                 {}

func (l *lanes) taken(t *testing.T, upload int) *lane {
	t.Helper()
	ln, _, err := l.take(context.Background(), time.Now().Add(time.Minute), upload, false)
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// give gives a place back that was taken.
func (c *lane) give(upload int) {
	c.client.Open("GET").Close()
	c.release(upload)
}

// TestLanes_Shared: exchanges share a connection until it is full, and large bodies share none with
// other bodies.
func TestLanes_Shared(t *testing.T) {
	l := shared(t, time.Hour)
	first := l.taken(t, 0)
	for range h2.MaxClientStreams - 2 {
		if l.taken(t, 0) != first {
			t.Fatal("another connection before the first is full")
		}
	}
	large := l.taken(t, sharedUpload)
	if large != first {
		t.Error("a large body beside no other has a connection of its own")
	}
	if l.taken(t, 0) == first {
		t.Error("there is no end of exchanges on a connection")
	}
	small := l.taken(t, 10)
	if small == first {
		t.Error("a small body waits for a large one")
	}
	if other := l.taken(t, sharedUpload); other == first || other == small {
		t.Error("a large body shares its connection with another one")
	}
	large.shrink(sharedUpload - 5)
	large.give(5)
	if l.taken(t, 20) != first {
		t.Error("a body that has turned out to be small keeps others away")
	}
}

// TestLanes_IdleEnd: what nobody uses is closed after a while, and what is in use is not.
func TestLanes_IdleEnd(t *testing.T) {
	l := shared(t, 50*time.Millisecond)
	used := l.taken(t, sharedUpload)
	idle := l.taken(t, sharedUpload)
	idle.give(sharedUpload)
	l.await(func() bool { return len(l.known()) == 1 })
	if l.known()[0] != used {
		t.Error("the one in use was closed")
	}
	used.give(sharedUpload)
	l.await(func() bool { return len(l.known()) == 0 })
}

// TestLanes_AllowFew: a new connection begins with what the workload has said of others, or each request
// of a crowd would be refused once more by each.
func TestLanes_AllowFew(t *testing.T) {
	var conns atomic.Int64
	l := lanesTo(t, time.Hour, func() {}, func(c net.Conn) {
		if conns.Add(1) == 1 { // the others say nothing
			http2.NewFramer(c, nil).WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 2})
		}
		io.Copy(io.Discard, c)
	})
	first := l.taken(t, 0)
	l.await(func() bool { return first.client.Allowed() == 2 })
	places := map[*lane]int{first: 1}
	for range 5 {
		places[l.taken(t, 0)]++
	}
	if len(places) != 3 || places[first] != 2 {
		t.Errorf("6 exchanges are on %d connections that take 2 each", len(places))
	}
}

// known are the connections there are.
func (l *lanes) known() []*lane {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]*lane(nil), l.open...)
}

// await waits until something is so, which may become so without a change.
func (l *lanes) await(so func() bool) {
	for !so() {
		changed := l.changes()
		time.AfterFunc(time.Millisecond, l.change)
		<-changed
	}
}

// changes is closed at the next change.
func (l *lanes) changes() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.changed
}
