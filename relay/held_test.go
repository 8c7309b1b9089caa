package relay_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/relay"
)

// shelf is a Store of so many bytes.
type shelf struct {
	left, out atomic.Int64
	spare     bool
}

func newShelf(n int64) *shelf {
	s := &shelf{}
	s.left.Store(n)
	return s
}

func (s *shelf) Take(n int) bool {
	if s.left.Load() < int64(n) {
		return false
	}
	s.left.Add(-int64(n))
	s.out.Add(int64(n))
	return true
}

func (s *shelf) Spare() bool { return s.spare }

func (s *shelf) Give(n int) {
	s.left.Add(int64(n))
	s.out.Add(-int64(n))
}

// readAllOf reads a source to its end.
func readAllOf(src relay.Source) (string, error) {
	var out bytes.Buffer
	for {
		p, err := src.Next()
		if err == io.EOF {
			return out.String(), nil
		}
		if err != nil {
			return out.String(), err
		}
		out.Write(p)
	}
}

// What is held comes out as it went in, however it came, and again after Rewind as long as
// nothing was read beyond it; memory goes back.
func TestRow7_HeldBodiesAreWhole(t *testing.T) {
	text := strings.Repeat("0123456789abcdef", 8<<10) // 128 KiB
	for _, n := range []int{1, 100, 4 << 10, 5000, 36 << 10, relay.MaxHeld - 1, relay.MaxHeld, relay.MaxHeld + 1, 100 << 10} {
		for _, known := range []bool{true, false} {
			for _, room := range []int64{0, 8 << 10, 1 << 20} {
				for name, slow := range map[string]func(io.Reader) io.Reader{"at once": func(r io.Reader) io.Reader { return r }, "a byte each": iotest.OneByteReader, "whose end comes along": iotest.DataErrReader} {
					what := fmt.Sprintf("%d bytes %s, known %v, room %d", n, name, known, room)
					src := &streamed{r: slow(strings.NewReader(text[:n]))}
					req := relay.Request{Framing: relay.Chunked}
					if known {
						req.Framing, req.Length = relay.Length, int64(n)
					}
					var h relay.Held
					s := newShelf(room)
					if err := h.Hold(&req, src, nil, s); err != nil {
						t.Fatalf("%s: %v", what, err)
					}
					if n <= relay.MaxHeld && room > 1<<19 && !h.Complete() || n > relay.MaxHeld && !known && h.Complete() {
						t.Errorf("%s: whole %v", what, h.Complete())
					}
					if !h.Ready() {
						t.Errorf("%s: it isn't ready", what)
					}
					for range 2 {
						got, err := readAllOf(&h)
						if err != nil || got != text[:n] {
							t.Fatalf("%s: %d bytes, %v", what, len(got), err)
						}
						if again := h.Rewind(); again != h.Complete() {
							t.Errorf("%s: again %v, whole %v", what, again, h.Complete())
						} else if !again {
							break
						}
					}
					h.Close()
					if s.out.Load() != 0 {
						t.Errorf("%s: %d bytes are not given back", what, s.out.Load())
					}
				}
			}
		}
	}
}

// A body of unknown length that pauses is sent on as it comes where there is plenty of
// room, and not a byte of it is lost or doubled; where there is not, it waits to be whole.
func TestRow7_WhoSpeaksByTurnsIsHeard(t *testing.T) {
	synctest.Test(t, testWhoSpeaksByTurnsIsHeard)
}

