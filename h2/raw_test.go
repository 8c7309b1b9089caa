package h2_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/mezusphere/mezu/h2"
	"github.com/mezusphere/mezu/relay"
	"github.com/mezusphere/mezu/testkit/frames"
)

// patience bounds every wait of a test that has gone wrong.
const patience = time.Minute

// raw is a client that says what it likes.
type raw struct {
	t testing.TB
	net.Conn
	f     *http2.Framer
	block bytes.Buffer
	enc   *hpack.Encoder
}

// dialRaw connects to a server without TLS, which ends with the test.
func dialRaw(t testing.TB, handle func(*h2.Stream), settings ...http2.Setting) (*raw, *h2.Server) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := h2.NewServer(h2.ServerConfig{Serve: handle})
	var wg sync.WaitGroup
	wg.Go(func() {
		conn, err := l.Accept()
		l.Close() // not before: it would end a connection that waits
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		s.ServeConn(conn, nil, nil)
	})
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		l.Close()
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() {
		conn.Close()
		s.Close()
		wg.Wait()
	})
	c := &raw{t: t, Conn: conn, f: http2.NewFramer(conn, conn)}
	c.enc = hpack.NewEncoder(&c.block)
	io.WriteString(conn, http2.ClientPreface)
	c.f.WriteSettings(settings...)
	return c, s
}

// ask opens a stream.
func (c *raw) ask(id uint32, end bool, fields ...string) {
	c.block.Reset()
	all := append([]string{":method", "POST", ":scheme", "https", ":authority", "example.com", ":path", "/"}, fields...)
	for i := 0; i < len(all); i += 2 {
		c.enc.WriteField(hpack.HeaderField{Name: all[i], Value: all[i+1]})
	}
	if err := c.f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.block.Bytes(), EndStream: end, EndHeaders: true}); err != nil {
		c.t.Fatal(err)
	}
}

// until reads frames until one is what is waited for.
func (c *raw) until(what string, is func(http2.Frame) bool) http2.Frame {
	c.t.Helper()
	for {
		f, err := c.f.ReadFrame()
		if err != nil {
			c.t.Fatalf("waiting for %s: %v", what, err)
		}
		if is(f) {
			return f
		}
		if s, ok := f.(*http2.SettingsFrame); ok && !s.IsAck() {
			c.f.WriteSettingsAck()
		}
	}
}

func isReset(id uint32, code http2.ErrCode) func(http2.Frame) bool {
	return func(f http2.Frame) bool {
		r, ok := f.(*http2.RSTStreamFrame)
		return ok && r.StreamID == id && r.ErrCode == code
	}
}

// head sends a head alone.
func head(s *h2.Stream, more bool) error {
	var k h2.Block
	k.Status(200)
	return s.SendBlock(&k, false, more)
}

// A connection that is lost inside a body is not the end of the body.
func TestServer_ALostConnectionEndsNoBody(t *testing.T) {
	for name, lose := range map[string]func(*raw){
		"closed":     func(c *raw) { c.Close() },
		"half":       func(c *raw) { c.Conn.(*net.TCPConn).CloseWrite() },
		"half frame": func(c *raw) { c.Write([]byte{0, 1, 0, 0, 0}); c.Conn.(*net.TCPConn).CloseWrite() },
		"reset":      func(c *raw) { c.f.WriteRSTStream(1, http2.ErrCodeCancel) },
		"malformed":  func(c *raw) { c.Write(bytes.Repeat([]byte{0xff}, 100)) },
	} {
		t.Run(name, func(t *testing.T) {
			begun, ended := make(chan struct{}), make(chan error, 1)
			c, _ := dialRaw(t, func(s *h2.Stream) {
				if _, err := s.Next(); err != nil {
					t.Error(err)
				}
				close(begun)
				for {
					if _, err := s.Next(); err != nil {
						ended <- err
						return
					}
				}
			})
			c.ask(1, false)
			c.f.WriteData(1, false, []byte("the beginning"))
			<-begun
			lose(c)
			select {
			case err := <-ended:
				if errors.Is(err, io.EOF) {
					t.Error("the body ended as if it were whole")
				}
			case <-time.After(patience):
				t.Error("the body did not end")
			}
		})
	}
}

