package mux

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mezusphere/mezu/gather"
)

// orderSize is a request's seed and size, and the size of the response.
const orderSize = 12

// writeParts writes p in parts of random size.
func writeParts(w io.Writer, p []byte, rnd *rand.Rand) error {
	for len(p) > 0 {
		n := 1 + rnd.IntN(len(p))
		if rnd.IntN(4) == 0 {
			n = len(p)
		}
		if got, err := w.Write(p[:n]); err != nil || got != n {
			return fmt.Errorf("wrote %d of %d bytes: %w", got, n, err)
		}
		p = p[n:]
	}
	return nil
}

// serveOrders answers requests of exchange until the stream ends.
func serveOrders(t testing.TB) func(ctx context.Context, s *Stream) {
	return func(ctx context.Context, s *Stream) {
		rnd := rand.New(rand.NewPCG(1, uint64(s.id)))
		for {
			order := make([]byte, orderSize)
			if _, err := io.ReadFull(s, order); err != nil {
				return
			}
			seed := binary.BigEndian.Uint32(order)
			body := make([]byte, binary.BigEndian.Uint32(order[4:]))
			if _, err := io.ReadFull(s, body); err != nil {
				if ctx.Err() == nil {
					t.Errorf("reading %d bytes: %v", len(body), err)
				}
				return
			}
			if err := check("request", body, seed); err != nil {
				t.Error(err)
			}
			if err := writeParts(s, pattern(seed+1, int(binary.BigEndian.Uint32(order[8:]))), rnd); err != nil {
				return
			}
		}
	}
}

// exchange carries out one with serveOrders, without its Begin and End. n counts the order, too.
func exchange(s *Stream, seed uint32, n, m int, rnd *rand.Rand) error {
	order := binary.BigEndian.AppendUint32(nil, seed)
	order = binary.BigEndian.AppendUint32(order, uint32(n-orderSize))
	order = binary.BigEndian.AppendUint32(order, uint32(m))
	order = append(order, pattern(seed, n-orderSize)...)
	if err := writeParts(s, order, rnd); err != nil {
		return err
	}
	body := make([]byte, m)
	if got, err := io.ReadFull(s, body); err != nil {
		return fmt.Errorf("read %d of %d bytes: %w", got, m, err)
	}
	return check("response", body, seed+1)
}

// Every byte of many exchanges at once arrives once and in order on its own stream, however
// the sizes are, and streams are used again.
func TestExchanges(t *testing.T) {
	for name, buffer := range map[string]int{"wide sockets": 0, "narrow sockets": small} {
		t.Run(name, func(t *testing.T) {
			var here atomic.Int64
			e := between(t, buffer, Config{
				Serve: serveOrders(t),
				Admit: func() bool { here.Add(1); return true }, Leave: func() { here.Add(-1) },
			})
			var wg sync.WaitGroup
			for i := range uint32(50) {
				wg.Go(func() {
					rnd := rand.New(rand.NewPCG(uint64(i), 2))
					s := e.open()
					for k := range uint32(6) {
						n, m := orderSize+rnd.IntN(Budget-orderSize+1), rnd.IntN(Budget+1)
						switch k {
						case 0:
							n, m = Budget, Budget
						case 1:
							n, m = orderSize, 1
						}
						s.Begin()
						if err := exchange(s, i<<8+k, n, m, rnd); err != nil {
							t.Errorf("stream %d, exchange %d: %v", i, k, err)
							return
						}
						if !s.End() {
							t.Errorf("stream %d isn't clean after exchange %d", i, k)
							return
						}
					}
					s.Close()
				})
			}
			wg.Wait()
			eventually(t, "each place to be given back", func() bool { return here.Load() == 0 })
			for _, c := range []*running{e.edge, e.gate} {
				c.mu.Lock()
				if len(c.streams) != 0 {
					t.Errorf("%d streams are left", len(c.streams))
				}
				c.mu.Unlock()
			}
		})
	}
}

