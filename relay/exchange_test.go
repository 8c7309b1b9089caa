package relay_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/preface"
	"github.com/mezusphere/mezu/relay"
)

// rig is one exchange between a client and an upstream, both played by the test.
type rig struct {
	client   *net.TCPConn
	upstream *net.TCPConn
	tunnel   bool // the upstream is a Warpgate
	response time.Duration
	idle     time.Duration
	spent    time.Duration // of response, before the exchange begins
	limit    int64
	wrap     func(net.Conn) net.Conn // of the upstream connection, if not nil
	shown    func(*relay.ResponseHead)
	pace     *relay.Pace // of the client's body, with this grace
	grace    time.Duration

	x relay.Exchange

	answers *bufio.Reader // what the client reads
	asked   *bufio.Reader // what the upstream reads
	done    chan outcome
}

type outcome struct {
	err     error
	again   bool // it may be sent anywhere once more
	clean   bool // the upstream connection carries on
	last    bool // the client's does not
	body    bool // the request's body was read to its end
	rewound bool // it could be sent once more
	status  int
	in      int64
	out     int64
}

func newRig(t *testing.T) *rig {
	r := &rig{response: patience, idle: patience, done: make(chan outcome, 1)}
	return r
}

// start has one request of the client carried.
func (r *rig) start(t *testing.T) {
	var down, up *net.TCPConn
	r.client, down = pair(t)
	up, r.upstream = pair(t)
	r.answers, r.asked = bufio.NewReader(r.client), bufio.NewReader(r.upstream)
	go r.serve(down, up)
	t.Cleanup(func() {
		r.client.Close()
		r.upstream.Close()
	})
}

func (r *rig) serve(down, up net.Conn) {
	var c relay.Client
	c.Reset(down, patience, patience)
	defer c.Reader.Release()
	var o outcome
	var req relay.Request
	var names relay.Names
	if o.err = c.Reader.ReadRequest(&c.Head); o.err != nil {
		r.done <- o
		return
	}
	if o.err = c.Head.Canonical(&req, &names); o.err != nil {
		r.done <- o
		return
	}
	c.Last = !c.Head.KeepAlive()
	c.Begin(r.limit)
	defer c.Body.Close()
	if r.wrap != nil {
		up = r.wrap(up)
	}
	x := &r.x
	x.Pace, x.Response = r.pace, r.shown
	if r.pace != nil {
		r.pace.Begin(1<<20, r.grace, r.grace, &c)
		defer r.pace.End()
	}
	var again relay.Retry
	s := relay.Server{Head: req.Append}
	s.Reset(up, new(time.Time), func() { up.Close() })
	again, o.err = x.Carry(&s, &relay.Call{Request: &req, Tunnel: r.tunnel, Since: time.Now().Add(-r.spent), Response: r.response, Idle: r.idle}, &c)
	o.again, o.clean = again == relay.Anywhere, x.Clean
	o.last, o.body, o.status, o.in, o.out = c.Last, c.Body.Done(), x.Status, x.BytesIn, x.BytesOut
	o.rewound = c.Rewind()
	if !o.clean {
		up.Close()
	}
	r.done <- o
}

func (r *rig) ask(t *testing.T, raw string) {
	t.Helper()
	if _, err := io.WriteString(r.client, raw); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) answer(t *testing.T, raw string) {
	t.Helper()
	if _, err := io.WriteString(r.upstream, raw); err != nil {
		t.Fatal(err)
	}
}

// request reads one whole request at the upstream.
func (r *rig) request(t *testing.T) (head *http.Request, body string) {
	t.Helper()
	head, err := http.ReadRequest(r.asked)
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(head.Body)
	if err != nil {
		t.Fatal(err)
	}
	return head, string(all)
}

// reads asserts that the client receives this next.
func (r *rig) reads(t *testing.T, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(r.answers, got); err != nil || string(got) != want {
		t.Fatalf("client reads %q, %v; want %q", got[:n], err, want)
	}
}