// Whoever reads fast gets larger windows, and who doesn't read gets none.
func TestServer_WindowsGrow(t *testing.T) {
	c, _ := dialRaw(t, func(s *h2.Stream) {
		for {
			if _, err := s.Next(); err != nil {
				head(s, true)
				s.Send(nil, true, false)
				return
			}
		}
	})
	window, sent := int64(65535), int64(0)
	conn := int64(65535)
	granted := func(f http2.Frame) {
		if w, ok := f.(*http2.WindowUpdateFrame); ok {
			if w.StreamID == 0 {
				conn += int64(w.Increment)
			} else {
				window += int64(w.Increment)
			}
		}
	}
	c.until("settings", func(f http2.Frame) bool {
		granted(f)
		if s, ok := f.(*http2.SettingsFrame); ok && !s.IsAck() {
			v, _ := s.Value(http2.SettingInitialWindowSize)
			window = int64(v)
			c.f.WriteSettingsAck()
			return true
		}
		return false
	})
	c.ask(1, false)
	most := int64(0)
	chunk := make([]byte, 16<<10)
	for most < 1<<18 {
		for window >= int64(len(chunk)) && conn >= int64(len(chunk)) {
			if err := c.f.WriteData(1, false, chunk); err != nil {
				t.Fatal(err)
			}
			window -= int64(len(chunk))
			conn -= int64(len(chunk))
			if sent += int64(len(chunk)); sent > 1<<30 {
				t.Fatalf("after %d bytes the window was %d at most", sent, most)
			}
		}
		c.until("a window", func(f http2.Frame) bool {
			before := window
			granted(f)
			most = max(most, window)
			return window > before
		})
	}
	if most > 1<<20 {
		t.Errorf("the window grew to %d", most)
	}
	c.f.WriteData(1, true, nil)
	c.until("the answer", func(f http2.Frame) bool {
		return f.Header().Flags.Has(http2.FlagDataEndStream) && f.Header().StreamID == 1
	})
}

// A response may end before its request: it arrives whole, what still comes is dropped, and then the
// stream is reset without an error.
func TestServer_EarlyAnswer(t *testing.T) {
	c, _ := dialRaw(t, func(s *h2.Stream) {
		head(s, true)
		s.Send([]byte("too large"), true, false)
	})
	c.ask(1, false)
	c.until("the answer", func(f http2.Frame) bool {
		d, ok := f.(*http2.DataFrame)
		return ok && d.StreamEnded() && string(d.Data()) == "too large"
	})
	began := time.Now()
	for range 4 {
		c.f.WriteData(1, false, make([]byte, 10_000))
	}
	c.until("room for more", func(f http2.Frame) bool {
		w, ok := f.(*http2.WindowUpdateFrame)
		return ok && w.StreamID == 1
	})
	c.until("the reset", isReset(1, http2.ErrCodeNo))
	if time.Since(began) < time.Second {
		t.Error("the stream was reset at once")
	}
	c.ask(3, true)
	c.until("another answer", func(f http2.Frame) bool { return f.Header().StreamID == 3 })
}

