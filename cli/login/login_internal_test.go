package login

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A login by a code asks as often as it may and no more, whatever it is told, and ends when
// somebody has decided (RFC 8628).
func TestByCode(t *testing.T) {
	good := `{"access_token":"a","refresh_token":"r","token_type":"Bearer","expires_in":60}`
	for name, c := range map[string]struct {
		device  string // beside what every one has
		answers []string
		pauses  []time.Duration
		err     mezu.Code
	}{
		"allowed":        {`"interval":3,"expires_in":600`, []string{"authorization_pending", good}, seconds(3, 3), ""},
		"no interval":    {`"expires_in":600`, []string{"authorization_pending", good}, seconds(5, 5), ""},
		"a long one":     {`"interval":99999999999,"expires_in":99999999999`, []string{good}, seconds(60), ""},
		"slower":         {`"interval":1`, []string{"slow_down", "authorization_pending", "slow_down", good}, seconds(1, 6, 6, 11), ""},
		"too often":      {`"interval":1`, []string{"429", good}, seconds(1, 6), ""},
		"away":           {`"interval":2`, []string{"cut", "503", good}, seconds(2, 4, 8), ""},
		"refused":        {`"interval":1`, []string{"authorization_pending", "access_denied"}, seconds(1, 1), mezu.CodeForbidden},
		"ended":          {`"interval":1`, []string{"expired_token"}, seconds(1), mezu.CodeRequestTimeout},
		"something else": {`"interval":1`, []string{"invalid_client"}, seconds(1), mezu.CodeInternal},
	} {
		t.Run(name, func(t *testing.T) {
			var server *httptest.Server
			answers := slices.Clone(c.answers)
			server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/d" {
					io.WriteString(w, `{"device_code":"dc","user_code":"WDJB-\u001bMJHT","verification_uri":"`+server.URL+`/device",`+c.device+`}`)
					return
				}
				said := answers[0]
				answers = answers[1:]
				switch {
				case said == "cut":
					panic(http.ErrAbortHandler)
				case said == "429":
					w.WriteHeader(429)
				case said == "503":
					w.WriteHeader(503)
				case said[0] == '{':
					io.WriteString(w, said)
				default:
					w.WriteHeader(400)
					json.NewEncoder(w).Encode(map[string]string{"error": said})
				}
			}))
			defer server.Close()
			client, err := api.NewClient(api.ClientConfig{BaseURL: server.URL, TLS: server.Client().Transport.(*http.Transport).TLSClientConfig})
			if err != nil {
				t.Fatal(err)
			}
			defer client.CloseIdle()
			a := api.Authority{Issuer: server.URL, Token: server.URL + "/t", Device: server.URL + "/d"}
			var said testkit.Buffer
			var paused []time.Duration
			o := &loginOptions{Invocation: &invocation.Invocation{Streams: terminal.Streams{Err: &said}}, pause: func(_ context.Context, d time.Duration) error {
				paused = append(paused, d)
				return nil
			}}
			tokens, _, err := o.byCode(t.Context(), client, a)
			if !slices.Equal(paused, c.pauses) || len(answers) != 0 {
				t.Errorf("paused %v, want %v", paused, c.pauses)
			}
			if mezu.CodeOf(err) != c.err || c.err == "" && (err != nil || tokens.Access != "a") {
				t.Errorf("%+v, %v", tokens, err)
			}
			if !strings.Contains(said.String(), "\n   "+server.URL+"/device        and type        WDJB-MJHT\n") || !strings.Contains(said.String(), "Good for 10 minutes.") {
				t.Errorf("said %q", said.String())
			}
		})
	}
}

