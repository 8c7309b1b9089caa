package edge_test

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/testkit/frames"
)

// signed is a hexadecimal HMAC-SHA256.
func signed(secret, text string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}

// stripeSignature is the field of Stripe's for a body that was sent at a time.
func stripeSignature(secret string, at time.Time, body string) string {
	return fmt.Sprintf("t=%d,v1=%s", at.Unix(), signed(secret, fmt.Sprintf("%d.%s", at.Unix(), body)))
}

// hooked is a target with webhooks of Stripe and GitHub, and one without a secret.
func hooked(t *testing.T) *target {
	t.Helper()
	route := func(name, webhook string, more mezu.Route) mezu.Route {
		more.Prefix, more.Auth, more.AuthMethods = "/"+name+"/", mezu.AuthRequired, []string{"webhook:" + webhook}
		return more
	}
	a := newTarget(t, false, route("pay", "pay", mezu.Route{}), route("hub", "hub", mezu.Route{MaxBody: 2 << 20}), route("none", "none", mezu.Route{}), route("gone", "gone", mezu.Route{}),
		route("guarded", "hub", mezu.Route{WAF: mezu.WAFBlock}), mezu.Route{Prefix: "/page/"})
	set := func(name, provider, secret string) {
		controltest.Call[mezu.Webhook](t, a.op, api.OpCreateWebhook, map[string]any{"name": name, "provider": provider}, a.pool.Path()...)
		if secret != "" {
			controltest.Call[mezu.Webhook](t, a.op, api.OpSetWebhookSecret, map[string]any{"secret": a.in.Secret(secret)}, a.pool.Path(name)...)
		}
	}
	set("pay", "stripe", "whsec_of_stripe")
	set("none", "stripe", "")
	set("hub", "github", "It's a Secret to Everybody")
	eventually(t, "the edge knows the secrets", func() bool {
		return a.browser.send("POST", "/hub/", "Hello, World!", "X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17").StatusCode == 200
	})
	return a
}

// TestWebhook: only what a provider has signed reaches the workload, once, in both versions of HTTP.
func TestWebhook(t *testing.T) {
	a := hooked(t)
	for name, two := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			a.again(t)
			b := a.world.browser().from(1, two)
			b.client.Timeout = frames.Patience
			a.delivers(b, name)
		})
	}
	a.t = t
	if strings.Contains(a.log.String(), "whsec_") {
		t.Error("the log has a secret")
	}
}