// A client may stop an upload that was answered by ending it before its Content-Length, as curl 7 does:
// the rest of the answer comes. Before the answer that is an error, and the body never looks complete.
func TestServer_AnsweredUploadEndsShort(t *testing.T) {
	stopped, ended := make(chan struct{}), make(chan error)
	answered := true
	c, _ := dialRaw(t, func(s *h2.Stream) {
		if answered {
			head(s, true)
			s.Send([]byte("too "), false, false)
		}
		read := make(chan error)
		go func() {
			for {
				if _, err := s.Next(); err != nil {
					read <- err
					return
				}
			}
		}()
		if answered {
			<-stopped
			s.Send([]byte("large"), true, false)
			s.StopRead()
		}
		ended <- <-read
	})
	c.ask(1, false, "content-length", "100000")
	c.f.WriteData(1, false, make([]byte, 1000))
	c.until("an answer", func(f http2.Frame) bool { return f.Header().Type == http2.FrameData })
	c.f.WriteData(1, true, make([]byte, 1000))
	c.f.WritePing(false, [8]byte{})
	c.until("a PING to come back", func(f http2.Frame) bool { return f.Header().Type == http2.FramePing })
	close(stopped)
	c.until("the end of the answer", func(f http2.Frame) bool {
		d, ok := f.(*http2.DataFrame)
		return ok && d.StreamEnded() && string(d.Data()) == "large"
	})
	if err := <-ended; err != h2.ErrStopped {
		t.Errorf("reading ends with %v", err)
	}
	answered = false
	c.ask(3, false, "content-length", "100000")
	c.f.WriteData(3, true, make([]byte, 1000))
	c.until("the reset", isReset(3, http2.ErrCodeProtocol))
	if err := <-ended; err == nil || err == io.EOF {
		t.Errorf("reading ends with %v", err)
	}
}

// A drain takes what the client has sent before it knew, tells it to go, and ends the connection
// when the last answer has gone.
func TestServer_Drain(t *testing.T) {
	goOn := make(chan struct{})
	c, s := dialRaw(t, func(s *h2.Stream) {
		<-goOn
		head(s, true)
		s.Send(nil, true, false)
	})
	c.ask(1, true)
	c.f.WritePing(false, [8]byte{1})
	c.until("the answer to a PING", func(f http2.Frame) bool { return f.Header().Type == http2.FramePing })
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		s.Drain(t.Context())
	}()
	last := func(id uint32) func(http2.Frame) bool {
		return func(f http2.Frame) bool {
			g, ok := f.(*http2.GoAwayFrame)
			return ok && g.LastStreamID == id && g.ErrCode == http2.ErrCodeNo
		}
	}
	c.until("the first GOAWAY", last(1<<31-1))
	c.ask(3, true)
	ping := c.until("the PING", func(f http2.Frame) bool { return f.Header().Type == http2.FramePing }).(*http2.PingFrame)
	c.f.WritePing(true, ping.Data)
	c.until("the second GOAWAY", last(3))
	c.ask(5, false)
	c.f.WriteData(5, true, []byte("too late"))
	c.until("its refusal", isReset(5, http2.ErrCodeRefusedStream))
	close(goOn)
	ended := 0
	c.until("both answers", func(f http2.Frame) bool {
		if f.Header().Type == http2.FrameData && f.Header().Flags.Has(http2.FlagDataEndStream) {
			ended++
		}
		return ended == 2
	})
	if _, err := io.Copy(io.Discard, c.Conn); err != nil {
		t.Error(err)
	}
	c.Close()
	select {
	case <-drained:
	case <-time.After(patience):
		t.Error("Drain does not end")
	}
}

// Streams that nobody reads stop none beside them.
func TestServer_StalledStreamsStopNone(t *testing.T) {
	leave := make(chan struct{})
	c, _ := dialRaw(t, func(s *h2.Stream) {
		var req relay.Request
		var names relay.Names
		if s.Request(&req, &names) != nil {
			return
		}
		if req.Path.Path == "/stalled" {
			<-leave
			return
		}
		for {
			if _, err := s.Next(); err != nil {
				head(s, true)
				s.Send(nil, true, false)
				return
			}
		}
	})
	defer close(leave)
	conn := int64(65535)
	var mu sync.Mutex
	answered := make(chan struct{})
	is := func(f http2.Frame) bool {
		if w, ok := f.(*http2.WindowUpdateFrame); ok && w.StreamID == 0 {
			mu.Lock()
			conn += int64(w.Increment)
			mu.Unlock()
		}
		if f.Header().StreamID == 1001 {
			close(answered)
			return true
		}
		return false
	}
	go func() {
		for f, err := c.f.ReadFrame(); err == nil && !is(f); f, err = c.f.ReadFrame() {
		}
	}()
	room := func(n int64) {
		for deadline := time.Now().Add(patience); ; {
			mu.Lock()
			if conn >= n {
				conn -= n
				mu.Unlock()
				return
			}
			mu.Unlock()
			if time.Now().After(deadline) {
				t.Fatal("the connection has no room")
			}
		}
	}
	part := make([]byte, 16<<10)
	for i := range uint32(50) {
		c.block.Reset()
		for _, f := range [][2]string{{":method", "POST"}, {":scheme", "https"}, {":authority", "example.com"}, {":path", "/stalled"}} {
			c.enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
		}
		c.f.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: c.block.Bytes(), EndHeaders: true})
		for range 4 { // all that its window takes
			room(int64(len(part)))
			if err := c.f.WriteData(2*i+1, false, part); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.ask(1001, false)
	room(int64(len(part)))
	c.f.WriteData(1001, true, part)
	select {
	case <-answered:
	case <-time.After(patience):
		t.Error("a stream waits for others that are stalled")
	}
}

