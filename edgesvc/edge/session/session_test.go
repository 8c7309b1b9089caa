package session

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cookie"
	"github.com/mezusphere/mezu/gcra"
	"github.com/mezusphere/mezu/grant/granttest"
	"github.com/mezusphere/mezu/relay"
	"github.com/mezusphere/mezu/testkit"
	"github.com/mezusphere/mezu/trust"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	shop  = "env_00000000000000000000000001"
	blog  = "env_00000000000000000000000002"
	users = "dir_00000000000000000000000001"
)

var here = netip.MustParseAddr("192.0.2.1")

// rig is an edge's sessions, and a control plane that answers refreshes as a test says.
type rig struct {
	*granttest.Authority
	*Sessions
	t       testing.TB
	clock   *testkit.Clock
	calls   atomic.Int32
	refresh func(grant string) (*api.EdgeRefreshed, error)

	mu   sync.Mutex
	left map[string]bool
}

func newRig(t testing.TB) *rig {
	t.Helper()
	began := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	r := &rig{t: t, clock: testkit.StillClock(began), left: map[string]bool{}}
	r.Authority = granttest.New(t, r.clock.Now)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		var in api.EdgeRefreshRequest
		if err := json.NewDecoder(req.Body).Decode(&in); err != nil || req.URL.Path != api.OpEdgeRefresh.Path {
			t.Errorf("%s: %v", req.URL, err)
		}
		r.calls.Add(1)
		out, err := r.refresh(in.Grant)
		var told *mezu.Error
		if errors.As(err, &told) {
			w.WriteHeader(told.Code.Status())
			json.NewEncoder(w).Encode(api.Problem{Code: told.Code, Field: told.Field})
			return
		}
		json.NewEncoder(w).Encode(out)
	}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	server.StartTLS()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	client, err := api.NewClient(api.ClientConfig{BaseURL: server.URL, TLS: &tls.Config{RootCAs: roots}})
	if err != nil {
		t.Fatal(err)
	}
	r.Sessions = New(Config{
		Trust: func() *trust.Anchor { return r.Anchor }, Client: func() *api.Client { return client }, Epoch: func() uint64 { return 1 },
		Left: func(session string) bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.left[session]
		},
		Leave: func(g *mezu.Grant, compact []byte) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.left[g.Session] = true
			return nil
		},
		Limits: gcra.NewTable(func() time.Duration { return r.clock.Now().Sub(began) }), Log: slog.New(slog.DiscardHandler), Now: r.clock.Now,
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
		client.CloseIdle()
		server.Close()
	})
	return r
}

// visit opens the session of a request with a Cookie field.
func (r *rig) visit(cookie string) *Visitor {
	r.t.Helper()
	v, err := r.try(cookie)
	if err != nil {
		r.t.Errorf("%.80s: %v", cookie, err)
	}
	return v
}

func (r *rig) try(cookie string) (*Visitor, error) {
	v := &Visitor{}
	v.Take([]relay.Field{{Name: []byte("Cookie"), Value: []byte(cookie)}})
	_, err := r.Open(v, here, shop, users)
	return v, err
}

func (r *rig) show(s *granttest.Held) string { return mezu.SessionCookie + "=" + r.Cookie(s) }

// cookieOf is the value of the session's cookie that a visitor gets, empty if none.
func (r *rig) cookieOf(v *Visitor) string {
	r.t.Helper()
	line := r.SetCookie(v)
	if line == nil {
		return ""
	}
	c, err := http.ParseSetCookie(string(line))
	if err != nil || c.Name != mezu.SessionCookie || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != http.SameSiteLaxMode || c.MaxAge <= 0 || len(c.Unparsed) > 0 {
		r.t.Errorf("%s, %v", line, err)
	}
	return c.Value
}

// ended has a control plane end the session.
func ended(string) (*api.EdgeRefreshed, error) {
	return nil, &mezu.Error{Code: mezu.CodeUnauthenticated, Field: api.FieldGrant}
}

