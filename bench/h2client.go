package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// protocolH2 is HTTP/2 over TLS, in ALPN.
const protocolH2 = "h2"

const (
	// connectionWindow is so large that no stream waits for another one's bytes at the
	// client. It is filled again when half of it is used.
	connectionWindow = 1 << 30
	// usualWindow is what a stream has by RFC 9113: enough for what is small, and all that
	// a reader gives that takes nothing.
	usualWindow = 64<<10 - 1
	// largeWindow is that of a bulk download, somewhat more than browsers give one.
	largeWindow = 16 << 20
	// frameHead and frameBody are the sizes of a frame: all servers take 16 KiB.
	frameHead, frameBody = 9, 16 << 10
	// framesOfWrite is how many of them one write has.
	framesOfWrite = 4
)

// h2conn is a client's connection of HTTP/2. It reads frames by itself and keeps nothing
// of bodies, so that it costs the machine little.
type h2conn struct {
	net.Conn
	t target

	writing sync.Mutex // one write at a time, and heads in the order of streams
	next    uint32
	block   bytes.Buffer
	encoder *hpack.Encoder

	mu       sync.Mutex
	grown    sync.Cond // a window of the peer grew, or the connection ended
	streams  map[uint32]*h2stream
	window   int64 // what the peer takes of all bodies
	first    int64 // what it takes of a new stream
	extended bool  // it takes the CONNECT of RFC 8441
	goaway   *http2.ErrCode
	err      error

	unreturned int64 // of the connection's window; only the reader has it
	ready      chan struct{}
	closed     chan struct{} // the reader has ended
}

// h2stream is one exchange.
type h2stream struct {
	c    *h2conn
	id   uint32
	open bool

	window     int64 // what the peer takes
	refill     int64 // the window that is kept open for the peer; 0 if none
	unreturned int64
	taken      atomic.Int64 // bytes that came

	status int
	headed chan struct{}
	ended  chan error
	echo   chan struct{} // closed when echoed bytes have come
	echoed int64
}

// dialH2 connects, makes a full handshake and waits for the peer's settings.
func dialH2(ctx context.Context, t target) (*h2conn, error) {
	raw, err := dialTLS(ctx, t, protocolH2)
	if err != nil {
		return nil, err
	}
	return newH2(raw, t)
}

// newH2 speaks HTTP/2 on a connection.
func newH2(raw net.Conn, t target) (*h2conn, error) {
	c := &h2conn{Conn: raw, t: t, next: 1, streams: map[uint32]*h2stream{}, window: usualWindow, first: usualWindow, ready: make(chan struct{}), closed: make(chan struct{})}
	c.grown.L = &c.mu
	c.encoder = hpack.NewEncoder(&c.block)
	c.encoder.SetMaxDynamicTableSize(0)
	begin := bytes.NewBufferString(http2.ClientPreface)
	f := http2.NewFramer(begin, nil)
	f.WriteSettings(http2.Setting{ID: http2.SettingEnablePush, Val: 0}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: usualWindow})
	f.WriteWindowUpdate(0, connectionWindow-usualWindow)
	c.SetDeadline(time.Now().Add(answerTime))
	if _, err := c.Write(begin.Bytes()); err != nil {
		c.Conn.Close()
		return nil, err
	}
	go c.read()
	select {
	case <-c.ready:
		c.SetDeadline(time.Time{})
		return c, nil
	case <-c.closed:
		c.Conn.Close()
		return nil, fmt.Errorf("before the settings came: %w", c.err)
	}
}

// Close ends the connection and its reader.
func (c *h2conn) Close() error {
	err := c.Conn.Close()
	<-c.closed
	return err
}

// request begins an exchange. A refill above the usual window is given to the peer at
// once, and again when half of it is used.
func (c *h2conn) request(method, path string, refill int64, last bool, fields ...string) (*h2stream, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.block.Reset()
	fields = append([]string{":method", method, ":scheme", "https", ":authority", c.t.authority(), ":path", path}, fields...)
	for i := 0; i < len(fields); i += 2 {
		c.encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	s := &h2stream{c: c, id: c.next, open: true, refill: refill, headed: make(chan struct{}), ended: make(chan error, 1)}
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return nil, c.err
	}
	s.window = c.first
	c.streams[s.id] = s
	c.mu.Unlock()
	c.next += 2
	var out bytes.Buffer
	f := http2.NewFramer(&out, nil)
	f.WriteHeaders(http2.HeadersFrameParam{StreamID: s.id, BlockFragment: c.block.Bytes(), EndHeaders: true, EndStream: last})
	if refill > usualWindow {
		f.WriteWindowUpdate(s.id, uint32(refill-usualWindow))
	}
	_, err := c.Write(out.Bytes())
	return s, err
}