// A server that is silent is asked by PING twice, and then by SETTINGS, which servers of gRPC don't
// count.
func TestClient_AsksASilentServerSparingly(t *testing.T) {
	client, in := dialClient(t, h2.ClientConfig{PingAfter: 10 * time.Millisecond, PingTimeout: patience})
	in.SetDeadline(time.Now().Add(patience))
	s := get(t, client)
	defer s.Close()
	server := http2.NewFramer(in, in)
	server.WriteSettings()
	block := bytes.Buffer{}
	hpack.NewEncoder(&block).WriteField(hpack.HeaderField{Name: ":status", Value: "103"})
	asked := ""
	for begun := false; len(asked) < 9; {
		f, err := server.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch f := f.(type) {
		case *http2.HeadersFrame:
			begun = true
		case *http2.PingFrame:
			asked += "P"
			server.WritePing(true, f.Data)
		case *http2.SettingsFrame:
			if begun && !f.IsAck() {
				asked += "S"
			}
			if !f.IsAck() {
				server.WriteSettingsAck()
			}
			if asked == "PPSS" {
				server.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true})
			}
		}
	}
	if asked != "PPSSPPSSS" {
		t.Errorf("the server was asked by %s", asked)
	}
}

// A client may take back the window of a stream whose turn to send it is already.
func TestServer_AWindowShrinksBelowZero(t *testing.T) {
	const size = 200_000
	c, _ := dialRaw(t, func(s *h2.Stream) {
		head(s, true)
		s.Send(make([]byte, size), true, false)
	}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
	c.ask(1, true)
	got := 0
	data := func(f http2.Frame) {
		if d, ok := f.(*http2.DataFrame); ok {
			got += len(d.Data())
		}
	}
	c.until("all that the window of the connection lets through", func(f http2.Frame) bool {
		data(f)
		return got == 65_535
	})
	c.f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	c.f.WriteWindowUpdate(0, 1<<20)
	c.f.WritePing(false, [8]byte{})
	c.until("an answer to PING", func(f http2.Frame) bool {
		data(f)
		return f.Header().Type == http2.FramePing
	})
	if got != 65_535 {
		t.Errorf("%d bytes came of a stream without a window", got)
	}
	c.f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
	c.until("the end", func(f http2.Frame) bool {
		data(f)
		return f.Header().Type == http2.FrameData && f.Header().Flags.Has(http2.FlagDataEndStream)
	})
	if got != size {
		t.Errorf("%d bytes came of %d", got, size)
	}
}

// countedReads ends with the read that is one too many.
type countedReads struct {
	net.Conn
	left int
}

func (c *countedReads) Read(p []byte) (int, error) {
	if c.left--; c.left < 0 {
		return 0, io.EOF
	}
	return c.Conn.Read(p)
}

// A deadline for reads is not moved each time that something comes. One that has passed too soon is.
func TestServer_WaitsWithoutReadingOverAndOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, out := net.Pipe()
		s := h2.NewServer(h2.ServerConfig{Serve: func(s *h2.Stream) {
			head(s, true)
			s.Send(nil, true, false)
		}})
		began, reads := time.Now(), &countedReads{Conn: conn, left: 1000}
		var wg sync.WaitGroup
		wg.Go(func() {
			defer conn.Close()
			s.ServeConn(reads, nil, nil)
		})
		wg.Go(func() { io.Copy(io.Discard, out) })
		io.WriteString(out, http2.ClientPreface)
		w := http2.NewFramer(out, nil)
		w.WriteSettings()
		frames.Headers(w, 1, true, ":method", "GET", ":scheme", "https", ":authority", "example.com", ":path", "/")
		<-time.After(time.Second) // less than what a deadline may be too early by
		frames.Headers(w, 3, true, ":method", "GET", ":scheme", "https", ":authority", "example.com", ":path", "/")
		wg.Wait()
		s.Close()
		if reads.left < 0 {
			t.Error("the server reads all the time while nothing comes")
		} else if waited := time.Since(began); waited < 75*time.Second {
			t.Errorf("the connection ended after %v", waited)
		}
	})
}

