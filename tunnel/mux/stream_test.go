package mux

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// past is a deadline that is over.
var past = time.Unix(1, 0)

func read1(s net.Conn) func() error {
	return func() error {
		_, err := s.Read(make([]byte, 1))
		return err
	}
}

func write1(s net.Conn) func() error {
	return func() error {
		_, err := s.Write([]byte{1})
		return err
	}
}

func isDeadline(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%s: %v", what, err)
	}
}

// A deadline ends reads, until it is moved. It doesn't end the stream.
func TestDeadline_Read(t *testing.T) {
	answer := make(chan struct{})
	e := between(t, 0, Config{Serve: func(ctx context.Context, s *Stream) {
		for {
			if _, err := s.Read(make([]byte, 1)); err != nil {
				return
			}
			select {
			case <-answer:
			case <-ctx.Done():
			}
			s.Write([]byte("a"))
		}
	}})
	s := e.open()
	s.Begin()
	s.Write([]byte{1})
	s.SetReadDeadline(past)
	isDeadline(t, "over before", read1(s)())
	s.SetReadDeadline(time.Now().Add(soon))
	isDeadline(t, "passes", read1(s)())
	isDeadline(t, "has passed", read1(s)())

	s.SetReadDeadline(time.Time{})
	read := later(read1(s))
	s.SetReadDeadline(past)
	isDeadline(t, "moved to the past", receive(t, "a read", read))

	s.SetReadDeadline(time.Time{})
	read = later(read1(s))
	s.SetReadDeadline(time.Now().Add(soon))
	isDeadline(t, "set while it waits", receive(t, "a read", read))

	s.SetReadDeadline(time.Now().Add(patience))
	read = later(read1(s))
	s.SetReadDeadline(time.Now().Add(soon))
	isDeadline(t, "moved forward while it waits", receive(t, "a read", read))

	for _, at := range []time.Time{time.Now().Add(patience), {}} { // moved back, and taken back
		s.SetReadDeadline(time.Now().Add(soon))
		s.SetReadDeadline(at)
		read = later(read1(s))
		s.expire() // as the timer of the deadline before
		s.wake()
		answer <- struct{}{}
		if err := receive(t, "a read", read); err != nil {
			t.Error("with another deadline:", err)
		}
		if !s.End() {
			t.Fatal("it isn't clean")
		}
		s.Begin()
		s.Write([]byte{1})
	}
	s.SetDeadline(past)
	isDeadline(t, "both, a read", read1(s)())
	isDeadline(t, "both, a write", write1(s)())
	s.Close()
	for _, set := range []func(time.Time) error{s.SetDeadline, s.SetReadDeadline, s.SetWriteDeadline} {
		if err := set(time.Now().Add(patience)); err != net.ErrClosed {
			t.Errorf("after Close: %v", err)
		}
	}
}

// Deadlines end writes that wait for room.
func TestDeadline_Write(t *testing.T) {
	a, _ := connection(t, 0)
	edge := start(t, Config{Conn: a})
	stick(edge)
	s := edge.Open(nil, nil)
	s.Begin()
	writeDeadlines(t, s, write1(s))
	read := later(read1(s))
	write := later(write1(s))
	s.Close()
	if err := receive(t, "a read", read); err != net.ErrClosed {
		t.Error("a read:", err)
	}
	if err := receive(t, "a write", write); err != net.ErrClosed {
		t.Error("a write:", err)
	}
	edge.mu.Lock()
	defer edge.mu.Unlock()
	if s.id != 0 || len(edge.crowd) != 1 {
		t.Errorf("number %d, a crowd of %d", s.id, len(edge.crowd))
	}
}

// stick has an end that has written nothing stay as if its writer waited for the socket.
func stick(c *running) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writing, c.queue = true, make([]byte, maxQueued+1)
}

// writeDeadlines has writes that wait end in each way that a deadline can.
func writeDeadlines(t *testing.T, s *Stream, write func() error) {
	t.Helper()
	s.SetWriteDeadline(past)
	isDeadline(t, "over before", write())
	s.SetWriteDeadline(time.Now().Add(soon))
	isDeadline(t, "passes", write())
	for what, at := range map[string]func() time.Time{
		"to the past": func() time.Time { return past },
		"forward":     func() time.Time { return time.Now().Add(soon) },
	} {
		for _, before := range []time.Time{{}, time.Now().Add(patience)} {
			s.SetWriteDeadline(before)
			wrote := later(write)
			for range 100 { // so that it most probably waits; both are right
				runtime.Gosched()
			}
			s.SetWriteDeadline(at())
			isDeadline(t, "moved "+what, receive(t, "a write", wrote))
		}
	}
	s.SetWriteDeadline(time.Time{})
}

