package forward_test

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/assertion"
	"github.com/mezusphere/mezu/grant/granttest"
	"github.com/mezusphere/mezu/relay"
)

// session makes a grant of this Warpgate's environment.
func (w *world) session() mezu.Grant { return w.auth.Session(1, environment, directory) }

// identityOf are the fields that say who the user is.
func identityOf(h http.Header) (out string) {
	for _, name := range []string{"X-Mezu-User-Id", "X-Mezu-User-Email", "X-Mezu-User-Name", "X-Mezu-User-Roles"} {
		if v, has := h[name]; has {
			out += fmt.Sprintf("%s=%q ", name, v)
		}
	}
	return strings.TrimSpace(out)
}

// forgedIdentity is what an edge that lies may add as fields of HTTP.
var forgedIdentity = []string{"X-Mezu-User-Id: usr_forged", "x-mezu-user-email: forged@example.com", "X-MEZU-USER-ROLES: forged", "X-Mezu-Assertion: forged", "Connection: X-Mezu-User-Id"}

// TestLyingEdge: without a grant that verifies here, nothing passes a route that wants a
// user, and no route tells its workload of one.
func TestLyingEdge(t *testing.T) {
	wl := tcpWorkload(t)
	w := newWorld(t, wl.addr())
	with := func(change func(*mezu.Grant)) []byte {
		g := w.session()
		change(&g)
		return w.auth.Sign(g)
	}
	good := w.auth.Sign(w.session())
	altered := append(bytes.Clone(good[:len(good)-2]), "AA"...)
	if bytes.Equal(altered, good) { // one in 256 ends so
		altered = append(bytes.Clone(good[:len(good)-2]), "BA"...)
	}
	stranger := granttest.New(t, time.Now)
	revoked := w.session()
	w.auth.Anchor.Revoke(&mezu.Revocation{Kind: mezu.RevokeSession, Subject: revoked.Session, Until: revoked.NotAfter})
	byUser := w.session()
	w.auth.Anchor.Revoke(&mezu.Revocation{Kind: mezu.RevokeUser, Subject: byUser.User, NotBefore: byUser.IssuedAt.Add(1), Until: byUser.NotAfter})
	for name, c := range map[string]struct {
		grant []byte
		code  mezu.Code
	}{
		"missing":                    {nil, mezu.CodeRefusedByWarpgate},
		"garbage":                    {[]byte("k.e30.AAAA"), mezu.CodeRefusedByWarpgate},
		"as the cookie has it":       {append([]byte(granttest.Secret+"."), good...), mezu.CodeRefusedByWarpgate},
		"altered":                    {altered, mezu.CodeRefusedByWarpgate},
		"forged":                     {stranger.Sign(w.session()), mezu.CodeRefusedByWarpgate},
		"signed by a key of another": {w.auth.SignAs(mezu.PurposeGrant, granttest.OtherKeyID, w.auth.OtherKey, w.session()), mezu.CodeRefusedByWarpgate},
		"foreign environment":        {with(func(g *mezu.Grant) { g.Environment = "env_00000000000000000000000002" }), mezu.CodeRefusedByWarpgate},
		"foreign directory":          {with(func(g *mezu.Grant) { g.Directory = "dir_00000000000000000000000002" }), mezu.CodeRefusedByWarpgate},
		"of the future":              {with(func(g *mezu.Grant) { g.IssuedAt = g.IssuedAt.Add(time.Hour) }), mezu.CodeRefusedByWarpgate},
		// These the edge may just not know yet. It gives the same answer itself once it does.
		"ended": {with(func(g *mezu.Grant) {
			g.AuthTime, g.FreshUntil, g.IdleUntil, g.NotAfter = g.AuthTime.Add(-time.Hour), g.AuthTime.Add(-time.Minute), g.AuthTime.Add(-time.Minute), g.AuthTime.Add(-time.Minute)
		}), mezu.CodeUnauthenticated},
		"revoked":         {w.auth.Sign(revoked), mezu.CodeUnauthenticated},
		"revoked by user": {w.auth.Sign(byUser), mezu.CodeUnauthenticated},
	} {
		t.Run(name, func(t *testing.T) {
			e := w.connect(false)
			e.t = t
			for _, path := range []string{"/private/x", "/staff/x"} {
				e.askAs(c.grant, getOf(path, forgedIdentity...))
				e.fails(c.code)
			}
			wl.quiet()
			e.askAs(c.grant, getOf("/optional/x", forgedIdentity...))
			s := wl.conn()
			raw := s.head()
			s.answer(ok5)
			e.reads("GET", 200, "hello")
			if strings.Contains(strings.ToLower(raw), "x-mezu-") || strings.Contains(raw, "forged") {
				t.Errorf("the workload is told of a user:\n%s", raw)
			}
			s.conn.Close()
			e.cancel()
		})
	}
	if n := w.uses.Len(); n != 0 {
		t.Errorf("%d requests are left in the index", n)
	}

	// After a restore: what was granted before counts no more.
	w.table.Store(compile(t, mezu.Position{Epoch: 2, Revision: 1}))
	e := w.connect(false)
	e.askAs(good, getOf("/private/x"))
	e.fails(mezu.CodeUnauthenticated)
	// A bundle that the edge altered never gets here: state.Accept refuses it.
	if l := w.log.String(); !strings.Contains(l, "the edge's grant counts as none") || strings.Contains(l, string(good)) {
		t.Errorf("the log says %q", l)
	}
}