// What many write at the same time is more than may wait at a socket. They take turns.
func TestExchanges_AllAtOnce(t *testing.T) {
	e := between(t, 0, Config{Serve: serveOrders(t)})
	begin := make(chan struct{})
	var wg sync.WaitGroup
	for i := range uint32(200) {
		wg.Go(func() {
			s := e.open()
			s.Begin()
			order := binary.BigEndian.AppendUint32(nil, i)
			order = binary.BigEndian.AppendUint32(order, Budget-orderSize)
			order = binary.BigEndian.AppendUint32(order, Budget)
			order = append(order, pattern(i, Budget-orderSize)...)
			<-begin
			if _, err := s.Write(order); err != nil {
				t.Errorf("stream %d: %v", i, err)
				return
			}
			body := make([]byte, Budget)
			if _, err := io.ReadFull(s, body); err != nil {
				t.Errorf("stream %d: %v", i, err)
			} else if err := check("response", body, i+1); err != nil {
				t.Error(err)
			}
		})
	}
	close(begin)
	wg.Wait()
}

// Writes of nothing say nothing.
func TestWrite_Nothing(t *testing.T) {
	e := between(t, 0, Config{Serve: func(_ context.Context, s *Stream) {
		io.ReadFull(s, make([]byte, 4))
		s.Write(nil)
		s.Write([]byte("pong"))
		s.Write([]byte{})
	}})
	s := e.open()
	s.Begin()
	for _, part := range []string{"", "pi", "", "ng"} {
		if n, err := s.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
	}
	if got, err := readEnd(s); got != "pong" || err != io.EOF {
		t.Errorf("%q, %v", got, err)
	}
}

// The rest of a response over Budget has a connection of its own, and the next exchange the
// stream again.
func TestMove(t *testing.T) {
	e := between(t, 0, Config{Serve: serveOrders(t)})
	var wg sync.WaitGroup
	for i := range uint32(4) {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(i), 3))
			var own *restPair
			s := e.edge.Open(func(ctx context.Context, number uint32) (net.Conn, error) {
				rest, err := e.rest(ctx, number)
				e.mu.Lock()
				defer e.mu.Unlock()
				for _, r := range e.rests {
					if r.edge == rest {
						own = r
					}
				}
				return rest, err
			}, nil)
			defer s.Close()
			for k, size := range []int{1 << 20, 100, Budget, Budget + 1, 3 * Budget} {
				s.Begin()
				if err := exchange(s, i<<8+uint32(k), 1000, size, rnd); err != nil {
					t.Errorf("%d bytes: %v", size, err)
					return
				}
				if !s.End() {
					t.Errorf("%d bytes: it isn't clean", size)
					return
				}
				if (own != nil) != (size > Budget) {
					t.Errorf("%d bytes: moved is %v", size, own != nil)
				}
				if own != nil {
					own.detach()
					own = nil
				}
			}
		})
	}
	wg.Wait()
}

// The edge sends no more than Budget in one exchange.
func TestWrite_TooMuch(t *testing.T) {
	e := between(t, 0, Config{Serve: serveOrders(t)})
	s := e.open()
	s.Begin()
	if _, err := s.Write(make([]byte, Budget+1)); !errors.Is(err, ErrTooMuch) {
		t.Errorf("Budget and one: %v", err)
	}
	if err := exchange(s, 1, Budget, 10, rand.New(rand.NewPCG(1, 1))); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write([]byte{1}); !errors.Is(err, ErrTooMuch) {
		t.Errorf("one after Budget: %v", err)
	}
	if !s.End() {
		t.Error("it isn't clean")
	}
}

// What Serve has written arrives before the end of the stream. The edge is told of that once.
func TestServe_Returns(t *testing.T) {
	e := between(t, 0, Config{Serve: func(_ context.Context, s *Stream) {
		s.Read(make([]byte, 1))
		s.Write([]byte("all of it"))
	}})
	told := make(chan struct{}, 2)
	s := e.edge.Open(e.rest, func() { told <- struct{}{} })
	s.Begin()
	s.Write([]byte{1})
	if got, err := readEnd(s); got != "all of it" || err != io.EOF {
		t.Errorf("%q, %v", got, err)
	}
	receive(t, "word of the end", told)
	if s.End() {
		t.Error("another exchange may follow")
	}
	s.Begin()
	if _, err := s.Write([]byte{1}); err != io.EOF {
		t.Errorf("writing: %v", err)
	}
	s.Close()
	e.edge.Close(errTest)
	e.edge.wait()
	if len(told) != 0 {
		t.Error("it is told twice")
	}
}

// A stream that waits for its next exchange is told as well.
func TestServe_ReturnsIdle(t *testing.T) {
	end := make(chan struct{})
	e := between(t, 0, Config{Serve: func(_ context.Context, s *Stream) {
		s.Read(make([]byte, 1))
		s.Write([]byte{2})
		<-end
	}})
	told := make(chan struct{}, 2)
	s := e.edge.Open(e.rest, func() { told <- struct{}{} })
	s.Begin()
	s.Write([]byte{1})
	s.Read(make([]byte, 1))
	if !s.End() || len(told) != 0 {
		t.Errorf("it isn't clean, or told too early: %d", len(told))
	}
	close(end)
	receive(t, "word of the end", told)
}