func (a *target) delivers(b *browser, version string) {
	t := a.t
	now := time.Now()
	const secret = "whsec_of_stripe"
	large := strings.Repeat("a", 1<<20+1)
	hub := func(body string) []string {
		return []string{"X-Hub-Signature-256", "sha256=" + signed("It's a Secret to Everybody", body)}
	}
	pay := func(body string) []string {
		return []string{"Stripe-Signature", stripeSignature(secret, now, body)}
	}
	once := `{"id":"` + version + `"}`
	for _, c := range []struct {
		what, path, body string
		fields           []string
		status           int
		code             mezu.Code
	}{
		{"a delivery", "/pay/", once, pay(once), 200, ""},
		{"a repeat of it", "/pay/", once, pay(once), 401, mezu.CodeUnauthenticated},
		{"unsigned", "/pay/", "{}", nil, 401, mezu.CodeUnauthenticated},
		{"another body", "/pay/", "{ }", pay("{}"), 401, mezu.CodeUnauthenticated},
		{"old", "/pay/", "{}", []string{"Stripe-Signature", stripeSignature(secret, now.Add(-6*time.Minute), "{}")}, 401, mezu.CodeUnauthenticated},
		{"from the future", "/pay/", "{}", []string{"Stripe-Signature", stripeSignature(secret, now.Add(6*time.Minute), "{}")}, 401, mezu.CodeUnauthenticated},
		{"signed with nothing", "/pay/", "{}", []string{"Stripe-Signature", stripeSignature("", now, "{}")}, 401, mezu.CodeUnauthenticated},
		{"a first try that fails", "/pay/status?500", "r" + version, pay("r" + version), 500, ""},
		{"the next one", "/pay/status?201", "r" + version, pay("r" + version), 201, ""},
		{"and another", "/pay/status?200", "r" + version, pay("r" + version), 401, mezu.CodeUnauthenticated},
		{"a signature without a body", "/hub/", "", hub(""), 200, ""},
		{"too long", "/pay/", large, pay(large), 413, mezu.CodeBodyTooLarge},
		{"as long as the route allows", "/hub/", large, hub(large), 200, ""},
		{"again, which GitHub's can't be told from", "/hub/", large, hub(large), 200, ""},
		{"no secret", "/none/", "{}", pay("{}"), 503, mezu.CodeRouteUnavailable},
		{"no webhook", "/gone/", "{}", pay("{}"), 503, mezu.CodeRouteUnavailable},
		{"with a firewall behind it", "/guarded/", `{"a":1}`, append(hub(`{"a":1}`), "Content-Type", "application/json", "User-Agent", "GitHub-Hookshot/1"), 200, ""},
		{"a signed attack", "/guarded/", `{"a":"` + attack + `"}`, append(hub(`{"a":"`+attack+`"}`), "Content-Type", "application/json", "User-Agent", "GitHub-Hookshot/1"), 403, mezu.CodeForbidden},
		{"another route", "/page/", "{}", nil, 200, ""},
	} {
		before := a.asked.Load()
		got := b.send("POST", c.path, c.body, c.fields...)
		path, _, _ := strings.Cut(c.path, "?")
		switch {
		case got.StatusCode != c.status:
			t.Errorf("%s: %s %.300s", c.what, got.Status, got.body)
		case c.status == 200 && got.body != fmt.Sprintf("POST %s %d", path, len(c.body)):
			t.Errorf("%s: the workload got %.100s", c.what, got.body)
		case c.code != "" && !strings.Contains(got.body, string(c.code)):
			t.Errorf("%s: %s", c.what, got.body)
		case c.code != "" && a.asked.Load() != before:
			t.Errorf("%s reached the workload", c.what)
		}
	}
}

// TestWebhook_BodiesAreForgotten: what was kept of a delivery is free when it is answered, not when the
// next request comes on its connection.
func TestWebhook_BodiesAreForgotten(t *testing.T) {
	a := hooked(t)
	const conns, size = 4, 2 << 20
	body := strings.Repeat("a", size)
	for name, two := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		for what, path := range map[string]string{"genuine": "/hub/", "forged": "/hub/forged", "an attack": "/guarded/"} {
			var all []*browser
			for range conns {
				b := a.world.browser().from(1, two)
				b.client.Timeout = frames.Patience
				b.send("POST", path, "{}", "X-Hub-Signature-256", "sha256="+signed("It's a Secret to Everybody", "{}"))
				all = append(all, b)
			}
			before := live()
			for _, b := range all {
				signature := signed("It's a Secret to Everybody", body)
				if what == "forged" {
					signature = signed("another", body)
				}
				if got := b.send("POST", path, body, "X-Hub-Signature-256", "sha256="+signature); got.StatusCode/100 == 5 {
					t.Errorf("%s over %s: %s", what, name, got.Status)
				}
			}
			if each := (live() - before) / conns; each > size/2 {
				t.Errorf("%s over %s: %d KiB are in use for each connection that waits", what, name, each>>10)
			}
			for _, b := range all {
				b.client.CloseIdleConnections()
			}
		}
	}
}