// TestH1_H7_IdentityOfVerifiedUsers: what the workload is told, and when.
func TestH1_H7_IdentityOfVerifiedUsers(t *testing.T) {
	h := func(rw http.ResponseWriter, r *http.Request) {
		rw.Header()["Signed"] = r.Header["X-Mezu-Assertion"]
		io.WriteString(rw, identityOf(r.Header))
	}
	test := func(t *testing.T, w *world) {
		g := w.session()
		text := w.auth.Sign(g)
		keys := &assertion.Keys{Keys: assertion.List([]mezu.AssertionKey{{Key: w.auth.Key.Public().(ed25519.PublicKey)}})}
		all := fmt.Sprintf("X-Mezu-User-Id=%q X-Mezu-User-Email=%q X-Mezu-User-Name=%q X-Mezu-User-Roles=%q",
			[]string{g.User}, []string{g.Email}, []string{"Ann%2C%20100%20%25%20%C3%9Cnal"}, []string{"staff,admin"})
		e := w.connect(true)
		for _, c := range []struct{ path, want, user string }{
			{"/private/x", all, g.User}, {"/staff/x", all, g.User}, {"/optional/x", all, g.User},
			{"/public", "", ""}, // H7
		} {
			for range 2 {
				e.askAs(text, getOf(c.path, forgedIdentity...))
				resp := e.reads("GET", 200, c.want)
				if c.user == "" {
					if resp.Header["Signed"] != nil {
						t.Errorf("%s: a stranger has an assertion", c.path)
					}
				} else if claims, err := assertion.Check(resp.Header.Get("Signed"), keys, "https://app.example", environment, time.Now()); err != nil || claims.Subject != c.user {
					t.Errorf("%s: %+v, %v", c.path, claims, err)
				}
				if got := receive(t, w.events, "event"); got.User != c.user {
					t.Errorf("%s: the event has the user %q, not %q", c.path, got.User, c.user)
				}
			}
		}
		// Without a grant there is nothing, however many there were before.
		e.ask(getOf("/optional/x"))
		e.reads("GET", 200, "")
		receive(t, w.events, "event")
		// Who lacks a role is refused, and named in the event.
		g.Roles = nil
		e.askAs(w.auth.Sign(g), getOf("/staff/x"))
		e.fails(mezu.CodeRefusedByWarpgate)
		if got := receive(t, w.events, "event"); got.User != g.User || got.Code != mezu.CodeRefusedByWarpgate {
			t.Errorf("%+v", got)
		}
	}
	overEach(t, h, test)
	t.Run("http", func(t *testing.T) { test(t, newWorld(t, plainServer(t, h))) })
}

