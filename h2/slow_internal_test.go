package h2

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/mezusphere/mezu/testkit/frames"
)

// TestServer_StoppedReader: what waits for a client that has stopped reading, whatever its windows are,
// is the piece that each stream is about to send, and at the connection one batch that is being
// written and one that is next.
func TestServer_StoppedReader(t *testing.T) {
	const (
		streams = 60
		piece   = 32 << 10
		taken   = 4 << 20
		most    = 4 * batchSize // memory grows by quarters
		quiet   = 100 * time.Millisecond
	)
	var began, accepted atomic.Int64
	srv := NewServer(ServerConfig{Serve: func(s *Stream) {
		began.Add(1)
		var k Block
		k.Status(200)
		if s.SendBlock(&k, false, false) != nil {
			return
		}
		for p := make([]byte, piece); s.Send(p, false, true) == nil; accepted.Add(piece) {
		}
	}})
	near, far := net.Pipe() // between whose ends nothing waits
	var serving sync.WaitGroup
	serving.Go(func() {
		srv.ServeConn(far, nil, nil)
		far.Close()
	})
	c := frames.Client(t, near, frames.Options{Deaf: true, Settings: []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 1 << 30}}})
	c.Credit(1<<30, 0)
	for i := range uint32(streams) {
		c.Headers(2*i+1, true, ":method", "GET", ":scheme", "https", ":authority", "example.com", ":path", "/")
	}
	if _, err := io.CopyN(io.Discard, near, taken); err != nil {
		t.Fatal(err)
	}
	// Until nothing moves any more.
	tick := time.NewTicker(quiet)
	defer tick.Stop()
	for before := int64(-1); began.Load() < streams || accepted.Load() != before; <-tick.C {
		before = accepted.Load()
	}
	srv.mu.Lock()
	for c := range srv.conns {
		c.mu.Lock()
		if n := cap(c.ready) + cap(c.spare) + c.out.Pending(); n > most || len(c.ready) > maxKeptReady || c.out.Pending() == 0 {
			t.Errorf("%d bytes of memory hold %d bytes that are ready, and %d are being written", n, len(c.ready), c.out.Pending())
		}
		c.mu.Unlock()
	}
	srv.mu.Unlock()
	near.Close()
	srv.Close()
	serving.Wait()
}