// A cookie counts if its secret opens its grant, and the grant is one for this environment.
func TestR14_WhatOpensASession(t *testing.T) {
	r := newRig(t)
	s := r.Hold(shop, users, "staff")
	other := r.Hold(shop, users)
	stranger := granttest.New(t, r.clock.Now)
	elsewhere, early, before := r.Hold(blog, users), r.Hold(shop, users), r.Hold(shop, users)
	early.AuthTime, early.IssuedAt = early.AuthTime.Add(time.Hour), early.IssuedAt.Add(time.Hour)
	before.Epoch--
	long := r.show(s)
	for name, c := range map[string]struct {
		cookie         string
		known, useless bool
	}{
		"one":                      {long, true, false},
		"one among others":         {"a=b; " + long + "; c=d", true, false},
		"none":                     {"a=b", false, false},
		"another's secret":         {mezu.SessionCookie + "=" + other.Secret + "." + string(r.Sign(s.Grant)), false, true},
		"N15: two":                 {long + "; " + r.show(other), false, true},
		"two alike":                {long + "; " + long, false, true},
		"L4: another case":         {strings.ToLower(long), false, false},
		"a secret alone":           {mezu.SessionCookie + "=" + s.Secret, false, true},
		"an empty one":             {mezu.SessionCookie + "=", false, true},
		"garbage":                  {mezu.SessionCookie + "=" + strings.Repeat("a", 200), false, true},
		"8 KiB":                    {mezu.SessionCookie + "=" + s.Secret + "." + strings.Repeat("a", 8<<10), false, true},
		"in quotes":                {mezu.SessionCookie + `="` + r.Cookie(s) + `"`, false, true},
		"forged":                   {mezu.SessionCookie + "=" + stranger.Cookie(stranger.Hold(shop, users)), false, true},
		"of another environment":   {r.show(elsewhere), false, true},
		"of an earlier epoch":      {r.show(before), false, true},
		"of a clock that is wrong": {r.show(early), false, false},
	} {
		v := r.visit(c.cookie)
		if (v.Grant() != nil) != c.known || v.Useless() != c.useless || (v.Compact() != nil) != c.known {
			t.Errorf("%s: %+v, useless %v", name, v.Grant(), v.Useless())
		}
	}
	if v := r.visit(long); string(v.Compact()) != string(r.Sign(s.Grant)) || v.Grant().Roles[0] != "staff" || r.cookieOf(v) != "" {
		t.Errorf("%s, %+v", v.Compact(), v.Grant())
	}
	if n := r.calls.Load(); n != 0 {
		t.Errorf("%d calls", n)
	}
}

// Of our cookies that of a tunnel goes on to the Warpgate, which reads it, and no other.
func TestPass_TunnelCookie(t *testing.T) {
	tunnels := cookie.Tunnel + "=" + strings.Repeat("A", cookie.TunnelLength)
	for sent, want := range map[string]string{
		"a=b":             "a=b",
		"a=b; " + tunnels: "a=b|" + tunnels,
		tunnels:           tunnels,
		tunnels + "; a=b; " + mezu.SessionCookie + "=x": "a=b|" + tunnels,
		tunnels + "; " + tunnels:                        "",
		tunnels + "A":                                   "",
	} {
		var v Visitor
		var got []string
		for _, f := range v.Pass(v.Take([]relay.Field{{Name: []byte("Cookie"), Value: []byte(sent)}})) {
			got = append(got, string(f.Value))
		}
		if strings.Join(got, "|") != want {
			t.Errorf("%s: %q goes on, want %q", sent, got, want)
		}
	}
}

// H6: nothing of ours is left of a request's fields.
func TestH6_Take(t *testing.T) {
	r := newRig(t)
	v := &Visitor{}
	s := r.Hold(shop, users)
	left := v.Take([]relay.Field{
		{Name: []byte("Accept"), Value: []byte("*/*")}, {Name: []byte("cookie"), Value: []byte("a=b; " + r.show(s) + ";c=d")},
		{Name: []byte("Cookie"), Value: []byte(deviceCookie + "=e")}, {Name: []byte("Cookie"), Value: nil}, {Name: []byte("X"), Value: []byte("y")},
	})
	var text []string
	for _, f := range left {
		text = append(text, string(f.Name)+": "+string(f.Value))
	}
	if got := strings.Join(text, "\n"); got != "Accept: */*\ncookie: a=b;c=d\nCookie: \nX: y" {
		t.Errorf("left %s", got)
	}
	if c := v.Cookies(); len(c) != 2 || c[0].Name != mezu.SessionCookie || c[0].Value != r.Cookie(s) || c[1] != (api.PageField{Name: deviceCookie, Value: "e"}) {
		t.Errorf("%v", c)
	}
}