// A client that wants a smaller table of fields is told, with the next head, that it is empty
// (RFC 7541, 4.2): nghttp2 ends the connection otherwise.
func TestServer_TellsOfItsTableWhereItMust(t *testing.T) {
	c, _ := dialRaw(t, func(s *h2.Stream) {
		head(s, true)
		s.Send(nil, true, false)
	}, http2.Setting{ID: http2.SettingHeaderTableSize, Val: 0})
	c.f.SetReuseFrames()
	for _, ask := range []struct {
		id   uint32
		want []byte
	}{{1, []byte{0x20, 0x88}}, {3, []byte{0x88}}} {
		c.ask(ask.id, true)
		f := c.until("a head", func(f http2.Frame) bool { return f.Header().Type == http2.FrameHeaders })
		if got := f.(*http2.HeadersFrame).HeaderBlockFragment(); !bytes.Equal(got, ask.want) {
			t.Errorf("the head of stream %d is % x, want % x", ask.id, got, ask.want)
		}
	}
}

// A drain waits for a request whose head has begun to come: its client was told that it is served.
func TestServer_DrainWaitsForAHead(t *testing.T) {
	c, s := dialRaw(t, func(s *h2.Stream) {
		head(s, true)
		s.Send(nil, true, false)
	})
	block := frames.Block(":method", "GET", ":scheme", "https", ":authority", "example.com", ":path", "/")
	c.until("settings to be agreed on", func(f http2.Frame) bool {
		return f.Header().Type == http2.FrameSettings && f.Header().Flags.Has(http2.FlagSettingsAck)
	})
	c.f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block[:3], EndStream: true})
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		s.Drain(t.Context())
	}()
	c.until("the last GOAWAY", func(f http2.Frame) bool {
		g, ok := f.(*http2.GoAwayFrame)
		return ok && g.LastStreamID == 1
	})
	c.f.WriteContinuation(1, true, block[3:])
	c.until("the answer", func(f http2.Frame) bool {
		return f.Header().Type == http2.FrameData && f.Header().Flags.Has(http2.FlagDataEndStream)
	})
	c.Close()
	<-drained
}

// SETTINGS cost what is in them: each may change every stream.
func TestServer_ManySettings(t *testing.T) {
	c, _ := dialRaw(t, echo)
	many := make([]http2.Setting, 2000)
	for i := range many {
		many[i] = http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(i)}
	}
	c.f.WriteSettings(many...)
	c.until("the end of it", func(f http2.Frame) bool {
		g, ok := f.(*http2.GoAwayFrame)
		return ok && g.ErrCode == http2.ErrCodeEnhanceYourCalm
	})
}