// asked is an exchange whose response has moved. The edge reads up to there, and asks for a
// connection that does not come before ask returns.
func asked(t *testing.T, ask func(ctx context.Context, number uint32) (net.Conn, error)) (*ends, *Stream, *Stream) {
	t.Helper()
	served := make(chan *Stream, 1)
	e := between(t, 0, Config{Serve: func(ctx context.Context, s *Stream) {
		s.Read(make([]byte, 1))
		s.Write(make([]byte, Budget))
		served <- s
		<-ctx.Done()
	}})
	s := e.edge.Open(ask, nil)
	t.Cleanup(func() { s.Close() })
	s.Begin()
	s.Write([]byte{1})
	if _, err := io.ReadFull(s, make([]byte, Budget)); err != nil {
		t.Fatal(err)
	}
	return e, s, receive(t, "the first part", served)
}

// Deadlines end writes that wait for the connection for the rest of a response, and writes to
// that.
func TestDeadline_WriteRest(t *testing.T) {
	var e *ends
	e, s, gate := asked(t, func(ctx context.Context, number uint32) (net.Conn, error) { return e.rest(ctx, number) })
	writeDeadlines(t, gate, write1(gate))
	gate.SetWriteDeadline(time.Now().Add(soon))
	wrote := later(write1(gate))
	isDeadline(t, "waiting", receive(t, "a write", wrote))
	gate.SetWriteDeadline(time.Time{})
	wrote = later(write1(gate))
	if err := receive(t, "a read", later(read1(s))); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, "a write", wrote); err != nil {
		t.Fatal(err)
	}
	gate.SetWriteDeadline(past) // goes to the other connection
	isDeadline(t, "after it came", write1(gate)())
	s.SetReadDeadline(time.Now().Add(soon))
	isDeadline(t, "a read of it", read1(s)())
}

// Deadlines and Close end a read that waits for the connection, which is asked for again by the
// next one.
func TestDeadline_WaitsForRest(t *testing.T) {
	asks := make(chan context.Context, 1)
	var give atomic.Bool
	var e *ends
	e, s, gate := asked(t, func(ctx context.Context, number uint32) (net.Conn, error) {
		if give.Load() {
			return e.rest(ctx, number)
		}
		asks <- ctx
		<-ctx.Done()
		return nil, ctx.Err()
	})
	wrote := later(write1(gate))
	for what, at := range map[string]time.Time{"to the past": past, "forward": time.Now().Add(soon)} {
		for _, before := range []time.Time{{}, time.Now().Add(patience)} {
			s.SetReadDeadline(before)
			read := later(read1(s))
			receive(t, "the edge to ask", asks)
			s.SetReadDeadline(at)
			isDeadline(t, what, receive(t, "a read", read))
		}
	}
	s.SetReadDeadline(time.Now().Add(patience))
	read := later(read1(s))
	ctx := receive(t, "the edge to ask", asks)
	s.expire() // as the timer of a deadline before
	if ctx.Err() != nil {
		t.Error("a deadline that was moved ends the wait")
	}
	s.SetReadDeadline(past)
	isDeadline(t, "to the past", receive(t, "a read", read))
	s.SetReadDeadline(time.Time{})
	give.Store(true)
	if err := read1(s)(); err != nil {
		t.Error("in the end:", err)
	}
	if err := receive(t, "a write", wrote); err != nil {
		t.Error(err)
	}
}

// Whoever waits for the connection for the rest of a response is ended with the stream, and
// with the shared connection.
func TestMove_Ended(t *testing.T) {
	for what, end := range map[string]func(e *ends, s *Stream) (want error){
		"closed":                 func(_ *ends, s *Stream) error { s.Close(); return net.ErrClosed },
		"the connection is lost": func(e *ends, _ *Stream) error { e.edge.Close(errTest); return errTest },
	} {
		t.Run(what, func(t *testing.T) {
			asks := make(chan struct{}, 1)
			e, s, gate := asked(t, func(ctx context.Context, _ uint32) (net.Conn, error) {
				asks <- struct{}{}
				<-ctx.Done()
				return nil, ctx.Err()
			})
			wrote := later(write1(gate))
			read := later(read1(s))
			receive(t, "the edge to ask", asks)
			want := end(e, s)
			if err := receive(t, "a read", read); err != want {
				t.Errorf("a read: %v", err)
			}
			if err := receive(t, "a write", wrote); err == nil {
				t.Error("the Warpgate goes on")
			}
		})
	}
}