// What is known costs a request next to nothing.
func TestOpen_Allocates(t *testing.T) {
	r := newRig(t)
	v, fields := &Visitor{}, []relay.Field{{Name: []byte("Cookie"), Value: []byte("a=b; " + r.show(r.Hold(shop, users)))}}
	raw, cut := fields[0].Value, func() {}
	if n := testing.AllocsPerRun(100, func() {
		v.Reset()
		fields[0].Value = raw
		v.Take(fields)
		if g, err := r.Open(v, here, shop, users); g == nil || err != nil || !r.Begin(v, cut) {
			t.Error(g, err)
		}
		r.SetCookie(v)
		r.End(v)
	}); n > 2 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkOpen_Known is what a session that is known adds to a request.
func BenchmarkOpen_Known(b *testing.B) {
	r := newRig(b)
	v, fields := &Visitor{}, []relay.Field{{Name: []byte("Cookie"), Value: []byte("a=b; " + r.show(r.Hold(shop, users, "staff")))}}
	raw, cut := fields[0].Value, func() {}
	b.ReportAllocs()
	for b.Loop() {
		v.Reset()
		fields[0].Value = raw
		v.Take(fields)
		if g, err := r.Open(v, here, shop, users); g == nil || err != nil || !r.Begin(v, cut) {
			b.Fatal(g, err)
		}
		r.SetCookie(v)
		r.End(v)
	}
}

// Past its first limit a grant is refreshed beside the request, and the browser gets the new
// one with whatever is answered next.
func TestRefresh_Beside(t *testing.T) {
	r := newRig(t)
	s := r.Hold(shop, users)
	old := r.show(s)
	r.clock.Advance(2 * time.Hour)
	next := r.Next(s, false)
	goOn := make(chan struct{})
	r.refresh = func(grant string) (*api.EdgeRefreshed, error) {
		if grant != string(r.Sign(s.Grant)) {
			t.Errorf("asked for %s", grant)
		}
		<-goOn
		return &api.EdgeRefreshed{Grant: string(r.Sign(next.Grant))}, nil
	}
	v := r.visit(old)
	if v.Grant() == nil || !v.Grant().IssuedAt.Equal(s.IssuedAt) || r.cookieOf(v) != "" {
		t.Errorf("the request waits for the refresh, or has no session: %+v", v.Grant())
	}
	close(goOn)
	<-v.flight.done
	want := r.Cookie(next)
	if got := r.cookieOf(v); got != want {
		t.Errorf("the same request gets %q", got)
	}
	for range 3 { // N26: requests that were sent with the old one
		v := r.visit(old)
		if got := r.cookieOf(v); got != want || !v.Grant().IssuedAt.Equal(next.IssuedAt) || string(v.Compact()) != string(r.Sign(next.Grant)) {
			t.Errorf("a request beside it gets %q and goes on with %+v", got, v.Grant())
		}
	}
	if v := r.visit(r.show(next)); r.cookieOf(v) != "" || v.Grant() == nil {
		t.Error("the new one is refreshed again")
	}
	if n := r.calls.Load(); n != 1 || r.Counts()["renewed"] != 1 {
		t.Errorf("%d calls, %v", n, r.Counts())
	}
	// Later the old one asks again.
	r.clock.Advance(2 * keepRenewed)
	r.refreshes.forget(r.clock.Now())
	r.visit(old)
	waitFor(t, func() bool { return r.calls.Load() == 2 })
}

// waitFor waits for a condition that another goroutine brings about.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatal("it never happens")
		}
		select {
		case <-t.Context().Done():
		case <-time.After(time.Millisecond):
		}
	}
}

// N26: parallel requests whose grant is past its second limit wait for one refresh, and get the
// same answer, also if the session has a new secret by it.
func TestN26_ParallelRequestsGetTheSame(t *testing.T) {
	for _, newSecret := range []bool{false, true} {
		r := newRig(t)
		s := r.Hold(shop, users)
		r.clock.Advance(5 * time.Hour)
		next := r.Next(s, newSecret)
		r.refresh = func(string) (*api.EdgeRefreshed, error) {
			out := &api.EdgeRefreshed{Grant: string(r.Sign(next.Grant))}
			if newSecret {
				out.Secret = next.Secret
			}
			return out, nil
		}
		want, old := r.Cookie(next), r.show(s)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				v := r.visit(old)
				if got := r.cookieOf(v); got != want || v.Grant() == nil || v.Grant().Session != next.Session {
					t.Errorf("%q, %+v", got, v.Grant())
				}
			})
		}
		wg.Wait()
		if newSecret { // the old id is dead by now, and still these requests get the new one
			r.Revoke(mezu.RevokeSession, s.Session)
		}
		if got := r.cookieOf(r.visit(old)); got != want {
			t.Errorf("a late one gets %q", got)
		}
		if n := r.calls.Load(); n != 1 {
			t.Errorf("%d calls", n)
		}
	}
}

