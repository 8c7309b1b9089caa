package mux

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mezusphere/mezu/gather"
)

// script puts frames together.
type script struct{ b []byte }

func (s *script) frame(kind byte, id uint32, n int) *script {
	s.b = appendFrame(s.b, kind, id, make([]byte, n))
	return s
}

// frames repeats a frame.
func (s *script) frames(count int, kind byte, id uint32, n int) *script {
	for range count {
		s.frame(kind, id, n)
	}
	return s
}

// say sends all of it in the background, as far as the peer takes it.
func (s *script) say(conn net.Conn) {
	for b := s.b; len(b) > 0; {
		n := min(len(b), 64<<10)
		if _, err := conn.Write(b[:n]); err != nil {
			return
		}
		b = b[n:]
	}
}

// hostile is secured where the test is the peer at one end and writes at once.
func hostile(t *testing.T, buffer int) (edge, gate net.Conn) {
	a, b := connection(t, buffer)
	return a, b
}

// An edge ends a connection on which the Warpgate breaks the protocol. Stream 1 waits for a
// response, stream 2 is between two exchanges.
func TestHostile_Warpgate(t *testing.T) {
	big := func(kind byte) *script { // longer than a frame may be, in one read with others
		return &script{append([]byte{kind, 0, 0, 0, 1, maxPayload >> 8, maxPayload&0xff + 1}, make([]byte, maxPayload+1)...)}
	}
	strays := new(script).frames(MaxStray/(headSize+Budget/4)+1, kindData, 3, Budget/4)
	for name, c := range map[string]*script{
		"BEGIN":                         new(script).frame(kindBegin, 1, 1),
		"CANCEL":                        new(script).frame(kindCancel, 1, 0),
		"kind 0":                        new(script).frame(0, 1, 0),
		"kind 7":                        new(script).frame(7, 1, 0),
		"kind 255":                      new(script).frame(255, 1, 1),
		"empty DATA":                    new(script).frame(kindData, 1, 0),
		"END with payload":              new(script).frame(kindEnd, 1, 1),
		"REFUSED with payload":          new(script).frame(kindRefused, 1, 1),
		"MOVE with payload":             new(script).frame(kindMove, 1, 1),
		"too long":                      big(kindData),
		"too long behind others":        {append(new(script).frame(kindData, 1, 1).b, big(kindData).b[:headSize]...)},
		"over Budget":                   new(script).frames(4, kindData, 1, Budget/4).frame(kindData, 1, 1),
		"DATA between two exchanges":    new(script).frame(kindData, 2, 1),
		"MOVE between two exchanges":    new(script).frame(kindMove, 2, 0),
		"MOVE twice":                    new(script).frame(kindMove, 1, 0).frame(kindMove, 1, 0),
		"DATA after MOVE":               new(script).frame(kindMove, 1, 0).frame(kindData, 1, 1),
		"DATA for no stream":            new(script).frame(kindData, 4, 1),
		"END for no stream":             new(script).frame(kindEnd, 4, 0),
		"END twice":                     new(script).frame(kindEnd, 1, 0).frame(kindEnd, 1, 0),
		"DATA after END":                new(script).frame(kindEnd, 1, 0).frame(kindData, 1, 1),
		"DATA after REFUSED":            new(script).frame(kindRefused, 1, 0).frame(kindData, 1, 1),
		"much for a stream cancelled":   strays,
		"small for a stream cancelled":  new(script).frames(Budget+3, kindData, 3, 1),
		"frames for a stream cancelled": new(script).frames(MaxStray/headSize+1, kindMove, 3, 0),
	} {
		t.Run(name, func(t *testing.T) {
			a, b := hostile(t, 0)
			edge := start(t, Config{Conn: a})
			var streams []*Stream
			for range 3 {
				s := edge.Open(func(context.Context, uint32) (net.Conn, error) { return nil, errTest }, nil)
				t.Cleanup(func() { s.Close() })
				streams = append(streams, s)
				s.Begin()
				s.Write([]byte{1})
			}
			new(script).frame(kindData, 2, 1).say(b)
			streams[1].Read(make([]byte, 1))
			if !streams[1].End() {
				t.Fatal("the second stream isn't clean")
			}
			if strings.Contains(name, "cancelled") {
				streams[2].Close()
			}
			go io.Copy(io.Discard, b)
			go c.say(b)
			if err := edge.wait(); !errors.Is(err, ErrProtocol) {
				t.Fatal(err)
			}
			for i, s := range streams {
				ended := i == 0 && strings.Contains(name, "END") // as far as the protocol was kept
				if n, err := io.Copy(io.Discard, s); n > Budget || err == nil && !ended {
					t.Errorf("stream %d: %d bytes, %v", i+1, n, err)
				}
			}
		})
	}
}

