package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/dev"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/testkit"
)

// TestDevTellsOfRefusals: whatever the edge refuses is an event, once, with its code and its
// route; and what the Warpgate answers is none of these.
func TestDevTellsOfRefusals(t *testing.T) {
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	file := filepath.Join(t.TempDir(), "mezu.yaml")
	text := "environments:\n  development:\n    routes:\n" +
		"      - {name: api, prefix: /api/, auth: required}\n" +
		"      - {name: staff, prefix: /staff/, allow_ips: [192.0.2.0/24]}\n" +
		"      - {name: upload, prefix: /upload, max_body: 1KiB}\n" +
		"      - {name: read, prefix: /read, methods: [GET]}\n" +
		"      - {name: gone, exact: /gone}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r := start(t, t.TempDir(), "--file", file, gone.Addr().String())
	client := r.client()
	own, err := url.Parse(r.ready.URL)
	if err != nil {
		t.Fatal(err)
	}
	// raw sends bytes and waits for the end of the answer.
	raw := func(server, text string) {
		t.Helper()
		conn, err := net.Dial("tcp", "127.0.0.1:"+own.Port())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(startTimeout))
		if server != "" {
			conn = tls.Client(conn, &tls.Config{ServerName: server, InsecureSkipVerify: true})
		}
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, conn)
	}
	send := func(method, path string, body io.Reader) {
		t.Helper()
		req, err := http.NewRequest(method, r.ready.URL+path, body)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	host := own.Hostname()
	for _, c := range []struct {
		do   func()
		want string // status, code, method, host, path and route
	}{
		{func() { send("GET", "/api/x", nil) }, "401 unauthenticated GET " + host + " /api/x api"},
		{func() { send("GET", "/staff/x", nil) }, "403 forbidden GET " + host + " /staff/x staff"},
		{func() { send("GET", "/nowhere", nil) }, "404 no_route GET " + host + " /nowhere "},
		{func() { send("POST", "/read", nil) }, "405 method_not_allowed POST " + host + " /read "},
		{func() { send("POST", "/upload", bytes.NewReader(make([]byte, 4<<10))) }, "413 body_too_large POST " + host + " /upload upload"},
		{func() { send("GET", "/gone", nil) }, "502 workload_refused GET " + host + " /gone gone"},
		{func() { send("DELETE", "/.mezu/session", nil) }, "405 method_not_allowed DELETE " + host + " /.mezu/session "},
		{func() { raw(host, "GET /%2e%2e%2f HTTP/1.1\r\nHost: "+host+"\r\n\r\n") }, "400 not_canonical GET " + host + " /%2e%2e%2f "},
		{func() { raw(host, "GET /nohost?key=secret HTTP/1.1\r\n\r\n") }, "400 not_canonical GET " + host + " /nohost "},
		{func() { raw(host, "GET /x HTTP/3.0\r\nHost: "+host+"\r\n\r\n") }, "400 not_canonical GET " + host + " /x "},
		{func() { raw(host, "GET /x HTTP/1.1\r\nHost: other.localhost\r\nConnection: close\r\n\r\n") }, "421 wrong_host GET other.localhost /x "},
		{func() {
			raw("other.localhost", "GET /x HTTP/1.1\r\nHost: other.localhost\r\nConnection: close\r\n\r\n")
		}, "404 unknown_host GET other.localhost /x "},
		{func() { raw("", "GET /x HTTP/1.1\r\nHost: "+own.Host+"\r\n\r\n") }, "400 not_canonical GET   "},
	} {
		c.do()
		e := r.await(mezu.EventRequest)
		if got := fmt.Sprint(e.Status, " ", e.Code, " ", e.Method, " ", e.Host, " ", e.Path, " ", e.Route); got != c.want || e.ID == "" || e.Time.IsZero() {
			t.Errorf("%q, want %q: %+v", got, c.want, e)
		}
	}
	client.CloseIdleConnections()
	r.stop()
	for e := range r.events {
		if e.Event == mezu.EventRequest {
			t.Errorf("told twice, or untimely: %+v", e)
		}
	}
}