// dialClient is a client, and the other end of its connection, behind the preface. Both end with the
// test.
func dialClient(t *testing.T, cfg h2.ClientConfig) (*h2.Client, net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	out, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	var crew h2.Crew
	client := h2.NewClient(out, &crew, cfg)
	var running sync.WaitGroup
	running.Go(func() { client.Run() })
	t.Cleanup(func() {
		client.Kill()
		running.Wait()
		crew.Close()
		in.Close()
	})
	io.CopyN(io.Discard, in, int64(len(http2.ClientPreface)))
	return client, in
}

// connect is a client, and the server that it speaks to.
func connect(t *testing.T) (*h2.Client, *frames.Conn) {
	client, in := dialClient(t, h2.ClientConfig{PingAfter: patience, PingTimeout: patience})
	return client, frames.Server(t, in, in, frames.Options{})
}

// get begins an exchange without a body.
func get(t *testing.T, c *h2.Client) *h2.Stream {
	t.Helper()
	s := reserve(t, c)
	if err := sendGet(s); err != nil {
		t.Fatal(err)
	}
	return s
}

// reserve takes a place for one.
func reserve(t *testing.T, c *h2.Client) *h2.Stream {
	t.Helper()
	if ok, _ := c.Reserve(); !ok {
		t.Fatal("the connection has no place")
	}
	return c.Open("GET")
}

func sendGet(s *h2.Stream) error {
	var k h2.Block
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}} {
		k.FieldText(f[0], f[1])
	}
	return s.SendBlock(&k, true, false)
}

// The answer to an exchange that was given up may come when many others have ended since: it was on
// its way, and costs those beside it nothing.
func TestClient_AnAnswerThatComesLate(t *testing.T) {
	c, server := connect(t)
	get(t, c).Close()
	id := uint32(1)
	exchange := func() {
		t.Helper()
		s := get(t, c)
		defer s.Close()
		id += 2
		if _, came := server.WaitStream(id, func(s *frames.Stream) bool { return s.Ended }); !came {
			t.Fatalf("request %d did not come", id)
		}
		server.Headers(id, true, ":status", "204")
		var h relay.ResponseHead
		if err := s.ReadHead(&h); err != nil || h.Status != 204 {
			t.Fatalf("request %d is answered with %d, %v", id, h.Status, err)
		}
	}
	for range 70 {
		exchange()
	}
	server.Headers(1, false, ":status", "200")
	for range 300 {
		server.Data(1, false, make([]byte, 10))
	}
	server.Headers(1, true, "grpc-status", "0")
	exchange()
}

// Room for more is told while the reader still has some to go on with: the way there and back is as
// long as it takes.
func TestServer_TellsOfRoomBeforeAllIsRead(t *testing.T) {
	came, leave := make(chan struct{}), make(chan struct{})
	c, _ := dialRaw(t, func(s *h2.Stream) {
		<-came
		for range 3 { // of four
			s.Next()
		}
		<-leave
	})
	defer close(leave)
	c.ask(1, false)
	for range 4 {
		c.f.WriteData(1, false, make([]byte, 16_000))
	}
	c.f.WritePing(false, [8]byte{})
	c.until("an answer to PING, which comes behind all that was sent", func(f http2.Frame) bool {
		p, ok := f.(*http2.PingFrame)
		return ok && p.IsAck()
	})
	c.SetDeadline(time.Now().Add(5 * time.Second))
	close(came)
	c.until("room", func(f http2.Frame) bool {
		w, ok := f.(*http2.WindowUpdateFrame)
		return ok && w.StreamID == 1
	})
}

// However many large heads wait for their bodies at once, what goes out in one go is bounded.
func TestClient_ManyLargeHeads(t *testing.T) {
	c, server := connect(t)
	var last *h2.Stream
	for range h2.MaxClientStreams {
		if ok, _ := c.Reserve(); !ok {
			t.Fatal("the connection has no place")
		}
		last = c.Open("POST")
		defer last.Close()
		var k h2.Block
		for _, f := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}, {"x", strings.Repeat("x", 34<<10)}} {
			k.FieldText(f[0], f[1])
		}
		if err := last.SendBlock(&k, false, true); err != nil {
			t.Fatal(err)
		}
	}
	if err := last.Send(nil, true, false); err != nil {
		t.Fatal(err)
	}
	if _, came := server.WaitStream(2*h2.MaxClientStreams-1, func(s *frames.Stream) bool { return s.Ended }); !came {
		t.Errorf("the last request did not come: %v", server)
	}
}

