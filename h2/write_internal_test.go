package h2

import (
	"fmt"
	"slices"
	"testing"
)

// waiting is a connection on which streams wait to be sent, by their numbers.
func waiting(window int64, streams map[uint32]func(*Stream)) *conn {
	c := &conn{sendWin: window, streams: map[uint32]*Stream{}, peerWin: 1 << 20}
	ids := []uint32{}
	for id := range streams {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		s := &Stream{}
		s.init(c, id)
		s.pending = make([]byte, 1<<20)
		streams[id](s)
		c.streams[id] = s
		c.enqueue(s, false)
	}
	return c
}

// order is which streams the frames of what goes out next are of.
func (c *conn) order() (ids []uint32) {
	for b := c.fill(); len(b) > 0; {
		f := parseHeader(b)
		ids = append(ids, f.id)
		b = b[frameHeader+f.length:]
	}
	return ids
}

// Streams of more urgency come first, then those that have sent little, and equals take turns. One
// that says that it isn't incremental goes on to its end.
func TestOrder(t *testing.T) {
	bulk := func(s *Stream) { s.sent, s.large = 1<<20, true }
	small := func(s *Stream) { s.pending = s.pending[:100] }
	says := func(priority string) func(*Stream) {
		return func(s *Stream) { s.c.prioritise(s, []byte(priority)) }
	}
	both := func(all ...func(*Stream)) func(*Stream) {
		return func(s *Stream) {
			for _, f := range all {
				f(s)
			}
		}
	}
	for _, c := range []struct {
		streams map[uint32]func(*Stream)
		want    string
	}{
		{map[uint32]func(*Stream){1: bulk, 3: bulk}, "[1 3 1 3]"},
		{map[uint32]func(*Stream){1: bulk, 3: small, 5: small}, "[3 5 1 1 1 1]"},
		{map[uint32]func(*Stream){1: bulk, 3: func(*Stream) {}, 5: small}, "[3 5 3 1 3]"},
		{map[uint32]func(*Stream){1: small, 3: both(bulk, says("u=1, i"))}, "[3 3 3 3]"},
		{map[uint32]func(*Stream){1: both(bulk, says("u=3")), 3: both(bulk, says("u=3"))}, "[1 1 1 1]"},
		{map[uint32]func(*Stream){1: both(bulk, says("i")), 3: both(bulk, says("u=3,i=?1"))}, "[1 3 1 3]"},
		{map[uint32]func(*Stream){1: both(bulk, says("u=8")), 3: both(bulk, says("i=2"))}, "[1 3 1 3]"},
		{map[uint32]func(*Stream){1: both(bulk, says("u=7")), 3: both(bulk, says("u=6"))}, "[3 3 3 3]"},
		{map[uint32]func(*Stream){1: func(s *Stream) { s.sendWin = 0 }, 3: bulk}, "[3 3 3 3]"},
	} {
		if got := fmt.Sprint(waiting(1<<20, c.streams).order()); got != c.want {
			t.Errorf("%s instead of %s", got, c.want)
		}
	}
	if got := waiting(0, map[uint32]func(*Stream){1: bulk}).order(); len(got) > 0 {
		t.Errorf("%v without a window", got)
	}
	if got := fmt.Sprint(waiting(20_000, map[uint32]func(*Stream){1: bulk, 3: bulk}).order()); got != "[1 3]" {
		t.Errorf("%s with a small window", got)
	}
}

// A list keeps its order, whatever is taken out of it.
func TestList(t *testing.T) {
	all := [5]*Stream{}
	for i := range all {
		all[i] = &Stream{id: uint32(i)}
	}
	for out := range all {
		var l list
		for _, s := range all {
			l.push(s)
		}
		l.remove(all[out])
		l.remove(all[out])
		l.push(all[out])
		var got []uint32
		for l.first != nil {
			got = append(got, l.pop().id)
		}
		if len(got) != 5 || got[4] != uint32(out) || l.last != nil {
			t.Errorf("without %d: %v", out, got)
		}
	}
}