// TestH6_CookiesAtTheWarpgate: an edge that leaves our cookies in the request gives them to
// no workload.
func TestH6_CookiesAtTheWarpgate(t *testing.T) {
	h := func(rw http.ResponseWriter, r *http.Request) { fmt.Fprintf(rw, "%q", r.Header.Values("Cookie")) }
	test := func(t *testing.T, w *world) {
		text := w.auth.Sign(w.session())
		session := mezu.SessionCookie + "=" + granttest.Secret + "." + string(text)
		e := w.connect(false)
		for _, path := range []string{"/", "/private/x"} {
			e.askAs(text, getOf(path, "Cookie: a=b; "+session+"; c = d", "cookie: "+session, "Cookie: e=f"))
			if r := e.response("GET"); r.StatusCode != 200 {
				t.Fatal(r)
			} else if body, _ := io.ReadAll(r.Body); !strings.HasPrefix(string(body), `["a=b; c = d`) || strings.Contains(string(body), "mezu") || !strings.Contains(string(body), "e=f") {
				t.Errorf("the workload gets %s", body)
			}
		}
	}
	overEach(t, h, test)
	t.Run("http", func(t *testing.T) { test(t, newWorld(t, plainServer(t, h))) })
}

// TestH10_WorkloadsSetNoCookiesOfOurs: nor for the domain that all share, nor early.
func TestH10_WorkloadsSetNoCookiesOfOurs(t *testing.T) {
	fields := func(h http.Header) {
		h.Add("Set-Cookie", "a=b; Path=/")
		h.Add("Set-Cookie", mezu.SessionCookie+"=x; Path=/; Secure")
		h.Add("Set-Cookie", "c=d; Domain=.Edge.Example")
		h.Add("Set-Cookie", "e=f; Domain=shop-acme.edge.example")
		h.Set("Clear-Site-Data", `"cookies", "cache"`)
	}
	h := func(rw http.ResponseWriter, r *http.Request) {
		fields(rw.Header())
		if r.URL.Path == "/early" {
			rw.WriteHeader(http.StatusEarlyHints)
		}
		io.WriteString(rw, "hello")
	}
	test := func(t *testing.T, w *world) {
		e := w.connect(false)
		for _, path := range []string{"/", "/early"} {
			e.ask(getOf(path))
			resp := e.response("GET")
			for resp.StatusCode < 200 {
				resp = e.response("GET")
			}
			if got := fmt.Sprintf("%q %q", resp.Header["Set-Cookie"], resp.Header["Clear-Site-Data"]); got != `["a=b; Path=/" "e=f; Domain=shop-acme.edge.example"] ["\"cache\""]` {
				t.Errorf("%s: %s", path, got)
			}
			io.Copy(io.Discard, resp.Body)
		}
	}
	overEach(t, h, test)
	t.Run("http", func(t *testing.T) { test(t, newWorld(t, plainServer(t, h))) })

	wl := tcpWorkload(t)
	e := newWorld(t, wl.addr()).connect(false)
	e.ask(newGet)
	s := wl.conn()
	s.request()
	s.answer("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nSet-Cookie: a=b\r\nClear-Site-Data: \"*\"\r\n\r\n" + ok5)
	if early := e.response("GET"); early.StatusCode != 103 || early.Header.Get("Link") == "" || len(early.Header) != 1 {
		t.Errorf("%v", early)
	}
	e.reads("GET", 200, "hello")
}

// end ends a session, as a statement of the control plane does.
func (w *world) end(g *mezu.Grant) int {
	r := &mezu.Revocation{Kind: mezu.RevokeSession, Subject: g.Session, Until: g.NotAfter}
	w.auth.Anchor.Revoke(r)
	return w.uses.Ended(r)
}

