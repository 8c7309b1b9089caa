package oauth_test

import (
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu/edgesvc/control/controltest"
)

// What is offered is what there is, and nothing else.
func TestMetadata(t *testing.T) {
	w := newWorld(t)
	var out map[string]any
	for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"} {
		r := w.get(path)
		if err := json.Unmarshal([]byte(r.body), &out); err != nil || r.status != 200 || r.header.Get("Content-Type") != "application/json" {
			t.Fatal(path, r.status, r.body, err)
		}
		if r := w.do("HEAD", path, ""); r.status != 200 {
			t.Errorf("HEAD: %d", r.status)
		}
	}
	for name, want := range map[string]any{
		"issuer": w.site(), "authorization_endpoint": w.site() + "/oauth/authorize", "token_endpoint": w.site() + "/oauth/token",
		"device_authorization_endpoint": w.site() + "/oauth/device_authorization", "revocation_endpoint": w.site() + "/oauth/revoke", "jwks_uri": w.site() + "/oauth/keys",
		"authorization_response_iss_parameter_supported": true,
	} {
		if out[name] != want {
			t.Errorf("%s is %v", name, out[name])
		}
	}
	for name, want := range map[string][]string{
		"grant_types_supported": {"authorization_code", "refresh_token", deviceGrant}, "response_types_supported": {"code"},
		"code_challenge_methods_supported": {"S256"}, "token_endpoint_auth_methods_supported": {"none"},
	} {
		all, _ := out[name].([]any)
		var got []string
		for _, one := range all {
			got = append(got, one.(string))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s is %v", name, out[name])
		}
	}
	for _, name := range []string{"userinfo_endpoint", "introspection_endpoint", "end_session_endpoint", "registration_endpoint", "id_token_signing_alg_values_supported"} {
		if out[name] != nil {
			t.Errorf("offers %s: %v", name, out[name])
		}
	}
	if r := w.get("/oauth/keys"); r.status != 200 || strings.TrimSpace(r.body) != `{"keys":[]}` {
		t.Errorf("%d %s", r.status, r.body)
	}
	for _, path := range []string{"/oauth/introspect", "/oauth/userinfo", "/userinfo", "/end_session", "/oauth/end_session", "/oauth/authorize/callback", "/oauth", "/oauth/", "/healthz", "/ready", "/oauth/token/", "//oauth/token", "/oauth/./token"} {
		if r := w.do("POST", path, "", "Content-Type", formType); r.status != http.StatusNotFound && r.status != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", path, r.status)
		}
	}
}