// Where logins by a code are off, that is said, and a code to be typed elsewhere is none.
func TestByCode_Off(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"device_code":"dc","user_code":"WDJB-MJHT","verification_uri":"https://evil.example/device"}`)
	}))
	defer server.Close()
	client, err := api.NewClient(api.ClientConfig{BaseURL: server.URL, TLS: server.Client().Transport.(*http.Transport).TLSClientConfig})
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdle()
	o := &loginOptions{Invocation: &invocation.Invocation{Streams: terminal.Streams{Err: io.Discard}}}
	if _, _, err := o.byCode(t.Context(), client, api.Authority{Issuer: server.URL, Token: server.URL + "/t"}); mezu.CodeOf(err) != mezu.CodeForbidden {
		t.Errorf("off: %v", err)
	}
	if _, _, err := o.byCode(t.Context(), client, api.Authority{Issuer: server.URL, Token: server.URL + "/t", Device: server.URL + "/d"}); err == nil || strings.Contains(err.Error(), "evil") {
		t.Errorf("elsewhere: %v", err)
	}
}

func seconds(all ...int) []time.Duration {
	var out []time.Duration
	for _, n := range all {
		out = append(out, time.Duration(n)*time.Second)
	}
	return out
}

// K12: the browser comes back to a random port of the loopback address, with the state of this
// login, once.
func TestK12_Callback(t *testing.T) {
	a := api.Authority{Issuer: "https://login.example.com", Authorize: "https://login.example.com/authorize?theme=dark", NamesIssuer: true}
	ports, states := map[string]bool{}, map[string]bool{}
	for range 8 {
		b, err := listenCallback(a)
		if err != nil {
			t.Fatal(err)
		}
		defer b.close()
		at, err := netip.ParseAddrPort(b.listener.Addr().String())
		if err != nil || !at.Addr().IsLoopback() || at.Port() < 1024 || b.url() != "http://"+at.String()+"/callback" {
			t.Errorf("%s, %v", b.url(), err)
		}
		ports[b.listener.Addr().String()], states[b.state] = true, true
		if len(b.state) < 43 {
			t.Errorf("the state is %q", b.state)
		}
	}
	if len(ports) != 8 || len(states) != 8 {
		t.Errorf("%d ports, %d states", len(ports), len(states))
	}

	b, err := listenCallback(a)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	get := func(method, host, query string) (int, string) {
		t.Helper()
		req, err := http.NewRequest(method, b.url()+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		page, err := io.ReadAll(resp.Body)
		if err != nil || resp.Header.Get("Cache-Control") != "no-store" || resp.Header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%v %v", resp.Header, err)
		}
		return resp.StatusCode, string(page)
	}
	own := b.listener.Addr().String()
	good := "?" + url.Values{"state": {b.state}, "code": {"c"}, "iss": {a.Issuer}}.Encode()
	for _, c := range []struct {
		method, host, query string
		status              int
	}{
		{"POST", own, good, 404}, {"GET", "evil.example", good, 404}, {"GET", "localhost", good, 404},
		{"GET", own, "?code=c", 400}, {"GET", own, "?code=c&state=" + b.state[1:], 400}, {"GET", own, good + "&state=x", 400}, {"GET", own, "?%zz", 400},
	} {
		if status, page := get(c.method, c.host, c.query); status != c.status || strings.Contains(page, "You are logged in") {
			t.Errorf("%s %s%s: %d %s", c.method, c.host, c.query, status, page)
		}
	}
	b.tell(nil)
	if status, page := get("GET", own, good); status != 200 || !strings.Contains(page, "You are logged in.") {
		t.Errorf("%d %s", status, page)
	}
	if got := <-b.brought; got.code != "c" || got.err != nil {
		t.Errorf("%+v", got)
	}
	if status, page := get("GET", own, good); status != http.StatusGone || !strings.Contains(page, "This login is over.") {
		t.Errorf("a second time: %d %s", status, page)
	}
	b.close()
	if conn, err := net.Dial("tcp", own); err == nil {
		conn.Close()
		t.Error("it still listens")
	}
	// What the address to open has of its own stays, and nothing takes its place.
	address, err := addressOf(a, url.Values{"state": {"s"}, "code_challenge_method": {"S256"}})
	if err != nil || address != "https://login.example.com/authorize?code_challenge_method=S256&state=s&theme=dark" {
		t.Errorf("%s, %v", address, err)
	}
}

// On a terminal the end of a login has one parenthesis, whatever is said of it.
func TestIdentityUntil(t *testing.T) {
	now := time.Date(2026, 11, 30, 10, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		ends     time.Time
		renews   bool
		terminal bool
		want     string
	}{
		{now.Add(30 * 24 * time.Hour), true, true, "30 " + now.Local().Format("15:04") + " (in 30 d, renews itself)\n"},
		{now.Add(30 * 24 * time.Hour), false, true, now.Local().Format("15:04") + " (in 30 d)\n"},
		{now.Add(time.Hour), true, false, "2026-11-30T11:00:00Z (renews itself)\n"},
		{time.Time{}, false, true, " it is revoked\n"},
	} {
		inv := &invocation.Invocation{Streams: terminal.Streams{OutTerminal: c.terminal, ColorOff: true, Columns: func() int { return 80 }, Present: func() time.Time { return now }}}
		who := identity{Self: api.Self{ExpiresAt: c.ends}, Renews: c.renews}
		if got := who.lines(inv, ""); !strings.Contains(got, c.want) {
			t.Errorf("no %q in\n%s", c.want, got)
		}
	}
}
