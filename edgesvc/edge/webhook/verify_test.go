package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/relay"
)

// request makes a POST of fields, in pairs of name and value.
func request(target, body string, now time.Time, fields ...string) *Request {
	host, rest, _ := strings.Cut(strings.TrimPrefix(target, "https://"), "/")
	path, query, asked := strings.Cut("/"+rest, "?")
	r := &relay.Request{Method: "POST", Authority: host, Path: mezu.Path{Path: path}}
	if r.Host, _, _ = strings.Cut(host, ":"); asked {
		r.Query = "?" + query
	}
	for i := 0; i < len(fields); i += 2 {
		r.Fields = append(r.Fields, relay.Field{Name: []byte(fields[i]), Value: []byte(fields[i+1])})
	}
	return &Request{Request: r, Body: []byte(body), Now: now}
}

// verifier makes one of a provider.
func verifier(t *testing.T, w mezu.Webhook, secrets ...string) *Verifier {
	t.Helper()
	w.Name = "hook"
	if err := w.Validate(); err != nil {
		t.Fatal(err)
	}
	v, err := NewVerifier(&w, secrets)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

const (
	slackBody = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
	slackAt   = 1531420618

	twilioURL  = "https://mycompany.com/myapp.php?foo=1&bar=2"
	twilioForm = "To=%2B18005551212&CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309"
	twilioJSON = `{"property": "value", "boolean": true}`
	twilioSum  = "bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"
	form       = "application/x-www-form-urlencoded"

	standardSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	standardAt     = 1614265330
)

// TestVerify_Published holds every provider that publishes one against its example: its
// documentation's, or that of its libraries' tests.
func TestVerify_Published(t *testing.T) {
	standard := func(family string, more ...string) *Request {
		signature := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
		if len(more) > 0 {
			signature = more[0] + " " + signature + " v1a,AAAA v2,AAAA"
		}
		return request("https://a.example/", `{"test": 2432232314}`, time.Unix(standardAt, 0), family+"-id", "msg_p5jXN8AQM9LWM0D4loKWxJek", family+"-timestamp", fmt.Sprint(standardAt), family+"-signature", signature)
	}
	twilio := func(url, kind, body, signature string) *Request {
		return request(url, body, time.Now(), "X-Twilio-Signature", signature, "Content-Type", kind)
	}
	for _, c := range []struct {
		name     string
		provider mezu.WebhookProvider
		secret   string
		request  *Request
	}{
		{"GitHub", mezu.WebhookGitHub, "It's a Secret to Everybody", request("https://a.example/", "Hello, World!", time.Now(), "X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17")},
		{"Slack", mezu.WebhookSlack, "8f742231b10e8888abcd99yyyzzz85a5", request("https://a.example/", slackBody, time.Unix(slackAt+60, 0), "X-Slack-Request-Timestamp", fmt.Sprint(slackAt), "X-Slack-Signature", "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503")},
		{"Standard Webhooks", mezu.WebhookStandard, standardSecret, standard("webhook")},
		{"Standard Webhooks, without the prefix", mezu.WebhookStandard, "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", standard("webhook")},
		{"Standard Webhooks, several signatures", mezu.WebhookStandard, standardSecret, standard("webhook", "v1,YWJj")},
		{"Standard Webhooks by their old names", mezu.WebhookStandard, standardSecret, standard("svix")},
		{"GitLab, signed", mezu.WebhookGitLab, standardSecret, standard("webhook")},
		{"GitLab, plain", mezu.WebhookGitLab, "s3cr3t", request("https://a.example/", "{}", time.Now(), "X-Gitlab-Token", "s3cr3t")},
		{"Twilio", mezu.WebhookTwilio, "12345", twilio(twilioURL, form, twilioForm, "RSOYDt4T1cUTdK1PDd93/VVr8B8=")},
		{"Twilio, signed with the port", mezu.WebhookTwilio, "12345", twilio(twilioURL, form+"; charset=UTF-8", twilioForm, "kvajT1Ptam85bY51eRf/AJRuM3w=")},
		{"Twilio at a port, signed without", mezu.WebhookTwilio, "12345", twilio("https://mycompany.com:1234/myapp.php?foo=1&bar=2", form, twilioForm, "RSOYDt4T1cUTdK1PDd93/VVr8B8=")},
		{"Twilio at a port", mezu.WebhookTwilio, "12345", twilio("https://mycompany.com:1234/myapp.php?foo=1&bar=2", form, twilioForm, "CYn1h0gLBdNxDGkKJg6hYohgeD8=")},
		{"Twilio, repeated values", mezu.WebhookTwilio, "12345", twilio(twilioURL, form, "SidAccount=AC123&Digits=5678&Digits=1234&Sid=CA123&Digits=1234", "IK+Dwps556ElfBT0I3Rgjkr1wJU=")},
		{"Twilio, JSON", mezu.WebhookTwilio, "12345", twilio(twilioURL+"&"+twilioSum, "application/json", twilioJSON, "a9nBmqA0ju/hNViExpshrM61xv4=")},
		{"Twilio, JSON and no query", mezu.WebhookTwilio, "12345", twilio("https://mycompany.com/myapp.php?"+twilioSum, "application/json", twilioJSON, "y77kIzt2vzLz71DgmJGsen2scGs=")},
	} {
		v := verifier(t, mezu.Webhook{Provider: c.provider}, c.secret)
		if _, err := v.Verify(c.request); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		for _, two := range []*Verifier{verifier(t, mezu.Webhook{Provider: c.provider}, c.secret, "whsec_b3RoZXI="), verifier(t, mezu.Webhook{Provider: c.provider}, "whsec_b3RoZXI=", c.secret)} {
			if _, err := two.Verify(c.request); err != nil {
				t.Errorf("%s beside another secret: %v", c.name, err)
			}
		}
		if _, err := verifier(t, mezu.Webhook{Provider: c.provider}, "whsec_b3RoZXI=").Verify(c.request); mezu.CodeOf(err) != mezu.CodeUnauthenticated {
			t.Errorf("%s under another secret: %v", c.name, err)
		}
		if c.name != "GitLab, plain" {
			c.request.Body[1]++
			if _, err := v.Verify(c.request); mezu.CodeOf(err) != mezu.CodeUnauthenticated {
				t.Errorf("%s with another body: %v", c.name, err)
			}
			c.request.Body[1]--
		}
		c.request.Fields = append(c.request.Fields, c.request.Fields...)
		if _, err := v.Verify(c.request); mezu.CodeOf(err) != mezu.CodeUnauthenticated {
			t.Errorf("%s with each field twice: %v", c.name, err)
		}
		c.request.Fields = nil
		if _, err := v.Verify(c.request); mezu.CodeOf(err) != mezu.CodeUnauthenticated {
			t.Errorf("%s unsigned: %v", c.name, err)
		}
	}
}

// sum is an HMAC-SHA256 of pieces.
func sum(secret string, pieces ...string) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	for _, p := range pieces {
		mac.Write([]byte(p))
	}
	return mac.Sum(nil)
}

