package mux

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/mezusphere/mezu/gather"
)

// FuzzFrames sends either end arbitrary bytes, cut at arbitrary places: the connection ends, and
// everything with it.
func FuzzFrames(f *testing.F) {
	add := func(edge bool, s *script) {
		for _, cut := range []byte{0, 1, 6, 7, 100} {
			f.Add(edge, cut, s.b)
		}
	}
	add(true, new(script).frame(kindData, 1, 5).frame(kindData, 2, 5).frame(kindEnd, 1, 0))
	add(true, new(script).frames(4, kindData, 1, Budget/4).frame(kindMove, 1, 0).frame(kindEnd, 1, 0))
	add(true, new(script).frame(kindRefused, 1, 0).frame(kindRefused, 2, 0).frame(kindData, 3, 1000))
	add(true, new(script).frame(kindMove, 2, 0).frame(kindEnd, 2, 0).frame(kindData, 3, maxPayload))
	add(false, new(script).frame(kindBegin, 1, 5).frame(kindData, 1, 5).frame(kindCancel, 1, 0))
	add(false, new(script).frame(kindBegin, 1, 5).frame(kindBegin, 2, 5).frame(kindBegin, 1, 5).frame(kindBegin, 3, 5).frame(kindBegin, 4, 5).frame(kindBegin, 5, 5))
	add(false, new(script).frame(kindBegin, 9, maxPayload).frame(kindBegin, 9, maxPayload).frame(kindBegin, 9, maxPayload).frame(kindCancel, 9, 0))
	add(false, new(script).frame(kindBegin, 1, 1).frames(3, kindData, 1, Budget/4).frame(kindBegin, 1, 1).frames(3, kindData, 1, Budget/4))
	f.Fuzz(besiege)
}

// FuzzScripts is FuzzFrames with whole frames: of each three bytes one is the kind, one the
// stream, and one the length.
func FuzzScripts(f *testing.F) {
	for _, edge := range []bool{true, false} {
		for _, cut := range []byte{0, 7, 255} {
			f.Add(edge, cut, []byte{2, 1, 9, 2, 2, 200, 4, 1, 0, 6, 2, 0, 4, 2, 0})
			f.Add(edge, cut, []byte{1, 1, 9, 2, 1, 200, 1, 2, 7, 1, 1, 7, 3, 1, 0, 1, 3, 30, 1, 5, 1, 3, 3, 0})
		}
	}
	f.Fuzz(func(t *testing.T, edge bool, cut byte, b []byte) {
		var s script
		for ; len(b) >= 3 && len(s.b) < 1<<20; b = b[3:] {
			n := int(b[2]) * int(b[2]) / 4 // up to about a full frame
			switch b[0] % 8 {
			case kindBegin, kindData:
				n = min(max(n, 1), maxPayload)
			case kindCancel, kindEnd, kindRefused, kindMove:
				n = 0
			}
			s.frame(b[0]%8, uint32(b[1]%8), n)
		}
		besiege(t, edge, cut, s.b)
	})
}

// besiege sends one end these bytes.
func besiege(t *testing.T, edge bool, cut byte, b []byte) {
	own, peer := net.Pipe()
	c := Config{Conn: gather.New(own), Stall: patience}
	if !edge {
		var admitted int // by Run's goroutine only
		c.Context, c.Streams = context.Background(), 4
		c.Admit, c.Leave = func() bool { admitted++; return admitted%5 > 0 }, func() {}
		c.Serve = func(_ context.Context, s *Stream) {
			for p := make([]byte, 100); ; {
				n, err := s.Read(p)
				if err != nil || n == 7 {
					return
				}
				for range 20 { // so that responses of some size move
					if _, err := s.Write(p[:n]); err != nil {
						return
					}
				}
			}
		}
	}
	conn, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	ended := make(chan struct{})
	var why error
	wg.Go(func() { io.Copy(io.Discard, peer) })
	wg.Go(func() {
		why = conn.Run()
		conn.Wait()
		close(ended)
	})
	if edge {
		none := errors.New("no connection")
		for i := range 4 {
			s := conn.Open(func(context.Context, uint32) (net.Conn, error) { return nil, none }, func() {})
			s.Begin()
			if _, err := s.Write([]byte("question")); err != nil {
				t.Error(err)
			}
			if i == 2 {
				s.Close()
			}
			wg.Go(func() {
				defer s.Close()
				n, err := io.Copy(io.Discard, s)
				if n > Budget {
					t.Errorf("%d bytes, %v", n, err)
				}
			})
		}
	}
	peer.SetWriteDeadline(time.Now().Add(patience))
	step := max(int(cut), 1+len(b)/200)
	if cut == 0 {
		step = max(len(b), 1)
	}
	for len(b) > 0 {
		n := min(step, len(b))
		if _, err := peer.Write(b[:n]); err != nil {
			break
		}
		b = b[n:]
	}
	peer.Close()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("it goes on without its peer")
	}
	wg.Wait()
	if why == nil {
		t.Error("Run says no reason")
	}
	if conn.serving != 0 || len(conn.streams) != 0 {
		t.Errorf("%d are served, %d streams are left", conn.serving, len(conn.streams))
	}
}