// L14: once the control plane has refused to go on with a session, no request passes by it.
func TestL14_ARefusalEndsTheSession(t *testing.T) {
	for name, later := range map[string]time.Duration{"beside": 2 * time.Hour, "before": 5 * time.Hour} {
		r := newRig(t)
		s := r.Hold(shop, users)
		old := r.show(s)
		r.clock.Advance(later)
		r.refresh = ended
		v := r.visit(old)
		if v.flight != nil {
			<-v.flight.done
		}
		for range 3 {
			v = r.visit(old)
			if v.Grant() != nil || !v.Useless() || r.cookieOf(v) != "" {
				t.Errorf("%s: goes on as %+v", name, v.Grant())
			}
			r.clock.Advance(time.Hour)
			r.refreshes.forget(r.clock.Now())
		}
		if n := r.calls.Load(); n != 1 || r.Counts()["refused"] != 1 {
			t.Errorf("%s: %d calls, %v", name, n, r.Counts())
		}
	}
}

// While the control plane can't be reached, a session that was not revoked goes on until its
// absolute limit, and one that was does not.
func TestRefresh_WhileTheControlPlaneIsAway(t *testing.T) {
	r := newRig(t)
	s, revoked := r.Hold(shop, users), r.Hold(shop, users)
	r.refresh = func(string) (*api.EdgeRefreshed, error) { return nil, &mezu.Error{Code: mezu.CodeUnavailable} }
	r.clock.Advance(time.Minute)
	r.Revoke(mezu.RevokeUser, revoked.User)
	if v := r.visit(r.show(revoked)); v.Grant() != nil || v.Useless() {
		t.Errorf("revoked: %+v, useless %v", v.Grant(), v.Useless())
	}
	before := r.calls.Load()
	r.visit(r.show(revoked))
	if n := r.calls.Load(); n != before {
		t.Error("each request waits for the control plane")
	}
	r.clock.Advance(5 * time.Hour)
	if v := r.visit(r.show(s)); v.Grant() == nil || r.cookieOf(v) != "" {
		t.Errorf("idle: %+v", v.Grant())
	}
	r.clock.Advance(19 * time.Hour)
	if v := r.visit(r.show(s)); v.Grant() != nil || !v.Useless() {
		t.Errorf("past its end: %+v", v.Grant())
	}
	if r.Counts()["away"] == 0 || r.Counts()["refused"] != 0 {
		t.Errorf("%v", r.Counts())
	}
}

// While no control plane answers, nobody waits for one: neither each session once, nor those for
// which there is no room among the refreshes.
func TestRefresh_NobodyWaitsForAControlPlaneThatIsAway(t *testing.T) {
	r := newRig(t)
	first, revoked := r.Hold(shop, users), r.Hold(shop, users)
	var others []*granttest.Held
	for range maxEnvironmentFlights + 1 {
		others = append(others, r.Hold(shop, users))
	}
	r.refresh = func(string) (*api.EdgeRefreshed, error) { return nil, &mezu.Error{Code: mezu.CodeUnavailable} }
	r.clock.Advance(time.Minute)
	r.Revoke(mezu.RevokeUser, revoked.User)
	r.clock.Advance(5 * time.Hour)
	r.visit(r.show(first))
	goOn := make(chan struct{})
	next := r.Next(first, false)
	r.refresh = func(string) (*api.EdgeRefreshed, error) {
		<-goOn
		return &api.EdgeRefreshed{Grant: string(r.Sign(next.Grant))}, nil
	}
	before := r.calls.Load()
	for _, s := range others {
		if v := r.visit(r.show(s)); v.Grant() == nil || v.flight != nil {
			t.Fatalf("%+v, flight %v", v.Grant(), v.flight)
		}
	}
	if v := r.visit(r.show(revoked)); v.Grant() != nil || v.Useless() || r.calls.Load() != before {
		t.Errorf("revoked: %+v, %d calls", v.Grant(), r.calls.Load()-before)
	}
	// Now and then one tries, and does not wait either.
	r.clock.Advance(failedFor + time.Second)
	v := r.visit(r.show(first))
	if v.Grant() == nil || v.flight == nil {
		t.Fatalf("%+v, flight %v", v.Grant(), v.flight)
	}
	for _, s := range append(others, first) {
		if r.visit(r.show(s)).Grant() == nil {
			t.Error("a request beside it has no session")
		}
	}
	close(goOn)
	<-v.flight.done
	if got := r.cookieOf(v); got != r.Cookie(next) {
		t.Errorf("%q", got)
	}
	// Then it is asked again, before the request.
	r.refresh = ended
	if v := r.visit(r.show(others[0])); v.Grant() != nil || !v.Useless() {
		t.Errorf("%+v", v.Grant())
	}
	// What was so a while ago says nothing of now.
	r.refresh = func(string) (*api.EdgeRefreshed, error) { return nil, &mezu.Error{Code: mezu.CodeUnavailable} }
	r.visit(r.show(others[1]))
	r.clock.Advance(lostFor)
	r.refresh = ended
	if v := r.visit(r.show(others[2])); v.Grant() != nil || !v.Useless() {
		t.Errorf("much later: %+v", v.Grant())
	}
}