// readsUntil has the client read up to a text.
func (r *rig) readsUntil(t *testing.T, end string) {
	t.Helper()
	var got []byte
	for !bytes.HasSuffix(got, []byte(end)) {
		b, err := r.answers.ReadByte()
		if err != nil {
			t.Fatalf("client reads %q, %v; want %q", got, err, end)
		}
		got = append(got, b)
	}
}

func (r *rig) end(t *testing.T) outcome {
	t.Helper()
	return receive(t, r.done, "end of the exchange")
}

const (
	get    = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	ok     = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
	typed2 = "\x02\x00\x00\x00"
)

func TestExchange(t *testing.T) {
	for _, typed := range []bool{false, true} {
		r := newRig(t)
		r.tunnel = typed
		r.start(t)
		r.ask(t, get)
		r.request(t)
		if typed {
			r.answer(t, typed2)
		}
		r.answer(t, ok)
		r.reads(t, ok)
		if o := r.end(t); o.err != nil || !o.clean || o.last || o.status != 200 || o.out != 5 {
			t.Errorf("%+v", o)
		}
	}
}

// TestConnectionIsKeptOnlyAfterAnAnswer: an upstream that owes an answer must not
// get another request, or its late answer goes to somebody else.
func TestConnectionIsKeptOnlyAfterAnAnswer(t *testing.T) {
	failure := string(preface.AppendFailure(nil, &preface.Failure{Code: mezu.CodeWorkloadRefused, Detail: "d"}))
	for _, c := range []struct {
		name, answer string
		typed        bool
		code         mezu.Code
		clean        bool
	}{
		{"silence", "", false, mezu.CodeWorkloadTimeout, false},
		{"silence of a Warpgate", "", true, mezu.CodeWorkloadTimeout, false},
		{"half a head", "HTTP/1.1 200 O", false, mezu.CodeWorkloadTimeout, false},
		{"half a typed head", "\x02\x00", true, mezu.CodeWorkloadTimeout, false},
		{"typed head alone", typed2, true, mezu.CodeWorkloadTimeout, false},
		{"garbage", "garbage\r\n\r\n", false, mezu.CodeWorkloadBadResponse, false},
		{"interim and silence", "HTTP/1.1 103 Early Hints\r\n\r\n", false, mezu.CodeWorkloadTimeout, false},
		{"unasked switch", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", false, mezu.CodeWorkloadBadResponse, false},
		{"failure", failure, true, mezu.CodeWorkloadRefused, true},
		{"failure and more", failure + "x", true, mezu.CodeWorkloadRefused, false},
		{"failure behind an interim response", typed2 + "HTTP/1.1 103 Early Hints\r\n\r\n" + failure, true, mezu.CodeWorkloadRefused, true},
		{"rubbish behind an interim response", typed2 + "HTTP/1.1 103 Early Hints\r\n\r\n\x09\x00\x00\x00", true, mezu.CodeWorkloadBadResponse, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.tunnel = c.typed
			if c.code == mezu.CodeWorkloadTimeout {
				r.response = 60 * time.Millisecond
			}
			r.start(t)
			r.ask(t, get)
			r.request(t)
			r.answer(t, c.answer)
			if o := r.end(t); code(o.err) != c.code || o.clean != c.clean || o.again {
				t.Errorf("%+v", o)
			}
		})
	}
}

// TestAfterTheResponse: what decides whether the upstream connection carries on
// once a response was delivered.
func TestAfterTheResponse(t *testing.T) {
	for _, c := range []struct {
		name, answer string
		clean, eof   bool
	}{
		{"length", ok, true, false},
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", true, false},
		{"none", "HTTP/1.1 204 No Content\r\n\r\n", true, false},
		{"close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", false, false},
		{"HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", false, false},
		{"until close", "HTTP/1.1 200 OK\r\n\r\nhello", false, true},
		{"two responses", ok + ok, false, false},
		{"204 with a body", "HTTP/1.1 204 No Content\r\n\r\nhello", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.start(t)
			r.ask(t, get)
			r.request(t)
			r.answer(t, c.answer)
			if c.eof {
				r.upstream.CloseWrite()
			}
			if o := r.end(t); o.err != nil || o.clean != c.clean || o.last {
				t.Errorf("%+v", o)
			}
			resp, err := http.ReadResponse(r.answers, nil)
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode == 200 && string(body) != "hello" {
				t.Errorf("%q, %v", body, err)
			}
			r.client.CloseRead()
		})
	}
}

