package edge_test

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"

	"github.com/mezusphere/mezu/testkit/frames"
)

// testBusyClients: clients that do much, and nothing that they should not, are no floods.
func testBusyClients(t *testing.T, a *target) {
	for name, do := range map[string]func(t *testing.T, a *target){
		"10,000 requests":            manyRequests,
		"many small uploads":         manyUploads,
		"a hundred that are left":    manyCancels,
		"many messages of one call":  manyMessages,
		"a download with its frames": busyDownload,
		"a browser's priorities":     browserPriorities,
		"more at once than may":      moreThanMay,
	} {
		t.Run(name, func(t *testing.T) {
			a.t = t
			do(t, a)
			a.quiet()
		})
	}
}

// inTurn has a client ask for n things, so many at once, and waits for each.
func inTurn(t *testing.T, c *frames.Conn, n, atOnce int, ask func(w *http2.Framer, stream uint32)) {
	t.Helper()
	for i := 0; i < n; i += atOnce {
		last := min(i+atOnce, n)
		c.Send(func(w *http2.Framer) {
			for j := i; j < last; j++ {
				ask(w, odd(j))
			}
		})
		for j := i; j < last; j++ {
			if got := c.End(odd(j)); got != "200" && got != "403" {
				t.Fatalf("request %d ended with %s: %v", j, got, c)
			}
		}
	}
}

func manyRequests(t *testing.T, a *target) {
	c := a.client(frames.Options{Refill: true})
	inTurn(t, c, 10_000, 100, func(w *http2.Framer, stream uint32) {
		frames.Headers(w, stream, true, a.request("GET", "/denied/")...)
	})
	a.get(c, 20_001, "/x")
	if got := c.End(20_001); got != "200" {
		t.Errorf("%s: %v", got, c)
	}
}

// manyUploads end with an empty frame, as many clients have it, and come in pieces.
func manyUploads(t *testing.T, a *target) {
	c := a.client(frames.Options{})
	inTurn(t, c, 500, 50, func(w *http2.Framer, stream uint32) {
		frames.Headers(w, stream, false, a.request("POST", "/x")...)
		w.WriteData(stream, false, []byte("a"))
		w.WriteDataPadded(stream, false, []byte("b"), make([]byte, 10))
		w.WriteData(stream, true, nil)
	})
}

// manyCancels are a page that is left when it has begun to load, twice.
func manyCancels(t *testing.T, a *target) {
	c := a.client(frames.Options{})
	first := uint32(1)
	for range 2 {
		c.Send(func(w *http2.Framer) {
			for i := range uint32(100) {
				frames.Headers(w, first+2*i, true, a.request("GET", "/silent")...)
			}
		})
		for i := range uint32(100) {
			if s, ok := c.WaitStream(first+2*i, func(s *frames.Stream) bool { return s.Status != "" }); !ok || s.Status != "200" {
				t.Fatalf("stream %d: %+v, %v", first+2*i, s, c)
			}
		}
		c.Send(func(w *http2.Framer) {
			for i := range uint32(100) {
				w.WriteRSTStream(first+2*i, http2.ErrCodeCancel)
			}
		})
		a.quiet()
		for len(a.freed) > 0 {
			<-a.freed
		}
		first += 200
		a.get(c, first, "/x")
		if got := c.End(first); got != "200" {
			t.Fatalf("%s: %v", got, c)
		}
		first += 2
	}
}

// manyMessages are a stream of small messages.
func manyMessages(t *testing.T, a *target) {
	c := a.client(frames.Options{})
	c.Headers(1, false, a.request("POST", "/x", "content-type", "application/grpc", "te", "trailers")...)
	const n, batch = 5000, 50
	for range n / batch {
		c.Send(func(w *http2.Framer) {
			for range batch {
				w.WriteData(1, false, []byte("\x00\x00\x00\x00\x05hello"))
			}
		})
		if !c.Ping() {
			t.Fatal(c)
		}
	}
	c.Data(1, true, nil)
	if got := c.End(1); got != "200" || string(c.Stream(1).Body) != fmt.Sprint("POST /x ", 10*n) {
		t.Errorf("%s %q: %v", got, c.Stream(1).Body, c)
	}
}