// Nobody is told that a stream has ended which the edge has closed, whatever comes first.
func TestServe_ReturnsTooLate(t *testing.T) {
	orders := serveOrders(t)
	e := between(t, 0, Config{Serve: func(ctx context.Context, s *Stream) {
		if s.id == 1 {
			s.Read(make([]byte, 1))
			s.Write([]byte{2})
			<-ctx.Done()
			return
		}
		orders(ctx, s)
	}})
	s := e.edge.Open(e.rest, func() { t.Error("it is told") })
	s.Begin()
	s.Write([]byte{1})
	s.Read(make([]byte, 1))
	s.Close()
	other := e.open()
	other.Begin()
	if err := exchange(other, 1, 100, 100, rand.New(rand.NewPCG(1, 1))); err != nil {
		t.Error(err)
	}
	e.edge.mu.Lock()
	e.edge.streams[1] = s // as if END were being taken just now
	e.edge.mu.Unlock()
	if err := e.edge.take(kindEnd, 1, nil); err != nil {
		t.Error(err)
	}
	e.edge.Close(errTest)
	e.edge.wait()
}

// Without room for a stream nobody has acted on its exchange. Others go on.
func TestRefused(t *testing.T) {
	room := make(chan struct{}, 1)
	e := between(t, 0, Config{
		Serve: serveOrders(t),
		Admit: func() bool {
			select {
			case room <- struct{}{}:
				return true
			default:
				return false
			}
		},
		Leave: func() { <-room },
	})
	rnd := rand.New(rand.NewPCG(1, 1))
	first := e.open()
	first.Begin()
	if err := exchange(first, 1, 100, 100, rnd); err != nil || !first.End() {
		t.Fatal("the first stream:", err)
	}
	told := make(chan struct{}, 1)
	second := e.edge.Open(e.rest, func() { close(told) })
	second.Begin()
	second.Write(make([]byte, Budget)) // what comes behind the refusal is ignored
	second.SetReadDeadline(time.Now().Add(patience))
	_, err := second.Read(make([]byte, 1))
	var un interface{ Unprocessed() bool }
	if !errors.Is(err, ErrRefused) || !errors.As(err, &un) || !un.Unprocessed() {
		t.Errorf("reading: %v", err)
	}
	if _, err := second.Write([]byte{1}); !errors.Is(err, ErrRefused) {
		t.Errorf("writing: %v", err)
	}
	receive(t, "word of the end", told)
	if second.End() {
		t.Error("another exchange may follow")
	}
	second.Close()
	first.Begin()
	if err := exchange(first, 2, 100, 100, rnd); err != nil {
		t.Error("the first stream again:", err)
	}
	first.Close()
	eventually(t, "the place to be given back", func() bool { return len(room) == 0 })
	third := e.open()
	third.Begin()
	if err := exchange(third, 3, 100, 100, rnd); err != nil {
		t.Error("the third stream:", err)
	}
}

// Who reads nothing of one stream holds up no other, at either end.
func TestSlowReaders(t *testing.T) {
	lazy := make(chan struct{})
	orders := serveOrders(t)
	e := between(t, 0, Config{Serve: func(ctx context.Context, s *Stream) {
		first := make([]byte, 1)
		s.Read(first)
		if first[0] == 'l' {
			<-lazy
			return
		}
		if first[0] == 'm' {
			s.Write(make([]byte, Budget))
			<-lazy
			return
		}
		orders(ctx, s)
	}})
	defer close(lazy)
	for range 20 {
		unread := e.open() // by the Warpgate
		unread.Begin()
		unread.Write(append([]byte("l"), make([]byte, Budget-1)...))
		own := e.open() // by the edge
		own.Begin()
		own.Write([]byte("m"))
	}
	s := e.open()
	s.Begin()
	s.Write([]byte("o"))
	if err := exchange(s, 1, Budget-1, Budget, rand.New(rand.NewPCG(1, 1))); err != nil {
		t.Error(err)
	}
}