func testWhoSpeaksByTurnsIsHeard(t *testing.T) {
	for _, spare := range []bool{true, false} {
		for _, cut := range []bool{true, false} {
			out, in := io.Pipe()
			src := &streamed{r: out}
			s := newShelf(1 << 20)
			s.spare = spare
			var h relay.Held
			held := make(chan error, 1)
			go func() { held <- h.Hold(&relay.Request{Framing: relay.Chunked}, src, nil, s) }()
			io.WriteString(in, "first, ")
			io.WriteString(in, "second, ")
			if !spare {
				select {
				case err := <-held:
					t.Fatalf("it is sent on before it is whole: %v", err)
				case <-time.After(600 * time.Millisecond):
				}
			} else if err := receive(t, held, "body"); err != nil || h.Complete() {
				t.Fatalf("%v, whole %v", err, h.Complete())
			}
			if cut {
				out.CloseWithError(errors.New("cut"))
			} else {
				io.WriteString(in, "third")
				in.Close()
			}
			if !spare {
				if err := receive(t, held, "body"); (err == nil) == cut {
					t.Errorf("cut %v: %v", cut, err)
				}
			}
			if spare || !cut {
				got, err := readAllOf(&h)
				if want := "first, second, third"; (err == nil) == cut || got != want && !cut || cut && got != "first, second, " {
					t.Errorf("spare %v, cut %v: %q, %v", spare, cut, got, err)
				}
			}
			h.EndHold(&stopper{})
			h.Close()
			if s.out.Load() != 0 {
				t.Errorf("%d bytes are not given back", s.out.Load())
			}
			out.Close()
		}
	}
}

