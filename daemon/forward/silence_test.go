package forward_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
)

// httpWorkload is a workload of HTTP/1.1.
func httpWorkload(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// overAll runs a test against each kind of workload there is. Handlers end at the
// latest when release is closed, after the test.
func overAll(t *testing.T, h func(rw http.ResponseWriter, r *http.Request, release <-chan struct{}), test func(t *testing.T, w *world)) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB, http.HandlerFunc) string{
		"http":     httpWorkload,
		"h2c":      h2cWorkload,
		"https h2": func(t testing.TB, h http.HandlerFunc) string { return httpsWorkload(t, true, h) },
		"https h1": func(t testing.TB, h http.HandlerFunc) string { return httpsWorkload(t, false, h) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			release := make(chan struct{})
			w := newWorld(t, start(t, func(rw http.ResponseWriter, r *http.Request) { h(rw, r, release) }))
			t.Cleanup(func() { close(release) })
			test(t, w)
		})
	}
}

// chunkedTo is the head of an upload of unknown length.
const chunkedTo = "POST %s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

// flooding sends one chunk after the other until the data connection breaks, and
// counts them.
type flooding struct{ sent atomic.Int64 }

func (e *edge) flood() *flooding {
	f, done := &flooding{}, make(chan struct{})
	go func() {
		defer close(done)
		for block := fmt.Sprintf("8000\r\n%s\r\n", strings.Repeat("x", 0x8000)); ; f.sent.Add(1) {
			if _, err := io.WriteString(e.conn, block); err != nil {
				return
			}
		}
	}()
	e.t.Cleanup(func() {
		e.conn.Close()
		receive(e.t, done, "end of the flood")
	})
	return f
}

// stuck waits until the Warpgate takes no more of it.
func (e *edge) stuck(f *flooding) {
	e.t.Helper()
	for before := int64(-1); ; {
		now := f.sent.Load()
		if now > 0 && now == before {
			break
		}
		before = now
		e.conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if b, err := e.r.ReadByte(); !errors.Is(err, os.ErrDeadlineExceeded) {
			e.t.Fatalf("byte %#x, %v", b, err)
		}
	}
	e.conn.SetReadDeadline(time.Now().Add(patience))
}

// TestUntakenUpload_Row20: an upload that the workload does not read is answered
// within the route's bounds. When the edge gives up before, or the Warpgate is told
// to end at once, nothing waits for the workload.
func TestUntakenUpload_Row20(t *testing.T) {
	overAll(t, func(_ http.ResponseWriter, _ *http.Request, release <-chan struct{}) { <-release }, func(t *testing.T, w *world) {
		e := w.connect(true)
		e.ask(fmt.Sprintf(chunkedTo, "/brief/x"))
		e.flood()
		e.fails(mezu.CodeWorkloadTimeout)

		e = w.connect(true)
		e.ask(fmt.Sprintf(chunkedTo, "/x"))
		e.stuck(e.flood())
		e.cancel()
		receive(t, e.done, "end")
	})
}

// TestOneDirectionIsEnough_Row20: a stream is silent when neither side speaks.
func TestOneDirectionIsEnough_Row20(t *testing.T) {
	overAll(t, func(rw http.ResponseWriter, r *http.Request, release <-chan struct{}) {
		http.NewResponseController(rw).EnableFullDuplex()
		rw.WriteHeader(200)
		http.NewResponseController(rw).Flush()
		if strings.HasSuffix(r.URL.Path, "/hears") {
			io.Copy(io.Discard, r.Body)
			<-release
			return
		}
		tick := time.NewTicker(brief / 4)
		defer tick.Stop()
		for range 6 { // longer than the time-out
			<-tick.C
			io.WriteString(rw, "x")
			http.NewResponseController(rw).Flush()
		}
		<-release
	}, func(t *testing.T, w *world) {
		e := w.connect(true)
		e.ask(fmt.Sprintf(chunkedTo, "/brief/speaks") + "1\r\nx\r\n")
		if got, err := io.ReadAll(e.response("POST").Body); err == nil || string(got) != "xxxxxx" {
			t.Errorf("%q, %v", got, err)
		}
		e.ends()

		e = w.connect(true)
		e.ask(fmt.Sprintf(chunkedTo, "/brief/hears") + "1\r\nx\r\n")
		resp := e.response("POST")
		tick := time.NewTicker(brief / 4)
		defer tick.Stop()
		for range 6 { // longer than the time-out
			<-tick.C
			e.write("1\r\nx\r\n")
		}
		if got, err := io.ReadAll(resp.Body); err == nil {
			t.Errorf("%q looks whole", got)
		}
		e.ends()
	})
}

// TestEdgeThatTakesNothing_Row20: the route bounds how long a response waits for who
// reads it, and the workload learns.
func TestEdgeThatTakesNothing_Row20(t *testing.T) {
	ended := make(chan error, 100)
	overAll(t, func(rw http.ResponseWriter, _ *http.Request, _ <-chan struct{}) {
		for block := make([]byte, 64<<10); ; {
			if _, err := rw.Write(block); err != nil {
				ended <- err
				return
			}
		}
	}, func(t *testing.T, w *world) {
		e := w.connect(true)
		e.ask(getOf("/brief/x"))
		receive(t, ended, "end at the workload")
		receive(t, e.done, "end of ServeConn")
	})
}