func TestResponseCutShort(t *testing.T) {
	for name, answer := range map[string]string{
		"length": "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello",
		"chunks": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		"broken": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4001\r\n" + strings.Repeat("a", 16385) + "X\r\n0\r\n\r\n",
	} {
		r := newRig(t)
		r.start(t)
		r.ask(t, get)
		r.request(t)
		r.answer(t, answer)
		r.upstream.CloseWrite()
		if o := r.end(t); !cutShort(o.err) || o.clean || o.again {
			t.Errorf("%s: %+v", name, o)
		}
	}
}

// TestP18_GarbageBehindTheHead: while nothing of a malformed response has gone to
// the client, it is answered as one.
func TestP18_GarbageBehindTheHead(t *testing.T) {
	const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for name, answer := range map[string]string{
		"no chunk":             chunked + "zz\r\n",
		"no chunk, and more":   chunked + "zz\r\nhello",
		"bare LF":              chunked + "5\nhello\n0\n\n",
		"after a chunk":        chunked + "5\r\nhelloX\r\n0\r\n\r\n",
		"second chunk":         chunked + "5\r\nhello\r\n-1\r\n",
		"trailer":              chunked + "5\r\nhello\r\n0\r\nX : y\r\n\r\n",
		"not HTTP, and open":   "SSH-2.0",
		"not HTTP from byte 1": "\x15",
		"almost HTTP":          "HTTP/2.0 200 OK\r\n\r\n",
	} {
		r := newRig(t)
		r.start(t)
		r.ask(t, get)
		r.request(t)
		r.answer(t, answer)
		if o := r.end(t); code(o.err) != mezu.CodeWorkloadBadResponse || o.clean || o.again || o.status != 0 || o.out != 0 {
			t.Errorf("%s: %+v", name, o)
		}
	}
}