// The head stays what it was while the body is held, whatever the body's bytes.
func TestRow7_HeadsOutliveTheirHeldBody(t *testing.T) {
	for _, framing := range []string{"Content-Length: 60000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n"} {
		near, far := pair(t)
		var c relay.Client
		c.Reset(far, patience, patience)
		head := "POST /x HTTP/1.1\r\nHost: a\r\nX-Long: " + strings.Repeat("l", 3000) + "\r\n" + framing
		body := strings.Repeat("B", 60000)
		sent := body
		if strings.HasPrefix(framing, "T") {
			sent = fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
		}
		var writing sync.WaitGroup
		writing.Go(func() {
			io.WriteString(near, head+sent[:2000])
			io.WriteString(near, sent[2000:]+"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
		})
		if err := c.Reader.ReadRequest(&c.Head); err != nil {
			t.Fatal(err)
		}
		var req relay.Request
		var names relay.Names
		if err := c.Head.Canonical(&req, &names); err != nil {
			t.Fatal(err)
		}
		c.Begin(0)
		s := newShelf(1 << 20)
		if err := c.Hold(nil, s); err != nil || !c.UploadNow() {
			t.Fatalf("%s: %v, whole %v", framing, err, c.UploadNow())
		}
		writing.Wait()
		for range 2 {
			if got, err := readAllOf(c.Source()); err != nil || got != body {
				t.Fatalf("%s: %d bytes, %v", framing, len(got), err)
			}
			if !c.Rewind() {
				t.Errorf("%s: it can't begin anew", framing)
			}
		}
		if got := fieldLines(req.Fields); !strings.Contains(got, strings.Repeat("l", 3000)) {
			t.Errorf("%s: the head became %.40q", framing, got)
		}
		if !c.BodyDone() {
			t.Errorf("%s: the body is not done", framing)
		}
		c.End()
		if s.out.Load() != 0 {
			t.Errorf("%s: %d bytes are not given back", framing, s.out.Load())
		}
		if err := c.Reader.ReadRequest(&c.Head); err != nil || string(c.Head.Target) != "/next" {
			t.Errorf("%s: behind it came %q, %v", framing, c.Head.Target, err)
		}
		c.Reader.Release()
	}
}

// stopper counts the ends of reads, and makes them.
type stopper struct {
	n    atomic.Int64
	stop func()
}

func (s *stopper) StopUpload() {
	s.n.Add(1)
	if s.stop != nil {
		s.stop()
	}
}

// A sender is held to its rate only while somebody waits for it, and not at all once the
// bound has ended.
func TestRow7_PaceCountsTheSendersTimeOnly(t *testing.T) {
	synctest.Test(t, testPaceCountsTheSendersTimeOnly)
}

// testPaceCountsTheSendersTimeOnly runs on the bubble's clock: a busy machine delays nobody.
func testPaceCountsTheSendersTimeOnly(t *testing.T) {
	const grace = 60 * time.Millisecond
	read := func(p *relay.Pace, pieces int, pause, between time.Duration, size int) (err error) {
		out, in := io.Pipe()
		defer out.Close()
		over := make(chan struct{})
		defer close(over)
		s := &stopper{stop: func() { out.CloseWithError(errors.New("stopped")) }}
		go func() {
			for range pieces {
				select {
				case <-time.After(pause):
				case <-over:
					return
				}
				if _, err := in.Write(make([]byte, size)); err != nil {
					return
				}
			}
			in.Close()
		}()
		src := &streamed{r: out}
		p.Begin(1<<20, grace, grace, s)
		defer func() {
			p.End()
			n := s.n.Load()
			<-time.After(2 * grace)
			if s.n.Load() != n || (err == nil) != (n == 0) {
				t.Errorf("stopped %d times, then %d: %v", n, s.n.Load(), err)
			}
		}()
		for {
			_, err := p.Next(src)
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			<-time.After(between)
		}
	}
	var p relay.Pace // used again for each
	if err := read(&p, 1000, 2*time.Millisecond, 0, 1); !errors.Is(err, relay.ErrSlowBody) || mezu.CodeOf(err) != mezu.CodeRequestTimeout {
		t.Errorf("a byte now and then: %v", err)
	}
	if err := read(&p, 1, time.Hour, 0, 1); !errors.Is(err, relay.ErrSlowBody) {
		t.Errorf("nothing: %v", err)
	}
	if err := read(&p, 3, 0, 2*grace, 1); err != nil {
		t.Errorf("a receiver that takes its time: %v", err)
	}
	if err := read(&p, 20, 10*time.Millisecond, 0, 4<<10*16); err != nil {
		t.Errorf("fast enough: %v", err)
	}
}

// A call is held to a rate until its response begins: from then on it streams.
func TestRow7_StreamsAreFreeOnceTheResponseBegins(t *testing.T) {
	t.Parallel()
	for name, answers := range map[string]bool{"no answer": false, "answer": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.pace = &relay.Pace{}
			r.grace = time.Second
			r.start(t)
			r.ask(t, "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
			req, err := http.ReadRequest(r.asked)
			if err != nil {
				t.Fatal(err)
			}
			if !answers {
				if o := receive(t, r.done, "outcome"); !errors.Is(o.err, relay.ErrSlowBody) || o.clean {
					t.Errorf("%+v", o)
				}
				return
			}
			io.WriteString(r.upstream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na")
			if _, err := http.ReadResponse(r.answers, nil); err != nil {
				t.Fatal(err)
			}
			<-time.After(3 * r.grace / 2)
			r.ask(t, "0\r\n\r\n")
			if body, err := io.ReadAll(req.Body); err != nil || string(body) != "x" {
				t.Errorf("the upstream read %q, %v", body, err)
			}
			io.WriteString(r.upstream, "b")
			if o := receive(t, r.done, "outcome"); o.err != nil || o.status != 200 {
				t.Errorf("%+v", o)
			}
		})
	}
}

func TestRequestStreams(t *testing.T) {
	for kind, want := range map[string]bool{"application/grpc": true, "Application/gRPC-Web+proto": true, "application/connect+json": true,
		" application/grpc+proto": true, "application/json": false, "": false, "application/gr": false, "text/event-stream": false} {
		r := relay.Request{Fields: []relay.Field{{Name: []byte("Content-Type"), Value: []byte(kind)}}}
		if r.Streams() != want {
			t.Errorf("%q: %v", kind, !want)
		}
	}
}

// TestResponseStreams: what goes on for as long as somebody listens is told from a download whose
// length nobody knows.
func TestResponseStreams(t *testing.T) {
	for _, c := range []struct {
		status  int
		framing relay.Framing
		kind    string
		want    bool
	}{
		{101, relay.NoBody, "", true},
		{200, relay.Chunked, "text/event-stream; charset=utf-8", true},
		{200, relay.UntilClose, "Text/Event-Stream", true},
		{200, relay.Chunked, "application/grpc-web", true},
		{200, relay.Chunked, "multipart/x-mixed-replace; boundary=x", true},
		{200, relay.Length, "text/event-stream", false},
		{200, relay.Chunked, "text/html", false},
		{200, relay.UntilClose, "application/zip", false},
		{200, relay.Chunked, "", false},
	} {
		h := relay.ResponseHead{Status: c.status}
		h.Framing = c.framing
		h.Fields = []relay.Field{{Name: []byte("Content-Type"), Value: []byte(c.kind)}}
		if h.Streams() != c.want {
			t.Errorf("%d %v %q: %v", c.status, c.framing, c.kind, !c.want)
		}
	}
}

// TestKeptBodies: what was sent on comes once more, even if its read was stopped where it waited,
// until more has passed than is held.
func TestKeptBodies(t *testing.T) {
	for _, size := range []int{10, 3000, 20_000, relay.MaxHeld, relay.MaxHeld + 1, 200_000} {
		for framing, frame := range map[string]func(string) string{
			fmt.Sprintf("Content-Length: %d", 2*size): func(s string) string { return s },
			"Transfer-Encoding: chunked":              func(s string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(s), s) },
		} {
			near, far := pair(t)
			var c relay.Client
			c.Reset(far, patience, patience)
			first, second := strings.Repeat("1", size), strings.Repeat("2", size)
			var writing sync.WaitGroup
			writing.Go(func() {
				io.WriteString(near, "POST /x HTTP/1.1\r\nHost: a\r\nX-Long: "+strings.Repeat("l", 3000)+"\r\n"+framing+"\r\n\r\n"+frame(first))
			})
			if err := c.Reader.ReadRequest(&c.Head); err != nil {
				t.Fatal(err)
			}
			c.Begin(0)
			c.Keep()
			stopped := make(chan error, 1)
			var came atomic.Int64
			go func() {
				for {
					p, err := c.Source().Next()
					came.Add(int64(len(p)))
					if err != nil {
						stopped <- err
						return
					}
				}
			}()
			for came.Load() < int64(size) {
				runtime.Gosched()
			}
			c.StopUpload()
			if err := receive(t, stopped, "end of the read"); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s, %d bytes: %v", framing, size, err)
			}
			if got := c.Rewind(); got != (size <= relay.MaxHeld) {
				t.Errorf("%s, %d bytes: it begins anew: %v", framing, size, got)
			} else if got {
				writing.Go(func() {
					io.WriteString(near, frame(second))
					if strings.HasSuffix(framing, "chunked") {
						io.WriteString(near, "0\r\nX: 1\r\n\r\n")
					}
				})
				if body, err := readAllOf(c.Source()); err != nil || body != first+second {
					t.Errorf("%s, %d bytes: %d, %v", framing, size, len(body), err)
				}
				if c.Rewind() != (2*size <= relay.MaxHeld) || c.UploadNow() != (2*size <= relay.MaxHeld) {
					t.Errorf("%s, %d bytes are held, or are not", framing, 2*size)
				} else if c.UploadNow() {
					if body, err := readAllOf(c.Source()); err != nil || body != first+second {
						t.Errorf("%s, %d bytes once more: %d, %v", framing, size, len(body), err)
					}
				}
			}
			if got := string(c.Head.Fields[1].Value); got != strings.Repeat("l", 3000) {
				t.Errorf("%s, %d bytes: the head became %.40q", framing, size, got)
			}
			near.Close()
			writing.Wait()
			c.End()
			c.Reader.Release()
		}
	}
}
