//go:build unix

package rest_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/daemon/inspect"
	"github.com/mezusphere/mezu/daemon/inspect/show"
	"github.com/mezusphere/mezu/daemon/rest"
	"github.com/mezusphere/mezu/local"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of a test that has gone wrong.
const patience = time.Minute

// world is a server on a socket, and its host.
type world struct {
	t      *testing.T
	host   *memory
	kept   *inspect.Inspector
	path   string
	client *local.Client
	end    func() // ends the server, and waits until it has
}

// newWorld starts a server. configure may change it before.
func newWorld(t *testing.T, configure func(*rest.Server)) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "m")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	w := &world{t: t, host: newMemory(), path: filepath.Join(dir, "run", "daemon.sock")}
	l, err := local.Listen(w.path)
	must(t, err)
	w.kept = inspect.New(inspect.Config{})
	s := rest.New(rest.Config{Host: w.host, Events: w.host.hub, Show: show.New(show.Config{Inspector: w.kept, Now: time.Now}), Replayer: w.host, Version: "1.2.3", Now: time.Now, LogTail: func(most int) ([]byte, error) { return []byte("the log"), nil }})
	if configure != nil {
		configure(s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	w.client = local.New(w.path, "1.2.3")
	w.end = func() {
		cancel()
		err := <-ended
		ended <- err
		must(t, err)
	}
	t.Cleanup(func() {
		w.client.Close()
		w.end()
	})
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// dial connects without a client.
func (w *world) dial() net.Conn {
	w.t.Helper()
	c, err := local.Dial(w.t.Context(), w.path)
	must(w.t, err)
	must(w.t, c.SetDeadline(time.Now().Add(patience)))
	w.t.Cleanup(func() { c.Close() })
	return c
}

// open opens a tunnel of an environment.
func (w *world) open(environment string) mezu.Tunnel {
	w.t.Helper()
	opened, err := w.client.Open(w.t.Context(), spec(environment))
	must(w.t, err)
	return opened.Tunnel
}

func spec(environment string) mezu.TunnelSpec {
	return mezu.TunnelSpec{Profile: "default", API: "https://api.example", Organization: "acme", Project: "shop", Environment: environment, TunnelTarget: mezu.TunnelTarget{Target: "localhost:3000"}}
}

// TestOperations goes through all of them by the client.
func TestOperations(t *testing.T) {
	w := newWorld(t, nil)
	ctx := t.Context()
	st, err := w.client.Status(ctx)
	if err != nil || st.Version != "1.2.3" || st.Host != local.HostDaemon || st.PID != 7 || st.Clients != 1 || w.client.DaemonVersion() != "1.2.3" {
		t.Errorf("status: %+v, %v", st, err)
	}
	opened, err := w.client.Open(ctx, spec("dev"))
	if err != nil || !opened.New || opened.Name != "shop/dev" || opened.Target != "localhost:3000" {
		t.Fatalf("open: %+v, %v", opened, err)
	}
	id := opened.ID
	if again, err := w.client.Open(ctx, spec("dev")); err != nil || again.New || again.ID != id {
		t.Errorf("open again: %+v, %v", again, err)
	}
	if list, err := w.client.Tunnels(ctx); err != nil || len(list) != 1 || list[0].ID != id {
		t.Errorf("list: %+v, %v", list, err)
	}
	if got, err := w.client.Enrol(ctx, id, "met_secret"); err != nil || got.State != mezu.TunnelLive || w.host.token != "met_secret" {
		t.Errorf("enrol: %+v, %v", got, err)
	}
	yes := true
	if got, err := w.client.Change(ctx, id, local.TunnelPatch{Target: &mezu.TunnelTarget{Target: "localhost:4000"}}); err != nil || got.Target != "localhost:4000" || got.Detached {
		t.Errorf("a new target: %+v, %v", got, err)
	}
	if got, err := w.client.Change(ctx, id, local.TunnelPatch{Detached: &yes}); err != nil || got.Target != "localhost:4000" || !got.Detached {
		t.Errorf("detached: %+v, %v", got, err)
	}
	if got, err := w.client.Stop(ctx, id, local.Drain{}); err != nil || !got.Stopped || w.host.drained != local.DrainTimeout {
		t.Errorf("stop: %+v, %v, after %v", got, err, w.host.drained)
	}
	if got, err := w.client.Start(ctx, id); err != nil || got.Stopped {
		t.Errorf("start: %+v, %v", got, err)
	}
	if _, err := w.client.Stop(ctx, id, local.DrainFor(0)); err != nil || w.host.drained != 0 {
		t.Errorf("stop at once: %v, after %v", err, w.host.drained)
	}
	if p, err := w.client.Probe(ctx, id); err != nil || p.ConnectMS != 1.5 {
		t.Errorf("probe: %+v, %v", p, err)
	}
	if text, err := w.client.Log(ctx, 3); err != nil || string(text) != "log" {
		t.Errorf("log: %q, %v", text, err)
	}
	must(t, w.client.Remove(ctx, id))
	if _, err := w.client.Tunnel(ctx, id); mezu.CodeOf(err) != mezu.CodeNotFound {
		t.Errorf("after its end: %v", err)
	}
	if err := w.client.Shutdown(ctx, local.Shutdown{Drain: local.DrainFor(local.RestartDrain), Restart: true}); err != nil || !w.host.down.Restart || w.host.down.Time(0) != local.RestartDrain {
		t.Errorf("shutdown: %v, %+v", err, w.host.down)
	}
	if list, err := w.client.Tunnels(ctx); err != nil || len(list) != 0 {
		t.Errorf("list of none: %+v, %v", list, err)
	}
}

// body is a request with a body of JSON.
func body(method, path, text string) string {
	return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: mezu\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", method, path, len(text), text)
}

func get(path, header string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n" + header + "\r\n"
}

// TestRefusals: each refusal is a problem document with the headers of every answer.
func TestRefusals(t *testing.T) {
	w := newWorld(t, nil)
	w.open("dev")
	const good = `"profile":"default","api":"https://api.example","organization":"acme","project":"shop","environment":"dev","target":"3000"`
	for name, c := range map[string]struct {
		request string
		status  int
		field   string
		detail  string
	}{
		"no such path":           {get("/v1/nothing", ""), 404, "", "no such operation"},
		"the root":               {get("/", ""), 404, "", "no such operation of the local API v1"},
		"another generation":     {get("/v2/status", ""), 404, "", "no such operation"},
		"two slashes":            {get("/v1//status", ""), 404, "", "no such operation"},
		"a slash at the end":     {get("/v1/status/", ""), 404, "", "no such operation"},
		"dots":                   {get("/v1/x/../status", ""), 404, "", "no such operation"},
		"another method":         {body("PUT", "/v1/tunnels", "{}"), 405, "", "is for GET, POST"},
		"OPTIONS of all":         {"OPTIONS * HTTP/1.1\r\nHost: mezu\r\n\r\n", 404, "", "no such operation"},
		"OPTIONS of a page":      {"OPTIONS * HTTP/1.1\r\nHost: mezu\r\nOrigin: null\r\n\r\n", 403, "", "pages have no access"},
		"HEAD":                   {"HEAD /v1/status HTTP/1.1\r\nHost: mezu\r\n\r\n", 405, "", ""},
		"no such tunnel":         {get("/v1/tunnels/tun_x", ""), 404, "", `no tunnel "tun_x"`},
		"attach to none":         {get("/v1/tunnels/tun_x/attach", ""), 404, "", `no tunnel "tun_x"`},
		"a page":                 {get("/v1/status", "Origin: http://localhost:3000\r\n"), 403, "", "pages have no access"},
		"a page without one":     {get("/v1/status", "Origin: null\r\n"), 403, "", "pages have no access"},
		"D1: another host":       {"GET /v1/status HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403, "", "has the host mezu or localhost"},
		"D1: a similar host":     {"GET /v1/status HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n", 403, "", "has the host"},
		"an absolute target":     {"GET http://evil.example/v1/status HTTP/1.1\r\nHost: mezu\r\n\r\n", 403, "", "has the host"},
		"a query":                {get("/v1/status?a=b", ""), 400, "", "no query"},
		"another query":          {get("/v1/log?lines=3", ""), 400, "lines", "has bytes"},
		"a query twice":          {get("/v1/log?bytes=3&bytes=4", ""), 400, "bytes", "once"},
		"too much of the log":    {get("/v1/log?bytes=1048577", ""), 400, "bytes", "1 to 1048576"},
		"a malformed query":      {get("/v1/log?%", ""), 400, "", ""},
		"no body":                {"POST /v1/tunnels HTTP/1.1\r\nHost: mezu\r\n\r\n", 400, "", "no body"},
		"a form":                 {strings.Replace(body("POST", "/v1/tunnels", "a=b"), "application/json", "text/plain", 1), 400, "Content-Type", "is application/json"},
		"no JSON":                {body("POST", "/v1/tunnels", "{"), 400, "", "ends early"},
		"an unknown field":       {body("POST", "/v1/tunnels", `{`+good+`,"login":"x"}`), 400, "login", "is not a field"},
		"a field twice":          {body("POST", "/v1/tunnels", `{`+good+`,"api":"https://b.example"}`), 400, "api", ""},
		"a field in capitals":    {body("POST", "/v1/tunnels", `{`+good+`,"Detached":true}`), 400, "Detached", ""},
		"something behind":       {body("POST", "/v1/tunnels", `{`+good+`}{}`), 400, "", "follows"},
		"a bad target":           {body("POST", "/v1/tunnels", strings.Replace(`{`+good+`}`, "3000", "300000", 1)), 400, "target", ""},
		"stopped from the start": {body("POST", "/v1/tunnels", `{`+good+`,"stopped":true}`), 400, "stopped", ""},
		"a bad patch":            {body("PATCH", "/v1/tunnels/tun_0", `{"target":{"target":"x y"}}`), 400, "target.target", ""},
		"an unknown patch":       {body("PATCH", "/v1/tunnels/tun_0", `{"environment":"x"}`), 400, "environment", ""},
		"an empty token":         {body("PUT", "/v1/tunnels/tun_0/enrolment", `{"token":""}`), 400, "token", ""},
		"a token of two lines":   {body("PUT", "/v1/tunnels/tun_0/enrolment", `{"token":"a\nb"}`), 400, "token", ""},
		"a drain without end":    {body("POST", "/v1/tunnels/tun_0/stop", `{"timeout":"2h"}`), 400, "timeout", "at most 1h"},
		"a negative drain":       {body("POST", "/v1/shutdown", `{"timeout":"-1s"}`), 400, "timeout", ""},
		"a GET with a body":      {body("GET", "/v1/status", `{}`), 400, "", "no body"},
		"a body for nothing":     {body("POST", "/v1/tunnels/tun_0/start", `{"a":1}`), 400, "a", ""},
	} {
		t.Run(name, func(t *testing.T) {
			conn := w.dial()
			defer conn.Close()
			_, err := io.WriteString(conn, c.request)
			must(t, err)
			isProblem(t, conn, c.request, c.status, c.field, c.detail)
		})
	}
	// A refusal leaves nothing behind.
	if list := w.host.List(); len(list) != 1 || list[0].Stopped || w.host.token != "" || w.host.down != nil {
		t.Errorf("%+v", list)
	}
	conn := w.dial()
	_, err := io.WriteString(conn, "DELETE /v1/status HTTP/1.1\r\nHost: mezu\r\n\r\n")
	must(t, err)
	if resp := isProblem(t, conn, "DELETE", 405, "", ""); resp.Header.Get("Allow") != "GET" {
		t.Errorf("allowed is %q", resp.Header.Get("Allow"))
	}
}

// isProblem reads an answer, and checks that it is a refusal.
func isProblem(t *testing.T, conn net.Conn, request string, status int, field, detail string) *http.Response {
	t.Helper()
	method, _, _ := strings.Cut(request, " ")
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	must(t, err)
	data, err := io.ReadAll(resp.Body)
	must(t, err)
	if resp.StatusCode != status || resp.Header.Get(local.HeaderVersion) != "1.2.3" || resp.Header.Get(local.HeaderGeneration) != "v1" || resp.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%d, %v, %s", resp.StatusCode, resp.Header, data)
	}
	var p api.Problem
	if method == http.MethodHead {
		return resp
	}
	if err := json.Unmarshal(data, &p); err != nil || p.Status != status || p.Code.Status() != status || p.Field != field || !strings.Contains(p.Detail, detail) {
		t.Errorf("%s, %v", data, err)
	}
	return resp
}

// TestBodyIsBounded: a byte more than local.MaxBody is refused without being read, or as it is.
func TestBodyIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	big := `{"api":"` + strings.Repeat(" ", local.MaxBody-len(`{"api":""}`)) + `"}`
	for name, c := range map[string]struct {
		head, body string
		status     int
	}{
		// Whoever announces too much need not send it.
		"announced":               {fmt.Sprintf("Content-Length: %d\r\n", local.MaxBody+1), "", 413},
		"chunked":                 {"Transfer-Encoding: chunked\r\n", fmt.Sprintf("%x\r\n%s\r\n", len(big)+1, strings.Repeat(" ", len(big)+1)), 413},
		"as much as there may be": {fmt.Sprintf("Content-Length: %d\r\n", len(big)), big, 400},
	} {
		t.Run(name, func(t *testing.T) {
			conn := w.dial()
			defer conn.Close()
			// The server may close before it has read all.
			_, _ = io.WriteString(conn, "POST /v1/tunnels HTTP/1.1\r\nHost: mezu\r\nContent-Type: application/json\r\n"+c.head+"\r\n"+c.body)
			isProblem(t, conn, "POST", c.status, "", "")
		})
	}
	conn := w.dial()
	_, _ = io.WriteString(conn, "GET /v1/status HTTP/1.1\r\nHost: mezu\r\nX: "+strings.Repeat("x", 64<<10))
	if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a head that is too large: %v, %v", resp, err)
	}
}