// takeFrame reads one frame.
func takeFrame(r io.Reader) (kind byte, id uint32, payload []byte, err error) {
	head := make([]byte, headSize)
	if _, err := io.ReadFull(r, head); err != nil {
		return 0, 0, nil, err
	}
	payload = make([]byte, binary.BigEndian.Uint16(head[5:]))
	_, err = io.ReadFull(r, payload)
	return head[0], binary.BigEndian.Uint32(head[1:]), payload, err
}

// jammed is an edge whose peer reads nothing, and writers of whom some wait.
func jammed(t testing.TB, stall time.Duration) (edge *running, peer net.Conn, streams []*Stream, wrote <-chan error) {
	t.Helper()
	a, b := connection(t, small)
	edge = start(t, Config{Conn: a, Stall: stall})
	all := make(chan error, 60)
	for range cap(all) {
		s := edge.Open(nil, nil)
		t.Cleanup(func() { s.Close() })
		streams = append(streams, s)
		s.Begin()
		go func() {
			_, err := s.Write(make([]byte, Budget))
			all <- err
		}()
	}
	return edge, b, streams, all
}

func crowded(c *Conn) func() bool {
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.crowd) > 0
	}
}

// While the peer reads nothing little waits in memory, and who writes more waits. It goes on
// once the peer reads.
func TestFull(t *testing.T) {
	edge, peer, streams, wrote := jammed(t, patience)
	eventually(t, "the socket to be full", edge.Full)
	eventually(t, "writers to wait", crowded(edge.Conn))
	edge.mu.Lock()
	if n := len(edge.queue); n > maxQueued+2*Budget {
		t.Errorf("%d bytes wait", n)
	}
	edge.mu.Unlock()
	got := map[uint32]int{}
	for sum := 0; sum < len(streams)*Budget; {
		_, id, payload, err := takeFrame(peer)
		if err != nil {
			t.Fatal(err)
		}
		got[id] += len(payload)
		sum += len(payload)
	}
	for range streams {
		if err := receive(t, "a write", wrote); err != nil {
			t.Error(err)
		}
	}
	for id, n := range got {
		if n != Budget {
			t.Errorf("stream %d has %d bytes", id, n)
		}
	}
	eventually(t, "room at the socket", func() bool { return !edge.Full() })
}

// A peer that reads nothing for long ends the connection, with whoever waits for it.
func TestFull_Stalls(t *testing.T) {
	edge, _, streams, wrote := jammed(t, 100*time.Millisecond)
	failed := 0
	for range streams {
		if err := receive(t, "a write", wrote); err != nil {
			failed++
			if !errors.Is(err, gather.ErrStalled) {
				t.Errorf("a write: %v", err)
			}
		}
	}
	if failed == 0 {
		t.Error("nobody had to wait")
	}
	for _, s := range streams {
		if _, err := s.Read(make([]byte, 1)); !errors.Is(err, gather.ErrStalled) {
			t.Errorf("a read: %v", err)
		}
	}
	if err := edge.wait(); !errors.Is(err, gather.ErrStalled) {
		t.Errorf("the connection: %v", err)
	}
}

// Streams that wait to be the first time on a connection end with it, too.
func TestClose_Full(t *testing.T) {
	edge, _, streams, wrote := jammed(t, patience)
	eventually(t, "writers to wait", crowded(edge.Conn))
	reads := make(chan error, len(streams))
	for _, s := range streams {
		go func() {
			_, err := s.Read(make([]byte, 1))
			reads <- err
		}()
	}
	edge.Close(errTest)
	for range streams {
		if err := receive(t, "a write", wrote); err != nil && err != errTest {
			t.Errorf("a write: %v", err)
		}
		if err := receive(t, "a read", reads); err != errTest {
			t.Errorf("a read: %v", err)
		}
	}
	if err := edge.wait(); err != errTest {
		t.Errorf("the connection: %v", err)
	}
}

