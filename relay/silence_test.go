package relay_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/pipe"
	"github.com/mezusphere/mezu/relay"
)

const (
	// hush is the idle time-out of exchanges that are meant to run into it, or to
	// live for longer in spite of it. A busy machine may stall them for most of it, so
	// the tests wait for it beside one another.
	hush = time.Second
	// endless is the head of an upload that has no end.
	endless = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000000\r\n\r\n"
	// open is the head of an upload of unknown length, and its first chunk.
	open = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"
)

// flood writes until the connection breaks.
func flood(t *testing.T, w io.Writer) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for block := make([]byte, 64<<10); ; {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { receive(t, done, "end of the flood") })
}

// TestUntakenUpload_Row20: an upload that the workload does not read ends within the
// route's bounds, whichever is less, with an answer.
func TestUntakenUpload_Row20(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(*rig){
		"idle_timeout": func(r *rig) { r.idle = hush },
		"timeout":      func(r *rig) { r.response = hush },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			set(r)
			r.start(t)
			r.ask(t, endless)
			flood(t, r.client)
			if o := r.end(t); code(o.err) != mezu.CodeWorkloadTimeout || o.clean || o.again {
				t.Errorf("%+v", o)
			}
			if _, err := io.Copy(io.Discard, r.asked); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !strings.Contains(err.Error(), "reset") {
				t.Errorf("the workload sees %v", err)
			}
			r.client.Close()
		})
	}
}

// TestSlowClient_Row20: whose silence it is decides the answer.
func TestSlowClient_Row20(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.idle = hush
	r.start(t)
	r.ask(t, open)
	if o := r.end(t); code(o.err) != mezu.CodeRequestTimeout || o.clean {
		t.Errorf("%+v", o)
	}
}

// TestOneDirectionIsEnough_Row20: neither a stream in which only the workload speaks
// nor one in which only the client does is silent; when both are, it ends.
func TestOneDirectionIsEnough_Row20(t *testing.T) {
	t.Parallel()
	for _, speaker := range []string{"workload", "client"} {
		t.Run(speaker, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.idle = hush
			r.start(t)
			r.ask(t, open)
			r.answer(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\ny\r\n")
			r.reads(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n1\r\ny\r\n")
			tick := time.NewTicker(hush / 4)
			defer tick.Stop()
			for range 6 { // longer than hush
				select {
				case <-tick.C:
				case o := <-r.done:
					t.Fatalf("ended while the %s speaks: %+v", speaker, o)
				}
				if speaker == "client" {
					r.ask(t, "1\r\nx\r\n")
					continue
				}
				r.answer(t, "1\r\ny\r\n")
				r.reads(t, "1\r\ny\r\n")
			}
			if o := r.end(t); !errors.Is(o.err, pipe.ErrSilent) || relay.CauseOf(o.err) != mezu.CauseIdleTimeout || o.clean {
				t.Errorf("%+v", o)
			}
		})
	}
}

// TestReaderThatTakesNothing_Row20: a client that takes nothing of a response is
// bounded by the route, not by a constant.
func TestReaderThatTakesNothing_Row20(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.idle = hush
	r.start(t)
	r.ask(t, get)
	r.request(t)
	r.answer(t, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
	flood(t, r.upstream)
	if o := r.end(t); relay.CauseOf(o.err) != mezu.CauseClientSlow || o.clean {
		t.Errorf("%+v", o)
	}
}

// TestP20_ReaderThatSends: nor does it help a client that takes nothing to send meanwhile.
func TestP20_ReaderThatSends(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.idle = hush
	r.start(t)
	r.ask(t, open)
	r.answer(t, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
	flood(t, r.upstream)
	tick := time.NewTicker(hush / 8)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			io.WriteString(r.client, "1\r\nx\r\n") // until it is cut
		case o := <-r.done:
			if relay.CauseOf(o.err) != mezu.CauseClientSlow || o.clean {
				t.Errorf("%+v", o)
			}
			return
		case <-time.After(30 * hush):
			t.Fatal("it goes on")
		}
	}
}

// TestTimeGoneBefore_Row20: what dialling or waiting in a queue took is gone from the
// route's time-out.
func TestTimeGoneBefore_Row20(t *testing.T) {
	r := newRig(t)
	r.spent = r.response
	r.start(t)
	r.ask(t, get)
	if o := r.end(t); code(o.err) != mezu.CodeWorkloadTimeout || o.again {
		t.Errorf("%+v", o)
	}
}
