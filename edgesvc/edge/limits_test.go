package edge_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
)

// limitedRoutes are the routes of the limits' tests.
func limitedRoutes(more ...mezu.Route) []mezu.Route {
	limit := func(requests, burst int, by mezu.LimitBy) *mezu.RateLimit {
		return &mezu.RateLimit{Requests: requests, Burst: burst, Per: mezu.Duration(time.Hour), By: by}
	}
	return append([]mezu.Route{
		{Prefix: "/"}, {Prefix: "/my/", Auth: mezu.AuthRequired}, {Prefix: "/any/", Auth: mezu.AuthOptional},
		{Name: "ip", Prefix: "/ip/", RateLimit: limit(2, 0, mezu.LimitByIP), CORS: &mezu.CORS{AllowOrigins: []string{"https://a.example"}}},
		{Name: "key", Prefix: "/key/", RateLimit: limit(1, 0, mezu.LimitByKey)},
		{Name: "user", Prefix: "/user/", Auth: mezu.AuthRequired, RateLimit: limit(2, 0, mezu.LimitByUser)},
		{Name: "burst", Prefix: "/burst/", RateLimit: limit(1000, 3, mezu.LimitByIP)},
		{Name: "socket", Prefix: "/socket/", RateLimit: limit(1, 0, mezu.LimitByIP)},
		{Name: "events", Prefix: "/events/", RateLimit: limit(2, 0, mezu.LimitByIP)},
	}, more...)
}

func (w *world) setRoutes(routes []mezu.Route) {
	w.t.Helper()
	controltest.Call[api.RoutesState](w.t, w.op, api.OpReplaceRoutes, api.RoutesReplace{Routes: routes}, w.pool.Path()...)
}

// limited fails the test if an answer is not the refusal by a limit that ends in about so long.
func (w *world) limited(what string, a answer, wait time.Duration) {
	w.t.Helper()
	seconds, err := strconv.Atoi(a.Header.Get("Retry-After"))
	if a.StatusCode != 429 || !strings.Contains(a.body, `"code":"rate_limited"`) || err != nil || time.Duration(seconds)*time.Second > wait || time.Duration(seconds)*time.Second < wait-time.Minute {
		w.t.Errorf("%s: %s over %s, Retry-After %q, %s; want a wait of %v", what, a.Status, a.Proto, a.Header.Get("Retry-After"), a.body, wait)
	}
	if said := a.Header.Get("RateLimit"); said != "" && said != fmt.Sprintf(`"default";r=0;t=%d`, seconds) {
		w.t.Errorf("%s: RateLimit %s beside Retry-After %d", what, said, seconds)
	}
}

