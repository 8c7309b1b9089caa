//lint:file-ignore SA1019 x/net's server takes one connection at a time, and says when its goroutines have ended.

package h2_test

import (
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/mezusphere/mezu/h2"
	"github.com/mezusphere/mezu/relay"
	"github.com/mezusphere/mezu/testkit/frames"
)

// told is what both servers answer of a request that has come to its end.
func told(method string, body []byte) string {
	h := fnv.New32a()
	h.Write(body)
	return fmt.Sprintf("%s %d %x", method, len(body), h.Sum32())
}

// tell answers for package h2.
func tell(s *h2.Stream) {
	var req relay.Request
	var names relay.Names
	if err := s.Request(&req, &names); err != nil {
		return
	}
	var body []byte
	for {
		p, err := s.Next()
		body = append(body, p...)
		if err == io.EOF {
			break
		}
		if err != nil {
			return
		}
	}
	var k h2.Block
	k.Status(200)
	if req.Method == "HEAD" {
		s.SendBlock(&k, true, false)
		return
	}
	if s.SendBlock(&k, false, true) == nil {
		s.Send([]byte(told(req.Method, body)), true, false)
	}
}

// tellPeer answers for x/net's server.
func tellPeer(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	io.WriteString(w, told(r.Method, body))
}

// listenFor serves each connection until the test ends.
func listenFor(t testing.TB, serve func(conn net.Conn)) (addr string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return l.Addr().String()
}

// script makes frames of bytes: each three bytes, and those that follow, say one.
func script(b []byte) func(w *http2.Framer) {
	methods := []string{"GET", "POST", "HEAD", "PUT", "OPTIONS", "DELETE"}
	odd := []string{"content-length", "5", "content-length", "0", "te", "trailers", "cookie", "a=b", "x", "", "X", "y", "connection", "close", "host", "example.com", ":path", "/", "expect", "100-continue", "x-y", "z", "trailer", "x-sum", "te", "gzip", "transfer-encoding", "chunked"}
	return func(w *http2.Framer) {
		for len(b) >= 3 {
			op, arg, id := b[0]%14, b[1], uint32(b[2]%8)
			end := arg&1 == 1
			b = b[3:]
			n := min(len(b), int(arg>>3))
			request := []string{":method", methods[int(arg>>1)%len(methods)], ":scheme", "https", ":authority", "example.com", ":path", "/"}
			block := frames.Block(request...)
			switch op {
			case 0:
				w.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: true, EndStream: end})
			case 1:
				i := int(arg>>1) % (len(odd) / 2) * 2
				frames.Headers(w, id, end, append(request[:8:8], odd[i], odd[i+1])...)
			case 2:
				at := int(arg) % len(block)
				w.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block[:at], EndStream: end, PadLength: arg >> 5})
				w.WriteContinuation(id, true, block[at:])
			case 3:
				w.WriteData(id, end, b[:n])
				b = b[n:]
			case 4:
				w.WriteDataPadded(id, end, b[:n], make([]byte, arg>>2))
				b = b[n:]
			case 5:
				frames.Headers(w, id, end, "x-sum", "1")
			case 6:
				w.WriteRSTStream(id, http2.ErrCode(arg))
			case 7:
				w.WriteWindowUpdate(id, uint32(arg)<<(arg%24))
			case 8:
				w.WriteSettings(http2.Setting{ID: http2.SettingID(id), Val: uint32(arg) << (arg % 24)})
			case 9:
				w.WritePriority(id, http2.PriorityParam{StreamDep: uint32(arg % 8), Weight: arg})
			case 10:
				w.WritePing(end, [8]byte{arg})
			case 11:
				w.WriteContinuation(id, end, b[:n])
				b = b[n:]
			case 12:
				w.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: b[:n], EndHeaders: arg&2 == 0, EndStream: end})
				b = b[n:]
			default:
				w.WriteRawFrame(http2.FrameType(arg), http2.Flags(id), id, b[:n])
				b = b[n:]
			}
		}
	}
}