// What came before the connection was closed can be read, and then why that was. This holds at
// both ends, for streams of all kinds.
func TestClose(t *testing.T) {
	here := make(chan *Stream, 1)
	cause := make(chan error, 1)
	e := between(t, 0, Config{Serve: func(ctx context.Context, s *Stream) {
		s.Write([]byte("answer"))
		here <- s
		<-ctx.Done()
		cause <- context.Cause(ctx)
	}})
	s := e.open()
	s.Begin()
	s.Write([]byte("question"))
	gate := receive(t, "a stream", here)
	eventually(t, "the answer", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.in.len() > 0 })
	fresh := e.open() // has said nothing yet
	fresh.Begin()
	reads := later(func() error { _, err := fresh.Read(make([]byte, 1)); return err })
	e.edge.Close(errTest)
	e.edge.Close(errors.New("a second time"))
	if got, err := readEnd(s); got != "answer" || err != errTest {
		t.Errorf("%q, %v", got, err)
	}
	if err := receive(t, "a read of a stream that has said nothing", reads); err != errTest {
		t.Error(err)
	}
	for _, s := range []*Stream{s, fresh, e.edge.Open(nil, nil)} {
		s.Begin()
		if n, err := s.Write([]byte{1}); n != 0 || err != errTest {
			t.Errorf("writing: %d, %v", n, err)
		}
		if s.End() {
			t.Error("another exchange may follow")
		}
		s.Close()
	}
	if e.edge.wait() != errTest {
		t.Error(e.edge.why)
	}
	if err := e.gate.wait(); err != io.EOF {
		t.Errorf("the Warpgate's end: %v", err)
	}
	if err := receive(t, "the end of the work", cause); err != io.EOF {
		t.Errorf("the cause: %v", err)
	}
	if got, err := readEnd(gate); got != "" || err != net.ErrClosed {
		t.Errorf("after Serve: %q, %v", got, err)
	}
	if e.gate.Attach(1, nil) != nil {
		t.Error("something waits for a connection")
	}
}

// A connection that is lost within a frame hasn't just ended.
func TestLost(t *testing.T) {
	whole := appendFrame(nil, kindData, 1, []byte("hello"))
	for n := range len(whole) + 1 {
		a, b := connection(t, 0)
		edge := start(t, Config{Conn: a})
		s := edge.Open(nil, nil)
		s.Begin()
		s.Write([]byte{1})
		if _, _, _, err := takeFrame(b); err != nil { // what isn't read would reset the connection
			t.Fatal(err)
		}
		b.Write(whole[:n])
		if left, err := gather.Of(b).Flush(); left > 0 || err != nil {
			t.Fatal(left, err)
		}
		b.NetConn().Close()
		want, wantText := io.ErrUnexpectedEOF, ""
		switch n {
		case len(whole):
			want, wantText = io.EOF, "hello"
		case 0:
			want = io.EOF
		}
		if err := edge.wait(); err != want {
			t.Errorf("after %d bytes: %v", n, err)
		}
		if got, err := readEnd(s); got != wantText || err != want {
			t.Errorf("after %d bytes: %q, %v", n, got, err)
		}
		s.Close()
	}
}

// Streams come and go, and their connection goes, while others write and read.
func TestCommotion(t *testing.T) {
	for round := range uint64(4) {
		e := between(t, small, Config{Serve: func(_ context.Context, s *Stream) {
			rnd := rand.New(rand.NewPCG(round, uint64(s.id)))
			p := make([]byte, Budget)
			for {
				n, err := s.Read(p[:1+rnd.IntN(len(p))])
				if err != nil || rnd.IntN(20) == 0 {
					return
				}
				if _, err := s.Write(bytes.Repeat(p[:n], 1+rnd.IntN(2))); err != nil {
					return
				}
			}
		}})
		var wg sync.WaitGroup
		for i := range uint64(20) {
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(round, i))
				for range 10 {
					s := e.edge.Open(e.rest, func() {})
					var both sync.WaitGroup
					s.Begin()
					both.Go(func() {
						s.Write(make([]byte, 1+rnd.IntN(Budget)))
					})
					both.Go(func() {
						s.SetReadDeadline(time.Now().Add(time.Duration(i) * time.Millisecond))
						io.CopyN(io.Discard, s, int64(i*2000))
					})
					if i%3 > 0 {
						both.Wait()
					}
					if i%2 == 0 {
						s.End()
					}
					s.Close()
					both.Wait()
				}
			})
		}
		if round%2 == 1 {
			eventually(t, "some streams", func() bool {
				e.gate.mu.Lock()
				defer e.gate.mu.Unlock()
				return e.gate.last > 50
			})
			e.gate.Close(errTest)
		}
		wg.Wait()
		e.edge.mu.Lock()
		if err := e.edge.err; err != nil && round%2 == 0 {
			t.Errorf("the connection ended: %v", err)
		}
		e.edge.mu.Unlock()
	}
}

// Without a gather.Conn there is no shared connection.
func TestNew_NothingGathers(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if c, err := New(Config{Conn: a}); err == nil {
		t.Errorf("%v", c)
	}
}
