package forward_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/mezusphere/mezu/testkit"
	"github.com/mezusphere/mezu/testkit/frames"
)

// endlessWorkload is a workload of HTTP/2 whose responses have no end. It sends as long as the
// windows let it; sent gets how much that was when nothing has moved any more.
func endlessWorkload(t *testing.T) (upstream string, sent <-chan int64) {
	t.Helper()
	const quiet = 300 * time.Millisecond
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	all := make(chan int64, slowReaders)
	var wg sync.WaitGroup
	serve := func(conn net.Conn) {
		defer conn.Close()
		if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
			return
		}
		c := frames.Server(t, conn, conn, frames.Options{OnFrame: func(c *frames.Conn, f http2.Frame) {
			if f, ok := f.(*http2.HeadersFrame); ok {
				id := f.StreamID // the frame is used again
				wg.Go(func() {
					c.Headers(id, false, ":status", "200", "content-length", "1000000000000")
					all <- c.Upload(id, 1_000_000_000_000, true, quiet)
				})
			}
		}})
		c.Closed()
	}
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { serve(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return "h2c://" + l.Addr().String(), all
}

// slowReaders are as many as need two connections to the workload.
const slowReaders = 60

// pipe makes a data connection on which nothing waits between both ends.
func (w *world) pipe() (*edge, *testkit.Counted) {
	w.t.Helper()
	a, b := net.Pipe()
	read := &testkit.Counted{Conn: a}
	ctx, cancel := context.WithCancel(context.Background())
	e := &edge{t: w.t, conn: read, cancel: cancel, done: make(chan struct{})}
	go e.serve(ctx, w.f, b)
	a.SetDeadline(time.Now().Add(patience))
	w.t.Cleanup(func() {
		cancel()
		a.Close()
		<-e.done
	})
	return e, read
}

// begins asks for a response and reads its head, and then n bytes more as fast as it can.
func (w *world) begins(n int64) (taken int64) {
	w.t.Helper()
	e, read := w.pipe()
	e.ask(newGet)
	var head []byte
	for one := make([]byte, 1); !bytes.HasSuffix(head, []byte("\r\n\r\n")); head = append(head, one...) {
		if _, err := io.ReadFull(read, one); err != nil {
			w.t.Fatal(err)
		}
	}
	// In small pieces, so that it takes longer than a window waits with growing.
	if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, io.LimitReader(read, n), make([]byte, 512)); err != nil {
		w.t.Fatal(err)
	}
	return read.Bytes.Load() - int64(len(head))
}

// TestSlowReader_Row18: of a response from HTTP/2 that nobody reads no more waits here than a
// window of 64 KiB, also where much of it was read fast at first, as by the sockets on the way.
func TestSlowReader_Row18(t *testing.T) {
	const most = 64 << 10
	upstream, sent := endlessWorkload(t)
	w := newWorld(t, upstream)
	waits := func(what string, readers int, taken int64) {
		for range readers {
			taken -= receive(t, sent, "end of what the workload may send")
		}
		if each := -taken / int64(readers); each > most || each <= 0 {
			t.Errorf("%s: %d bytes wait for each of %d readers", what, each, readers)
		}
	}
	taken := int64(0)
	for range slowReaders {
		taken += w.begins(0)
	}
	waits("at once", slowReaders, taken)
	for range 5 {
		waits("after 20 MiB", 1, w.begins(20<<20))
	}
}