// stripeField is the field of Stripe's with signatures by these secrets.
func stripeField(at int64, body string, secrets ...string) string {
	out := fmt.Sprintf("t=%d", at)
	for _, secret := range secrets {
		out += ",v1=" + hex.EncodeToString(sum(secret, fmt.Sprint(at), ".", body))
	}
	return out + ",v0=00"
}

func TestVerify_Stripe(t *testing.T) {
	const at, body = 1700000000, `{"id":"evt_1"}`
	good := stripeField(at, body, "whsec_new")
	for _, c := range []struct {
		name, value string
		at          int64
		passes      bool
	}{
		{"as it comes", good, at, true},
		{"by two secrets, of which one is ours", stripeField(at, body, "whsec_other", "whsec_new"), at, true},
		{"by the one before", stripeField(at, body, "whsec_old"), at, true},
		{"at the end of the tolerance", good, at + 300, true},
		{"before its time", good, at - 300, true},
		{"late", good, at + 301, false},
		{"early", good, at - 301, false},
		{"another time", strings.Replace(good, "t=1700000000", "t=1700000001", 1), at, false},
		{"two times", "t=1699999999," + good, at, false},
		{"no time", strings.TrimPrefix(good, "t=1700000000,"), at, false},
		{"a time that is none", strings.Replace(good, "t=1700000000", "t=+1700000000", 1), at, false},
		{"a time far away", strings.Replace(good, "t=1700000000", "t=18446744073709551615", 1), at, false},
		{"no signature", "t=1700000000", at, false},
		{"the scheme before", strings.Replace(good, "v1=", "v0=", 1), at, false},
		{"a signature that is none", "t=1700000000,v1=zz", at, false},
		{"an empty signature", "t=1700000000,v1=", at, false},
		{"too many signatures", "t=1700000000" + strings.Repeat(",v1=00", maxSignatures) + strings.TrimPrefix(good, "t=1700000000"), at, false},
	} {
		v := verifier(t, mezu.Webhook{Provider: mezu.WebhookStripe}, "whsec_new", "whsec_old")
		_, err := v.Verify(request("https://a.example/", body, time.Unix(c.at, 0), "Stripe-Signature", c.value))
		if c.passes != (err == nil) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestVerify_Template(t *testing.T) {
	const at, body = 1700000000, "\x00\xffraw"
	sha512Of := func(secret, text string) string {
		mac := hmac.New(sha512.New, []byte(secret))
		mac.Write([]byte(text))
		return base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	w := mezu.Webhook{Provider: mezu.WebhookHMACed, Tolerance: mezu.Duration(time.Minute), HMAC: &mezu.WebhookHMAC{
		Header: "X-Sig", Prefix: "s=", Encoding: mezu.WebhookBase64, Algorithm: mezu.WebhookSHA512, Template: "{method} {path}{query}\n{header:X-Kind}|{timestamp:X-At}|{id:X-Delivery}|{body}"}}
	signed := "POST /in?a=b\nbig|1700000000|d1|" + body
	fields := []string{"x-sig", "s=" + sha512Of("k", signed), "X-Kind", "big", "X-At", "1700000000", "X-Delivery", "d1"}
	v := verifier(t, w, "k")
	d, err := v.Verify(request("https://a.example/in?a=b", body, time.Unix(at+60, 0), fields...))
	if err != nil || !d.Timed || !d.At.Equal(time.Unix(at, 0)) {
		t.Errorf("%+v, %v", d, err)
	}
	for name, r := range map[string]*Request{
		"late":           request("https://a.example/in?a=b", body, time.Unix(at+61, 0), fields...),
		"another path":   request("https://a.example/inn?a=b", body, time.Unix(at, 0), fields...),
		"another query":  request("https://a.example/in?a=c", body, time.Unix(at, 0), fields...),
		"without the id": request("https://a.example/in?a=b", body, time.Unix(at, 0), fields[:6]...),
		"two kinds":      request("https://a.example/in?a=b", body, time.Unix(at, 0), append([]string{"X-Kind", "big"}, fields...)...),
	} {
		if _, err := v.Verify(r); mezu.CodeOf(err) != mezu.CodeUnauthenticated {
			t.Errorf("%s: %v", name, err)
		}
	}
	other, _ := v.Verify(request("https://a.example/in?a=b", body, time.Unix(at, 0), "x-sig", "s="+sha512Of("k", strings.Replace(signed, "d1", "d2", 1)), "X-Kind", "big", "X-At", "1700000000", "X-Delivery", "d2"))
	if !other.Timed || other.Key == d.Key {
		t.Errorf("two ids are one delivery: %+v, %+v", d, other)
	}
}

// TestVerify_TwilioBodies: a body that nothing signs doesn't pass, whatever it says it is.
func TestVerify_TwilioBodies(t *testing.T) {
	v := verifier(t, mezu.Webhook{Provider: mezu.WebhookTwilio}, "12345")
	const unsigned = "RSOYDt4T1cUTdK1PDd93/VVr8B8=" // of the form
	for name, c := range map[string]struct {
		url, kind, body string
		code            mezu.Code
	}{
		"JSON without a hash":    {twilioURL, "application/json", twilioJSON, mezu.CodeUnauthenticated},
		"no type":                {twilioURL, "", twilioForm, mezu.CodeUnauthenticated},
		"two hashes":             {twilioURL + "&" + twilioSum + "&" + twilioSum, "application/json", twilioJSON, mezu.CodeUnauthenticated},
		"another body's hash":    {twilioURL + "&" + twilioSum, "application/json", twilioJSON + " ", mezu.CodeUnauthenticated},
		"a form that is none":    {twilioURL, form, "a=%zz", mezu.CodeUnauthenticated},
		"a query that is none":   {twilioURL + "&%zz", form, twilioForm, mezu.CodeUnauthenticated},
		"a form without an end":  {twilioURL, form, strings.Repeat("a=b&", maxTwilioParameters), mezu.CodeBodyTooLarge},
		"the form with a field":  {twilioURL, form, twilioForm + "&a=b", mezu.CodeUnauthenticated},
		"the form at a new path": {"https://mycompany.com/other.php?foo=1&bar=2", form, twilioForm, mezu.CodeUnauthenticated},
	} {
		if _, err := v.Verify(request(c.url, c.body, time.Now(), "X-Twilio-Signature", unsigned, "Content-Type", c.kind)); mezu.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	sha := base64.StdEncoding.EncodeToString(sum("12345", twilioURL))
	r := request(twilioURL, "", time.Now(), "X-Twilio-Signature", sha)
	r.Method = "GET"
	if _, err := v.Verify(r); err != nil {
		t.Errorf("by SHA-256: %v", err)
	}
}

// TestVerify_GitLabNeverFallsBack: where a signing token is the secret, the token in plain is no
// way in, and the other way round.
func TestVerify_GitLabNeverFallsBack(t *testing.T) {
	signing := verifier(t, mezu.Webhook{Provider: mezu.WebhookGitLab}, standardSecret)
	plain := verifier(t, mezu.Webhook{Provider: mezu.WebhookGitLab}, "plain")
	both := verifier(t, mezu.Webhook{Provider: mezu.WebhookGitLab}, standardSecret, "plain")
	for name, c := range map[string]struct {
		v      *Verifier
		token  string
		passes bool
	}{
		"the signing token itself": {signing, standardSecret, false},
		"its bytes":                {signing, "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", false},
		"a plain one":              {plain, "plain", true},
		"a longer one":             {plain, "plain ", false},
		"while it is replaced":     {both, "plain", true},
		"and the signing token":    {both, standardSecret, false},
	} {
		_, err := c.v.Verify(request("https://a.example/", "{}", time.Now(), "X-Gitlab-Token", c.token))
		if c.passes != (err == nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNewVerifier_EmptySecret: what anybody could sign by is no secret.
func TestNewVerifier_EmptySecret(t *testing.T) {
	for _, p := range mezu.WebhookProviders() {
		w := mezu.Webhook{Name: "hook", Provider: p}
		if p == mezu.WebhookHMACed {
			w.HMAC = &mezu.WebhookHMAC{Header: "X-Sig"}
		}
		for _, secrets := range [][]string{nil, {""}, {"whsec_b3RoZXI=", ""}, {" "}, {"a\n"}, {strings.Repeat("a", mezu.MaxWebhookSecret+1)}, {"whsec_YQ==", "whsec_Yg==", "whsec_Yw=="}} {
			if v, err := NewVerifier(&w, secrets); err == nil {
				t.Errorf("%s takes %q: %v", p, secrets, v)
			}
		}
	}
	for _, secret := range []string{"whsec_", "whsec_%", "whsec_YQ"} {
		if _, err := NewVerifier(&mezu.Webhook{Name: "hook", Provider: mezu.WebhookStandard}, []string{secret}); err == nil {
			t.Errorf("takes %q", secret)
		}
	}
}

// FuzzVerify: nothing that a client sends makes a verifier fail or let it pass.
func FuzzVerify(f *testing.F) {
	f.Add("Stripe-Signature", "t=1,v1=00", "{}", "?a=b")
	f.Add("X-Twilio-Signature", "RSOYDt4T1cUTdK1PDd93/VVr8B8=", twilioForm, "?"+twilioSum)
	f.Add("webhook-signature", "v1,YQ== v1,", "", "")
	f.Fuzz(func(t *testing.T, name, value, body, query string) {
		for _, p := range mezu.WebhookProviders() {
			w := mezu.Webhook{Name: "hook", Provider: p}
			if p == mezu.WebhookHMACed {
				w.HMAC = &mezu.WebhookHMAC{Header: "X-Sig", Template: "{id:X-ID}{body}"}
			}
			v, err := NewVerifier(&w, []string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})
			if err != nil {
				t.Fatal(err)
			}
			r := request("https://a.example/", body, time.Unix(1, 0), name, value, "webhook-id", "a", "webhook-timestamp", "1", "X-Slack-Request-Timestamp", "1", "X-ID", "1", "Content-Type", form)
			r.Query = query
			if _, err := v.Verify(r); mezu.CodeOf(err) != mezu.CodeUnauthenticated && mezu.CodeOf(err) != mezu.CodeBodyTooLarge {
				t.Errorf("%s: %v", p, err)
			}
		}
	})
}