// TestT11_EndedSessionsAreCut: whatever a request is doing when its session ends, and only
// requests of that session (N24).
func TestT11_EndedSessionsAreCut(t *testing.T) {
	wl := tcpWorkload(t)
	w := newWorld(t, wl.addr())
	ann, bob := w.session(), w.session()
	hers, his := w.auth.Sign(ann), w.auth.Sign(bob)
	upgrade := getOf("/private/ws", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
	type stream struct {
		e *edge
		s *served
	}
	open := func(grant []byte, raw, answer string) stream {
		t.Helper()
		e := w.connect(false)
		e.askAs(grant, raw)
		s := wl.conn()
		s.head()
		if answer != "" {
			s.answer(answer)
			e.response("GET")
		}
		return stream{e, s}
	}
	const switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
	const events = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
	cut := []stream{open(hers, upgrade, switched), open(hers, getOf("/private/events"), events), open(hers, getOf("/optional/events"), events), open(hers, getOf("/private/slow"), "")}
	kept := []stream{open(his, upgrade, switched), open(hers, getOf("/events"), events)}
	if n := w.end(&ann); n != len(cut) {
		t.Errorf("%d were cut, not %d", n, len(cut))
	}
	for i, c := range cut {
		io.Copy(io.Discard, c.e.r) // until the connection ends
		receive(t, c.e.done, "end of ServeConn")
		c.s.dropped()
		if got := receive(t, w.events, "event"); got.Cause != mezu.CauseSessionEnded || got.User != ann.User {
			t.Errorf("%d: %+v", i, got)
		}
	}
	if n := w.failed(mezu.CauseSessionEnded); n != len(cut) {
		t.Errorf("%d are counted", n)
	}
	kept[0].s.answer("ping")
	expect(t, kept[0].e.r, "ping")
	kept[1].s.answer("4\r\nping\r\n")
	expect(t, bufio.NewReader(kept[1].e.r), "4\r\nping\r\n")
	e := w.connect(false)
	e.askAs(hers, getOf("/private/x"))
	e.fails(mezu.CodeUnauthenticated)
}

// TestT11_SweepCutsAtTheWarpgate: a stream ends with its session's time, and one over HTTP/2
// towards the workload like any other.
func TestT11_SweepCutsAtTheWarpgate(t *testing.T) {
	began, left := make(chan struct{}, 1), make(chan struct{})
	w := newWorld(t, h2cWorkload(t, func(rw http.ResponseWriter, r *http.Request) {
		io.WriteString(rw, "first")
		http.NewResponseController(rw).Flush()
		began <- struct{}{}
		<-r.Context().Done()
		close(left)
	}))
	g := w.session()
	e := w.connect(false)
	e.askAs(w.auth.Sign(g), getOf("/private/x"))
	receive(t, began, "request")
	if n := w.uses.Sweep(g.NotAfter.Add(-time.Second), 1); n != 0 {
		t.Errorf("%d are cut in their time", n)
	}
	if n := w.uses.Sweep(g.NotAfter.Add(time.Second), 1); n != 1 {
		t.Errorf("%d are cut", n)
	}
	receive(t, e.done, "end of ServeConn")
	receive(t, left, "end of the request at the workload")
	if got := receive(t, w.events, "event"); got.Cause != mezu.CauseSessionEnded {
		t.Errorf("%+v", got)
	}
	if w.uses.Len() != 0 {
		t.Error("it is left in the index")
	}
}

// known is what a request adds whose grant came before.
func known(t testing.TB) func() bool {
	w := newWorld(t, "127.0.0.1:9")
	fields := []relay.Field{{Name: []byte("accept"), Value: []byte("*/*")}, {Name: []byte("cookie"), Value: []byte("_ga=GA1.2.1234567890.1234567890; theme=dark")}}
	request := w.f.KnownGrant(w.table.Load(), w.auth.Sign(w.session()), fields)
	if !request() {
		t.Fatal("a good grant is refused")
	}
	return request
}

func TestKnownGrant_AllocatesNothing(t *testing.T) {
	request := known(t)
	if n := testing.AllocsPerRun(100, func() { request() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkKnownGrant(b *testing.B) {
	request := known(b)
	b.ReportAllocs()
	for b.Loop() {
		request()
	}
}