// TestNoAnswerIsNone: whoever closes half of the connection has given up. An operation that ends
// for that has no answer, and least of all a good one.
func TestNoAnswerIsNone(t *testing.T) {
	w := newWorld(t, nil)
	tunnel := w.open("dev")
	w.host.probing = func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}
	conn := w.dial()
	_, err := io.WriteString(conn, "POST /v1/tunnels/"+tunnel.ID+"/probe HTTP/1.1\r\nHost: mezu\r\n\r\n")
	must(t, err)
	must(t, conn.(*net.UnixConn).CloseWrite())
	if answer, err := io.ReadAll(conn); len(answer) > 0 {
		t.Errorf("%q, %v", answer, err)
	}
}

// TestSlowLoris: whoever does not send a request in time gives up a place.
func TestSlowLoris(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *rest.Server) { s.Hurry(200*time.Millisecond, 200*time.Millisecond) })
	head := w.dial()
	_, err := io.WriteString(head, "GET /v1/status HTTP/1.1\r\nHost: m")
	must(t, err)
	if _, err := io.ReadAll(head); err != nil {
		t.Errorf("a head that does not end: %v", err)
	}
	slow := w.dial()
	_, err = io.WriteString(slow, strings.TrimSuffix(body("POST", "/v1/tunnels", "{  }"), "}"))
	must(t, err)
	isProblem(t, slow, "POST", 408, "", "did not come")
	slow.Close()
	// Nor does the server wait for a body that it does not read.
	unread := w.dial()
	_, err = io.WriteString(unread, "POST /v1/nothing HTTP/1.1\r\nHost: mezu\r\nContent-Length: 4\r\n\r\n{")
	must(t, err)
	isProblem(t, unread, "POST", 404, "", "")
	if _, err := io.ReadAll(unread); err != nil {
		t.Errorf("a body that nobody reads: %v", err)
	}
	w.host.until(func() bool { return w.host.clients == 0 })
}