// No grant but the three, no client but the one, and no way of saying something twice.
func TestL15_CallsOfPrograms(t *testing.T) {
	w := newWorld(t)
	const none = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJtZXp1Iiwic3ViIjoibWV6dSJ9."
	for _, grant := range []string{"password", "client_credentials", "implicit", "urn:ietf:params:oauth:grant-type:jwt-bearer", "urn:ietf:params:oauth:grant-type:token-exchange", "x"} {
		r := w.call("/oauth/token", "grant_type", grant, "assertion", none, "subject_token", none, "subject_token_type", "urn:ietf:params:oauth:token-type:access_token", "username", "a", "password", "b")
		if f := r.fault(t); r.status != 400 || f != "unsupported_grant_type" && f != "unauthorized_client" {
			t.Errorf("%s: %d %s", grant, r.status, r.body)
		}
	}
	code := w.allow()
	good := url.Values{"client_id": {"mezu"}, "grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirectURI}, "code_verifier": {verifier}}
	with := func(pairs ...string) string {
		out := url.Values{}
		for k, v := range good {
			out[k] = slices.Clone(v)
		}
		for i := 0; i < len(pairs); i += 2 {
			out.Add(pairs[i], pairs[i+1])
		}
		return out.Encode()
	}
	another := url.Values{}
	for k, v := range good {
		another[k] = v
	}
	another.Set("client_id", "other")
	anonymous := url.Values{"grant_type": good["grant_type"], "code": good["code"], "redirect_uri": good["redirect_uri"], "code_verifier": good["code_verifier"]}
	for name, c := range map[string]struct {
		path, body string
		header     []string
		status     int
		code       string
	}{
		"another client":         {"", another.Encode(), nil, 401, "invalid_client"},
		"no client":              {"", anonymous.Encode(), nil, 400, "invalid_request"},
		"a secret":               {"", with("client_secret", "s"), nil, 401, "invalid_client"},
		"an assertion, unsigned": {"", with("client_assertion", none, "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"), nil, 401, "invalid_client"},
		"an Authorization":       {"", with(), []string{"Authorization", "Basic bWV6dTo="}, 401, "invalid_client"},
		"a query":                {"?code=x", with(), nil, 400, "invalid_request"},
		"a parameter twice":      {"", with("code", "x"), nil, 400, "invalid_request"},
		"the same twice":         {"", with("grant_type", "authorization_code"), nil, 400, "invalid_request"},
		"too many parameters":    {"", with() + strings.Repeat("&a", 1) + manyFields(30), nil, 400, "invalid_request"},
		"JSON":                   {"", `{"grant_type":"authorization_code"}`, []string{"Content-Type", "application/json"}, 400, "invalid_request"},
		"no content type":        {"", with(), []string{"Content-Type", ""}, 400, "invalid_request"},
		"two content types":      {"", with(), []string{"Content-Type", formType, "Content-Type", formType}, 400, "invalid_request"},
		"multipart":              {"", with(), []string{"Content-Type", "multipart/form-data; boundary=x"}, 400, "invalid_request"},
		"a large body":           {"", with("x", strings.Repeat("x", 65<<10)), nil, 400, "invalid_request"},
		"bad escapes":            {"", "grant_type=%zz", nil, 400, "invalid_request"},
	} {
		header := c.header
		if !slices.Contains(header, "Content-Type") {
			header = append(slices.Clone(header), "Content-Type", formType)
		}
		w.refused(name, w.do("POST", "/oauth/token"+c.path, c.body, header...), c.status, c.code)
	}
	// None of them spent the code.
	got := w.tokens(w.do("POST", "/oauth/token", good.Encode(), "Content-Type", formType+"; charset=utf-8"))

	// What is no opaque secret of ours opens nothing, whatever it says of itself.
	for _, token := range []string{none, got.Refresh, strings.ToUpper(got.Bearer), got.Bearer + "=", got.Bearer[:len(got.Bearer)-1], "mezu_" + strings.TrimPrefix(got.Refresh, "mezurefresh_")} {
		if w.opens(token) {
			t.Errorf("%s opens the API", token)
		}
	}
	for _, token := range []string{none, got.Bearer, code, strings.ToUpper(got.Refresh)} {
		w.refused("a refresh token that is none", w.refresh(token), 400, "invalid_grant")
	}
	if !w.opens(got.Bearer) {
		t.Error("what is no token of the family ended it")
	}
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "OPTIONS"} {
		if r := w.do(method, "/oauth/token", "", "Origin", "https://evil.example", "Access-Control-Request-Method", "POST"); r.status != http.StatusMethodNotAllowed || r.header.Get("Allow") != "POST" {
			t.Errorf("%s: %d", method, r.status)
		}
	}
	if r := w.do("OPTIONS", "/.well-known/openid-configuration", "", "Origin", "https://evil.example", "Access-Control-Request-Method", "GET"); r.status != http.StatusMethodNotAllowed {
		t.Errorf("a preflight: %d", r.status)
	}
}

func manyFields(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("&f" + strings.Repeat("x", i) + "=1")
	}
	return b.String()
}

// The machines of one network, and of all networks together, ask for so many codes.
func TestDevicesAreBounded(t *testing.T) {
	w := newWorld(t)
	total, begin := 0, time.Now()
	most := func(burst, perMinute int) int { return burst + int(time.Since(begin).Minutes()*float64(perMinute)) + 1 }
	for n := range 7 {
		got := map[int]int{}
		w.connect(net.IPv4(127, 1, byte(n), 1))
		replies := make([]reply, 30)
		controltest.Race(len(replies), func(i int) error {
			replies[i] = w.call("/oauth/device_authorization")
			return nil
		})
		for _, r := range replies {
			got[r.status]++
		}
		if got[200]+got[http.StatusTooManyRequests] != len(replies) || got[200] > most(20, 20) || n == 0 && got[200] < 20 {
			t.Errorf("network %d: %v", n, got)
		}
		total += got[200]
	}
	if total < 100 || total > most(100, 600) {
		t.Errorf("%d codes in all", total)
	}
}

// A network that calls too often waits, and no secret is in the log.
func TestCallsOfANetworkAreBounded(t *testing.T) {
	w := newWorld(t)
	got := w.login()
	replies := make([]reply, 160)
	controltest.Race(len(replies), func(i int) error {
		replies[i] = w.refresh("x")
		return nil
	})
	last := reply{}
	for _, r := range replies {
		if r.status == http.StatusTooManyRequests {
			last = r
		}
	}
	if last.status == 0 || last.header.Get("Retry-After") == "" || last.fault(t) != "slow_down" {
		t.Errorf("nobody waits: %+v", last)
	}
	for _, secret := range []string{got.Bearer, got.Refresh} {
		if strings.Contains(w.Log.String(), secret) {
			t.Error("a token is in the log")
		}
	}
}
