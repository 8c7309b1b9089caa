package h2

import (
	"bytes"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/mezusphere/mezu/testkit/frames"
)

// scripted is a connection that gives the reader piece after piece, and then nothing until it is ended.
type scripted struct {
	net.Conn
	next  func() []byte // nil: nothing more comes
	ended chan struct{} // a deadline has passed
	once  sync.Once
}

func (c *scripted) Read(p []byte) (int, error) {
	b := c.next()
	if b == nil {
		<-c.ended
		return 0, io.EOF
	}
	return copy(p, b), nil
}

func (c *scripted) SetReadDeadline(t time.Time) error {
	if t.Unix() == 1 {
		c.once.Do(func() { close(c.ended) })
	}
	return nil
}

func (c *scripted) Write(p []byte) (int, error)      { return len(p), nil }
func (c *scripted) SetWriteDeadline(time.Time) error { return nil }

// said is what a client sends.
func said(say func(w *http2.Framer)) []byte {
	var b bytes.Buffer
	say(http2.NewFramer(&b, nil))
	return b.Bytes()
}

var asked = []string{":method", "POST", ":scheme", "https", ":authority", "example.com", ":path", "/"}

// Memory follows what has come of a body, not the number of its frames, however they are cut.
func TestServer_SmallPiecesShareMemory(t *testing.T) {
	const pieces = 5000
	var stream *Stream
	begun, leave := make(chan struct{}), make(chan struct{})
	s := NewServer(ServerConfig{Serve: func(s *Stream) {
		stream = s
		close(begun)
		<-leave
	}})
	at := 0
	conn := &scripted{ended: make(chan struct{})}
	data := said(func(w *http2.Framer) { w.WriteData(1, false, []byte{'x'}) })
	came := make(chan struct{})
	conn.next = func() []byte {
		at++
		switch {
		case at == 1:
			return []byte(preface)
		case at == 2:
			return said(func(w *http2.Framer) { w.WriteSettings() })
		case at == 3:
			return said(func(w *http2.Framer) { frames.Headers(w, 1, false, asked...) })
		case at > 3+2*pieces:
			close(came)
			return nil
		case at%2 == 0:
			return data[:frameHeader]
		}
		return data[frameHeader:]
	}
	var wg sync.WaitGroup
	wg.Go(func() { s.ServeConn(conn, nil, nil) })
	<-begun
	<-came
	stream.c.mu.Lock()
	chunks, held := len(stream.in), stream.held
	stream.c.mu.Unlock()
	if held != pieces {
		t.Errorf("%d bytes are held of %d", held, pieces)
	}
	if most := 2 + pieces/smallBuffer; chunks > most {
		t.Errorf("%d bytes are kept in %d pieces of memory; at most %d are needed", held, chunks, most)
	}
	close(leave)
	s.Close()
	wg.Wait()
}

// A request whose head comes after the connection has ended is not served: nobody would end it.
func TestServer_ServesNothingAfterTheEnd(t *testing.T) {
	served := make(chan struct{}, 9)
	s := NewServer(ServerConfig{Serve: func(s *Stream) {
		served <- struct{}{}
		for {
			if _, err := s.Next(); err != nil {
				return
			}
		}
	}})
	conn := &scripted{ended: make(chan struct{})}
	at := 0
	conn.next = func() []byte {
		switch at++; at {
		case 1:
			return []byte(preface)
		case 2:
			return said(func(w *http2.Framer) {
				w.WriteSettings()
				frames.Headers(w, 1, false, asked...)
			})
		case 3:
			go s.Close()
			<-conn.ended // what follows has come in the same moment
			return append(said(func(w *http2.Framer) { frames.Headers(w, 3, false, asked...) }), 0)
		}
		return nil
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.ServeConn(conn, nil, nil)
	}()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the connection does not end")
	}
	if n := len(served); n != 1 {
		t.Errorf("%d requests were served, one had come", n)
	}
	s.Close()
}

// Who waits until its head may go out is told when the connection ends, even if its stream has no number
// yet.
func TestClient_AHeadThatWaitsEndsWithItsConnection(t *testing.T) {
	for name, end := range map[string]func(*conn){
		"failed": func(c *conn) { c.fail(ErrClosed) },
		"mute":   func(c *conn) { c.writeFailed(io.ErrClosedPipe) },
	} {
		t.Run(name, func(t *testing.T) {
			var crew Crew
			defer crew.Close()
			client := NewClient(&scripted{ended: make(chan struct{})}, &crew, ClientConfig{})
			client.writing, client.ready = true, make([]byte, batchSize+1) // somebody writes, and much waits
			client.Reserve()
			s := client.Open("GET")
			var k Block
			k.FieldText(":method", "GET")
			sent := make(chan error, 1)
			go func() { sent <- s.SendBlock(&k, true, false) }()
			for waits := false; !waits; {
				client.mu.Lock()
				waits = len(client.crowd) > 0
				client.mu.Unlock()
				runtime.Gosched()
			}
			client.mu.Lock()
			end(&client.conn)
			client.mu.Unlock()
			select {
			case err := <-sent:
				if err == nil || !s.Unprocessed() {
					t.Errorf("sending the head gives %v, and the stream is unprocessed: %t", err, s.Unprocessed())
				}
			case <-time.After(10 * time.Second):
				t.Fatal("the head waits for ever")
			}
			s.Close()
		})
	}
}

// What a connection below TLS waits in is small, and what is known to come is read into more than that.
func TestConn_ReadsWhatIsKnownToComeAtOnce(t *testing.T) {
	reads := 0
	c := &serverConn{server: NewServer(ServerConfig{})}
	c.init(&scripted{next: func() []byte {
		reads++
		return make([]byte, smallBuffer)
	}}, c, &c.server.crew, timing{pingAfter: time.Hour})
	c.thrifty = true
	c.in.rest()
	for what, take := range map[string]func() error{
		"skipped": func() error { return c.skip(10 * smallBuffer) },
		"needed":  func() error { _, err := c.need(maxNeed); return err },
	} {
		reads = 0
		if err := take(); err != nil {
			t.Fatal(err)
		}
		if reads > 11 {
			t.Errorf("what is %s is read in %d pieces", what, reads)
		}
		c.in.r = c.in.w
		c.in.rest()
	}
	if len(c.in.buf) != tinyBuffer {
		t.Errorf("a connection waits in %d bytes", len(c.in.buf))
	}
}

// A deadline of a stream that was closed, or was given another, hits nobody: the stream may be another
// request's by then.
func TestStream_ADeadlineThatIsTakenBack(t *testing.T) {
	for name, takeBack := range map[string]func(conn net.Conn){
		"closed": func(conn net.Conn) { conn.Close() },
		"moved":  func(conn net.Conn) { conn.SetDeadline(time.Now().Add(time.Hour)) },
		"none":   func(conn net.Conn) { conn.SetDeadline(time.Time{}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := waiting(0, map[uint32]func(*Stream){1: func(*Stream) {}})
				c.done = sync.NewCond(&c.mu)
				c.writing = true // nothing is written
				s := c.streams[1]
				conn := s.Conn()
				conn.SetDeadline(time.Now().Add(time.Second))
				<-time.After(time.Second / 2)
				takeBack(conn)
				<-time.After(time.Minute)
				if s.expired {
					t.Error("the stream has expired")
				}
			})
		})
	}
}
