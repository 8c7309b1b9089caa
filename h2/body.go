package h2

import (
	"io"
	"os"
	"sync"
	"time"

	"github.com/mezusphere/mezu/relay"
)

// chunk is a piece of a body.
type chunk struct {
	home *[]byte
	off  int // up to where it was read
	n    int // up to where it is filled
}

var framePool = sync.Pool{New: func() any { b := make([]byte, maxFrame); return &b }}

func newChunk(n int) *chunk {
	if n <= smallBuffer {
		return &chunk{home: smallPool.Get().(*[]byte)}
	}
	return &chunk{home: framePool.Get().(*[]byte)}
}

func (k *chunk) room() []byte { return (*k.home)[k.n:] }

func (k *chunk) free() {
	if len(*k.home) == smallBuffer {
		smallPool.Put(k.home)
	} else {
		framePool.Put(k.home)
	}
}

// Limit bounds the body; zero is no bound.
func (s *Stream) Limit(n int64) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.limit = n
}

// Next gives the next piece of the body. It is valid until the following call. The end is io.EOF.
func (s *Stream) Next() ([]byte, error) {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	urgent := s.giveBack()
	for {
		if s.shut {
			return nil, ErrStopped
		}
		if s.expired {
			return nil, os.ErrDeadlineExceeded
		}
		p := s.piece()
		s.read += int64(len(p))
		if s.limit > 0 && s.read > s.limit {
			return nil, relay.ErrOverrun
		}
		if p != nil {
			if urgent {
				c.flush(nil)
			}
			return p, nil
		}
		switch {
		case s.recvEnd:
			return nil, io.EOF
		case s.err != nil:
			return nil, s.err
		}
		c.flush(nil)
		if s.at < len(s.in) || s.recvEnd || s.err != nil || s.shut || s.expired {
			continue // while the lock was not held
		}
		within := s.readFor
		c.mu.Unlock()
		err := await(s.readable, within, &s.readTimer)
		c.mu.Lock()
		if err != nil {
			return nil, err
		}
	}
}

// piece takes what has come, nil if nothing has. The lock is held.
func (s *Stream) piece() []byte {
	for ; s.at < len(s.in); s.at++ {
		k := s.in[s.at]
		if k.off == k.n {
			continue
		}
		if s.pieces == 0 {
			s.keep = s.recvEnd
		}
		p := (*k.home)[k.off:k.n]
		k.off = k.n
		s.lent = len(p)
		s.pieces++
		return p
	}
	return nil
}

// giveBack frees what was read, and has the peer send as much. It reports whether that is to be told at
// once: where the peer may send little, nothing may come that would have it told. The lock is held.
func (s *Stream) giveBack() (urgent bool) {
	if s.keep || s.lent == 0 {
		return false
	}
	before, tight := len(s.c.ready), s.recvWin < s.recvMost/2 || s.c.recvWin < s.c.recvMost/2
	s.c.unread -= int64(s.lent)
	s.held -= int64(s.lent)
	s.c.credit(int64(s.lent))
	s.credit(int64(s.lent))
	s.lent = 0
	n := 0
	for n < len(s.in) && s.in[n].off == s.in[n].n {
		s.in[n].free()
		n++
	}
	kept := copy(s.in, s.in[n:])
	clear(s.in[kept:])
	s.in, s.at = s.in[:kept], 0
	return tight && len(s.c.ready) > before
}

// credit gives n bytes of the stream's window back. The window grows as long as all that is in it is
// read within the time that the path needs to bring more: then it is the window that holds the peer
// up. It grows no sooner than growPause after the stream began or it has grown before: at first
// every reader is fast, since the buffers behind it are empty. The lock is held.
func (s *Stream) credit(n int64) {
	if s.recvEnd || s.err != nil {
		return
	}
	s.credits += n
	if s.credits < s.recvMost/4 {
		return
	}
	now := time.Now()
	if s.epoch += s.credits; s.epoch >= s.recvMost {
		if s.mayGrow(now) {
			s.credits += s.recvMost
			s.c.grown += s.recvMost
			s.recvMost *= 2
			s.grown = now
		}
		s.epoch, s.since = 0, now
	}
	s.recvWin += s.credits
	s.c.queueControl(appendWindow(s.c.ready, s.id, s.credits))
	s.credits = 0
}

// mayGrow reports whether the window, which was read through, is to grow. The lock is held.
func (s *Stream) mayGrow(now time.Time) bool {
	c, took := s.c, now.Sub(s.since)
	// What was read within less than a round trip had come before: the path is nearer than it seemed once.
	far := min(c.rtt, took) >= nearPath
	return took < max(2*c.rtt, hurry) && now.Sub(s.grown) >= growPause && (far || s.read >= c.growAfter) && s.recvMost < maxStreamWindow && c.grown+s.recvMost <= maxGrown
}

// free gives the memory of the body back. The lock is held.
func (s *Stream) free() {
	for _, k := range s.in {
		k.free()
	}
	clear(s.in)
	s.in, s.at, s.lent = s.in[:0], 0, 0
	s.c.unread -= s.held
	s.c.credit(s.held)
	s.held = 0
}

// Ready reports whether Next returns without waiting.
func (s *Stream) Ready() bool {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.recvEnd || s.err != nil || s.shut {
		return true
	}
	for _, k := range s.in[s.at:] {
		if k.off < k.n {
			return true
		}
	}
	return false
}

// Complete reports whether all of the body is here.
func (s *Stream) Complete() bool {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.recvEnd && s.err == nil
}

// Done reports whether the body was read to its end.
func (s *Stream) Done() bool {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.recvEnd && s.at == len(s.in) || s.recvEnd && s.at == len(s.in)-1 && s.in[s.at].off == s.in[s.at].n
}

// Bytes is how much of the body was read.
func (s *Stream) Bytes() int64 {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.read
}

// Trailer is the trailer section, after the end of the body.
func (s *Stream) Trailer() []relay.Field { return s.trailer }

// Rewind makes the body begin anew, and reports whether it could: while all of it was here when
// reading began, or no more than one piece was read.
func (s *Stream) Rewind() bool {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	switch {
	case s.shut || s.limit > 0 && s.read > s.limit:
		return false
	case s.keep:
		for _, k := range s.in {
			k.off = 0
		}
		s.at = 0
	case s.pieces > 1 || s.pieces == 1 && s.lent == 0:
		return false
	case s.pieces == 1:
		s.in[s.at].off -= s.lent
	}
	s.read, s.pieces, s.lent = 0, 0, 0
	return true
}
