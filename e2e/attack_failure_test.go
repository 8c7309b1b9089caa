package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/mezusphere/mezu"
)

// longChunks begins a response in chunks with more than anybody gathers before it is
// sent on.
var longChunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8000\r\n" + strings.Repeat("a", 0x8000) + "\r\n"

// TestRow22_FailuresAreTold: whatever ends a response early, over either version of
// HTTP, is told with the same cause by the Warpgate's event, its log and its metric,
// and by the edge's log and metric.
func TestRow22_FailuresAreTold(t *testing.T) {
	t.Parallel()
	a := newTarget(t, mezu.Route{Name: "p", Prefix: "/p/"}, mezu.Route{Name: "idle", Prefix: "/idle/", IdleTimeout: mezu.Duration(300e6)})
	clients := map[string]*http.Client{"h1": a.http(a.edge), "h2": a.http2(a.edge)}
	get := func(client *http.Client, path, id string) *http.Response {
		req, err := http.NewRequest("GET", "https://"+a.host+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Request-Id", id)
		return do(t, client, req)
	}
	event := func(id string) (found mezu.Event) {
		eventually(t, "the event of "+id, func() error {
			for l := range strings.Lines(a.gate.out.String()) {
				var e mezu.Event
				if json.Unmarshal([]byte(l), &e) == nil && e.ID == id {
					found = e
					return nil
				}
			}
			return fmt.Errorf("there is none")
		})
		return found
	}
	counted := func(addr, program string, cause mezu.Cause) float64 {
		n, err := metric(addr, fmt.Sprintf("mezu_%s_request_failures_total{cause=%q}", program, cause))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	logged := func(log interface{ String() string }, id string, causes ...mezu.Cause) {
		t.Helper()
		eventually(t, "the log's word on "+id, func() error {
			for l := range strings.Lines(log.String()) {
				for _, cause := range causes {
					if strings.Contains(l, "request_id="+id+" ") && strings.Contains(l, "cause="+string(cause)+" ") {
						return nil
					}
				}
			}
			return fmt.Errorf("it says nothing of cause %s", causes)
		})
	}
	for i, c := range []struct {
		name, path, answer string
		close              bool
		warpgate, edge     mezu.Cause
		message            string
	}{
		{"cut chunks", "/p/", longChunks, true, mezu.CauseWorkloadReset, mezu.CauseWorkloadReset, ""},
		{"cut length", "/p/", "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("a", 0x8000), true, mezu.CauseWorkloadReset, mezu.CauseWarpgateCut, ""},
		{"malformed chunk", "/p/", longChunks + "zz\r\n", true, mezu.CauseWorkloadMalformed, mezu.CauseWorkloadMalformed, "a chunk's line is not «size[;extension]» and CRLF"},
		{"trailers over the limit", "/p/", longChunks + "0\r\nGrpc-Status: 7\r\nX: " + strings.Repeat("x", 40<<10) + "\r\n\r\n", true, mezu.CauseWorkloadMalformed, mezu.CauseWorkloadMalformed, "its trailer section is larger than 32 KiB or more than 256 fields"},
		{"silence", "/idle/", longChunks, false, mezu.CauseIdleTimeout, mezu.CauseIdleTimeout, ""},
	} {
		for version, client := range clients {
			id := fmt.Sprintf("cut-%d-%s", i, version)
			path := c.path + id
			hold := make(chan struct{})
			a.rec.on(path, script{answer: func(conn net.Conn, _ *message) bool {
				io.WriteString(conn, c.answer)
				if !c.close {
					<-hold
				}
				return false
			}})
			before := [2]float64{counted(a.gate.health, "warpgate", c.warpgate), counted(a.edge.admin, "edge", c.edge)}
			resp := get(client, path, id)
			if _, err := io.Copy(io.Discard, resp.Body); err == nil || resp.StatusCode != 200 {
				t.Errorf("%s over %s: the response counts as whole: %v", c.name, version, resp)
			}
			resp.Body.Close()
			close(hold)
			if e := event(id); e.Status != float64(200) || e.Cause != c.warpgate || e.Message != c.message {
				t.Errorf("%s over %s: the event is %+v, want the cause %s", c.name, version, e, c.warpgate)
			}
			logged(&a.gate.log, id, c.warpgate)
			logged(&a.edge.log, id, c.edge)
			if w, e := counted(a.gate.health, "warpgate", c.warpgate)-before[0], counted(a.edge.admin, "edge", c.edge)-before[1]; w != 1 || e != 1 {
				t.Errorf("%s over %s: the Warpgate counts %v, the edge %v", c.name, version, w, e)
			}
		}
	}
	t.Run("rule", func(t *testing.T) {
		a.rec.says("/p/rule", "HTTP/1.1 200 OK\r\nX-Hidden: a\x01b\r\n\r\n", true)
		for version, client := range clients {
			resp := get(client, "/p/rule", "rule-"+version)
			var problem struct{ Detail string }
			json.Unmarshal([]byte(readAll(t, resp)), &problem)
			if problem.Detail != "the workload's response is malformed: a field value has a control character" {
				t.Errorf("over %s the problem says %q", version, problem.Detail)
			}
			logged(&a.gate.log, "rule-"+version, mezu.CauseWorkloadMalformed)
		}
		if !strings.Contains(a.gate.log.String(), `X-Hidden`) {
			t.Error("the log does not name the field")
		}
	})
	t.Run("client", func(t *testing.T) {
		for version, client := range clients {
			id := "left-" + version
			hold := make(chan struct{})
			a.rec.on("/p/"+id, script{answer: func(conn net.Conn, _ *message) bool { io.WriteString(conn, longChunks); <-hold; return false }})
			before := counted(a.edge.admin, "edge", mezu.CauseClientGone)
			get(client, "/p/"+id, id).Body.Close() // leaves in the midst of it
			if e := event(id); e.Cause != mezu.CauseClientGone {
				t.Errorf("over %s the event is %+v", version, e)
			}
			close(hold)
			eventually(t, "the edge's count", func() error {
				if n := counted(a.edge.admin, "edge", mezu.CauseClientGone) - before; n != 1 {
					return fmt.Errorf("it is %v", n)
				}
				return nil
			})
		}
	})
	t.Run("Warpgate", func(t *testing.T) {
		hold := make(chan struct{})
		defer close(hold)
		a.rec.on("/p/killed", script{answer: func(conn net.Conn, _ *message) bool { io.WriteString(conn, longChunks); <-hold; return false }})
		resp := get(clients["h1"], "/p/killed", "killed")
		a.gate.signal(syscall.SIGKILL)
		if _, err := io.Copy(io.Discard, resp.Body); err == nil {
			t.Error("the response counts as whole")
		}
		resp.Body.Close()
		// A process that is killed closes its connections as one does that cuts, or
		// resets them.
		logged(&a.edge.log, "killed", mezu.CauseWarpgateCut, mezu.CauseWarpgateGone)
	})
}
