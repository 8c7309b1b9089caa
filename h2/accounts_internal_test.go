package h2

import (
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/mezusphere/mezu/testkit/frames"
)

// Whatever clients and handlers do, in whatever order: when nothing is under way any more, all windows,
// lists and counts are what they were at first.
func TestServer_AccountsComeOut(t *testing.T) {
	for seed := range uint64(50) {
		disorder(t, seed)
	}
}

// dice are thrown by several goroutines.
type dice struct {
	mu  sync.Mutex
	rnd *rand.Rand
}

func (d *dice) of(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rnd.IntN(n)
}

func (d *dice) one(in int) bool { return d.of(in) == 0 }

// serve reads as much as it likes of a request, and answers as it likes.
func (d *dice) serve(s *Stream) {
	const soon = 200 * time.Millisecond // for who waits for what never comes
	s.WriteWithin(soon)
	s.ReadWithin(soon)
	var upload sync.WaitGroup
	defer upload.Wait()
	if d.one(2) {
		pieces := d.of(20)
		upload.Go(func() {
			for range pieces {
				if _, err := s.Next(); err != nil {
					return
				}
			}
		})
	}
	if d.one(10) {
		if d.one(2) {
			s.Reset(Cancel)
		}
		return
	}
	var k Block
	k.Status(200)
	end := d.one(5)
	if s.SendBlock(&k, end, d.one(2)) != nil || end {
		return
	}
	for i := d.of(10); i >= 0; i-- {
		end = i == 0 && !d.one(4)
		if s.Send(make([]byte, d.of(40_000)), end, d.one(2)) != nil {
			break
		}
	}
	if d.one(3) {
		s.StopRead()
	}
}

// ask sends 150 things that a client may send, and then lets everything come to its end.
func (d *dice) ask(f *frames.Conn) {
	next, credit := uint32(1), 200_000 // which is less than what a connection may send at first
	open := map[uint32]bool{}          // streams that haven't ended
	some := func() uint32 {
		for id := range open {
			return id
		}
		return 0
	}
	for range 150 {
		id := some()
		switch what := d.of(12); {
		case what < 3:
			end := d.one(2)
			f.Headers(next, end, asked...)
			if !end {
				open[next] = true
			}
			next += 2
		case what == 3:
			f.Send(func(w *http2.Framer) {
				w.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(d.of(100_000))})
			})
		case what == 4:
			f.Credit(uint32(1+d.of(50_000)), 0)
		case what == 5 && next > 1:
			f.Credit(uint32(1+d.of(50_000)), uint32(1+2*d.of(int(next/2))))
		case id == 0:
		case what == 6 && d.one(2):
			f.Reset(id, http2.ErrCodeCancel)
			delete(open, id)
		case what == 7 && d.one(3):
			f.Headers(id, true, "x", "y")
			delete(open, id)
		case what > 7 && credit > 16<<10:
			end, size, pad := d.one(5), d.of(15_000), []byte(nil)
			if d.one(3) {
				pad = make([]byte, d.of(200))
			}
			f.Send(func(w *http2.Framer) { w.WriteDataPadded(id, end, make([]byte, size), pad) })
			credit -= size + 1 + len(pad)
			if end {
				delete(open, id)
			}
		}
	}
	for id := range open {
		f.Reset(id, http2.ErrCodeCancel)
	}
	f.Credit(1<<29, 0)
	f.Send(func(w *http2.Framer) {
		w.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 22})
	})
}

// accounts are what a connection counts, and whether all of it has come out.
func (c *serverConn) accounts() (text string, even bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	missing := c.recvMost - c.recvWin - c.credits
	text = fmt.Sprintf("streams %d, running %d, working %d, queued %d, stuck %d, grown %d, unread %d, missing of the window %d, error %v", len(c.streams), c.running, c.working, c.bulks, c.stuck, c.grown, c.unread, missing, c.err)
	return text, len(c.streams) == 0 && c.running == 0 && c.working == 0 && c.bulks == 0 && c.stuck == 0 && c.grown == 0 && c.unread == 0 && missing == 0
}

func disorder(t *testing.T, seed uint64) {
	d := &dice{rnd: rand.New(rand.NewPCG(seed, 13))}
	s := NewServer(ServerConfig{Serve: d.serve})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var serving sync.WaitGroup
	serving.Go(func() {
		conn, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		s.ServeConn(conn, nil, nil)
	})
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	f := frames.Client(t, conn, frames.Options{Refill: d.one(2)})
	d.ask(f)
	if !f.Ping() {
		t.Fatalf("seed %d: the server does not answer: %v", seed, f)
	}
	var c *serverConn
	s.mu.Lock()
	for c = range s.conns {
	}
	s.mu.Unlock()
	for deadline := time.Now().Add(frames.Patience); ; runtime.Gosched() {
		text, even := c.accounts()
		if even {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("seed %d: %s", seed, text)
		}
	}
	s.Close()
	serving.Wait()
}