// Test65Clients: the sixty-fifth is told to come back, those behind it are closed, and each one
// that leaves makes room.
func Test65Clients(t *testing.T) {
	w := newWorld(t, nil)
	tunnel := w.open("dev")
	w.host.until(func() bool { return w.host.clients == 0 })
	var streams []*local.Stream
	for range local.MaxClients {
		s, err := w.client.Attach(t.Context(), tunnel.ID, "")
		must(t, err)
		defer s.Close()
		streams = append(streams, s)
	}
	_, err := w.client.Status(t.Context())
	var e *mezu.Error
	if !errors.As(err, &e) || e.Code != mezu.CodeUnavailable || !strings.Contains(e.Detail, "as many clients as it serves") || w.client.DaemonVersion() != "1.2.3" {
		t.Errorf("the sixty-fifth: %v", err)
	}
	conn := w.dial()
	_, err = io.WriteString(conn, get("/v1/status", ""))
	must(t, err)
	if resp := isProblem(t, conn, "GET", 503, "", ""); resp.Header.Get("Retry-After") != "1" || !resp.Close {
		t.Errorf("%v", resp.Header)
	}
	if n, err := conn.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("after it: %d bytes, %v", n, err)
	}
	// Some who say nothing wait for their answer; the rest is closed.
	for range rest.MaxTurnedAway {
		w.dial()
	}
	if n, err := w.dial().Read(make([]byte, 1)); err == nil {
		t.Errorf("one of too many: %d bytes", n)
	}
	streams[0].Close()
	w.host.until(func() bool { return w.host.clients == local.MaxClients-1 })
	if st, err := w.client.Status(t.Context()); err != nil || st.Clients != local.MaxClients {
		t.Errorf("after one left: %+v, %v", st, err)
	}
}