// The edge itself says 100 to a client that waits before it sends what is to be verified, and takes a
// body whose length isn't said.
func TestWebhook_BodiesOfAllKinds(t *testing.T) {
	a := hooked(t)
	conn := a.dial()
	r := bufio.NewReader(conn)
	for i, want := range []string{"200", "401"} {
		body := fmt.Sprintf(`{"n":%d}`, i)
		signature := stripeSignature("whsec_of_stripe", time.Now(), `{"n":0}`)
		fmt.Fprintf(conn, "POST /pay/ HTTP/1.1\r\nHost: %s\r\nStripe-Signature: %s\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n", a.host, signature)
		if line, err := r.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
			t.Fatalf("%q, %v", line, err)
		}
		r.ReadString('\n')
		fmt.Fprintf(conn, "3\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", body[:3], len(body)-3, body[3:])
		resp, err := http.ReadResponse(r, nil)
		if err != nil || !strings.HasPrefix(resp.Status, want) {
			t.Fatalf("%v, %v", resp, err)
		}
		io.Copy(io.Discard, resp.Body)
	}
	// Nothing signs what would come after a WebSocket's start: it is an ordinary request.
	fmt.Fprintf(conn, "GET /hub/ HTTP/1.1\r\nHost: %s\r\nX-Hub-Signature-256: sha256=%s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
		a.host, signed("It's a Secret to Everybody", ""))
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != 200 || strings.Contains(strings.ToLower(a.wire.String()), "upgrade: websocket") {
		t.Errorf("%v, %v", resp, err)
	}
}

// TestWebhook_TwoSignatures: a delivery with a signature's field twice is refused over both versions of
// HTTP, whatever is in which, since workloads that look too may see the other one.
func TestWebhook_TwoSignatures(t *testing.T) {
	a := hooked(t)
	conn := a.dial()
	r := bufio.NewReader(conn)
	one := func(path, name string, values ...string) (int, string) {
		fields := ""
		for i, v := range values {
			fields += fmt.Sprintf("%s: %s\r\n", []string{name, strings.ToUpper(name)}[i], v)
		}
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\n%sContent-Length: 2\r\n\r\n{}", path, a.host, fields)
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	c, stream := a.client(frames.Options{}), uint32(1)
	two := func(path, name string, values ...string) (int, string) {
		fields := a.request("POST", path)
		for _, v := range values {
			fields = append(fields, name, v)
		}
		c.Headers(stream, false, fields...)
		c.Data(stream, true, []byte("{}"))
		status, err := strconv.Atoi(c.End(stream))
		if err != nil {
			t.Fatal(c)
		}
		stream += 2
		return status, string(c.Stream(stream - 2).Body)
	}
	for version, send := range map[string]func(path, name string, values ...string) (int, string){"HTTP/1.1": one, "HTTP/2": two} {
		now := time.Now()
		for path, p := range map[string]struct{ name, good, bad string }{
			"/pay/": {"stripe-signature", stripeSignature("whsec_of_stripe", now, "{}"), stripeSignature("whsec_of_stripe", now, "{ }")},
			"/hub/": {"x-hub-signature-256", "sha256=" + signed("It's a Secret to Everybody", "{}"), "sha256=" + signed("another", "{}")},
		} {
			before := a.asked.Load()
			for _, values := range [][]string{{p.good, p.good}, {p.good, p.bad}, {p.bad, p.good}, {p.good, ""}, {"", p.good}} {
				if status, body := send(path, p.name, values...); status != 401 || !strings.Contains(body, string(mezu.CodeUnauthenticated)) {
					t.Errorf("%s over %s, %q: %d %s", path, version, values, status, body)
				}
			}
			if a.asked.Load() != before {
				t.Errorf("%s over %s: something reached the workload", path, version)
			}
			if path == "/pay/" && version == "HTTP/2" {
				p.good = stripeSignature("whsec_of_stripe", now.Add(-time.Minute), "{}") // each passes once
			}
			if status, body := send(path, p.name, p.good); status != 200 {
				t.Errorf("%s over %s with one: %d %s", path, version, status, body)
			}
		}
	}
}