// A server that allows no exchange at all is left: each request would make another connection to it, and
// all of them would stay.
func TestClient_LeavesAServerThatTakesNothing(t *testing.T) {
	c, server := connect(t)
	s := get(t, c)
	server.WaitStream(1, func(s *frames.Stream) bool { return s.Ended })
	server.Send(func(w *http2.Framer) {
		w.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 0})
		w.WriteRSTStream(1, http2.ErrCodeRefusedStream)
	})
	var h relay.ResponseHead
	if err := s.ReadHead(&h); err == nil || !s.Unprocessed() {
		t.Errorf("a request that was refused ends with %v", err)
	}
	s.Close()
	if code, _, ok := server.WaitAway(); !ok || code != http2.ErrCodeNo {
		t.Errorf("the connection stays: %v", server)
	}
}

// Places that were taken before the server said how many it allows are no reason to open more streams than
// that: it may answer with PROTOCOL_ERROR, as net/http's does.
func TestClient_OpensNoMoreThanTheServerAllows(t *testing.T) {
	c, server := connect(t)
	first, second, third := get(t, c), reserve(t, c), reserve(t, c)
	defer first.Close()
	server.Send(func(w *http2.Framer) {
		w.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 2})
	})
	if !server.Acked(2) {
		t.Fatalf("the settings were not taken: %v", server)
	}
	if err := sendGet(second); err != nil {
		t.Error(err)
	}
	var reset *h2.StreamError
	if err := sendGet(third); !errors.As(err, &reset) || reset.Code != h2.RefusedStream || !third.Unprocessed() {
		t.Errorf("one more than is allowed ends with %v", err)
	}
	third.Close()
	second.Close()
	fourth := get(t, c)
	defer fourth.Close()
	if _, came := server.WaitStream(5, func(s *frames.Stream) bool { return s.Ended }); !came || server.Matching(func(*frames.Stream) bool { return true }) != 3 {
		t.Errorf("not what was allowed came: %v", server)
	}
}

// What is known from other connections to a server counts until it has said its own.
func TestClient_AllowedBeforeSettings(t *testing.T) {
	for name, c := range map[string]struct {
		settings []http2.Setting
		allowed  int
	}{
		"as many":  {[]http2.Setting{{ID: http2.SettingMaxConcurrentStreams, Val: 2}}, 2},
		"more":     {[]http2.Setting{{ID: http2.SettingMaxConcurrentStreams, Val: 5}}, 5},
		"less":     {[]http2.Setting{{ID: http2.SettingMaxConcurrentStreams, Val: 1}}, 1},
		"any":      {nil, h2.MaxClientStreams},
		"too many": {[]http2.Setting{{ID: http2.SettingMaxConcurrentStreams, Val: 1 << 31}}, h2.MaxClientStreams},
	} {
		t.Run(name, func(t *testing.T) {
			room := make(chan struct{}, 100)
			client, in := dialClient(t, h2.ClientConfig{PingAfter: patience, PingTimeout: patience, Allowed: 2, Room: func() { room <- struct{}{} }})
			defer get(t, client).Close()
			defer get(t, client).Close()
			if ok, _ := client.Reserve(); ok || client.Allowed() != 2 {
				t.Errorf("there is room for more, or for %d", client.Allowed())
			}
			frames.Server(t, in, in, frames.Options{Settings: c.settings})
			select {
			case <-room:
			case <-time.After(patience):
				t.Fatal("nobody heard of the settings")
			}
			if n := client.Allowed(); n != c.allowed {
				t.Errorf("%d are allowed, want %d", n, c.allowed)
			}
			if ok, _ := client.Reserve(); ok != (c.allowed > 2) {
				t.Errorf("there is room: %t", ok)
			}
		})
	}
}