// Routes' limits hold at a real edge, alike over both versions of HTTP, whatever a client says of
// itself (H9), and go on when what is in force changes or a clock is set back.
func TestLimits(t *testing.T) {
	w := newWorld(t)
	w.setRoutes(limitedRoutes())
	ann := w.browser()
	controltest.Eventually(t, "the limits to be in force", func() bool { return ann.get("/burst/").Header.Get("RateLimit-Policy") != "" })
	ann.signup("ann@example.com", "/my/")
	for _, http2 := range []bool{false, true} {
		network := map[bool]int{false: 1, true: 2}[http2]
		b, other := w.browser().from(network, http2), w.browser().from(network+10, http2)
		for i, want := range []string{`"default";r=1;t=1800`, `"default";r=0;t=1800`} {
			a := b.get("/ip/")
			if a.StatusCode != 200 || a.Header.Get("RateLimit-Policy") != `"default";q=2;w=3600` || a.Header.Get("RateLimit") != want || (a.ProtoMajor == 2) != http2 {
				t.Errorf("request %d over %s: %s %v", i, a.Proto, a.Status, a.Header)
			}
		}
		for range 3 { // refusals are free
			w.limited("past the limit", b.get("/ip/"), 30*time.Minute)
			w.limited("H9", b.send("GET", "/ip/x", "", "X-Forwarded-For", "198.51.100.1, 198.51.100.2, 198.51.100.3, 198.51.100.4, 198.51.100.5", "Forwarded", "for=198.51.100.1", "X-Real-IP", "198.51.100.1"), 30*time.Minute)
		}
		// A preflight is not counted, and the page may read why its request was refused.
		if a := b.send("OPTIONS", "/ip/", "", "Origin", "https://a.example", "Access-Control-Request-Method", "GET"); a.StatusCode != 204 || a.Header.Get("RateLimit-Policy") != "" {
			t.Errorf("a preflight over %s: %s %v", a.Proto, a.Status, a.Header)
		}
		a := b.send("GET", "/ip/", "", "Origin", "https://a.example")
		w.limited("of a page", a, 30*time.Minute)
		if a.Header.Get("Access-Control-Allow-Origin") != "https://a.example" || !strings.Contains(a.Header.Get("Access-Control-Expose-Headers"), "RateLimit") {
			t.Errorf("of a page over %s: %v", a.Proto, a.Header)
		}
		if a := other.get("/ip/"); a.StatusCode != 200 || a.Header.Get("RateLimit") != `"default";r=1;t=1800` {
			t.Errorf("another address over %s: %s %v", a.Proto, a.Status, a.Header)
		}
		if a := b.get("/"); a.StatusCode != 200 || a.Header.Get("RateLimit-Policy") != "" {
			t.Errorf("another route over %s: %s %v", a.Proto, a.Status, a.Header)
		}
		// By key counts by address.
		b.says(b.send("GET", "/key/", "", "Authorization", "Bearer one"), "GET /key/")
		w.limited("another key", b.send("GET", "/key/", "", "Authorization", "Bearer two"), time.Hour)
		// Three at once, and a thousand an hour.
		for i := range 3 {
			if a := b.get("/burst/"); a.StatusCode != 200 || !strings.HasPrefix(a.Header.Get("RateLimit"), fmt.Sprintf(`"default";r=%d;`, 2-i)) {
				t.Errorf("%d at once over %s: %s %v", i+1, a.Proto, a.Status, a.Header)
			}
		}
		w.limited("four at once", b.get("/burst/"), 4*time.Second)
	}
	// A user has one allowance, wherever from. Who is refused a login has used none of it.
	for _, c := range []*browser{ann.clone().from(3, false), ann.clone().from(4, true)} {
		if a := c.send("GET", "/user/", "", "Cookie", ""); a.StatusCode != 200 {
			t.Errorf("%s %s", a.Status, a.body)
		}
	}
	if a := w.browser().from(3, false).get("/user/"); a.StatusCode != 401 || a.Header.Get("RateLimit") != "" {
		t.Errorf("a stranger: %s %v", a.Status, a.Header)
	}
	w.limited("a user at a third address", ann.clone().from(5, true).get("/user/"), 30*time.Minute)
	bob := w.browser()
	bob.signup("bob@example.com", "/my/")
	if a := bob.from(3, false).get("/user/"); a.StatusCode != 200 {
		t.Errorf("another user at the same address: %s %s", a.Status, a.body)
	}
	// A stream counts once, at its start, and goes on whatever is refused beside it.
	for _, http2 := range []bool{false, true} {
		c := w.browser().from(map[bool]int{false: 6, true: 7}[http2], http2)
		ctx, leave := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, "GET", w.env.URL+"/events/stream", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil || !strings.HasPrefix(line, "GET /events/stream") || resp.Header.Get("RateLimit") != `"default";r=1;t=1800` {
			t.Errorf("a stream over %s: %s %v, %v", resp.Proto, line, resp.Header, err)
		}
		if a := c.get("/events/"); a.StatusCode != 200 {
			t.Errorf("beside the stream over %s: %s", a.Proto, a.Status)
		}
		w.limited("beside the stream", c.get("/events/"), 30*time.Minute)
		leave()
		resp.Body.Close()
	}
	// A WebSocket likewise.
	if status, r := ann.webSocket("/socket/", ann.env.URL); !strings.Contains(status, " 101 ") {
		t.Error(status)
	} else if line, err := r.ReadString('\n'); err != nil {
		t.Error(line, err)
	}
	if status, _ := ann.webSocket("/socket/", ann.env.URL); !strings.Contains(status, " 429 ") {
		t.Errorf("a second WebSocket: %s", status)
	}

	// The log has one line a minute for each address and step, and nothing of what was sent.
	b := w.browser().from(2, true)
	if n := strings.Count(w.log.String(), "step=address_limit count=1 code=rate_limited environment="+w.env.ID+" route=ip address=127.0.1.1"); n != 1 {
		t.Errorf("the log has %d lines of the refusals: %s", n, w.log)
	}
	if a := b.get("/a%00"); a.StatusCode != 400 || !strings.Contains(w.log.String(), "step=form count=1 code=not_canonical address=127.0.2.1") {
		t.Errorf("%s, and the log does not tell", a.Status)
	}
	if strings.Contains(w.log.String(), "198.51.100.1") || strings.Contains(w.log.String(), "/ip/x") {
		t.Error("the log has something of a request")
	}

	// A new bundle leaves the limits as they are that it does not change.
	b = w.browser().from(1, false)
	changed := limitedRoutes(mezu.Route{Exact: "/new", RateLimit: &mezu.RateLimit{Requests: 9, Per: mezu.Duration(time.Hour), By: mezu.LimitByIP}})
	w.setRoutes(changed)
	controltest.Eventually(t, "the second bundle", func() bool { return b.get("/new").Header.Get("RateLimit-Policy") != "" })
	w.limited("under a second bundle", b.get("/ip/"), 30*time.Minute)
	// A clock that is set back an hour changes nothing. Connections go on meanwhile.
	w.in.Clock.Advance(-time.Hour)
	w.limited("an hour back", b.get("/ip/"), 30*time.Minute)
	w.in.Clock.Advance(time.Hour)
	for i := range changed {
		if changed[i].Name == "ip" {
			changed[i].RateLimit.Requests = 3
		}
	}
	w.setRoutes(changed)
	controltest.Eventually(t, "the limit to be another one", func() bool { return b.get("/ip/").StatusCode == 200 })
}

