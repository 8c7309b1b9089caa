package h2

import (
	"encoding/binary"
	"time"
)

// pad reads the length of a frame's padding, and says what is left of it.
func (c *conn) pad(f frame) (length, pad int, err error) {
	if !f.has(flagPadded) {
		return f.length, 0, nil
	}
	if f.length == 0 {
		return 0, 0, connErr(FrameSizeError, "a padded frame is empty")
	}
	b, err := c.need(1)
	if err != nil {
		return 0, 0, err
	}
	if pad = int(b[0]); pad >= f.length {
		return 0, 0, connErr(ProtocolError, "a frame's padding is larger than the frame")
	}
	return f.length - 1 - pad, pad, nil
}

func (c *conn) onHeaders(f frame) error {
	if f.id == 0 {
		return connErr(ProtocolError, "HEADERS is on no stream")
	}
	length, pad, err := c.pad(f)
	if err != nil {
		return err
	}
	h := heading{id: f.id, end: f.has(flagEnd)}
	if f.has(flagPriority) {
		if length < 5 {
			return connErr(FrameSizeError, "HEADERS is too short for its priority")
		}
		b, err := c.need(5)
		if err != nil {
			return err
		}
		if binary.BigEndian.Uint32(b)&^(1<<31) == f.id {
			h.fault = streamErr(ProtocolError, "a stream depends on itself")
		}
		length -= 5
	}
	c.mu.Lock()
	err = c.end.headers(&h, c.streams[f.id])
	c.head = h
	c.mu.Unlock()
	if err != nil {
		return err
	}
	c.dec.SetEmitEnabled(h.to != nil)
	return c.fragment(f, length, pad)
}

func (c *conn) onContinuation(f frame) error {
	if c.head.id == 0 {
		return connErr(ProtocolError, "CONTINUATION continues nothing")
	}
	if c.head.frames++; c.head.frames > maxContinuations {
		return connErr(EnhanceYourCalm, "a section of fields has too many frames")
	}
	if f.length == 0 {
		if err := c.control(1); err != nil {
			return err
		}
	}
	return c.fragment(f, f.length, 0)
}

// fragment decodes a part of a section.
func (c *conn) fragment(f frame, length, pad int) error {
	h := &c.head
	if h.size += length; h.size > maxBlock {
		return connErr(EnhanceYourCalm, "a section of fields is too large")
	}
	for length > 0 {
		// Not as little as may have come: the decoder begins anew with a field that isn't complete.
		b, err := c.need(min(length, maxNeed))
		if err != nil {
			return err
		}
		if _, err := c.dec.Write(b); err != nil {
			return connErr(CompressionError, err.Error())
		}
		length -= len(b)
	}
	if err := c.skip(pad); err != nil {
		return err
	}
	if !f.has(flagEndHeaders) {
		return nil
	}
	if err := c.dec.Close(); err != nil {
		return connErr(CompressionError, err.Error())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err // a stream that began now would be told of no end
	}
	c.controls.earn(1, 0)
	err := c.end.section(h)
	*h = heading{}
	return err
}

func (c *conn) onPriority(f frame) error {
	switch {
	case f.id == 0:
		return connErr(ProtocolError, "PRIORITY is on no stream")
	case f.length != 5:
		return connErr(FrameSizeError, "PRIORITY has the wrong length")
	}
	b, err := c.need(5)
	if err != nil {
		return err
	}
	on := binary.BigEndian.Uint32(b) &^ (1 << 31)
	c.mu.Lock()
	defer c.mu.Unlock()
	if on == f.id {
		return c.offend(f.id, streamErr(ProtocolError, "a stream depends on itself"))
	}
	return c.spend(&c.controls, controls, 1, "frames that carry nothing")
}

