package inspect_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/forward"
	"github.com/mezusphere/mezu/daemon/inspect"
	"github.com/mezusphere/mezu/local"
)

// said is a workload that says what it was asked.
func said(rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	rw.Header().Set("Said-User", r.Header.Get("Mezu-User"))
	fmt.Fprintf(rw, "%s %s %s %q %s", r.Method, r.Host, r.RequestURI, body, r.Header.Get("Authorization"))
}

// repeat sends an exchange again, and gives what came of it.
func (w *world) repeat(r *inspect.Record, how local.Replay) (*inspect.Record, error) {
	w.t.Helper()
	text, err := r.Repeat("", how)
	if err != nil {
		return nil, err
	}
	ctx, end := context.WithTimeout(w.t.Context(), patience)
	defer end()
	id := ""
	w.f.Replay(ctx, text, w.recorder.Replay(r, func(begun string) { id = begun }, end))
	if id == "" {
		w.t.Fatalf("nothing began of %q", text.Text)
	}
	return w.i.Get(id)
}

func (w *world) mustRepeat(r *inspect.Record, how local.Replay) *inspect.Record {
	w.t.Helper()
	again, err := w.repeat(r, how)
	if err != nil {
		w.t.Fatal(err)
	}
	return again
}

// A request is sent again as it came, or as somebody changed it.
func TestRepeat(t *testing.T) {
	w := newWorld(t, serve(t, said).URL, inspect.New(inspect.Config{}), nil)
	r, err := http.NewRequest(http.MethodPost, w.url+"/hooks?token=secret-of-the-hook&x=1", strings.NewReader("first"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer secret-of-the-head")
	r.Header.Set("X-Kept", "kept")
	resp, err := visitor.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	first := w.last()
	again := w.mustRepeat(first, local.Replay{})
	want := `POST shop-acme.edge.example /hooks?token=secret-of-the-hook&x=1 "first" Bearer secret-of-the-head`
	if got := string(again.ResponseBody.Bytes()); got != want || again.ReplayOf != first.ID || !strings.HasPrefix(again.RequestID, mezu.PrefixReplay+"-") || again.Edge != "" ||
		again.Client != client.String() || again.Status != 200 || again.Open || again.ID == first.ID || again.Sent.Field("x-forwarded-for") != client.String() {
		t.Errorf("%q, %+v", got, again)
	}
	if got := again.Request.Line(); got != first.Request.Line() {
		t.Errorf("%q", got)
	}
	thrice := w.mustRepeat(again, local.Replay{SetHeader: []mezu.ExchangeField{{Name: "authorization", Value: "Basic other"}, {Name: "x-kept"}}})
	if got := string(thrice.ResponseBody.Bytes()); !strings.HasSuffix(got, `"first" Basic other`) || thrice.Request.Field("x-kept") != "" {
		t.Errorf("%q, %q", got, thrice.Request.Head)
	}
	edited := w.mustRepeat(first, local.Replay{Edited: &local.EditedRequest{Method: "PUT", Target: "/hooks/../other?token=" + mezu.Mask + "&x=2",
		Fields: []mezu.ExchangeField{{Name: "Host", Value: "shop-acme.edge.example"}, {Name: "Content-Length", Value: "9000"}, {Name: "Authorization", Value: mezu.Mask}}, Body: []byte("changed")}})
	if got := string(edited.ResponseBody.Bytes()); got != `PUT shop-acme.edge.example /other?token=secret-of-the-hook&x=2 "changed" Bearer secret-of-the-head` {
		t.Errorf("%q, %+v", got, edited)
	}
	kept := w.mustRepeat(first, local.Replay{Edited: &local.EditedRequest{Method: "POST", Target: "/", KeepBody: true}})
	if got := string(kept.ResponseBody.Bytes()); got != `POST shop-acme.edge.example / "first" ` {
		t.Errorf("%q", got)
	}
	for name, e := range map[string]local.EditedRequest{
		"a line more":        {Method: "GET", Target: "/", Fields: []mezu.ExchangeField{{Name: "X", Value: "1\r\nHost: evil.example"}}},
		"a name of two":      {Method: "GET", Target: "/", Fields: []mezu.ExchangeField{{Name: "X: 1\r\nHost", Value: "evil.example"}}},
		"a target of two":    {Method: "GET", Target: "/ HTTP/1.1\r\nHost: evil.example\r\n\r\n"},
		"a method of two":    {Method: "GET / HTTP/1.1\r\n", Target: "/"},
		"a mask in the body": {Method: "GET", Target: "/", Body: []byte(`{"password":"` + mezu.Mask + `"}`)},
		"a mask of nothing":  {Method: "GET", Target: "/?other=" + mezu.Mask},
		"a mask in a path":   {Method: "GET", Target: "/" + mezu.Mask},
		"a new masked field": {Method: "GET", Target: "/", Fields: []mezu.ExchangeField{{Name: "Cookie", Value: "a=" + mezu.Mask}}},
	} {
		if again, err := w.repeat(first, local.Replay{Edited: &e}); mezu.CodeOf(err) != mezu.CodeInvalid {
			t.Errorf("%s: %+v, %v", name, again, err)
		}
	}
}

// A replay that can't be kept ends at once, and doesn't wait for another request.
func TestRepeatWithoutRoom(t *testing.T) {
	w := newWorld(t, serve(t, said).URL, inspect.New(inspect.Config{}), nil)
	w.get("/")
	first := w.last()
	text, err := first.Repeat("", local.Replay{})
	if err != nil {
		t.Fatal(err)
	}
	w.recorder.SetOff(true)
	ctx, end := context.WithTimeout(t.Context(), patience)
	defer end()
	w.f.Replay(ctx, text, w.recorder.Replay(first, func(id string) { t.Errorf("%s has begun", id) }, end))
	if err := context.Cause(ctx); err != context.Canceled {
		t.Errorf("it was ended by %v", err)
	}
}

// TestD7_ReplayStaysInItsTunnel: whatever somebody writes, the request goes to the tunnel's target
// and asks for its host.
func TestD7_ReplayStaysInItsTunnel(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s was asked for %s", r.Host, r.URL) }))
	defer other.Close()
	w := newWorld(t, serve(t, said).URL, inspect.New(inspect.Config{}), nil)
	w.get("/")
	first := w.last()
	host := strings.TrimPrefix(other.URL, "http://")
	for name, how := range map[string]local.Replay{
		"absolute form": {Edited: &local.EditedRequest{Method: "GET", Target: other.URL + "/"}},
		"authority":     {Edited: &local.EditedRequest{Method: "CONNECT", Target: host}},
		"asterisk":      {Edited: &local.EditedRequest{Method: "OPTIONS", Target: "*"}},
		"other host":    {Edited: &local.EditedRequest{Method: "GET", Target: "/", Fields: []mezu.ExchangeField{{Name: "hOST", Value: host}}}},
		"set host":      {SetHeader: []mezu.ExchangeField{{Name: "Host", Value: host}}},
	} {
		if again, err := w.repeat(first, how); mezu.CodeOf(err) != mezu.CodeInvalid {
			t.Errorf("%s: %+v, %v", name, again, err)
		}
	}
	for _, target := range []string{"//" + host + "/", "/\\" + host, "/@" + host, "/http://" + host} {
		again, err := w.repeat(first, local.Replay{Edited: &local.EditedRequest{Method: "GET", Target: target}})
		if err == nil && !(again.Host == "shop-acme.edge.example" && (again.Upstream == first.Upstream || again.Upstream == "")) {
			t.Errorf("%s: %+v", target, again)
		}
	}
	text, err := first.Repeat(host, local.Replay{}) // a tunnel's address that is not its own
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithTimeout(t.Context(), patience)
	defer end()
	w.f.Replay(ctx, text, w.recorder.Replay(first, func(string) {}, end))
	if r := w.last(); r.Code != mezu.CodeRefusedByWarpgate || r.Upstream != "" || r.ReplayOf != first.ID {
		t.Errorf("%+v", r)
	}
}

// TestD7_ReplayAsksForTheSameLogin: the grant that came with the request counts as long as it is
// good; then nobody asks.
func TestD7_ReplayAsksForTheSameLogin(t *testing.T) {
	w := newWorld(t, serve(t, said).URL, inspect.New(inspect.Config{}), nil)
	g := w.auth.Session(1, environment, directory)
	w.grant = w.auth.Sign(g)
	if status, _ := w.get("/private/"); status != 200 {
		t.Fatal(status)
	}
	first := w.last()
	if first.User != g.User {
		t.Errorf("%+v", first)
	}
	if again := w.mustRepeat(first, local.Replay{}); again.Status != 200 || again.User != g.User {
		t.Errorf("%+v", again)
	}
	w.auth.Anchor.Revoke(&mezu.Revocation{Kind: mezu.RevokeSession, Subject: g.Session, Until: g.NotAfter})
	again := w.mustRepeat(first, local.Replay{})
	if again.Status != http.StatusUnauthorized || again.Code != mezu.CodeUnauthenticated || again.User != "" || again.Upstream != "" || again.ReplayOf != first.ID {
		t.Errorf("with an ended session: %+v", again)
	}
	w.grant = nil
	w.get("/private/")
	if nobody := w.mustRepeat(w.last(), local.Replay{}); nobody.Status != http.StatusUnauthorized || nobody.Code != mezu.CodeUnauthenticated {
		t.Errorf("as nobody: %+v", nobody)
	}
}

// What is not all there is not sent again, and neither is an upgrade.
func TestRepeatRefused(t *testing.T) {
	leave := make(chan struct{})
	s := serve(t, func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ws" {
			rw.WriteHeader(http.StatusTeapot)
			return
		}
		io.ReadAll(r.Body)
		<-leave
	})
	w := newWorld(t, s.URL, inspect.New(inspect.Config{}), nil)
	conn := w.link()
	fmt.Fprintf(conn, "%sPOST /slow HTTP/1.1\r\nHost: shop-acme.edge.example\r\nContent-Length: 10\r\n\r\nhalf", w.head())
	var open *inspect.Record
	eventually(t, "half a body", func() bool {
		page, _, _ := w.i.List(inspect.Query{})
		if len(page) == 0 {
			return false
		}
		open = page[0]
		return open.RequestBody.Size == 4
	})
	if _, err := open.Repeat("", local.Replay{}); mezu.CodeOf(err) != mezu.CodeConflict || !strings.Contains(err.Error(), "still coming") {
		t.Error(err)
	}
	if err := w.i.Remove(open.ID); mezu.CodeOf(err) != mezu.CodeConflict {
		t.Error(err)
	}
	conn.Close()
	cut := w.last()
	if cut.Cause != mezu.CauseClientGone || cut.RequestBody.Size != 4 {
		t.Errorf("%+v", cut)
	}
	if _, err := cut.Repeat("", local.Replay{}); mezu.CodeOf(err) != mezu.CodeConflict || !strings.Contains(err.Error(), "did not come to its end") {
		t.Error(err)
	}
	close(leave)
	conn = w.link()
	fmt.Fprintf(conn, "%sGET /ws HTTP/1.1\r\nHost: shop-acme.edge.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", w.head())
	var ws *inspect.Record
	eventually(t, "the answer", func() bool { ws = w.last(); return ws.Path == "/ws" })
	if _, err := ws.Repeat("", local.Replay{}); ws.Status != http.StatusTeapot || mezu.CodeOf(err) != mezu.CodeInvalid {
		t.Errorf("%+v, %v", ws, err)
	}
}