// busyDownload answers each frame of DATA with two WINDOW_UPDATEs, and looks all the time how
// much the path carries, as grpc-go does: with a PING that is sent when the one before was
// answered and something has come.
func busyDownload(t *testing.T, a *target) {
	const size = 24 << 20
	var waiting, sent atomic.Int64
	c := a.client(frames.Options{Refill: true, OnFrame: func(c *frames.Conn, f http2.Frame) {
		switch f := f.(type) {
		case *http2.DataFrame:
			if waiting.CompareAndSwap(0, 1) {
				sent.Add(1)
				c.Send(func(w *http2.Framer) { w.WritePing(false, [8]byte{2, 4, 16, 16, 9, 14, 7, 7}) })
			}
		case *http2.PingFrame:
			if f.IsAck() {
				waiting.Store(0)
			}
		}
	}})
	a.get(c, 1, fmt.Sprintf("/big?%d", size))
	if got := c.End(1); got != "200" || c.Stream(1).Length != size {
		t.Errorf("%s with %d bytes and %d PINGs: %v", got, c.Stream(1).Length, sent.Load(), c)
	}
	t.Logf("%d PINGs, %d frames", sent.Load(), c.Frames())
}

// browserPriorities are those of Chromium, of Firefox as it was, and of Safari.
func browserPriorities(t *testing.T, a *target) {
	c := a.client(frames.Options{Settings: []http2.Setting{
		{ID: http2.SettingHeaderTableSize, Val: 65_536}, {ID: http2.SettingEnablePush, Val: 0}, {ID: http2.SettingInitialWindowSize, Val: 6 << 20}, {ID: http2.SettingMaxHeaderListSize, Val: 256 << 10}, {ID: 0x9, Val: 1},
	}})
	c.Credit(15_663_105, 0)
	c.Send(func(w *http2.Framer) {
		for stream := uint32(3); stream <= 13; stream += 2 { // the groups of Firefox
			w.WritePriority(stream, http2.PriorityParam{StreamDep: 0, Weight: 200})
		}
	})
	for round := range uint32(3) {
		first := 15 + 200*round
		c.Send(func(w *http2.Framer) {
			for i := range uint32(100) {
				stream := first + 2*i
				w.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: frames.Block(a.request("GET", "/x", "priority", "u=3, i")...), EndHeaders: true, EndStream: true,
					Priority: http2.PriorityParam{StreamDep: 0, Weight: 219, Exclusive: true}})
				w.WriteRawFrame(framePriorityUpdate, 0, 0, append(binary.BigEndian.AppendUint32(nil, stream), "u=2"...))
				w.WritePriority(stream, http2.PriorityParam{StreamDep: 3, Weight: byte(i)})
			}
		})
		for i := range uint32(100) {
			if got := c.End(first + 2*i); got != "200" {
				t.Fatalf("%s: %v", got, c)
			}
		}
	}
}

// moreThanMay asks for more than runs at once before it has heard how much that is: the rest
// is refused, can be asked for again, and nobody is angry.
func moreThanMay(t *testing.T, a *target) {
	c := a.client(frames.Options{})
	const n = 120
	c.Send(func(w *http2.Framer) {
		for i := range n {
			frames.Headers(w, odd(i), true, a.request("GET", "/hold")...)
		}
	})
	if !c.Count(n-100, func(s *frames.Stream) bool { return s.Reset != nil && *s.Reset == http2.ErrCodeRefusedStream }) {
		t.Fatal(c)
	}
	c.Reset(1, http2.ErrCodeCancel)
	a.get(c, odd(n), "/x")
	if got := c.End(odd(n)); got != "200" {
		t.Errorf("%s: %v", got, c)
	}
	c.Close()
}