func (c *conn) onReset(f frame) error {
	switch {
	case f.id == 0:
		return connErr(ProtocolError, "RST_STREAM is on no stream")
	case f.length != 4:
		return connErr(FrameSizeError, "RST_STREAM has the wrong length")
	}
	b, err := c.need(4)
	if err != nil {
		return err
	}
	code := Code(binary.BigEndian.Uint32(b))
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.streams[f.id]
	if s == nil {
		if c.end.idle(f.id) {
			return connErr(ProtocolError, "RST_STREAM is on a stream that was never opened")
		}
		return c.spend(&c.controls, controls, 1, "frames that carry nothing")
	}
	ended := s.sentEnd
	s.fail(&StreamError{Code: code, Remote: true})
	c.forget(s, false)
	if ended {
		return c.spend(&c.controls, controls, 1, "frames that carry nothing")
	}
	return c.end.resetCame()
}

// offend resets a stream because its peer broke a rule of it, and counts that: otherwise a peer
// could have as many requests begun as by resetting them itself. The lock is held.
func (c *conn) offend(id uint32, fault *StreamError) error {
	if c.end.idle(id) {
		return connErr(fault.Code, fault.Why)
	}
	if s := c.streams[id]; s != nil {
		c.reset(s, fault)
	} else {
		c.queueControl(appendReset(c.ready, id, fault.Code))
	}
	return c.spend(&c.resets, resets, 1, "streams break the rules")
}

// reset resets a stream. The lock is held.
func (c *conn) reset(s *Stream, fault *StreamError) {
	if c.streams[s.id] == s {
		c.queueControl(appendReset(c.ready, s.id, fault.Code))
		c.forget(s, true)
	}
	s.fail(fault)
}

// queueControl sets what is ready to go out, after a frame of control was added. A peer that asks for
// ever more answers and takes none loses its connection. The lock is held.
func (c *conn) queueControl(ready []byte) {
	c.ready = ready
	if len(c.ready) > batchSize+maxAnswers {
		c.fail(connErr(EnhanceYourCalm, "it takes nothing"))
	}
}

