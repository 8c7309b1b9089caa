package oauth_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
)

const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

// waiting is a device that waits for an answer.
type waiting struct {
	DeviceCode string `json:"device_code"`
	UserCode   string `json:"user_code"`
	At         string `json:"verification_uri"`
	Complete   string `json:"verification_uri_complete"`
	Seconds    int    `json:"expires_in"`
	Interval   int    `json:"interval"`
}

func (w *world) device() waiting {
	w.t.Helper()
	r := w.call("/oauth/device_authorization")
	var out waiting
	if err := json.Unmarshal([]byte(r.body), &out); err != nil || r.status != 200 {
		w.t.Fatal(r.status, r.body, err)
	}
	w.Secret(out.DeviceCode)
	w.Secret(out.UserCode)
	return out
}

func (w *world) poll(d waiting) reply {
	w.t.Helper()
	return w.call("/oauth/token", "grant_type", deviceGrant, "device_code", d.DeviceCode)
}

func (w *world) typed(code string) reply {
	w.t.Helper()
	return w.post("/device", url.Values{"code": {code}})
}

func (w *world) answer(code, answer string) reply {
	w.t.Helper()
	return w.post("/device/answer", url.Values{"code": {code}, "answer": {answer}})
}

// K12, N29, N30: a machine without a browser is logged in by a code that a person types
// elsewhere, after a page that says what asks, from where, and what to beware of.
func TestK12_N29_N30_LoginByCode(t *testing.T) {
	w := newWorld(t)
	ann := w.session
	d := w.device()
	if d.At != w.site()+"/device" || d.Complete != "" || d.Seconds != 600 || d.Interval != 5 || len(d.UserCode) != 9 || d.UserCode[4] != '-' || strings.Trim(d.UserCode, "BCDFGHJKLMNPQRSTVWXZ-") != "" {
		t.Fatalf("%+v", d)
	}
	w.refused("nobody has answered", w.poll(d), 400, "authorization_pending")
	w.refused("at once again", w.poll(d), 400, "slow_down")
	w.Clock.Advance(5 * time.Second)
	w.refused("after the interval", w.poll(d), 400, "authorization_pending")

	w.session = ""
	if to := w.get("/device").location(t); to.String() != "/login?to=%2Fdevice" {
		t.Error(to)
	}
	if r := w.typed(d.UserCode); r.status != http.StatusUnauthorized || r.has(d.UserCode) {
		t.Errorf("without a session: %d", r.status)
	}
	w.session = ann
	// The code is typed: no link carries it into the page.
	page := w.get("/device?user_code=" + d.UserCode + "&code=" + d.UserCode)
	if page.status != 200 || page.has(d.UserCode) || !page.has("somebody else gave you the code") || len(hidden(t, page.body)) != 0 {
		t.Fatal(page.status, page.body)
	}
	page = w.typed(" " + strings.ToLower(strings.ReplaceAll(d.UserCode, "-", " ")))
	for _, text := range []string{"Linux", "127.0.0.1", "<time", "Allow it only if you started it yourself", "acts for"[:3]} {
		if !page.has(text) {
			t.Errorf("the page does not say %q", text)
		}
	}
	w.Clock.Advance(5 * time.Second)
	w.refused("to look allows nothing", w.poll(d), 400, "authorization_pending")
	form := hidden(t, page.body)
	form.Set("answer", "allow")
	if r := w.post("/device/answer", form, "Origin", "https://evil.example"); r.status != http.StatusForbidden {
		t.Errorf("L5: %d", r.status)
	}
	if r := w.post("/device/answer", form); r.status != 200 || !r.has("is logged in") {
		t.Fatal(r.status, r.body)
	}
	got := w.tokens(w.poll(d))
	if !w.opens(got.Bearer) || got.Seconds < 3599 || got.ID != "" {
		t.Errorf("%+v", got)
	}
	w.refused("a second time", w.poll(d), 400, "invalid_grant")
	w.tokens(w.refresh(got.Refresh))
	if r := w.answer(d.UserCode, "allow"); r.status != http.StatusUnprocessableEntity {
		t.Errorf("answered twice: %d", r.status)
	}
}