// TestDevOutput_Requests: what is wrong is said in the place of the time that it took.
func TestDevOutput_Requests(t *testing.T) {
	var out bytes.Buffer
	d := newDevOutput(dev.Options{Invocation: &invocation.Invocation{Streams: terminal.Streams{Out: &out, Err: &out}}}, slog.New(slog.DiscardHandler))
	d.serves("shop.localhost")
	at := time.Date(2026, 1, 2, 18, 16, 3, 0, time.Local)
	for _, c := range []struct {
		e    mezu.Event
		want string
	}{
		{mezu.Event{Status: 200, Path: "/", DurationMS: 1.25}, "200  GET    /  1.2 ms"},
		{mezu.Event{Status: 101, Path: "/ws", DurationMS: 41_000}, "101  GET    /ws  41 s"},
		{mezu.Event{Status: 401, Path: "/api/x", Code: mezu.CodeUnauthenticated, Cause: mezu.CauseRefused, Message: "no", Route: "api"}, "401  GET    /api/x  unauthenticated (route api)"},
		{mezu.Event{Status: 303, Path: "/api/x", Code: mezu.CodeUnauthenticated, Route: "prefix /api/"}, "303  GET    /api/x  unauthenticated (route prefix /api/)"},
		{mezu.Event{Status: 400, Code: mezu.CodeNotCanonical, Cause: mezu.CauseClientMalformed, Message: "a rule"}, "400  GET      not_canonical: a rule"},
		{mezu.Event{Status: 404, Host: "other.localhost", Path: "/x", Code: mezu.CodeUnknownHost, Cause: mezu.CauseRefused}, "404  GET    other.localhost/x  unknown_host"},
		{mezu.Event{Status: 502, Path: "/", Code: mezu.CodeWorkloadRefused, Cause: mezu.CauseWorkloadRefused, Message: "nothing answers at localhost:25001"}, "502  GET    /  nothing answers at localhost:25001"},
		{mezu.Event{Status: 200, Path: "/events", Cause: mezu.CauseShutdown, DurationMS: 2000}, "cut  GET    /events  shutdown, after 2.0 s"},
		{mezu.Event{Status: 0, Path: "/slow\x1b[2J", Cause: mezu.CauseClientGone, DurationMS: 3}, "  -  GET    /slow\\x1b[2J  client_gone, after 3.0 ms"},
	} {
		out.Reset()
		c.e.Event, c.e.Time, c.e.Method = mezu.EventRequest, at, "GET"
		if c.e.Host == "" {
			c.e.Host = "shop.localhost"
		}
		d.unserved(func() mezu.Event { return c.e })
		if got := out.String(); got != "18:16:03  "+c.want+"\n" {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// TestDevOutput_RefusalFlood: a flood of refusals is a hundred lines a second and a number, and no
// event is made of the others.
func TestDevOutput_RefusalFlood(t *testing.T) {
	for _, json := range []bool{false, true} {
		var out, said testkit.Buffer
		d := newDevOutput(dev.Options{Invocation: &invocation.Invocation{Streams: terminal.Streams{Out: &out, Err: &said}}, JSON: json}, slog.New(slog.DiscardHandler))
		now := time.Now()
		d.refusals.now = func() time.Time { return now }
		made := 0
		for range maxRefusals + 1234 {
			d.unserved(func() mezu.Event { made++; return mezu.Event{Event: mezu.EventRequest, Time: now, Status: 404} })
		}
		d.stopped(nil)
		if made != maxRefusals || strings.Count(out.String(), "404") != maxRefusals {
			t.Errorf("%d were made", made)
		}
		if want := "1,234 more requests"; !json && !strings.Contains(said.String(), want) {
			t.Errorf("%s, want %s", &said, want)
		}
		if want := `"missed":1234}`; json && !strings.Contains(out.String(), want) {
			t.Errorf("%s, want %s", &out, want)
		}
		now = now.Add(refusalSpan)
		d.unserved(func() mezu.Event { made++; return mezu.Event{Event: mezu.EventRequest, Time: now, Status: 404} })
		if made != maxRefusals+1 {
			t.Error("the next second shows none")
		}
	}
}

// TestRefusals_NothingAfterTheEnd: a number that is being said when the run ends is waited for, so that
// nothing comes after the last event.
func TestRefusals_NothingAfterTheEnd(t *testing.T) {
	r := &refusals{now: time.Now, passed: 1}
	said := 0
	r.missed = func(uint64) {
		if said++; r.mu.TryLock() {
			t.Error("the end does not wait for it")
			r.mu.Unlock()
		}
	}
	r.tell()
	r.passed = 1
	r.end()
	r.end()
	if said != 2 {
		t.Errorf("said %d times", said)
	}
}