// N15: a grant that the control plane has just made is good, also where the clock says that it
// has not been used for too long. It is not refreshed with each request either.
func TestN15_AClockThatIsAhead(t *testing.T) {
	r := newRig(t)
	s := r.Hold(shop, users)
	old := r.show(s)
	r.clock.Advance(5 * time.Hour)
	next := r.Next(s, false)
	const ahead = 5 * time.Minute
	next.IssuedAt, next.FreshUntil, next.IdleUntil = next.IssuedAt.Add(-ahead), next.FreshUntil.Add(-ahead-time.Hour), next.IdleUntil.Add(-ahead-4*time.Hour)
	r.refresh = func(string) (*api.EdgeRefreshed, error) {
		return &api.EdgeRefreshed{Grant: string(r.Sign(next.Grant))}, nil
	}
	if v := r.visit(old); v.Grant() == nil || r.cookieOf(v) != r.Cookie(next) {
		t.Errorf("%+v", v.Grant())
	}
	for range 3 {
		if v := r.visit(r.show(next)); v.Grant() == nil || v.Useless() || r.cookieOf(v) != "" {
			t.Errorf("%+v, useless %v", v.Grant(), v.Useless())
		}
	}
	if n := r.calls.Load(); n != 1 {
		t.Errorf("%d calls", n)
	}
	r.Revoke(mezu.RevokeSession, s.Session)
	r.refresh = ended
	if v := r.visit(r.show(next)); v.Grant() != nil || !v.Useless() {
		t.Errorf("revoked: %+v", v.Grant())
	}
}

// forge makes grants that no key has signed.
func (r *rig) forge() string {
	s := r.Hold(shop, users)
	compact := r.Sign(s.Grant)
	dot := bytes.LastIndexByte(compact, '.')
	if compact[dot+1]++; compact[dot+1] > 'z' || compact[dot+1] == '[' || compact[dot+1] == ':' || compact[dot+1] == '.' {
		compact[dot+1] = 'b'
	}
	return mezu.SessionCookie + "=" + s.Secret + "." + string(compact)
}