// What an honest Warpgate may have sent for a stream when that is cancelled ends nothing:
// however small the parts, and MOVE and END.
func TestHonest_Strays(t *testing.T) {
	a, b := connection(t, 0)
	edge := start(t, Config{Conn: a})
	for range 2 {
		s := edge.Open(nil, nil)
		s.Begin()
		s.Write([]byte{1})
		s.Close()
	}
	go io.Copy(io.Discard, b)
	for id := range uint32(2) {
		new(script).frames(Budget, kindData, id+1, 1).frame(kindMove, id+1, 0).frame(kindEnd, id+1, 0).say(b)
	}
	s := edge.Open(nil, nil)
	defer s.Close()
	s.Begin()
	s.Write([]byte{1})
	new(script).frame(kindData, 3, 1).say(b)
	if _, err := s.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
}

// A Warpgate ends a connection on which the edge breaks the protocol.
func TestHostile_Edge(t *testing.T) {
	begins := func(n int) *script {
		s := new(script)
		for id := range uint32(n) {
			s.frame(kindBegin, id+1, 1)
		}
		return s
	}
	for name, c := range map[string]*script{
		"END":                     new(script).frame(kindEnd, 1, 0),
		"REFUSED":                 new(script).frame(kindRefused, 1, 0),
		"MOVE":                    new(script).frame(kindMove, 1, 0),
		"kind 0":                  new(script).frame(0, 1, 0),
		"kind 7":                  new(script).frame(7, 1, 0),
		"empty BEGIN":             new(script).frame(kindBegin, 1, 0),
		"empty DATA":              new(script).frame(kindBegin, 1, 1).frame(kindData, 1, 0),
		"CANCEL with payload":     new(script).frame(kindBegin, 1, 1).frame(kindCancel, 1, 1),
		"too long":                {[]byte{kindBegin, 0, 0, 0, 1, 0xff, 0xff}},
		"over Budget":             new(script).frame(kindBegin, 1, 1).frames(4, kindData, 1, Budget/4),
		"too many streams":        begins(10 + 1),
		"exchanges nobody reads":  new(script).frames(8, kindBegin, 1, Budget/4).frame(kindBegin, 1, 1),
		"exchanges nobody reads2": new(script).frame(kindBegin, 1, 1).frames(3, kindData, 1, Budget/4).frame(kindBegin, 1, 1).frames(3, kindData, 1, Budget/4).frame(kindBegin, 1, 1).frames(3, kindData, 1, Budget/4),
	} {
		t.Run(name, func(t *testing.T) {
			a, b := hostile(t, 0)
			var here, most atomic.Int64
			gate := start(t, Config{
				Conn: b, Streams: 10,
				Serve: func(ctx context.Context, _ *Stream) { <-ctx.Done() },
				Admit: func() bool { most.Store(max(most.Load(), here.Add(1))); return true }, Leave: func() { here.Add(-1) },
			})
			go c.say(a)
			if err := gate.wait(); !errors.Is(err, ErrProtocol) {
				t.Error(err)
			}
			if here.Load() != 0 || most.Load() > 10 {
				t.Errorf("%d streams are left, of at most %d", here.Load(), most.Load())
			}
		})
	}
}

// Frames for streams that are no more, or were refused, end nothing at the Warpgate.
func TestHonest_EdgeLate(t *testing.T) {
	a, b := connection(t, 0)
	gate := start(t, Config{Conn: b, Serve: func(_ context.Context, s *Stream) { io.CopyN(s, s, 1) }, Admit: func() bool { return true }})
	for id := uint32(1); id < 20; id++ {
		new(script).frame(kindBegin, id, 1).say(a)
		for _, want := range []byte{kindData, kindEnd} {
			if kind, got, _, err := takeFrame(a); kind != want || got != id || err != nil {
				t.Fatalf("frame %d of stream %d, %v", kind, got, err)
			}
		}
		new(script).frame(kindBegin, id, 10).frames(10, kindData, id, Budget/4).frame(kindCancel, id, 0).frame(kindCancel, id, 0).say(a)
	}
	a.NetConn().Close()
	if err := gate.wait(); err != io.EOF && !errors.As(err, new(*net.OpError)) {
		t.Error(err)
	}
}

