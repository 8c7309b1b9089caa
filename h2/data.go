package h2

import "github.com/mezusphere/mezu/relay"

// onData takes a frame of DATA.
func (c *conn) onData(f frame) error {
	if f.id == 0 {
		return connErr(ProtocolError, "DATA is on no stream")
	}
	length, pad, err := c.pad(f)
	if err != nil {
		return err
	}
	c.mu.Lock()
	s, err := c.admit(f, length)
	drop := s == nil || s.shut || s.swallow
	if err == nil && drop && f.length > 0 {
		c.credit(int64(f.length))
		if s != nil {
			s.credit(int64(f.length))
		}
	} else if err == nil && f.length > length {
		c.credit(int64(f.length - length)) // padding
		s.credit(int64(f.length - length))
	}
	var k *chunk
	rest := length
	if err == nil && !drop {
		n := s.append(&c.in, length)
		c.hold(s, n)
		rest -= n
	}
	c.mu.Unlock()
	if err != nil {
		return err
	}
	if drop {
		if err := c.skip(length + pad); err != nil {
			return err
		}
		return c.came(f, nil, 0)
	}
	if rest > 0 {
		k = newChunk(rest)
		if err := c.full(k.room()[:rest]); err != nil {
			k.free()
			return err
		}
		k.n = rest
	}
	if err := c.skip(pad); err != nil {
		if k != nil {
			k.free()
		}
		return err
	}
	return c.came(f, k, rest)
}

// hold counts n bytes that a stream keeps until they are read. Where half of the connection's window
// is full of such, it grows: streams that nobody reads are not to stop others. The lock is held.
func (c *conn) hold(s *Stream, n int) {
	s.held += int64(n)
	c.unread += int64(n)
	if c.unread > c.recvMost/2 {
		c.grow()
		c.tell()
	}
}

// append moves what fits behind what has come already, and says how much. The lock is held.
func (s *Stream) append(in *input, length int) int {
	n := s.extend(in.buf[in.r : in.r+min(in.buffered(), length)])
	in.r += n
	return n
}

// extend copies what fits into the memory of what came last, and says how much. The lock is held.
func (s *Stream) extend(p []byte) int {
	if len(s.in) == 0 {
		return 0
	}
	k := s.in[len(s.in)-1]
	n := copy(k.room(), p)
	k.n += n
	if n > 0 && s.at == len(s.in) {
		s.at--
	}
	return n
}

// add adds a chunk. A small one goes into the memory of the one before, if it fits: frames of one byte
// whose payload comes by itself would cost a buffer each. The lock is held.
func (s *Stream) add(k *chunk) {
	if i := len(s.in) - 1; i >= 0 && k.n <= len(s.in[i].room()) {
		s.extend((*k.home)[:k.n])
		k.free()
		return
	}
	s.in = append(s.in, k)
}

// admit counts a frame of DATA, and gives the stream that it is for; nil if nobody takes it. The
// lock is held.
func (c *conn) admit(f frame, length int) (*Stream, error) {
	n := int64(f.length)
	if n > c.recvWin {
		return nil, connErr(FlowControlError, "DATA exceeds the window of the connection")
	}
	c.recvWin -= n
	s := c.streams[f.id]
	if length == 0 && !f.has(flagEnd) {
		if err := c.spend(&c.controls, controls, 1, "frames that carry nothing"); err != nil {
			return nil, err
		}
	} else {
		c.controls.earn(1, 0)
	}
	if s == nil {
		if c.end.idle(f.id) {
			return nil, connErr(ProtocolError, "DATA is on a stream that was never opened")
		}
		if known, reset := c.ended(f.id); !known || reset {
			return nil, nil // it was on its way
		}
		return nil, c.offend(f.id, streamErr(StreamClosed, "DATA is on a stream that has ended"))
	}
	s.came += int64(length)
	switch {
	case s.recvEnd || s.short:
		return nil, c.offend(f.id, streamErr(StreamClosed, "DATA follows the end of its stream"))
	case n > s.recvWin:
		return nil, c.offend(f.id, streamErr(FlowControlError, "DATA exceeds the window of its stream"))
	case s.declared >= 0 && s.came > s.declared:
		return nil, c.offend(f.id, wrongLength())
	case s.awaits:
		return nil, c.offend(f.id, streamErr(ProtocolError, "DATA comes before a head"))
	}
	s.recvWin -= n
	if s.swallow {
		if s.dropped += n; s.dropped > swallowBytes {
			c.reset(s, streamErr(NoError, "its response has ended"))
			return nil, nil
		}
	}
	return s, nil
}

func wrongLength() *StreamError {
	return &StreamError{Code: ProtocolError, Why: "Content-Length is not the length of the body", Err: relay.ErrBody}
}

// came notes that a frame of DATA was read, whose rest is in k.
func (c *conn) came(f frame, k *chunk, n int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.streams[f.id]
	switch {
	case k == nil:
	case s == nil || s.shut || s.swallow:
		k.free()
		c.credit(int64(n))
		if s != nil {
			s.credit(int64(n))
		}
	default:
		s.add(k)
		c.hold(s, n)
	}
	if s == nil {
		return nil
	}
	signal(s.readable)
	if f.has(flagEnd) {
		return s.ends()
	}
	return nil
}