// A connection that comes when the stream has been closed is closed.
func TestMove_TooLate(t *testing.T) {
	asks, give := make(chan struct{}), make(chan struct{})
	var e *ends
	e, s, gate := asked(t, func(ctx context.Context, number uint32) (net.Conn, error) {
		close(asks)
		<-give
		a, b, err := secured(0)
		if err != nil {
			return nil, err
		}
		e.rests = append(e.rests, &restPair{edge: bare{a}, gate: bare{b}})
		return bare{a}, nil
	})
	go write1(gate)()
	read := later(read1(s))
	<-asks
	s.Close()
	close(give)
	if err := receive(t, "a read", read); err != net.ErrClosed {
		t.Error(err)
	}
	if _, err := e.lastRest().gate.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the connection: %v", err)
	}
}

// A write to the connection for the rest, which nobody reads, ends with the stream, and with the
// shared connection.
func TestMove_Closed(t *testing.T) {
	for what, end := range map[string]func(e *ends, s *Stream){
		"by the edge":            func(_ *ends, s *Stream) { s.Close() },
		"the connection is lost": func(e *ends, _ *Stream) { e.gate.Close(errTest) },
	} {
		t.Run(what, func(t *testing.T) {
			wrote := make(chan error, 1)
			e := between(t, 0, Config{Serve: func(_ context.Context, s *Stream) {
				s.Read(make([]byte, 1))
				s.Write(make([]byte, Budget))
				_, err := s.Write(make([]byte, Budget))
				wrote <- err
			}})
			s := e.open()
			s.Begin()
			s.Write([]byte{1})
			eventually(t, "the response to move", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.moved })
			a, b := net.Pipe()
			defer b.Close()
			if e.gate.Attach(s.id, a) == nil {
				t.Fatal("it waits for none")
			}
			b.Read(make([]byte, 1)) // so the write is under way, and waits for the next reader
			end(e, s)
			if err := receive(t, "the write", wrote); err == nil {
				t.Error("it goes on")
			}
		})
	}
}

// A connection on which nothing comes is replaced by another one, once.
func TestMove_Again(t *testing.T) {
	for name, c := range map[string]struct {
		broken int  // connections that break before the Warpgate is told
		after  bool // the last one breaks after some bytes
		ok     bool
	}{
		"the first breaks":       {broken: 1, ok: true},
		"two break":              {broken: 2},
		"it breaks after a byte": {after: true},
	} {
		t.Run(name, func(t *testing.T) {
			asks := 0
			var e *ends
			e, s, gate := asked(t, func(ctx context.Context, number uint32) (net.Conn, error) {
				asks++
				if asks <= c.broken {
					a, b, err := secured(0)
					if err != nil {
						return nil, err
					}
					e.rests = append(e.rests, &restPair{edge: bare{a}, gate: bare{b}})
					b.NetConn().Close()
					return bare{a}, nil
				}
				return e.rest(ctx, number)
			})
			wrote := later(func() error {
				if _, err := gate.Write([]byte("rest")); err != nil || !c.after {
					return err
				}
				return e.lastRest().gate.Close()
			})
			got := make([]byte, 5)
			n, err := io.ReadAtLeast(s, got, 4)
			if c.ok {
				if err != nil || string(got[:n]) != "rest" {
					t.Errorf("%q, %v", got[:n], err)
				}
			}
			if !c.after && !c.ok && (n != 0 || err != io.EOF || asks != maxMoves) {
				t.Errorf("%q, %v after %d connections", got[:n], err, asks)
			}
			if c.ok || c.after {
				if err := receive(t, "a write", wrote); err != nil {
					t.Error(err)
				}
			}
			if c.after {
				if _, err := s.Read(got); err != io.EOF || asks != 1 {
					t.Errorf("%v after %d connections", err, asks)
				}
			}
			s.Close()
		})
	}
}