// Denied, too late, and off.
func TestK12_CodeDeniedLateOrOff(t *testing.T) {
	w := newWorld(t)
	d := w.device()
	if r := w.answer(d.UserCode, "deny"); r.status != 200 {
		t.Fatal(r.status, r.body)
	}
	w.refused("denied", w.poll(d), 400, "access_denied")
	if r := w.answer(d.UserCode, "allow"); r.status != http.StatusUnprocessableEntity {
		t.Errorf("allowed after it was denied: %d", r.status)
	}
	w.refused("denied", w.poll(d), 400, "access_denied")

	d = w.device()
	w.Clock.Advance(10*time.Minute + time.Second)
	if r := w.answer(d.UserCode, "allow"); r.status != http.StatusUnprocessableEntity {
		t.Errorf("allowed too late: %d", r.status)
	}
	w.refused("late", w.poll(d), 400, "expired_token")

	d = w.device()
	w.answer(d.UserCode, "allow")
	w.Clock.Advance(10*time.Minute + time.Second)
	w.refused("allowed and fetched too late", w.poll(d), 400, "expired_token")
	w.refused("an unknown code", w.call("/oauth/token", "grant_type", deviceGrant, "device_code", "x"), 400, "invalid_grant")

	// An organization forbids it to its members.
	d = w.device()
	got := w.login()
	ann := w.Client(got.Bearer, nil)
	controltest.Call[any](t, ann, api.OpUpdateOrganization, map[string]any{"device_login": false}, organization)
	for _, r := range []reply{w.get("/device"), w.typed(d.UserCode), w.answer(d.UserCode, "allow")} {
		if r.status != http.StatusForbidden || r.has("127.0.0.1") {
			t.Errorf("forbidden by an organization: %d", r.status)
		}
	}
	w.refused("forbidden by an organization", w.poll(d), 400, "authorization_pending")
	controltest.Call[any](t, ann, api.OpUpdateOrganization, map[string]any{"device_login": true}, organization)
	if r := w.typed(d.UserCode); r.status != 200 {
		t.Errorf("allowed again: %d", r.status)
	}

	w.NoDeviceLogin = true
	w.again()
	w.refused("off", w.call("/oauth/device_authorization"), 400, "unauthorized_client")
	if r := w.get("/device"); r.status != http.StatusForbidden {
		t.Errorf("off: %d", r.status)
	}
	if r := w.answer(d.UserCode, "allow"); r.status != http.StatusForbidden {
		t.Errorf("off: %d", r.status)
	}
	if r := w.get("/.well-known/openid-configuration"); r.has("device") {
		t.Error("off, and still offered")
	}
}

// K12: five wrong codes, and then nobody's code is judged for a while, the right one neither.
func TestK12_Guesses(t *testing.T) {
	w := newWorld(t)
	d := w.device()
	for range 3 { // what is right does not count
		if r := w.typed(d.UserCode); r.status != 200 {
			t.Fatal(r.status, r.body)
		}
	}
	got := map[int]int{}
	replies := make([]reply, 8)
	controltest.Race(len(replies), func(i int) error {
		replies[i] = w.typed([]string{"BCDF-GHJK", "xxxx", "", "AEIO-UAEI"}[i%4])
		return nil
	})
	for _, r := range replies {
		got[r.status]++
	}
	if got[http.StatusUnprocessableEntity] != 5 || got[http.StatusTooManyRequests] != 3 {
		t.Errorf("%v", got)
	}
	r := w.typed(d.UserCode)
	if r.status != http.StatusTooManyRequests || r.header.Get("Retry-After") == "" || r.has("127.0.0.1") {
		t.Errorf("%d %v", r.status, r.header)
	}
	if r := w.answer(d.UserCode, "allow"); r.status != http.StatusTooManyRequests {
		t.Errorf("the answer is a way around: %d", r.status)
	}
	w.Clock.Advance(10 * time.Minute)
	d = w.device()
	if r := w.typed(d.UserCode); r.status != 200 {
		t.Errorf("after the wait: %d", r.status)
	}
}