func TestReplay(t *testing.T) {
	for _, c := range []struct {
		name, request, answer string
		again                 bool
	}{
		{"GET", get, "", true},
		{"DELETE", "DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", "", true},
		{"POST without a body", "POST / HTTP/1.1\r\nHost: a\r\n\r\n", "", false},
		{"PUT with a body", "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", "", false},
		{"GET with a body", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", "", false},
		{"GET with half an answer", get, "HTTP/1.1 2", false},
		{"GET with a byte of an answer", get, "H", false},
		{"GET with an interim answer", get, "HTTP/1.1 103 Early Hints\r\n\r\n", false},
	} {
		r := newRig(t)
		r.start(t)
		r.ask(t, c.request)
		r.request(t)
		r.answer(t, c.answer)
		r.upstream.Close()
		if o := r.end(t); code(o.err) != mezu.CodeWorkloadReset || o.again != c.again || o.clean {
			t.Errorf("%s: %+v", c.name, o)
		}
	}
}

// brokenConn fails its first write.
type brokenConn struct{ net.Conn }

func (c brokenConn) Write([]byte) (int, error) { return 0, net.ErrClosed }

// TestReplayOfWhatDidNotGoOut: a head that could not be written is no request, so
// that another may be sent, whatever its method, and its body was not touched.
func TestReplayOfWhatDidNotGoOut(t *testing.T) {
	const chunks = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, request := range []string{get, "POST / HTTP/1.1\r\nHost: a\r\n\r\n", chunks, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"} {
		r := newRig(t)
		r.wrap = func(c net.Conn) net.Conn { return brokenConn{c} }
		r.start(t)
		r.ask(t, request)
		if o := r.end(t); code(o.err) != mezu.CodeWorkloadReset || !o.again || o.clean || !o.rewound {
			t.Errorf("%q: %+v", request, o)
		}
	}
}

// TestTrickleIsBounded: the bound is on the head as a whole, not on each byte.
func TestTrickleIsBounded(t *testing.T) {
	r := newRig(t)
	r.response = 150 * time.Millisecond
	r.start(t)
	r.ask(t, get)
	r.request(t)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	r.answer(t, "HTTP/1.1 200 OK\r\nX: ")
	for sent := 0; ; sent++ {
		if sent > 200 {
			t.Fatal("a workload that sends a byte every 10 ms is waited for without end")
		}
		select {
		case <-tick.C:
			r.upstream.Write([]byte("a"))
			continue
		case o := <-r.done:
			if code(o.err) != mezu.CodeWorkloadTimeout || o.clean {
				t.Errorf("%+v", o)
			}
		}
		return
	}
}

func TestSilenceInABody(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.idle = hush
	r.start(t)
	r.ask(t, get)
	r.request(t)
	r.answer(t, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello")
	if o := r.end(t); !cutShort(o.err) || o.clean {
		t.Errorf("%+v", o)
	}
}

// TestUploadsKeepBothConnections: the response comes at once after the last byte
// of an upload, and neither connection may be given up for it.
func TestUploadsKeepBothConnections(t *testing.T) {
	for i := range 200 {
		r := newRig(t)
		r.start(t)
		if i%2 == 0 {
			r.ask(t, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")
			r.ask(t, "world")
		} else {
			r.ask(t, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
			r.ask(t, "5\r\nworld\r\n0\r\n\r\n")
		}
		if _, body := r.request(t); body != "helloworld" {
			t.Fatalf("%q", body)
		}
		r.answer(t, ok)
		r.reads(t, ok)
		if o := r.end(t); o.err != nil || !o.clean || o.last || !o.body || o.in != 10 {
			t.Fatalf("round %d: %+v", i, o)
		}
		r.client.Close()
		r.upstream.Close()
	}
}

// lateConn is a connection whose writes return some time after their bytes were
// answered, as they do on a busy machine.
type lateConn struct {
	net.Conn
	answered chan struct{}
}

func (c *lateConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if strings.HasSuffix(string(p), "world") || strings.HasSuffix(string(p), "0\r\n\r\n") {
		<-c.answered
		<-time.After(5 * time.Millisecond)
	}
	return n, err
}

func TestAnswerBeforeTheWriteReturns(t *testing.T) {
	for framing, rest := range map[string]string{lengthOf + "5": "world", chunked: "5\r\nworld\r\n0\r\n\r\n"} {
		r := newRig(t)
		answered := make(chan struct{})
		r.wrap = func(c net.Conn) net.Conn { return &lateConn{c, answered} }
		r.start(t)
		r.ask(t, post(framing))
		head, err := http.ReadRequest(r.asked)
		if err != nil {
			t.Fatal(err)
		}
		r.ask(t, rest)
		if body, err := io.ReadAll(head.Body); err != nil || string(body) != "world" {
			t.Fatalf("%q, %v", body, err)
		}
		r.answer(t, ok)
		close(answered)
		r.reads(t, ok)
		if o := r.end(t); o.err != nil || o.last || !o.clean {
			t.Errorf("%s: %+v", framing, o)
		}
	}
}

// TestEarlyResponse: a final response to an upload in flight is delivered, says
// close, and ends the upload.
func TestEarlyResponse(t *testing.T) {
	r := newRig(t)
	r.start(t)
	r.ask(t, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nhello")
	if _, err := http.ReadRequest(r.asked); err != nil {
		t.Fatal(err)
	}
	r.answer(t, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
	r.reads(t, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
	if o := r.end(t); o.err != nil || o.clean || !o.last || o.status != 413 {
		t.Errorf("%+v", o)
	}
}

// TestBothWaysAtOnce: a response that streams while the upload does.
func TestBothWaysAtOnce(t *testing.T) {
	r := newRig(t)
	r.start(t)
	r.ask(t, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
	head, err := http.ReadRequest(r.asked)
	if err != nil {
		t.Fatal(err)
	}
	r.answer(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
	resp, err := http.ReadResponse(r.answers, nil)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 5)
	for i := range 20 {
		r.ask(t, fmt.Sprintf("5\r\nup%03d\r\n", i))
		if _, err := io.ReadFull(head.Body, buf); err != nil || string(buf) != fmt.Sprintf("up%03d", i) {
			t.Fatalf("%q, %v", buf, err)
		}
		r.answer(t, fmt.Sprintf("5\r\ndn%03d\r\n", i))
		if _, err := io.ReadFull(resp.Body, buf); err != nil || string(buf) != fmt.Sprintf("dn%03d", i) {
			t.Fatalf("%q, %v", buf, err)
		}
	}
	r.ask(t, "0\r\nX-Up: 1\r\n\r\n")
	io.ReadAll(head.Body)
	r.answer(t, "0\r\nX-Down: 2\r\n\r\n")
	io.ReadAll(resp.Body)
	if head.Trailer.Get("X-Up") != "1" || resp.Trailer.Get("X-Down") != "2" {
		t.Errorf("trailers %v and %v", head.Trailer, resp.Trailer)
	}
	if o := r.end(t); o.err != nil || o.in != 100 || o.out != 100 {
		t.Errorf("%+v", o)
	}
}

// TestBrokenUploads: what is wrong with the client's body decides the answer, and
// the upstream never sees a finished message (P5).
func TestBrokenUploads(t *testing.T) {
	for _, c := range []struct {
		name, body string
		limit      int64
		code       mezu.Code
		gone       bool
	}{
		{"bad chunk", "5\r\nhelloX\r\n", 0, mezu.CodeNotCanonical, false},
		{"bare LF in trailers", "5\r\nhello\r\n0\r\nX: 1\n\r\n", 0, mezu.CodeNotCanonical, false},
		{"over the limit", "5\r\nhello\r\n5\r\nworld\r\n", 7, mezu.CodeBodyTooLarge, false},
		{"cut short", "5\r\nhello\r\n", 0, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.limit = c.limit
			r.start(t)
			r.ask(t, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"+c.body)
			if c.gone {
				r.client.CloseWrite()
			}
			seen, err := io.ReadAll(r.asked)
			if err == nil && strings.Contains(string(seen), "\r\n0\r\n") {
				t.Errorf("the upstream saw a finished message: %q", seen)
			}
			o := r.end(t)
			if c.gone && !errors.Is(o.err, relay.ErrClientGone) || !c.gone && code(o.err) != c.code || o.clean {
				t.Errorf("%+v", o)
			}
		})
	}
}

func TestExpectContinue(t *testing.T) {
	const put = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
	t.Run("asked", func(t *testing.T) {
		r := newRig(t)
		r.start(t)
		r.ask(t, put)
		head, err := http.ReadRequest(r.asked)
		if err != nil || head.Header.Get("Expect") != "100-continue" {
			t.Fatal(head, err)
		}
		r.answer(t, "HTTP/1.1 100 Continue\r\n\r\n")
		r.reads(t, "HTTP/1.1 100 Continue\r\n\r\n")
		r.ask(t, "hello")
		io.ReadAll(head.Body)
		r.answer(t, ok)
		r.reads(t, ok)
		if o := r.end(t); o.err != nil || !o.clean || o.last {
			t.Errorf("%+v", o)
		}
	})
	t.Run("refused", func(t *testing.T) {
		r := newRig(t)
		r.start(t)
		r.ask(t, put)
		http.ReadRequest(r.asked)
		r.answer(t, "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n")
		r.reads(t, "HTTP/1.1 417 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		if o := r.end(t); o.err != nil || o.clean || !o.last {
			t.Errorf("%+v", o)
		}
	})
	t.Run("never answered", func(t *testing.T) {
		r := newRig(t)
		r.start(t)
		r.ask(t, put)
		head, err := http.ReadRequest(r.asked)
		if err != nil {
			t.Fatal(err)
		}
		r.reads(t, "HTTP/1.1 100 Continue\r\n\r\n")
		r.ask(t, "hello")
		io.ReadAll(head.Body)
		r.answer(t, ok)
		r.reads(t, ok)
		r.end(t)
	})
	t.Run("not asked for", func(t *testing.T) {
		r := newRig(t)
		r.start(t)
		r.ask(t, get)
		r.request(t)
		r.answer(t, "HTTP/1.1 100 Continue\r\n\r\n"+ok)
		r.reads(t, ok)
		r.end(t)
	})
}

func TestInterimResponses(t *testing.T) {
	const hint = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
	r := newRig(t)
	r.tunnel = true
	r.start(t)
	r.ask(t, get)
	r.request(t)
	for range 3 {
		r.answer(t, typed2+hint)
		r.reads(t, hint)
	}
	r.answer(t, typed2+ok)
	r.reads(t, ok)
	if o := r.end(t); o.err != nil || !o.clean {
		t.Errorf("%+v", o)
	}
	r = newRig(t)
	r.start(t)
	r.ask(t, "GET / HTTP/1.0\r\nHost: a\r\n\r\n")
	r.request(t)
	r.answer(t, hint+ok)
	r.reads(t, strings.Replace(ok, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1)) // HTTP/1.0 knows no interim responses
	r.end(t)
}

// TestResponseIsShownFirst: what is changed in the head of a response goes out; interim
// ones are not shown.
func TestResponseIsShownFirst(t *testing.T) {
	r := newRig(t)
	r.shown = func(h *relay.ResponseHead) {
		h.Fields = append(h.Fields, relay.Field{Name: []byte("X-Status"), Value: strconv.AppendInt(nil, int64(h.Status), 10)})
	}
	r.start(t)
	r.ask(t, get)
	r.request(t)
	r.answer(t, "HTTP/1.1 103 Early Hints\r\n\r\n"+ok)
	r.reads(t, "HTTP/1.1 103 Early Hints\r\n\r\n"+strings.Replace(ok, "Content-Length", "X-Status: 200\r\nContent-Length", 1))
	if o := r.end(t); o.err != nil || !o.clean {
		t.Errorf("%+v", o)
	}
}

func TestP18InterimFlood(t *testing.T) {
	r := newRig(t)
	r.start(t)
	r.ask(t, get)
	r.request(t)
	go io.Copy(io.Discard, r.client)
	for range 1000 {
		if _, err := io.WriteString(r.upstream, "HTTP/1.1 103 Early Hints\r\n\r\n"); err != nil {
			break
		}
	}
	if o := r.end(t); code(o.err) != mezu.CodeWorkloadBadResponse || o.clean {
		t.Errorf("%+v", o)
	}
}

// TestClientGone: whoever waits for the upstream wakes up, and the upstream
// connection is closed.
func TestClientGone(t *testing.T) {
	for name, answer := range map[string]string{"before the response": "", "inside the response": "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", "in an endless stream": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.start(t)
			r.ask(t, get)
			r.request(t)
			r.answer(t, answer)
			if answer != "" {
				if _, err := r.answers.ReadByte(); err != nil {
					t.Fatal(err)
				}
			}
			r.client.Close()
			if _, err := r.asked.ReadByte(); err == nil {
				t.Error("the upstream reads on")
			}
			if o := r.end(t); !errors.Is(o.err, relay.ErrClientGone) || o.clean {
				t.Errorf("%+v", o)
			}
		})
	}
}

// TestPipelinedBytesSurvive: what a client sends while it waits is not lost to the
// watch, and is no reason to end the exchange.
var errOver = &mezu.Error{Code: mezu.CodeUnauthenticated, Detail: "the session has ended"}

// T11: an exchange whose session ends is ended at once, whatever it waits for: the client is
// told if nothing of a response was sent, and sees it cut otherwise.
func TestT11_Forbid(t *testing.T) {
	const upgrade = "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n"
	for name, c := range map[string]struct {
		ask    string
		answer func(t *testing.T, r *rig) // until it is forbidden
		cut    bool
	}{
		"before the response": {get, func(t *testing.T, r *rig) { r.request(t) }, false},
		"while the body comes": {"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 10\r\n\r\nhello", func(t *testing.T, r *rig) {
			if _, err := r.asked.ReadString('o'); err != nil {
				t.Fatal(err)
			}
		}, false},
		"in a response": {get, func(t *testing.T, r *rig) {
			r.request(t)
			r.answer(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
			r.readsUntil(t, "hello")
		}, true},
		"in a response that the client does not take": {get, func(t *testing.T, r *rig) {
			r.request(t)
			r.answer(t, "HTTP/1.1 200 OK\r\n\r\nhello")
			r.readsUntil(t, "hello")
			flood(t, r.upstream)
		}, true},
		"in a stream": {upgrade, func(t *testing.T, r *rig) {
			r.request(t)
			r.answer(t, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello")
			r.readsUntil(t, "hello")
		}, true},
		"in a stream that the client does not take": {upgrade, func(t *testing.T, r *rig) {
			r.request(t)
			r.answer(t, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello")
			r.readsUntil(t, "hello")
			flood(t, r.upstream)
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.start(t)
			r.ask(t, c.ask)
			c.answer(t, r)
			r.x.Forbid(errOver, mezu.CauseSessionEnded)
			o := r.end(t)
			want := mezu.CauseRefused
			if c.cut {
				want = mezu.CauseSessionEnded
			}
			if relay.CauseOf(o.err) != want || cutShort(o.err) != c.cut || o.again || o.clean {
				t.Errorf("%+v", o)
			}
		})
	}
	r := newRig(t)
	r.x.Forbid(errOver, mezu.CauseSessionEnded)
	r.start(t)
	r.ask(t, get)
	if o := r.end(t); o.err != error(errOver) || o.again {
		t.Errorf("forbidden before: %+v", o)
	}
	r.x.Allow()
	r.start(t)
	r.ask(t, get)
	r.request(t)
	r.answer(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	if o := r.end(t); o.err != nil || !o.clean {
		t.Errorf("allowed again: %+v", o)
	}
}

func TestPipelinedBytesSurvive(t *testing.T) {
	client, server := pair(t)
	var c relay.Client
	c.Reset(server, patience, patience)
	defer c.Reader.Release()
	io.WriteString(client, get)
	if err := c.Reader.ReadRequest(&c.Head); err != nil {
		t.Fatal(err)
	}
	c.Begin(0)
	gone := make(chan struct{})
	c.Watch(func() { close(gone) })
	io.WriteString(client, strings.Replace(get, "/", "/next", 1))
	c.Unwatch()
	var next relay.RequestHead
	if err := c.Reader.ReadRequest(&next); err != nil || string(next.Target) != "/next" {
		t.Fatalf("%q, %v", next.Target, err)
	}
	c.Watch(func() { close(gone) })
	client.Close()
	receive(t, gone, "notice")
	c.Unwatch()
}

// TestRow21_KeepAliveOfHTTP10: a client of HTTP/1.0 that asks for more than one
// request is told that it may send the next, or that it may not.
func TestRow21_KeepAliveOfHTTP10(t *testing.T) {
	for _, c := range []struct{ fields, answer, want string }{
		{"Connection: Keep-Alive\r\n", "Content-Length: 2\r\n\r\nok", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok"},
		{"Connection: Keep-Alive\r\n", "Content-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n"},
		{"Connection: Keep-Alive\r\n", "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok"},
		{"", "Content-Length: 2\r\n\r\nok", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"},
	} {
		r := newRig(t)
		r.start(t)
		r.ask(t, "GET / HTTP/1.0\r\nHost: h\r\n"+c.fields+"\r\n")
		r.request(t)
		r.answer(t, "HTTP/1.1 200 OK\r\n"+c.answer)
		r.reads(t, c.want)
		if o := r.end(t); o.err != nil || o.last != strings.Contains(c.want, "close") {
			t.Errorf("%q: %+v", c.fields, o)
		}
	}
}