// An edge that begins and cancels streams again and again has no more of them served than it
// may have: those whose work goes on count.
func TestHostile_EdgeCancels(t *testing.T) {
	const streams = 10
	a, b := hostile(t, 0)
	var here atomic.Int64
	release := make(chan struct{})
	gate := start(t, Config{Conn: b, Streams: streams, Serve: func(context.Context, *Stream) {
		here.Add(1)
		<-release
	}})
	for id := uint32(1); id <= streams; id++ {
		new(script).frame(kindBegin, id, 1).say(a)
		eventually(t, "the work to begin", func() bool { return here.Load() == int64(id) })
		new(script).frame(kindCancel, id, 0).say(a)
	}
	const last = 500
	for id := uint32(streams + 1); id <= last; id++ {
		new(script).frame(kindBegin, id, 1).frame(kindCancel, id, 0).say(a)
		if kind, got, _, err := takeFrame(a); kind != kindRefused || got != id || err != nil {
			t.Fatal(kind, got, err)
		}
	}
	close(release)
	eventually(t, "the work to end", func() bool { gate.mu.Lock(); defer gate.mu.Unlock(); return gate.serving == 0 })
	new(script).frame(kindBegin, last+1, 1).say(a)
	if kind, _, _, err := takeFrame(a); kind != kindEnd || err != nil {
		t.Errorf("frame %d, %v for a stream that there is room for", kind, err)
	}
	if n := here.Load(); n != streams+1 {
		t.Errorf("%d were served", n)
	}
}

// An edge that begins streams and reads nothing fills no memory with what is said of them.
func TestHostile_EdgeReadsNothing(t *testing.T) {
	for name, admit := range map[string]bool{"refused": false, "served": true} {
		t.Run(name, func(t *testing.T) {
			a, b := hostile(t, 0)
			gate := start(t, Config{Conn: b, Serve: func(context.Context, *Stream) {}, Admit: func() bool { return admit }})
			const room = 100
			gate.mu.Lock()
			gate.writing = true // as if the writer waited for the socket
			gate.queue = make([]byte, maxUnread-room*headSize)
			queue := func() int { gate.mu.Lock(); defer gate.mu.Unlock(); return len(gate.queue) }
			gate.mu.Unlock()
			for id := uint32(1); id <= room; id++ {
				new(script).frame(kindBegin, id, 1).say(a)
			}
			eventually(t, "a word on each stream", func() bool { return queue() == maxUnread })
			new(script).frame(kindBegin, room+1, 1).say(a)
			eventually(t, "a word on one more", func() bool { return queue() == maxUnread+headSize })
			new(script).frame(kindBegin, room+2, 1).say(a)
			if err := gate.wait(); !errors.Is(err, ErrProtocol) {
				t.Error(err)
			}
		})
	}
}

// All that many streams have not read yet is bounded by Budget for each.
func TestHostile_Memory(t *testing.T) {
	a, b := hostile(t, 0)
	gate := start(t, Config{Conn: b, Streams: 4, Serve: func(ctx context.Context, _ *Stream) { <-ctx.Done() }})
	s := new(script)
	for id := uint32(1); id <= 4; id++ {
		s.frame(kindBegin, id, Budget/4).frames(3, kindData, id, Budget/4)
	}
	s.say(a)
	waits := func() (n int) {
		gate.mu.Lock()
		streams := []*Stream{}
		for _, s := range gate.streams {
			streams = append(streams, s)
		}
		gate.mu.Unlock()
		for _, s := range streams {
			s.mu.Lock()
			n += s.in.len()
			if s.in.mem != nil && cap(*s.in.mem) > Budget {
				t.Errorf("%d bytes of memory", cap(*s.in.mem))
			}
			s.mu.Unlock()
		}
		return n
	}
	eventually(t, "all of it", func() bool { return waits() == 4*Budget })
	new(script).frame(kindCancel, 1, 0).frame(kindCancel, 2, 0).say(a)
	eventually(t, "half of it", func() bool { return waits() == 2*Budget })
	if n := gather.Of(b).Pending(); n > 0 {
		t.Errorf("%d bytes are to be sent", n)
	}
}

// A frame is never taken in parts, however the bytes are cut, and none longer than allowed.
func TestTakeAll(t *testing.T) {
	c := &Conn{streams: map[uint32]*Stream{}, stray: 1 << 20}
	whole := new(script).frame(kindData, 1, maxPayload).b
	for _, n := range []int{0, 1, headSize - 1, headSize, headSize + 1, len(whole) - 1} {
		if rest, err := c.takeAll(whole[:n]); len(rest) != n || err != nil {
			t.Errorf("%d bytes: %d left, %v", n, len(rest), err)
		}
	}
	if rest, err := c.takeAll(append(bytes.Clone(whole), 3)); len(rest) != 1 || err != nil {
		t.Errorf("%d left, %v", len(rest), err)
	}
	for n := maxPayload + 1; n < 1<<16; n *= 2 {
		long := new(script).frame(kindData, 1, n).b
		for _, cut := range []int{headSize, len(long)} {
			if _, err := c.takeAll(long[:cut]); !errors.Is(err, ErrProtocol) {
				t.Errorf("%d of %d bytes: %v", cut, n, err)
			}
		}
	}
}