// R14: a client that shows too many sessions that are none is not told any more whether one is worth
// something. Others go on, and so does the client with a session that is known.
func TestR14_AFloodOfForgedGrants(t *testing.T) {
	r := newRig(t)
	s, other := r.Hold(shop, users), r.Hold(shop, users)
	if r.visit(r.show(s)).Grant() == nil {
		t.Fatal("no session")
	}
	ended := r.Hold(shop, users)
	ended.NotAfter = r.clock.Now().Add(-time.Second)
	kinds := []func() string{r.forge, func() string { return mezu.SessionCookie + "=" + other.Secret + ".a.b" + r.forge()[40:60] },
		func() string {
			return mezu.SessionCookie + "=" + r.Hold(shop, users).Secret + "." + string(r.Sign(s.Grant))
		}}
	r.visit(r.show(ended))
	for i := range refusedPerMinute - 1 {
		if v := r.visit(kinds[i%len(kinds)]()); v.Grant() != nil || !v.Useless() {
			t.Fatalf("%d: %+v", i, v.Grant())
		}
	}
	for name, cookie := range map[string]string{"forged": r.forge(), "of an unknown session": r.show(other), "one more secret": kinds[2](), "no grant": mezu.SessionCookie + "=a", "ended": r.show(ended)} {
		if v, err := r.try(cookie); v.Grant() != nil || v.Useless() || mezu.CodeOf(err) != mezu.CodeRateLimited || v.Wait() != 3*time.Second {
			t.Errorf("%s: %+v, %v, %v", name, v.Grant(), err, v.Wait())
		}
	}
	if r.visit(r.show(s)).Grant() == nil {
		t.Error("a known session does not pass")
	}
	if r.visit("a=b").Grant() != nil {
		t.Error("nobody is somebody")
	}
	v := &Visitor{}
	v.Take([]relay.Field{{Name: []byte("Cookie"), Value: []byte(r.show(other))}})
	if g, err := r.Open(v, netip.MustParseAddr("192.0.2.2"), shop, users); g == nil || err != nil {
		t.Errorf("another client: %v", err)
	}
	r.clock.Advance(3 * time.Second)
	if v, err := r.try(r.forge()); v.Grant() != nil || err != nil {
		t.Errorf("after the wait: %v", err)
	}
	if v, err := r.try(r.forge()); v.Grant() != nil || mezu.CodeOf(err) != mezu.CodeRateLimited {
		t.Errorf("after the one that it was for: %v", err)
	}
}

// A browser that shows the same session in all of its tabs, after it has ended, costs its neighbours
// nothing. Signatures are verified for it only so often.
func TestR14_OneSessionInManyTabs(t *testing.T) {
	r := newRig(t)
	other, forged := r.Hold(shop, users), r.forge()
	for i := range uselessBurst {
		if v := r.visit(forged); v.Grant() != nil || !v.Useless() {
			t.Fatalf("%d: %+v", i, v.Grant())
		}
	}
	if v, err := r.try(forged); mezu.CodeOf(err) != mezu.CodeRateLimited || v.Wait() > time.Second/uselessPerSecond {
		t.Errorf("%v, %v", err, v.Wait())
	}
	r.clock.Advance(time.Second / uselessPerSecond)
	if r.visit(r.show(other)).Grant() == nil {
		t.Error("a neighbour does not pass")
	}
}

// A refusal that is not about the session ends nobody's: an edge whose certificate has ended
// must not log everybody out. But it can't let them go on for ever either.
func TestRefresh_RefusedItself(t *testing.T) {
	r := newRig(t)
	s := r.Hold(shop, users)
	old := r.show(s)
	r.refresh = func(string) (*api.EdgeRefreshed, error) { return nil, &mezu.Error{Code: mezu.CodeUnauthenticated} }
	r.clock.Advance(2 * time.Hour)
	<-r.visit(old).flight.done
	if v := r.visit(old); v.Grant() == nil || v.Useless() {
		t.Errorf("beside: %+v, useless %v", v.Grant(), v.Useless())
	}
	r.clock.Advance(3 * time.Hour)
	if v, err := r.try(old); v.Grant() != nil || v.Useless() || mezu.CodeOf(err) != mezu.CodeUnavailable {
		t.Errorf("before: %+v, useless %v, %v", v.Grant(), v.Useless(), err)
	}
}

