package forward

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/mezusphere/mezu/h2"
)

// shared is the lanes to a workload of HTTP/2 that answers nothing.
func shared(t *testing.T, life time.Duration) *lanes {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := h2.NewServer(h2.ServerConfig{Serve: func(*h2.Stream) {}})
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				server.ServeConn(c, everybody{}, nil)
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
		server.Close()
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
	for len(l.known()) != 1 {
		time.AfterFunc(time.Millisecond, l.change)
		<-l.changes()
	}
	if l.known()[0] != used {
		t.Error("the one in use was closed")
	}
	used.give(sharedUpload)
	for len(l.known()) > 0 {
		time.AfterFunc(time.Millisecond, l.change)
		<-l.changes()
	}
}

// known are the connections there are.
func (l *lanes) known() []*lane {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]*lane(nil), l.open...)
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