// Without a connection for the rest the response ends, and the exchange isn't clean.
func TestMove_Fails(t *testing.T) {
	no := errors.New("there is none")
	_, s, gate := asked(t, func(context.Context, uint32) (net.Conn, error) { return nil, no })
	wrote := later(write1(gate))
	for range 2 {
		if err := read1(s)(); !errors.Is(err, no) {
			t.Errorf("a read: %v", err)
		}
	}
	if s.End() {
		t.Error("another exchange may follow")
	}
	s.Close()
	if err := receive(t, "a write", wrote); err == nil {
		t.Error("the Warpgate goes on")
	}
}

// Only a response that waits for a connection gets one, and one only. It has that until the
// edge sends something else there, or the response has been written to its end.
func TestAttach(t *testing.T) {
	t.Run("detached", func(t *testing.T) { testAttach(t, func(_ *Stream, detach func()) { detach() }) })
	t.Run("answered", func(t *testing.T) { testAttach(t, func(s *Stream, _ func()) { s.Answered() }) })
}

func testAttach(t *testing.T, end func(s *Stream, detach func())) {
	e, s, gate := asked(t, nil)
	if e.gate.Attach(gate.id, nil) != nil || e.gate.Attach(99, nil) != nil {
		t.Error("a connection is taken for a response that has not moved")
	}
	wrote := later(write1(gate))
	eventually(t, "the response to move", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.moved })
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	detach := e.gate.Attach(gate.id, a)
	if detach == nil {
		t.Fatal("it waits for none")
	}
	if e.gate.Attach(gate.id, b) != nil {
		t.Error("it takes two")
	}
	if _, err := b.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
	if err := receive(t, "a write", wrote); err != nil {
		t.Error(err)
	}
	end(gate, detach)
	s.Close()
	if err := receive(t, "a write", later(write1(gate))); err != net.ErrClosed {
		t.Error("a write to a stream that was cancelled:", err)
	}
	if e.gate.Attach(gate.id, b) != nil {
		t.Error("a connection is taken for a stream that was cancelled")
	}
	wrote = later(write1(a)) // it was given back before
	if _, err := b.Read(make([]byte, 1)); err != nil {
		t.Error("closed with a stream that it doesn't belong to any more:", err)
	}
	receive(t, "a write", wrote)
}

// Close at the edge ends the work with ErrCancelled, and reads and writes of it. What it sends
// still is ignored.
func TestClose_Cancels(t *testing.T) {
	type report struct{ cause, read, write error }
	reports := make(chan report)
	e := between(t, 0, Config{Serve: func(ctx context.Context, s *Stream) {
		s.Read(make([]byte, 1))
		for ctx.Err() == nil && s.sent < Budget { // on its way while the edge cancels
			s.Write([]byte{1})
		}
		_, readErr := s.Read(make([]byte, 1))
		<-ctx.Done()
		reports <- report{context.Cause(ctx), readErr, write1(s)()}
	}})
	for i := range 5 {
		s := e.open()
		s.Begin()
		s.Write([]byte{1})
		io.ReadFull(s, make([]byte, 1+i*100)) // so the work has begun
		s.Close()
		s.Close()
		for what, f := range map[string]func() error{"read": read1(s), "write": write1(s)} {
			if err := f(); err != net.ErrClosed {
				t.Errorf("%s: %v", what, err)
			}
		}
		if r := receive(t, "the work to end", reports); r != (report{ErrCancelled, net.ErrClosed, net.ErrClosed}) {
			t.Errorf("%+v", r)
		}
	}
	if e.edge.mu.Lock(); e.edge.err != nil {
		t.Error(e.edge.err)
	}
	e.edge.mu.Unlock()
}

// The Warpgate never hears of a stream that was closed before its first write.
func TestClose_Unopened(t *testing.T) {
	a, b := connection(t, 0)
	edge := start(t, Config{Conn: a})
	for range 3 {
		s := edge.Open(nil, nil)
		s.Begin()
		s.Close()
		if err := write1(s)(); err != net.ErrClosed {
			t.Error(err)
		}
	}
	s := edge.Open(nil, nil)
	defer s.Close()
	s.Begin()
	s.Write([]byte("x"))
	if kind, id, payload, err := takeFrame(b); kind != kindBegin || id != 1 || string(payload) != "x" || err != nil {
		t.Errorf("%d, %d, %q, %v", kind, id, payload, err)
	}
	edge.mu.Lock()
	defer edge.mu.Unlock()
	if len(edge.fresh) != 0 || len(edge.streams) != 1 {
		t.Errorf("%d and %d streams are left", len(edge.fresh), len(edge.streams))
	}
}