// plain reports whether a script asks for nothing but what one answer fits: it has no fields that both
// judge by rules of their own, which package relay compares, no frames of bytes, and nothing that
// breaks a rule of a stream whose answer may be on its way.
func plain(b []byte) bool {
	var ended [8]bool
	for len(b) >= 3 {
		op, arg, id := b[0]%14, b[1], b[2]%8
		b = b[3:]
		switch op {
		case 0, 2, 3, 4, 5:
			if ended[id] {
				return false
			}
			ended[id] = arg&1 == 1
		case 8, 10: // SETTINGS, PING
		default:
			return false
		}
		if op == 3 || op == 4 {
			b = b[min(len(b), int(arg>>3)):]
		}
	}
	return true
}

// heard is what a server makes of frames: what it has answered on each stream, empty where it
// refused it, and whether it gave up the connection.
func heard(t *testing.T, addr string, say func(w *http2.Framer)) (streams map[uint32]string, over bool) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c := frames.Client(t, conn, frames.Options{Settings: []http2.Setting{{ID: http2.SettingEnablePush, Val: 0}}})
	c.Send(say)
	over = !c.Ping()
	// Until nothing more comes.
	const quiet = 3
	tick := time.NewTicker(3 * time.Millisecond)
	defer tick.Stop()
	for same, last := 0, -1; same < quiet && !over; {
		<-tick.C
		if n := c.Frames(); n != last {
			same, last = 0, n
		} else {
			same++
		}
	}
	streams = map[uint32]string{}
	for id := uint32(1); id < 8; id += 2 {
		s := c.Stream(id)
		switch {
		case s.Ended && s.Status == "200" && len(s.Body) > 0:
			streams[id] = string(s.Body)
		case s.Ended && s.Status == "200":
			streams[id] = "HEAD" // whose answer has no body
		case s.Reset != nil || s.Ended:
			streams[id] = ""
		}
	}
	over = over || c.Gone()
	conn.Close()
	return streams, over
}

// FuzzFramesBesidePeer: of the same frames x/net's server and this one make the same requests, or
// both refuse them. Which errors end a connection they don't agree on: x/net ends it where frames
// come for a stream that it has reset, and not where WINDOW_UPDATE is on one that was never opened.
func FuzzFramesBesidePeer(f *testing.F) {
	for _, seed := range []string{
		"\x00\x01\x01", "\x00\x00\x01\x03\x29\x01hello", "\x00\x02\x01\x03\x28\x01hello\x05\x01\x01", "\x02\x09\x01\x00\x01\x03", "\x00\x02\x01\x04\x29\x01hello\x00\x01\x03\x06\x08\x03",
		"\x01\x02\x01\x03\x29\x01hello", "\x01\x02\x01\x03\x21\x01hell", "\x01\x07\x01", "\x00\x01\x01\x03\x08\x01x", "\x08\x40\x04\x00\x01\x01", "\x07\x00\x01", "\x09\x01\x01\x00\x01\x03", "\x0a\x00\x00\x0d\x42\x01",
		"\x0c\x03\x01", "\x01\x09\x01\x01\x0b\x03\x01\x0d\x05\x01\x0f\x07", "\x00\x00\x03\x00\x01\x01", "\x01\x17\x01\x01\x19\x03\x01\x1b\x05",
	} {
		f.Add([]byte(seed))
	}
	ours := h2.NewServer(h2.ServerConfig{Serve: tell})
	f.Cleanup(ours.Close)
	theirs := &http2.Server{MaxConcurrentStreams: 100}
	base := &http.Server{ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}
	our := listenFor(f, func(conn net.Conn) { ours.ServeConn(conn, nil, nil) })
	their := listenFor(f, func(conn net.Conn) {
		theirs.ServeConn(conn, &http2.ServeConnOpts{BaseConfig: base, Handler: http.HandlerFunc(tellPeer)})
	})
	f.Fuzz(func(t *testing.T, b []byte) {
		const most = 512 // beyond, budgets that x/net doesn't have end the connection
		if len(b) > most {
			return
		}
		a, aOver := heard(t, our, script(slices.Clone(b)))
		p, pOver := heard(t, their, script(slices.Clone(b)))
		for id := uint32(1); id < 8; id += 2 {
			x, y := a[id], p[id]
			if x != "" && y != "" && x != y {
				t.Errorf("stream %d is %q here and %q there", id, x, y)
			}
			if (x != "") != (y != "") && !aOver && !pOver && plain(b) {
				t.Errorf("stream %d is %q here and %q there: %v, %v", id, x, y, a, p)
			}
		}
	})
}