// A tunnel without a workload takes everything, and answers what it was told to.
func TestCapture(t *testing.T) {
	answer := &mezu.TunnelCapture{}
	w := newWorld(t, "", inspect.New(inspect.Config{}), func(c *forward.Config) { c.Capture = answer })
	if status, text := w.do(http.MethodPost, "/hooks", seeded(300<<10)); status != 200 || text != "" {
		t.Errorf("%d %q", status, text)
	}
	r := w.last()
	if r.RequestBody.Kept() != 300<<10 || r.BytesIn != 300<<10 || r.Status != 200 || r.Upstream != "" || r.Sent.Head != nil || r.Response.Head != nil ||
		r.Returned.Line() != "HTTP/1.1 200 OK" || r.Code != "" || r.Cause != "" {
		t.Errorf("%+v, %q", r, r.Returned.Head)
	}
	w.f.Retarget(forward.Targets{Capture: &mezu.TunnelCapture{Status: 202, MediaType: "application/json", Body: []byte("{}\n")}})
	if status, text := w.get("/any?x=1"); status != 202 || text != "{}\n" {
		t.Errorf("%d %q", status, text)
	}
	if r := w.last(); string(r.ResponseBody.Bytes()) != "{}\n" || r.Returned.Field("content-type") != "application/json" || r.BytesOut != 3 {
		t.Errorf("%+v, %q", r, r.Returned.Head)
	}
	if status, _ := w.do(http.MethodPost, "/small/", strings.NewReader("more than ten bytes")); status != http.StatusRequestEntityTooLarge {
		t.Error(status)
	}
	d := net.Dialer{}
	c, err := d.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	fmt.Fprint(c, "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
	line := make([]byte, len("HTTP/1.1 501"))
	if _, err := io.ReadFull(c, line); err != nil || string(line) != "HTTP/1.1 501" {
		t.Errorf("%q, %v", line, err)
	}
	if r := w.last(); r.Status != http.StatusNotImplemented || r.Path != "/ws" || r.Kind != mezu.ExchangeHTTP || r.ResponseBody.Size == 0 {
		t.Errorf("%+v", r)
	}
}

// What was refused, and what broke, is there with its reason; a tunnel that is left out has nothing.
func TestRefusals(t *testing.T) {
	s := serve(t, func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/panics" {
			rw.Write([]byte("beg"))
			http.NewResponseController(rw).Flush()
			panic(http.ErrAbortHandler)
		}
	})
	w := newWorld(t, s.URL, inspect.New(inspect.Config{}), nil)
	conn := w.link()
	fmt.Fprintf(conn, "%sGET /a/../b HTTP/1.1\r\nHost: shop-acme.edge.example\r\n\r\n", w.head())
	eventually(t, "the refusal", func() bool { return w.last().Code == mezu.CodeRefusedByWarpgate })
	if r := w.last(); r.Request.Line() != "GET /a/../b HTTP/1.1" || r.Sent.Head != nil || r.Status != 403 {
		t.Errorf("%+v", r)
	}
	resp, err := visitor.Get(w.url + "/panics")
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	if r := w.last(); r.Cause != mezu.CauseWorkloadReset || string(r.ResponseBody.Bytes()) != "beg" || r.Status != 200 {
		t.Errorf("%+v", r)
	}
	s.Close()
	if status, _ := w.get("/"); status != 502 {
		t.Error(status)
	}
	if r := w.last(); r.Code != mezu.CodeWorkloadRefused || r.Message == "" || r.Upstream == "" || r.Route == "" {
		t.Errorf("%+v", r)
	}
	before := w.i.State()
	w.recorder.SetOff(true)
	w.get("/")
	w.recorder.SetOff(false)
	if after := w.i.State(); after.Kept != before.Kept || after.Revision != before.Revision {
		t.Errorf("%+v, then %+v", before, after)
	}
}