func (c *conn) onSettings(f frame) error {
	switch {
	case f.id != 0:
		return connErr(ProtocolError, "SETTINGS are of no stream")
	case f.has(flagAck) && f.length != 0, f.length%6 != 0:
		return connErr(FrameSizeError, "SETTINGS have the wrong length")
	case f.has(flagAck):
		c.mu.Lock()
		defer c.mu.Unlock()
		c.answered()
		return c.spend(&c.controls, controls, 1, "frames that carry nothing")
	}
	if err := c.control(max(settingsCost, float64(f.length/6))); err != nil {
		return err
	}
	for n := f.length; n > 0; n -= 6 {
		b, err := c.need(6)
		if err != nil {
			return err
		}
		c.mu.Lock()
		err = c.set(binary.BigEndian.Uint16(b), binary.BigEndian.Uint32(b[2:]))
		c.mu.Unlock()
		if err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end.settingsCame()
	c.queueControl(appendHeader(c.ready, frameSettings, flagAck, 0, 0))
	return nil
}

// answered notes the time that an answer took. The lock is held.
func (c *conn) answered() {
	if c.asked.IsZero() {
		return
	}
	if took := time.Since(c.asked); c.rtt == 0 || took < c.rtt {
		c.rtt = took
	}
	c.asked = time.Time{}
}

// set takes in one setting. The lock is held.
func (c *conn) set(id uint16, value uint32) error {
	switch id {
	case settingTableSize:
		c.tableless = c.tableless || value < tableSize
	case settingPush:
		if value > 1 {
			return connErr(ProtocolError, "SETTINGS_ENABLE_PUSH is neither 0 nor 1")
		}
	case settingWindow:
		if value > maxWindow {
			return connErr(FlowControlError, "SETTINGS_INITIAL_WINDOW_SIZE is too large")
		}
		by := int64(value) - c.peerWin
		c.peerWin = int64(value)
		for _, s := range c.streams {
			if s.sendWin += by; s.sendWin > maxWindow {
				return connErr(FlowControlError, "SETTINGS_INITIAL_WINDOW_SIZE makes a window too large")
			}
			if by > 0 {
				c.unblock(s)
			} else if s.queued && s.sendWin <= 0 {
				c.unqueue(s)
				s.stick()
			}
		}
	case settingFrame:
		if value < maxFrame || value > 1<<24-1 {
			return connErr(ProtocolError, "SETTINGS_MAX_FRAME_SIZE is out of range")
		}
	case settingConnect, settingNoPriority:
		if value > 1 {
			return connErr(ProtocolError, "a setting is neither 0 nor 1")
		}
	}
	return c.end.setting(id, value)
}

func (c *conn) onPing(f frame) error {
	switch {
	case f.id != 0:
		return connErr(ProtocolError, "PING is of no stream")
	case f.length != 8:
		return connErr(FrameSizeError, "PING has the wrong length")
	}
	b, err := c.need(8)
	if err != nil {
		return err
	}
	data := [8]byte(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.has(flagAck) {
		if data == pingDrain {
			c.end.acked()
		}
	} else {
		c.queueControl(appendPing(c.ready, flagAck, data))
	}
	return c.spend(&c.controls, controls, 1, "frames that carry nothing")
}

func (c *conn) onGoAway(f frame) error {
	switch {
	case f.id != 0:
		return connErr(ProtocolError, "GOAWAY is of no stream")
	case f.length < 8:
		return connErr(FrameSizeError, "GOAWAY is too short")
	}
	b, err := c.need(8)
	if err != nil {
		return err
	}
	last, code := binary.BigEndian.Uint32(b)&^(1<<31), Code(binary.BigEndian.Uint32(b[4:]))
	c.mu.Lock()
	c.end.goAway(last, code)
	err = c.spend(&c.controls, controls, 1, "frames that carry nothing")
	c.mu.Unlock()
	if err != nil {
		return err
	}
	return c.skip(f.length - 8)
}

func (c *conn) onWindow(f frame) error {
	if f.length != 4 {
		return connErr(FrameSizeError, "WINDOW_UPDATE has the wrong length")
	}
	b, err := c.need(4)
	if err != nil {
		return err
	}
	n := int64(binary.BigEndian.Uint32(b) &^ (1 << 31))
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.spend(&c.updates, updates, 1, "WINDOW_UPDATE"); err != nil {
		return err
	}
	if f.id == 0 {
		if n == 0 {
			return connErr(ProtocolError, "WINDOW_UPDATE adds nothing")
		}
		if c.sendWin += n; c.sendWin > maxWindow {
			return connErr(FlowControlError, "the window of the connection is too large")
		}
		return nil
	}
	if c.end.idle(f.id) {
		return connErr(ProtocolError, "WINDOW_UPDATE is on a stream that was never opened")
	}
	s := c.streams[f.id]
	switch {
	case n == 0:
		return c.offend(f.id, streamErr(ProtocolError, "WINDOW_UPDATE adds nothing"))
	case s == nil:
		return nil
	case s.sendWin+n > maxWindow:
		return c.offend(f.id, streamErr(FlowControlError, "the window of the stream is too large"))
	}
	s.sendWin += n
	c.unblock(s)
	return nil
}

// onUpdate takes PRIORITY_UPDATE (RFC 9218, 7.1).
func (c *conn) onUpdate(f frame) error {
	switch {
	case f.id != 0:
		return connErr(ProtocolError, "PRIORITY_UPDATE is on a stream")
	case f.length < 4:
		return connErr(FrameSizeError, "PRIORITY_UPDATE is too short")
	}
	b, err := c.need(4)
	if err != nil {
		return err
	}
	id := binary.BigEndian.Uint32(b) &^ (1 << 31)
	n := min(f.length-4, maxPriority)
	value, err := c.need(n)
	if err != nil {
		return err
	}
	c.mu.Lock()
	// One for a stream that was not opened yet is not kept: its request says the same.
	if s := c.streams[id]; s != nil && f.length-4 <= maxPriority {
		c.prioritise(s, value)
	}
	err = c.spend(&c.controls, controls, 1, "frames that carry nothing")
	if id == 0 {
		err = connErr(ProtocolError, "PRIORITY_UPDATE is of no stream")
	}
	c.mu.Unlock()
	if err != nil {
		return err
	}
	return c.skip(f.length - 4 - n)
}