// ask makes one small request and reads the answer to its end.
func (c *h2conn) ask() error {
	s, err := c.request("GET", pathSmall, usualWindow, true)
	if err != nil {
		return err
	}
	return s.finish(smallSize)
}

// download gets n bytes.
func (c *h2conn) download(n int64) error {
	s, err := c.request("GET", pathBytes+strconv.FormatInt(n, 10), largeWindow, true)
	if err != nil {
		return err
	}
	return s.finish(n)
}

// upload sends n bytes.
func (c *h2conn) upload(n int64) error {
	s, err := c.request("POST", pathSink, usualWindow, false, "content-length", strconv.FormatInt(n, 10))
	if err != nil {
		return err
	}
	if err := s.send(n); err != nil {
		return err
	}
	return s.finish(0)
}

// finish waits for the end of a good answer with n bytes.
func (s *h2stream) finish(n int64) error {
	err := <-s.ended
	switch {
	case err != nil:
		return err
	case s.status != 200:
		return fmt.Errorf("the answer is %d", s.status)
	case s.taken.Load() != n:
		return fmt.Errorf("%d of %d bytes came", s.taken.Load(), n)
	}
	return nil
}

// begun waits for the head of a good answer.
func (s *h2stream) begun() error {
	select {
	case <-s.headed:
	case err := <-s.ended:
		return errors.Join(err, errors.New("the stream ended before its head"))
	}
	if s.status != 200 {
		return fmt.Errorf("the answer is %d", s.status)
	}
	return nil
}

// more gives the peer n bytes of a window.
func (c *h2conn) more(stream uint32, n int64) error {
	return c.writeFrame(http2.FrameWindowUpdate, 0, stream, binary.BigEndian.AppendUint32(nil, uint32(n)))
}

var h2Buffers = sync.Pool{New: func() any { return new([framesOfWrite * (frameHead + frameBody)]byte) }}