// An address that shows too many sessions that are none is refused where a route asks who its users
// are, over both versions of HTTP, and nowhere else. Who was known before goes on.
func TestLimits_RefusedSessions(t *testing.T) {
	w := newWorld(t)
	ann := w.browser()
	ann.signup("ann@example.com", "/my/")
	network := 1
	for _, http2 := range []bool{false, true} {
		b := w.browser().from(network, http2)
		known := ann.clone().from(network, http2)
		network++
		known.says(known.get("/my/"), "user=ann@example.com")
		show := func(i int, path string) answer {
			return b.send("GET", path, "", "Cookie", fmt.Sprintf("%s=%s%d", mezu.SessionCookie, ann.session(), i))
		}
		for i := range 20 {
			if a := show(i, "/my/"); a.StatusCode != 401 {
				t.Fatalf("session %d over %s: %s", i, a.Proto, a.Status)
			}
			show(i, "/my/") // the same again
		}
		w.limited("one more", show(20, "/my/"), 3*time.Second)
		w.limited("where a login is optional", show(21, "/any/"), 3*time.Second)
		own := show(23, "/.mezu/session")
		w.limited("at the edge's own path", own, 3*time.Second)
		if wait := own.Header.Get("Retry-After"); wait != "3" && wait != "2" {
			t.Errorf("at the edge's own path over %s: Retry-After: %s", own.Proto, wait)
		}
		if a := show(22, "/"); a.StatusCode != 200 {
			t.Errorf("where nobody asks, over %s: %s", a.Proto, a.Status)
		}
		if a := b.get("/my/"); a.StatusCode != 401 {
			t.Errorf("without a cookie over %s: %s", a.Proto, a.Status)
		}
		known.says(known.get("/my/"), "user=ann@example.com")
		if a := w.browser().from(network+10, http2).send("GET", "/my/", "", "Cookie", mezu.SessionCookie+"=a"); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("another address over %s: %s", a.Proto, a.Status)
		}
	}
}