// N25: who loses a role goes on with the others, without a login.
func TestN25_ARevokedGrantIsRefreshedFirst(t *testing.T) {
	r := newRig(t)
	s := r.Hold(shop, users, "staff", "admin")
	old := r.show(s)
	r.clock.Advance(time.Minute)
	r.Revoke(mezu.RevokeUser, s.User)
	r.clock.Advance(time.Second)
	next := r.Next(s, true)
	next.Roles = []string{"staff"}
	r.refresh = func(string) (*api.EdgeRefreshed, error) {
		return &api.EdgeRefreshed{Grant: string(r.Sign(next.Grant)), Secret: next.Secret}, nil
	}
	v := r.visit(old)
	if g := v.Grant(); g == nil || g.Session != next.Session || len(g.Roles) != 1 || r.cookieOf(v) != r.Cookie(next) {
		t.Errorf("%+v", g)
	}
	// And once more, before the browser has the new cookie.
	r.clock.Advance(time.Second)
	r.Revoke(mezu.RevokeUser, s.User)
	r.clock.Advance(time.Second)
	last := r.Next(next, false)
	r.refresh = func(grant string) (*api.EdgeRefreshed, error) {
		if grant != string(r.Sign(next.Grant)) {
			t.Errorf("refreshes %s", grant)
		}
		return &api.EdgeRefreshed{Grant: string(r.Sign(last.Grant))}, nil
	}
	v = r.visit(old)
	if g := v.Grant(); g == nil || !g.IssuedAt.Equal(last.IssuedAt) || r.cookieOf(v) != r.Cookie(last) {
		t.Errorf("%+v, cookie %s", g, r.cookieOf(v))
	}
	// Whoever has the grant without the secret gets nothing.
	before := r.calls.Load()
	if v := r.visit(mezu.SessionCookie + "=" + granttest.NewSecret() + "." + string(r.Sign(s.Grant))); v.Grant() != nil || r.calls.Load() != before {
		t.Errorf("%+v", v.Grant())
	}
}

// A control plane that answers with something else than this session changes nothing.
func TestRefresh_LyingControlPlane(t *testing.T) {
	r := newRig(t)
	stranger := granttest.New(t, r.clock.Now)
	for name, lie := range map[string]func(s *granttest.Held) *api.EdgeRefreshed{
		"nothing": func(*granttest.Held) *api.EdgeRefreshed { return &api.EdgeRefreshed{} },
		"another user": func(*granttest.Held) *api.EdgeRefreshed {
			o := r.Hold(shop, users)
			return &api.EdgeRefreshed{Grant: string(r.Sign(o.Grant)), Secret: o.Secret}
		},
		"another session": func(s *granttest.Held) *api.EdgeRefreshed {
			return &api.EdgeRefreshed{Grant: string(r.Sign(r.Next(s, true).Grant))}
		},
		"another secret": func(s *granttest.Held) *api.EdgeRefreshed {
			return &api.EdgeRefreshed{Grant: string(r.Sign(r.Next(s, true).Grant)), Secret: granttest.NewSecret()}
		},
		"a secret too long": func(s *granttest.Held) *api.EdgeRefreshed {
			n := r.Next(s, true)
			return &api.EdgeRefreshed{Grant: string(r.Sign(n.Grant)), Secret: n.Secret + "."}
		},
		"another environment": func(s *granttest.Held) *api.EdgeRefreshed {
			n := r.Next(s, false)
			n.Environment = blog
			return &api.EdgeRefreshed{Grant: string(r.Sign(n.Grant))}
		},
		"another's signature": func(s *granttest.Held) *api.EdgeRefreshed {
			return &api.EdgeRefreshed{Grant: string(stranger.Sign(stranger.Next(s, false).Grant))}
		},
		"more than a grant is": func(s *granttest.Held) *api.EdgeRefreshed {
			return &api.EdgeRefreshed{Grant: strings.Repeat("a", 1<<20)}
		},
	} {
		s := r.Hold(shop, users)
		old := r.show(s)
		r.clock.Advance(5 * time.Hour)
		r.refresh = func(string) (*api.EdgeRefreshed, error) { return lie(s), nil }
		if v, err := r.try(old); v.Grant() != nil || v.Useless() || mezu.CodeOf(err) != mezu.CodeUnavailable {
			t.Errorf("%s: %+v, %v", name, v.Grant(), err)
		}
	}
	if c := r.Counts(); c["failed"] != 8 {
		t.Errorf("%v", c)
	}
}

// So many refreshes may be under way, of one environment and in all; beyond that a request
// goes on without if it may.
func TestRefresh_InBounds(t *testing.T) {
	r := newRig(t)
	goOn := make(chan struct{})
	r.refresh = func(string) (*api.EdgeRefreshed, error) { <-goOn; return ended("") }
	var early, late []*granttest.Held
	for range maxEnvironmentFlights + 1 {
		early, late = append(early, r.Hold(shop, users)), append(late, r.Hold(shop, users))
	}
	r.clock.Advance(2 * time.Hour)
	var visitors []*Visitor
	for _, s := range early {
		visitors = append(visitors, r.visit(r.show(s)))
	}
	for i, v := range visitors {
		if v.Grant() == nil || (v.flight != nil) != (i < maxEnvironmentFlights) {
			t.Errorf("%d: %+v, flight %v", i, v.Grant(), v.flight)
		}
	}
	r.clock.Advance(3 * time.Hour)
	if v, err := r.try(r.show(late[0])); mezu.CodeOf(err) != mezu.CodeOverloaded || v.Grant() != nil {
		t.Errorf("%+v, %v", v.Grant(), err)
	}
	close(goOn)
	for _, v := range visitors[:maxEnvironmentFlights] {
		<-v.flight.done
	}
	r.refreshes.mu.Lock()
	defer r.refreshes.mu.Unlock()
	if n := r.refreshes.under; n != 0 || len(r.refreshes.byHost) != 0 {
		t.Errorf("%d under way", n)
	}
}

