package forward_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/relay"
)

// TestRow22_FailuresAreTold: a response that is cut is told with its cause in the
// event, in the log, to the counter and, where the framing has room, to the edge.
func TestRow22_FailuresAreTold(t *testing.T) {
	t.Parallel()
	begun := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4001\r\n" + strings.Repeat("a", 1<<14+1)
	for _, c := range []struct {
		name, path, answer string
		ends               bool
		want               mezu.Cause
		message            string
	}{
		{"reset", "/", begun + "\r\n", true, mezu.CauseWorkloadReset, ""},
		{"rule", "/", begun + "\r\nzz\r\n", false, mezu.CauseWorkloadMalformed, "a chunk's line is not «size[;extension]» and CRLF"},
		{"silence", "/brief/", begun + "\r\n", false, mezu.CauseIdleTimeout, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			wl := tcpWorkload(t)
			w := newWorld(t, wl.addr())
			e := w.connect(true)
			e.ask(getOf(c.path))
			s := wl.conn()
			s.request()
			s.answer(c.answer)
			if c.ends {
				s.conn.(*net.TCPConn).CloseWrite()
			}
			resp := e.response("GET")
			if resp.StatusCode != 200 {
				t.Fatal(resp)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err == nil {
				t.Error("it looks whole")
			}
			got := receive(t, w.events, "event")
			if got.Status != 200 || got.Cause != c.want || got.Message != c.message || got.Code != "" {
				t.Errorf("%+v, want the cause %s", got, c.want)
			}
			if n := w.failed(c.want); n != 1 {
				t.Errorf("%d requests counted", n)
			}
			if l := w.log.String(); !strings.Contains(l, "request cut short") || !strings.Contains(l, "cause="+string(c.want)) || !strings.Contains(l, "request_id=id-1") {
				t.Errorf("the log says %q", l)
			}
		})
	}
}

// TestRow22_TheEdgeIsTold: the word that a Warpgate leaves on the tunnel.
func TestRow22_TheEdgeIsTold(t *testing.T) {
	wl := tcpWorkload(t)
	e := newWorld(t, wl.addr()).connect(true)
	e.ask(newGet)
	s := wl.conn()
	s.request()
	s.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4001\r\n" + strings.Repeat("a", 1<<14+1) + "\r\n")
	s.conn.(*net.TCPConn).CloseWrite()
	e.typed()
	raw, _ := io.ReadAll(e.r)
	if !strings.HasSuffix(string(raw), "a\r\n!workload_reset\r\n") {
		t.Errorf("the edge reads …%q", raw[max(0, len(raw)-40):])
	}
}

// TestRow22_RuleInTheFailure: whoever asked learns which rule the workload broke, by
// each way to it, and nothing of what it said.
func TestRow22_RuleInTheFailure(t *testing.T) {
	wl := tcpWorkload(t)
	w := newWorld(t, wl.addr())
	e := w.connect(false)
	e.ask(newGet)
	s := wl.conn()
	s.request()
	s.answer("HTTP/1.1 200 OK\r\nX-Secret: a\x01b\r\n\r\n")
	if f := e.fails(mezu.CodeWorkloadBadResponse); f.Detail != "the workload's response is malformed: a field value has a control character" {
		t.Errorf("%+v", f)
	}
	got := receive(t, w.events, "event")
	if got.Cause != mezu.CauseWorkloadMalformed || !strings.Contains(got.Message, "a field value has a control character") {
		t.Errorf("%+v", got)
	}
	if !strings.Contains(w.log.String(), "X-Secret") {
		t.Errorf("the log does not name the field: %s", w.log.String())
	}
}

// trailer reads a response as an edge does, and gives one field of its trailers.
func (e *edge) trailer(name string) (value string, err error) {
	e.t.Helper()
	e.typed()
	r := relay.Reader{Tunnel: true}
	r.Reset(e.r)
	defer r.Release()
	var head relay.ResponseHead
	if err := r.ReadResponse(&head, "GET"); err != nil {
		e.t.Fatal(err)
	}
	var body relay.Body
	body.Reset(&r, head.Framing, head.Length, 0)
	defer body.Close()
	for err == nil {
		_, err = body.Next()
	}
	for _, f := range body.Trailer() {
		if f.Is(strings.ToLower(name)) {
			value = string(f.Value)
		}
	}
	if err == io.EOF {
		err = nil
	}
	return value, err
}

// TestRow22_LargeTrailers: a trailer section as large as a head passes, so that the
// status in it does; a larger one is a visible end, never a clean one without it.
func TestRow22_LargeTrailers(t *testing.T) {
	for _, c := range []struct {
		name   string
		sizes  []int
		passes bool
	}{
		{"20 KiB", []int{10 << 10, 10 << 10}, true},
		{"40 KiB", []int{20 << 10, 20 << 10}, false},
		{"60 KiB in one", []int{60 << 10}, false},
		{"200 KiB", []int{50 << 10, 50 << 10, 50 << 10, 50 << 10}, false},
	} {
		overEach(t, func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Type", "application/grpc")
			io.WriteString(rw, strings.Repeat("m", 20<<10))
			http.NewResponseController(rw).Flush()
			for i, n := range c.sizes {
				rw.Header().Set(http.TrailerPrefix+"X-Details-"+string(rune('a'+i)), strings.Repeat("d", n))
			}
			rw.Header().Set(http.TrailerPrefix+"Grpc-Status", "7")
		}, func(t *testing.T, w *world) {
			e := w.connect(true)
			e.ask(getOf("/", "TE: trailers"))
			status, err := e.trailer("Grpc-Status")
			if c.passes && (err != nil || status != "7") || !c.passes && err == nil {
				t.Errorf("%s: %v, status %q", c.name, err, status)
			}
			if got := receive(t, w.events, "event"); !c.passes && got.Cause == "" {
				t.Errorf("%s: %+v", c.name, got)
			}
		})
	}
}

// TestRow22_Shutdown: a request that this Warpgate's own end cuts is not blamed on
// its client.
func TestRow22_Shutdown(t *testing.T) {
	wl := tcpWorkload(t)
	w := newWorld(t, wl.addr())
	e := w.connect(false)
	e.ask(newGet)
	s := wl.conn()
	s.request()
	s.answer("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("a", 50_000))
	e.response("GET")
	e.cancel()
	if got := receive(t, w.events, "event"); got.Status != 200 || got.Cause != mezu.CauseShutdown {
		t.Errorf("%+v", got)
	}
}

// TestRow22_CanceledIsNoReset: a response that the edge cancels is not the workload's
// doing, by whichever way it came.
func TestRow22_CanceledIsNoReset(t *testing.T) {
	overAll(t, func(rw http.ResponseWriter, r *http.Request, release <-chan struct{}) {
		io.WriteString(rw, "begun")
		http.NewResponseController(rw).Flush()
		select {
		case <-r.Context().Done():
		case <-release:
		}
	}, func(t *testing.T, w *world) {
		e := w.connect(true)
		e.ask(getOf("/"))
		e.response("GET")
		e.cancel()
		receive(t, e.done, "end")
		if got := receive(t, w.events, "event"); got.Cause != mezu.CauseShutdown && got.Cause != mezu.CauseClientGone {
			t.Errorf("%+v", got)
		}
	})
}