// TestServe_Ends: streams end properly, and so does one that nobody reads.
func TestServe_Ends(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	tunnel := w.open("dev")
	one, err := w.client.Attach(t.Context(), tunnel.ID, "")
	must(t, err)
	defer one.Close()
	all, err := w.client.Events(t.Context(), "")
	must(t, err)
	defer all.Close()
	unread := w.dial()
	_, err = io.WriteString(unread, get("/v1/events", ""))
	must(t, err)
	w.host.until(func() bool { return w.host.attached[tunnel.ID] == 1 && w.host.clients == 3 })
	busy(w.host, tunnel.ID, 20_000)
	w.end()
	for _, s := range []*local.Stream{one, all} {
		for {
			if _, err := s.Next(); err != nil {
				if err != io.EOF && !errors.Is(err, local.ErrSilent) {
					t.Error(err)
				}
				break
			}
		}
	}
	w.host.until(func() bool { return w.host.attached[tunnel.ID] == 0 && w.host.clients == 0 })
	if _, err := w.client.Status(t.Context()); !errors.Is(err, local.ErrNotRunning) {
		t.Errorf("after its end: %v", err)
	}
}

// FuzzRequest: whatever a body is, it is refused, or what the host is asked for is valid.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{
		`{"profile":"default","api":"https://api.example","organization":"acme","project":"shop","environment":"dev","target":"3000"}`,
		`{"target":{"target":"localhost:3000","allow_targets":["h2c://a:1"],"host_header":"target"},"detached":true}`,
		`{"token":"met_x"}`, `{"timeout":"5s","idle":true}`, `{}`, `null`, `{"a":1,"a":2}`,
	} {
		f.Add(uint8(0), s)
	}
	operations := []struct{ method, path string }{
		{"POST", "/v1/tunnels"}, {"PATCH", "/v1/tunnels/tun_0"}, {"PUT", "/v1/tunnels/tun_0/enrolment"}, {"POST", "/v1/tunnels/tun_0/stop"}, {"POST", "/v1/shutdown"}, {"POST", "/v1/tunnels/tun_0/start"},
	}
	f.Fuzz(func(t *testing.T, which uint8, text string) {
		host := newMemory()
		_, err := host.Open(t.Context(), spec("dev"))
		must(t, err)
		s := rest.New(rest.Config{Host: host, Events: host.hub, Version: "1.2.3", Now: time.Now})
		op := operations[int(which)%len(operations)]
		r, err := http.NewRequest(op.method, "http://mezu"+op.path, strings.NewReader(text))
		must(t, err)
		r.Header.Set("Content-Type", "application/json")
		w := &recorder{header: http.Header{}}
		s.ServeHTTP(w, rest.Admitted(r))
		if w.status >= 500 {
			t.Fatalf("%s %s with %q: %d %s", op.method, op.path, text, w.status, w.body.String())
		}
		for _, tunnel := range host.List() {
			if err := tunnel.Validate(); err != nil {
				t.Fatalf("%s %s with %q leaves %+v: %v", op.method, op.path, text, tunnel, err)
			}
		}
		if host.drained > local.MaxDrain || host.drained < 0 {
			t.Fatalf("%q drains for %v", text, host.drained)
		}
	})
}

// recorder takes an answer.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) { w.status = status }

func (w *recorder) Write(p []byte) (int, error) { return w.body.Write(p) }