// What is remembered of refreshes is bounded, whatever comes.
func TestRefresh_RemembersSoMany(t *testing.T) {
	r := newRig(t)
	now := r.clock.Now()
	done := make(chan struct{})
	close(done)
	r.refreshes.mu.Lock()
	defer r.refreshes.mu.Unlock()
	for range maxKept {
		r.refreshes.bySession[mezu.NewID(mezu.PrefixSession, now)] = &flight{done: done, until: now.Add(time.Hour), outcome: refused}
	}
	if !r.refreshes.room(now) || len(r.refreshes.bySession) != maxKept-maxKept/8 {
		t.Errorf("%d are remembered", len(r.refreshes.bySession))
	}
	clear(r.refreshes.bySession)
	for range maxKept {
		r.refreshes.bySession[mezu.NewID(mezu.PrefixSession, now)] = &flight{done: make(chan struct{})}
	}
	if r.refreshes.room(now) {
		t.Error("those under way are forgotten")
	}
	clear(r.refreshes.bySession)
}

// T11 and N24: what goes on under a session is ended with it, by whatever ends it.
func TestT11_RevokedUnderWay(t *testing.T) {
	r := newRig(t)
	for name, end := range map[string]func(s *granttest.Held, v *Visitor){
		"its session": func(s *granttest.Held, _ *Visitor) { r.Revoked(r.Revoke(mezu.RevokeSession, s.Session)) },
		"its user":    func(s *granttest.Held, _ *Visitor) { r.Revoked(r.Revoke(mezu.RevokeUser, s.User)) },
		"its logout": func(_ *granttest.Held, v *Visitor) {
			if err := r.Leave(v, here, shop, users); err != nil {
				t.Error(err)
			}
		},
	} {
		s, other := r.Hold(shop, users), r.Hold(shop, users)
		v, bystander := r.visit(r.show(s)), r.visit(r.show(other))
		var cut, wrong atomic.Int32
		if !r.Begin(v, func() { cut.Add(1) }) || !r.Begin(bystander, func() { wrong.Add(1) }) {
			t.Fatal("may not begin")
		}
		end(s, v)
		if cut.Load() != 1 || wrong.Load() != 0 || r.UnderWay() != 2 {
			t.Errorf("%s: %d and %d were cut, %d are under way", name, cut.Load(), wrong.Load(), r.UnderWay())
		}
		r.End(v)
		r.End(bystander)
		if r.Begin(v, func() {}) {
			t.Errorf("%s: it begins again", name)
		}
	}
}

// N24: an edge that can't tell the control plane ends a session itself, and the newer one that
// the browser may not have yet.
func TestN24_Leave(t *testing.T) {
	r := newRig(t)
	s := r.Hold(shop, users)
	old := r.show(s)
	r.clock.Advance(2 * time.Hour)
	next := r.Next(s, true)
	r.refresh = func(string) (*api.EdgeRefreshed, error) {
		return &api.EdgeRefreshed{Grant: string(r.Sign(next.Grant)), Secret: next.Secret}, nil
	}
	<-r.visit(old).flight.done
	v := r.visit(old)
	r.refresh = ended
	if err := r.Leave(v, here, shop, users); err != nil {
		t.Fatal(err)
	}
	if r.cookieOf(v) != "" {
		t.Error("a request that was under way brings the session back")
	}
	for name, cookie := range map[string]string{"old": old, "new": r.show(next)} {
		if v := r.visit(cookie); v.Grant() != nil || !v.Useless() {
			t.Errorf("the %s cookie opens %+v", name, v.Grant())
		}
	}
	if err := r.Leave(r.visit("a=b"), here, shop, users); err != nil {
		t.Error("without a session:", err)
	}
}
