package relay_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/preface"
	"github.com/mezusphere/mezu/relay"
)

// TestRow22_CausesOfCutResponses: a response that is cut says by what, whoever was
// at the other end.
func TestRow22_CausesOfCutResponses(t *testing.T) {
	t.Parallel()
	length, chunks := "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	first := "4001\r\n" + strings.Repeat("a", 16385) // more than is gathered: the head is on its way
	for _, c := range []struct {
		name, answer string
		tunnel       bool
		idle         time.Duration
		end          func(*net.TCPConn)
		want         mezu.Cause
		rule         string
	}{
		{"workload resets", length + "hello", false, patience, reset, mezu.CauseWorkloadReset, ""},
		{"workload ends", chunks + "5\r\nhello\r\n", false, patience, shut, mezu.CauseWorkloadReset, ""},
		{"workload breaks a rule", chunks + first + "X\r\n", false, patience, nil, mezu.CauseWorkloadMalformed, "a chunk is longer than it said"},
		{"workload sends too large trailers", chunks + first + "\r\n0\r\nX: " + strings.Repeat("y", relay.MaxTrailer) + "\r\n\r\n", false, patience, nil, mezu.CauseWorkloadMalformed, "its trailer section is larger than 32 KiB"},
		{"workload is silent", length + "hello", false, hush, nil, mezu.CauseIdleTimeout, ""},
		{"Warpgate is gone", length + "hello", true, patience, reset, mezu.CauseWarpgateGone, ""},
		{"Warpgate cuts", length + "hello", true, patience, shut, mezu.CauseWarpgateCut, ""},
		{"Warpgate says why", chunks + first + "\r\n!idle_timeout\r\n", true, patience, nil, mezu.CauseIdleTimeout, ""},
		{"Warpgate says what nobody knows", chunks + first + "\r\n!<script>\r\n", true, patience, nil, mezu.CauseWarpgateCut, ""},
		{"workload uses a Warpgate's word", chunks + first + "\r\n!idle_timeout\r\n", false, patience, nil, mezu.CauseWorkloadMalformed, "a chunk's line is not"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.idle, r.tunnel = c.idle, c.tunnel
			r.start(t)
			r.ask(t, get)
			r.request(t)
			if c.tunnel {
				r.answer(t, string(preface.AppendResponse(nil)))
			}
			r.answer(t, c.answer)
			r.reads(t, "HTTP/1.1 200 OK\r\n")
			if c.end != nil {
				c.end(r.upstream)
			}
			o := r.end(t)
			if got := relay.CauseOf(o.err); got != c.want || !cutShort(o.err) || o.clean || o.status != 200 {
				t.Errorf("cause %q of %+v, want %q", got, o, c.want)
			}
			if got := relay.Rule(o.err); !strings.HasPrefix(got, c.rule) || c.rule == "" && got != "" {
				t.Errorf("rule %q of %v, want %q", got, o.err, c.rule)
			}
		})
	}
}

func reset(c *net.TCPConn) { c.SetLinger(0); c.Close() }
func shut(c *net.TCPConn)  { c.CloseWrite() }

// TestRow22_RulesOfBadResponses: the answer to a malformed response names the rule
// and nothing of the response; the log names the field, quoted.
func TestRow22_RulesOfBadResponses(t *testing.T) {
	ok := "HTTP/1.1 200 OK\r\n"
	for _, c := range []struct{ answer, rule, logged string }{
		{ok + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", "Content-Length is repeated", ""},
		{ok + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "Transfer-Encoding stands beside Content-Length", ""},
		{ok + "Transfer-Encoding: gzip, chunked\r\n\r\n", "Transfer-Encoding is not exactly «chunked»", ""},
		{ok + "X-Evil: a\x00b\r\n\r\n", "a field value has a control character", `"X-Evil"`},
		{ok + "X-\x1b[31mEvil<script> : a\r\n\r\n", "a field line has no proper name", `"X-\x1b[31mEvil<script> "`},
		{ok + strings.Repeat("N", 5000) + " : a\r\n\r\n", "a field line has no proper name", `"` + strings.Repeat("N", 64) + `"`},
		{ok + "X: y\n\r\n", "a line does not end in CRLF", ""},
		{ok + "X: " + strings.Repeat("x", 1<<20), "the header fields are larger than 32 KiB", ""},
		{"SSH-2.0-OpenSSH_9.6\r\n\r\n", "it does not begin with HTTP/1.", ""},
		{"HTTP/1.1 600 High\r\n\r\n", "the status line is out of range", ""},
		{ok + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", "a chunk's line is not «size[;extension]» and CRLF", ""},
		{ok + "Transfer-Encoding: chunked\r\n\r\n0\r\nX-Evil : y\r\n\r\n", "in its trailer section a field line has no proper name", `"X-Evil "`},
	} {
		r := newRig(t)
		r.start(t)
		r.ask(t, get)
		r.request(t)
		go io.WriteString(r.upstream, c.answer) // it is not read to its end
		o := r.end(t)
		var e *mezu.Error
		if !errors.As(o.err, &e) || e.Code != mezu.CodeWorkloadBadResponse || !strings.Contains(e.Detail, "malformed: "+c.rule) || !mezu.ValidHeaderValue(e.Detail) {
			t.Fatalf("%.60q: %+v, want the rule %q", c.answer, o.err, c.rule)
		}
		if strings.Contains(e.Detail, "Evil") || strings.Contains(e.Detail, "NNN") {
			t.Errorf("%.60q: the answer shows what the workload said: %q", c.answer, e.Detail)
		}
		if e.Cause == nil || !strings.Contains(e.Cause.Error(), c.logged) || strings.Contains(e.Cause.Error(), strings.Repeat("N", 65)) || !mezu.ValidHeaderValue(e.Cause.Error()) {
			t.Errorf("%.60q: the log says %v, want %s", c.answer, e.Cause, c.logged)
		}
		if got := relay.CauseOf(o.err); got != mezu.CauseWorkloadMalformed {
			t.Errorf("%.60q: cause %q", c.answer, got)
		}
	}
}

// TestRow22_CausesBeforeAResponse: so does one that never began.
func TestRow22_CausesBeforeAResponse(t *testing.T) {
	for _, c := range []struct {
		name   string
		tunnel bool
		end    func(*net.TCPConn)
		want   mezu.Cause
	}{
		{"workload resets", false, reset, mezu.CauseWorkloadReset},
		{"Warpgate is gone", true, reset, mezu.CauseWarpgateGone},
		{"Warpgate closes", true, shut, mezu.CauseWarpgateCut},
	} {
		r := newRig(t)
		r.tunnel = c.tunnel
		r.start(t)
		r.ask(t, get)
		r.request(t)
		c.end(r.upstream)
		if o := r.end(t); code(o.err) != mezu.CodeWorkloadReset || relay.CauseOf(o.err) != c.want {
			t.Errorf("%s: cause %q of %+v, want %q", c.name, relay.CauseOf(o.err), o.err, c.want)
		}
	}
}