// send writes a body of n bytes of no meaning, and ends the stream.
func (s *h2stream) send(n int64) error {
	buf := h2Buffers.Get().(*[framesOfWrite * (frameHead + frameBody)]byte)
	defer h2Buffers.Put(buf)
	for n > 0 {
		may, err := s.await(min(n, framesOfWrite*frameBody))
		if err != nil {
			return err
		}
		n -= may
		size := 0
		for may > 0 {
			part := min(may, frameBody)
			may -= part
			flags := http2.Flags(0)
			if n+may == 0 {
				flags = http2.FlagDataEndStream
			}
			putFrameHead(buf[size:], uint32(part), http2.FrameData, flags, s.id)
			size += frameHead + int(part)
		}
		s.c.writing.Lock()
		_, err = s.c.Write(buf[:size])
		s.c.writing.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

func putFrameHead(b []byte, length uint32, kind http2.FrameType, flags http2.Flags, stream uint32) {
	binary.BigEndian.PutUint32(b, length<<8|uint32(kind))
	b[4] = byte(flags)
	binary.BigEndian.PutUint32(b[5:], stream)
}

// await takes up to n bytes of the peer's windows, as soon as there are some.
func (s *h2stream) await(n int64) (int64, error) {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for min(c.window, s.window) <= 0 && c.err == nil && s.open {
		c.grown.Wait()
	}
	if c.err != nil {
		return 0, c.err
	}
	if !s.open {
		return 0, errors.New("the stream ended before the body")
	}
	n = min(n, c.window, s.window)
	c.window -= n
	s.window -= n
	return n, nil
}

// read takes all frames until the connection ends.
func (c *h2conn) read() {
	defer close(c.closed)
	err := c.readFrames()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.goaway != nil {
		err = fmt.Errorf("GOAWAY %v, then %w", *c.goaway, err)
	}
	c.err = err
	for id := range c.streams {
		c.end(id, err)
	}
	c.grown.Broadcast()
}

// end ends a stream, under the lock.
func (c *h2conn) end(id uint32, err error) {
	s := c.streams[id]
	if s == nil {
		return
	}
	delete(c.streams, id)
	s.open = false
	s.ended <- err
	c.grown.Broadcast() // what sends its body
}

func (c *h2conn) readFrames() error {
	r := bufio.NewReaderSize(c.Conn, frameBody)
	var head [frameHead]byte
	status := ""
	fields := hpack.NewDecoder(4096, func(f hpack.HeaderField) {
		if f.Name == ":status" {
			status = f.Value
		}
	})
	var payload []byte // of all frames but DATA
	for {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return err
		}
		length := int(binary.BigEndian.Uint32(head[:]) >> 8)
		kind, flags, id := http2.FrameType(head[3]), http2.Flags(head[4]), binary.BigEndian.Uint32(head[5:])&(1<<31-1)
		if length > frameBody {
			return fmt.Errorf("a frame of %d bytes", length)
		}
		if kind == http2.FrameData {
			if _, err := r.Discard(length); err != nil {
				return err
			}
			if err := c.data(id, int64(length), flags.Has(http2.FlagDataEndStream)); err != nil {
				return err
			}
			continue
		}
		payload = append(payload[:0], make([]byte, length)...)
		if _, err := io.ReadFull(r, payload); err != nil {
			return err
		}
		switch kind {
		case http2.FrameHeaders:
			if flags.Has(http2.FlagHeadersPadded) || flags.Has(http2.FlagHeadersPriority) || !flags.Has(http2.FlagHeadersEndHeaders) {
				return errors.New("a head in a form that this client does not read")
			}
			status = ""
			if _, err := fields.Write(payload); err != nil {
				return err
			}
			if err := fields.Close(); err != nil {
				return err
			}
			c.headers(id, status, flags.Has(http2.FlagHeadersEndStream))
		case http2.FrameContinuation, http2.FramePushPromise:
			return fmt.Errorf("a frame of the kind %v", kind)
		default:
			if err := c.control(kind, flags, id, payload); err != nil {
				return err
			}
		}
	}
}

// data counts bytes and gives the peer new windows.
func (c *h2conn) data(id uint32, n int64, last bool) error {
	var stream int64
	c.mu.Lock()
	if s := c.streams[id]; s != nil {
		taken := s.taken.Add(n)
		if s.unreturned += n; s.refill > 0 && s.unreturned >= s.refill/2 && !last {
			stream, s.unreturned = s.unreturned, 0
		}
		if s.echo != nil && taken >= s.echoed {
			close(s.echo)
			s.echo = nil
		}
		if last {
			c.end(id, nil)
		}
	}
	c.mu.Unlock()
	if stream > 0 {
		if err := c.more(id, stream); err != nil {
			return err
		}
	}
	if c.unreturned += n; c.unreturned >= connectionWindow/2 {
		n, c.unreturned = c.unreturned, 0
		return c.more(0, n)
	}
	return nil
}

// headers takes a head or trailers; interim heads are passed over.
func (c *h2conn) headers(id uint32, status string, last bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.streams[id]
	if s == nil {
		return
	}
	if n, err := strconv.Atoi(status); err == nil && n >= 200 && s.status == 0 {
		s.status = n
		close(s.headed)
	}
	if last {
		c.end(id, nil)
	}
}

// control takes what is no exchange's.
func (c *h2conn) control(kind http2.FrameType, flags http2.Flags, id uint32, payload []byte) error {
	word := func(at int) uint32 {
		if len(payload) < at+4 {
			return 0
		}
		return binary.BigEndian.Uint32(payload[at:])
	}
	switch kind {
	case http2.FrameSettings:
		if !flags.Has(http2.FlagSettingsAck) {
			return c.settings(payload)
		}
	case http2.FramePing:
		if !flags.Has(http2.FlagPingAck) {
			return c.writeFrame(http2.FramePing, http2.FlagPingAck, 0, payload)
		}
	case http2.FrameWindowUpdate:
		c.mu.Lock()
		defer c.mu.Unlock()
		if id == 0 {
			c.window += int64(word(0))
		} else if s := c.streams[id]; s != nil {
			s.window += int64(word(0))
		}
		c.grown.Broadcast()
	case http2.FrameRSTStream:
		c.mu.Lock()
		defer c.mu.Unlock()
		c.end(id, fmt.Errorf("the stream was reset: %v", http2.ErrCode(word(0))))
	case http2.FrameGoAway:
		code := http2.ErrCode(word(4))
		c.mu.Lock()
		defer c.mu.Unlock()
		c.goaway = &code
	}
	return nil
}

func (c *h2conn) settings(payload []byte) error {
	c.mu.Lock()
	for ; len(payload) >= 6; payload = payload[6:] {
		value := binary.BigEndian.Uint32(payload[2:])
		switch http2.SettingID(binary.BigEndian.Uint16(payload)) {
		case http2.SettingInitialWindowSize:
			for _, s := range c.streams {
				s.window += int64(value) - c.first
			}
			c.first = int64(value)
		case http2.SettingEnableConnectProtocol:
			c.extended = value == 1
		}
	}
	c.grown.Broadcast()
	c.mu.Unlock()
	err := c.writeFrame(http2.FrameSettings, http2.FlagSettingsAck, 0, nil)
	select {
	case <-c.ready:
	default:
		close(c.ready)
	}
	return err
}

// writeFrame writes a small frame.
func (c *h2conn) writeFrame(kind http2.FrameType, flags http2.Flags, stream uint32, payload []byte) error {
	frame := make([]byte, frameHead, frameHead+len(payload))
	putFrameHead(frame, uint32(len(payload)), kind, flags, stream)
	c.writing.Lock()
	defer c.writing.Unlock()
	_, err := c.Write(append(frame, payload...))
	return err
}
