package mux

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
)

// Run reads what comes until the connection ends, which it ends with all streams, and says
// why. io.EOF says that the peer hung up. It is called once.
func (c *Conn) Run() error {
	err := c.read()
	c.Close(err)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// readSize holds a whole frame behind the part of another one.
const readSize = 32 << 10

func (c *Conn) read() error {
	buf := make([]byte, readSize)
	have := 0
	for {
		n, err := c.nc.Read(buf[have:])
		have += n
		rest, bad := c.takeAll(buf[:have])
		if bad != nil {
			return bad
		}
		if err != nil {
			if err == io.EOF && len(rest) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		have = copy(buf, rest)
	}
}

// takeAll acts on the whole frames in b, and gives what is left.
func (c *Conn) takeAll(b []byte) ([]byte, error) {
	for {
		if len(b) >= headSize && int(binary.BigEndian.Uint16(b[5:])) > maxPayload {
			return b, fmt.Errorf("%w: a frame of over %d bytes", ErrProtocol, maxPayload)
		}
		kind, id, payload, rest, ok := parseFrame(b)
		if !ok {
			return b, nil
		}
		if err := c.take(kind, id, payload); err != nil {
			return b, err
		}
		b = rest
	}
}

// take acts on one frame.
func (c *Conn) take(kind byte, id uint32, payload []byte) error {
	carries := kind == kindBegin || kind == kindData
	if !c.allowed(kind) || carries != (len(payload) > 0) {
		return fmt.Errorf("%w: a frame of kind %d with %d bytes", ErrProtocol, kind, len(payload))
	}
	c.mu.Lock()
	if kind == kindBegin && len(c.queue) > maxUnread {
		c.mu.Unlock()
		return fmt.Errorf("%w: exchanges begin, and nothing is read", ErrProtocol)
	}
	s := c.streams[id]
	if s == nil && kind == kindBegin {
		var err error
		s, err = c.accept(id)
		if s == nil {
			c.mu.Unlock()
			return err
		}
	}
	if s == nil && c.cfg.Serve == nil {
		if c.stray -= headSize + len(payload); c.stray < 0 {
			c.mu.Unlock()
			return fmt.Errorf("%w: %d bytes for a stream that there is not", ErrProtocol, len(payload))
		}
	}
	if s != nil && (kind == kindCancel || kind == kindEnd || kind == kindRefused) {
		delete(c.streams, id)
	}
	c.mu.Unlock()
	if s == nil {
		return nil // it ended in the meantime
	}
	return s.take(kind, payload)
}

// allowed reports whether the peer may send such a frame.
func (c *Conn) allowed(kind byte) bool {
	switch kind {
	case kindData:
		return true
	case kindBegin, kindCancel:
		return c.cfg.Serve != nil
	case kindEnd, kindRefused, kindMove:
		return c.cfg.Serve == nil
	}
	return false
}

// accept makes a stream that the edge has begun, nil if there is no room for it. The lock is
// held.
func (c *Conn) accept(id uint32) (*Stream, error) {
	switch {
	case c.err != nil:
		return nil, c.err
	case id <= c.last:
		return nil, nil // it ended here while the edge sent that
	case len(c.streams) >= c.cfg.Streams:
		return nil, fmt.Errorf("%w: more than %d streams", ErrProtocol, c.cfg.Streams)
	}
	c.last = id
	if c.serving >= c.cfg.Streams || !c.cfg.Admit() {
		c.signal(id, kindRefused)
		return nil, nil
	}
	s := newStream(c)
	s.id = id
	c.streams[id] = s
	c.serving++
	c.tasks.Go(func() { c.serve(s) })
	return s, nil
}

// serve serves a stream to its end.
func (c *Conn) serve(s *Stream) {
	defer c.leave()
	ctx, cancel := context.WithCancelCause(c.cfg.Context)
	defer cancel(nil)
	if s.onCancel(cancel) {
		c.cfg.Serve(ctx, s)
	}
	s.Close()
}

// leave gives back what accept took.
func (c *Conn) leave() {
	c.cfg.Leave()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.serving--
}