// Close during the first write either has it say nothing, or cancels.
func TestClose_DuringFirstWrite(t *testing.T) {
	a, b := connection(t, 0)
	edge := start(t, Config{Conn: a})
	wrote := 0
	for i := range 200 {
		s := edge.Open(nil, nil)
		s.Begin()
		done := later(write1(s))
		if i%2 > 0 {
			eventually(t, "the write to begin", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.sent > 0 })
		}
		s.Close()
		if receive(t, "a write", done) == nil {
			wrote++
		}
	}
	last := edge.Open(nil, nil)
	defer last.Close()
	last.Begin()
	last.Write([]byte("last"))
	seen := map[uint32]byte{}
	for {
		kind, id, payload, err := takeFrame(b)
		if err != nil {
			t.Fatal(err)
		}
		if string(payload) == "last" {
			break
		}
		if kind == kindBegin && seen[id] != 0 || kind == kindCancel && seen[id] != kindBegin {
			t.Errorf("stream %d: %d after %d", id, kind, seen[id])
		}
		seen[id] = kind
	}
	for id, kind := range seen {
		if kind != kindCancel {
			t.Errorf("stream %d isn't cancelled", id)
		}
	}
	if len(seen) != wrote {
		t.Errorf("%d streams began, of %d writes", len(seen), wrote)
	}
}

// A frame that was read when its stream was still there may be acted on after Close.
func TestClose_DuringFrame(t *testing.T) {
	a, _ := connection(t, 0)
	edge := start(t, Config{Conn: a})
	for kind := byte(kindData); kind <= kindMove; kind++ {
		s := edge.Open(nil, func() { t.Error("it is told") })
		s.Begin()
		s.Write([]byte{1})
		s.Close()
		if err := s.take(kind, []byte{1}); err != nil {
			t.Errorf("kind %d: %v", kind, err)
		}
	}
}

// A write that finds no room, and for which room was made before it begins to wait, goes on.
func TestWrite_RoomComesEarly(t *testing.T) {
	a, b := connection(t, 0)
	edge := start(t, Config{Conn: a})
	s := edge.Open(nil, nil)
	defer s.Close()
	s.Begin()
	stick(edge)
	edge.mu.Lock()
	wrote := later(write1(s))
	for { // until the write wants c.mu, and has given up s.mu
		s.mu.Lock()
		if s.sent > 0 {
			break
		}
		s.mu.Unlock()
		runtime.Gosched()
	}
	edge.mu.Unlock()
	eventually(t, "the write to find no room", crowded(edge.Conn))
	edge.mu.Lock()
	edge.calm() // as flush does it
	edge.queue, edge.writing = edge.queue[:0], false
	edge.mu.Unlock()
	s.change.Broadcast() // as wake does it
	s.mu.Unlock()
	if err := receive(t, "the write", wrote); err != nil {
		t.Error(err)
	}
	if kind, id, _, err := takeFrame(b); kind != kindBegin || id != 1 || err != nil {
		t.Error(kind, id, err)
	}
}

// Streams are at the addresses of their connection.
func TestStream_Addresses(t *testing.T) {
	a, _ := connection(t, 0)
	s := start(t, Config{Conn: a}).Open(nil, nil)
	if s.LocalAddr() != a.LocalAddr() || s.RemoteAddr() != a.RemoteAddr() {
		t.Error(s.LocalAddr(), s.RemoteAddr())
	}
}

// A buffer gives what it was given, however that is cut.
func TestBuffer(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	var b buffer
	var want []byte
	for i := range uint32(2000) {
		if p := pattern(i, rnd.IntN(Budget)); b.len()+len(p) <= 2*Budget {
			b.append(p)
			want = append(want, p...)
		}
		p := make([]byte, rnd.IntN(2*Budget))
		n := b.read(p)
		if n != min(len(p), len(want)) || !bytes.Equal(p[:n], want[:n]) {
			t.Fatalf("%d bytes of %d that wait, for %d", n, len(want), len(p))
		}
		if want = want[n:]; b.len() != len(want) || len(want) == 0 && b.mem != nil {
			t.Fatalf("%d bytes wait, not %d", b.len(), len(want))
		}
	}
	b.release()
}
