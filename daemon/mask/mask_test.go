package mask_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/mask"
)

const m = mezu.Mask

func TestName(t *testing.T) {
	for _, name := range strings.Fields(`authorization Authorization PROXY-AUTHORIZATION Cookie set-cookie token access_token accessToken
		AccessToken ACCESS-TOKEN id.token X-Gitlab-Token secret client_secret clientSecret x-hub-signature-256 stripe-signature
		Stripe_Signature svix-signature password Password user_password passwd new-passwd passphrase session session_id JSESSIONID PHPSESSID
		connect.session csrf X-CSRF-Token csrfmiddlewaretoken xsrf X-XSRF-TOKEN api-key api_key apikey apiKey APIKey X-Api-Key access-key
		accessKeyId private-key private_key privateKey credential X-Amz-Credential credentials otp totp_otp smtp_pass auth proxy_auth
		authToken OAuthToken pwd cvc x-mezu-assertion SAMLResponse code_verifier device_code recovery-codes Ocp-Apim-Subscription-Key
		user[password] tokens refresh_tokens X-Amz-Security-Token`) {
		if !mask.Name(name) {
			t.Errorf("%s is not secret", name)
		}
	}
	for _, name := range strings.Fields(`id name author authority content-type user-agent WWW-Authenticate access-control-allow-headers
		token_type tokenizer tokenized secretary possession auth_methods keyboard public_key state code key status password_changed_at
		token_expires_in token_endpoint idempotency-key etag x-request-id passenger passing compass spin pinned host path`) {
		if mask.Name(name) {
			t.Errorf("%s is secret", name)
		}
	}
	if !mask.Name(strings.Repeat("a", 300)) {
		t.Error("a name that is too long to look at is not secret")
	}
}

// shapes are secrets that are seen by what they look like.
func shapes() map[string]string {
	return map[string]string{
		"JWT":         "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
		"unsigned":    "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0",
		"bearer":      mezu.NewToken(mezu.TokenBearer),
		"join":        mezu.NewToken(mezu.TokenJoin),
		"enrolment":   mezu.NewToken(mezu.TokenEnrolment),
		"bootstrap":   mezu.NewToken(mezu.TokenBootstrap),
		"invitation":  mezu.NewToken(mezu.TokenInvitation),
		"refresh":     mezu.NewToken(mezu.TokenRefresh),
		"key":         mezu.NewKey(),
		"AWS":         "AKIAIOSFODNN7EXAMPLE",
		"AWS session": "ASIAIOSFODNN7EXAMPLE",
		"GitHub":      "ghp_" + strings.Repeat("aB3", 12),
		"GitHub fine": "github_pat_" + strings.Repeat("aB3", 20),
		"Stripe":      "sk_" + "live_4eC39HqLyjWDarjtT1zdp7dc",
		"Stripe hook": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
		"Slack":       "xoxb-" + "123456789012-123456789012-abcdefghijklmnopqrstuvwx",
		"Google":      "AIza" + strings.Repeat("Sy0", 11) + "ab",
		"OpenAI":      "sk-proj-abcdefghijklmnopqrstuvwxyz",
		"Vault":       "hvs.CAESIJabcdefghijklmnop",
		"SendGrid":    "SG.abcdefghijklmnopqrstuv.abcdefghijklmnopqrstuv",
		"GitLab":      "glpat-abcdefghij0123456789",
	}
}

func TestText_Shapes(t *testing.T) {
	for name, secret := range shapes() {
		for _, around := range [][2]string{{"", ""}, {"a ", " b"}, {`"`, `"`}, {"x=", "&y"}, {"x%3D", "%26"}, {`\n`, `\n`}, {"(", ")"}, {"é", "é"}} {
			got, n := mask.Text(around[0] + secret + around[1])
			if want := around[0] + m + around[1]; got != want || n != 1 {
				t.Errorf("%s: %q, %d", name, got, n)
			}
		}
	}
	for in, want := range map[string]string{
		"Bearer abc123":                          "Bearer " + m,
		"bearer   abcdefABC":                     "bearer   " + m,
		"curl -H 'Authorization: BEARER x_y_z_'": "curl -H 'Authorization: BEARER " + m + "'",
		"Bearer%20abc123":                        "Bearer%20" + m,
		"Basic dXNlcjpwYXNz":                     "Basic " + m,
		"basic dXNlcjpwYXNzdw==":                 "basic " + m,
		"postgres://ada:hunter2@db/x":            "postgres://ada:" + m + "@db/x",
		"redis://:hunter2@db":                    "redis://:" + m + "@db",
		"-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----": "-----BEGIN RSA PRIVATE KEY-----" + m + "-----END RSA PRIVATE KEY-----",
		`-----BEGIN PRIVATE KEY-----\nMII`:                                    `-----BEGIN PRIVATE KEY-----` + m,
		"eyJhbGciOiJIUzI1NiJ9.eyJz":                                           m, // cut
		"mezu_abcdefghijk":                                                    m, // cut
	} {
		if got, n := mask.Text(in); got != want || n != 1 {
			t.Errorf("%q: %q, %d", in, got, n)
		}
	}
	for _, in := range []string{"", "Bearer token", "Basic information is here", "bearer of news", "https://example.com:80/@x", "__Host-mezu_session=",
		"a mezu_tunnel of mine", strings.Repeat("a", 50), strings.Repeat("a", 51), "sk-learn", "-----BEGIN PUBLIC KEY-----\nMII\n", "keyJ", "snake_case_name",
		"http://localhost:8080/a@b", strings.Repeat("A", 100), "e", "J", "_", "-", "://", " ", "%20", "%2"} {
		if got, n := mask.Text(in); got != in || n != 0 {
			t.Errorf("%q: %q, %d", in, got, n)
		}
	}
}

func TestQuery(t *testing.T) {
	for in, want := range map[string]string{
		"":                                "",
		"?":                               "?",
		"?a=b&c=d":                        "?a=b&c=d",
		"?a;b=c&&":                        "?a;b=c&&",
		"a=b&token=x":                     "a=b&token=" + m,
		"?token=x&Access_Token=y&a=":      "?token=" + m + "&Access_Token=" + m + "&a=",
		"?code=1&state=2&page=3":          "?code=" + m + "&state=" + m + "&page=3",
		"?%74oken=x":                      "?%74oken=" + m,
		"?%2574oken=x":                    "?%2574oken=" + m,
		"?%zz=x":                          "?%zz=" + m,
		"?filter%5Bname%5D=x":             "?filter%5Bname%5D=x",
		"?user%5Bpassword%5D=x":           "?user%5Bpassword%5D=" + m,
		"?X-Amz-Signature=1&x=eyJhbGciOi": "?X-Amz-Signature=" + m + "&x=" + m,
		"?author=ada&page=2":              "?author=ada&page=2",
		"?t=0123456789012345678901234567890123456789":      "?t=" + m,
		"?0123456789012345678901234567890123456789":        "?" + m,
		"?q=Bearer+abc123&r=Bearer%20abc123":               "?q=" + m + "&r=" + m,
		"?u=https%3A%2F%2Fx%2F%3Fa%3DAKIAIOSFODNN7EXAMPLE": "?u=" + m,
	} {
		got, n := mask.Query(in)
		if got != want || n != strings.Count(want, m) {
			t.Errorf("%s: %s, %d", in, got, n)
		}
	}
}

func TestField(t *testing.T) {
	for _, c := range [][3]string{
		{"Authorization", "Bearer x", m},
		{"proxy-authorization", "Basic x", m},
		{"X-Hub-Signature-256", "sha256=ab", m},
		{"Cookie", "a=b; sid=c=d;e; f=", "a=" + m + "; sid=" + m + ";" + m + "; f="},
		{"cookie", " ", " "},
		{"Set-Cookie", "a=b; Path=/; HttpOnly", "a=" + m + "; Path=/; HttpOnly"},
		{"Set-Cookie", "a=; Max-Age=0", "a=; Max-Age=0"},
		{"Set-Cookie", "novalue", m},
		{"Location", "https://u:p@x/a?token=b&c=d#access_token=e", "https://u:" + m + "@x/a?token=" + m + "&c=d#access_token=" + m},
		{"Link", "</x?token=a>; rel=next", "</x?token=" + m + ">; rel=next"},
		{"Referer", "https://x/?code=1&a=2", "https://x/?code=" + m + "&a=2"},
		{"X-Other", "Bearer abc123", "Bearer " + m},
		{"Access-Control-Allow-Credentials", "true", "true"},
		{"WWW-Authenticate", `Bearer realm="x"`, `Bearer realm="x"`},
		{"Content-Type", "application/json", "application/json"},
		{"Sec-WebSocket-Protocol", "v1.k8s.io, base64url.bearer.authorization.k8s.io." + "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "v1.k8s.io, " + m},
	} {
		got, n := mask.Field(c[0], c[1])
		if got != c[2] || n != strings.Count(c[2], m) {
			t.Errorf("%s: %s: %q, %d", c[0], c[1], got, n)
		}
	}
}

func TestLine(t *testing.T) {
	for in, want := range map[string]string{
		"GET /a?token=b&c=d HTTP/1.1":      "GET /a?token=" + m + "&c=d HTTP/1.1",
		"GET /a HTTP/1.1":                  "GET /a HTTP/1.1",
		"/reset/AKIAIOSFODNN7EXAMPLE?a=b":  "/reset/" + m + "?a=b",
		"HTTP/1.1 401 Unauthorized":        "HTTP/1.1 401 Unauthorized",
		"GET /a?b=c?token=d#secret=e HTTP": "GET /a?b=c?token=" + m + "#secret=" + m + " HTTP",
	} {
		if got, _ := mask.Line(in); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
}

func TestBody_JSON(t *testing.T) {
	for in, want := range map[string]string{
		`{"a":"b"}`:                                     `{"a":"b"}`,
		`{"password":"x","a":1}`:                        `{"password":"` + m + `","a":1}`,
		`{ "Password" : "x\"y" , "a" : [ ] }`:           `{ "Password" : "` + m + `" , "a" : [ ] }`,
		`{"\u0070assword":"x"}`:                         `{"\u0070assword":"` + m + `"}`,
		`{"pass\u0077ord":"x","a":"b"}`:                 `{"pass\u0077ord":"` + m + `","a":"b"}`,
		`{"\uZZ":"x"}`:                                  `{"\uZZ":"` + m + `"}`,
		`{"token":123}`:                                 `{"token":"` + m + `"}`,
		`{"pin":-1.5e3,"a":1}`:                          `{"pin":"` + m + `","a":1}`,
		`{"secret":{"a":["}",{"b":"]"}]},"c":1}`:        `{"secret":"` + m + `","c":1}`,
		`{"secret":["a","b"]}`:                          `{"secret":"` + m + `"}`,
		`{"secret":[],"password":{},"token":""}`:        `{"secret":[],"password":{},"token":""}`,
		`{"secret":null,"password":true,"otp":false}`:   `{"secret":null,"password":true,"otp":false}`,
		`{"password":"a","password":"b"}`:               `{"password":"` + m + `","password":"` + m + `"}`,
		`{"max_tokens":100,"usage":{"total_tokens":5}}`: `{"max_tokens":100,"usage":{"total_tokens":5}}`,
		`{"tokens":["a"]}`:                              `{"tokens":"` + m + `"}`,
		`{"name":"password","value":"x","other":"y"}`:   `{"name":"password","value":"` + m + `","other":"y"}`,
		`[{"key":"Authorization","value":"x"},{"key":"Accept","value":"y"}]`: `[{"key":"Authorization","value":"` + m + `"},{"key":"Accept","value":"y"}]`,
		`[{"name":"token"},{"value":"x"}]`:                                   `[{"name":"token"},{"value":"x"}]`,
		`{"a":"Bearer abc123"}`:                                              `{"a":"Bearer ` + m + `"}`,
		`{"a":"\u0042earer abc123"}`:                                         `{"a":"Bearer ` + m + `"}`,
		`{"body":"{\"password\":\"x\",\"n\":1}"}`:                            `{"body":"{\"password\":\"` + m + `\",\"n\":1}"}`,
		`{"body":"password=x&user=y"}`:                                       `{"body":"password=` + m + `&user=y"}`,
		`{"body":"Cookie: a=b\r\nAccept: c"}`:                                `{"body":"Cookie: ` + m + `\r\nAccept: c"}`,
		`{"url":"postgres://u:p@h"}`:                                         `{"url":"postgres://u:` + m + `@h"}`,
		`{"a":1}` + "\n" + `{"token":"x"}` + "\n":                            `{"a":1}` + "\n" + `{"token":"` + m + `"}` + "\n",
		`{"password":"hunt`:                                                  `{"password":"` + m,
		`{"password":"hunt\`:                                                 `{"password":"` + m,
		`{"password":`:                                                       `{"password":`,
		`{"secret":{"a":"b`:                                                  `{"secret":"` + m + `"`,
		`{"token":12`:                                                        `{"token":"` + m + `"`,
		`{"a":"AKIAIOSFODNN7EXAMP`:                                           `{"a":"` + m,
		`{password:'x', "b":1}`:                                              `{password:'` + m + `', "b":1}`,
		`{"a":"b"c","password":"x"}`:                                         `{"a":"b"c","password":"` + m + `"}`,
		`)]}',` + "\n" + `{"token":"x"}`:                                     `)]}',` + "\n" + `{"token":"` + m + `"}`,
		`"` + "\xff" + `"`:                                                   `"` + "\xff" + `"`,
		"{\"pass\xffword\":\"x\",\"token\":\"\xff\"}":                        "{\"pass\xffword\":\"x\",\"token\":\"" + m + "\"}",
		`{"password":"` + m + `"}`:                                           `{"password":"` + m + `"}`,
		`{"AKIAIOSFODNN7EXAMPLE":1}`:                                         `{"` + m + `":1}`,
		``:                                                                   ``,
	} {
		got, n := mask.Body(mezu.BodyJSON, "application/json", []byte(in))
		if string(got) != want {
			t.Errorf("%s:\n got %s\nwant %s (%d)", in, got, want, n)
		}
		if json.Valid([]byte(in)) && !json.Valid(got) {
			t.Errorf("%s is no JSON any more: %s", in, got)
		}
		if changed := string(got) != in; changed != (n > 0) {
			t.Errorf("%s: %d masked", in, n)
		}
	}
}

// TestBody_JSONDeep takes time and memory that depend on the size alone.
func TestBody_JSONDeep(t *testing.T) {
	deep := strings.Repeat(`{"a":[`, 10_000) + `{"password":"x"}` + strings.Repeat(`]}`, 10_000)
	deep += strings.Repeat(" ", 10<<20-len(deep))
	got, n := mask.Body(mezu.BodyJSON, "", []byte(deep))
	if n != 1 || !bytes.Contains(got, []byte(`{"password":"`+m+`"}`)) {
		t.Errorf("%d masked", n)
	}
	inner := `{"password":"x"}`
	for range 12 {
		text, _ := json.Marshal(map[string]string{"a": inner})
		inner = string(text)
	}
	if got, n := mask.Body(mezu.BodyJSON, "", []byte(inner)); n == 0 || bytes.Contains(got, []byte(`"x\`)) {
		t.Errorf("JSON in JSON: %d masked: %.100s", n, got)
	}
}

func TestBody_Forms(t *testing.T) {
	for in, want := range map[string]string{
		"user=ada&password=hunter2&x=":                           "user=ada&password=" + m + "&x=",
		"grant_type=authorization_code&code=abc&client_secret=x": "grant_type=authorization_code&code=" + m + "&client_secret=" + m,
		"passw%6frd=x": "passw%6frd=" + m,
		"a=b":          "a=b",
		"payload=%7B%22a%22%3A%22AKIAIOSFODNN7EXAMPLE%22%7D": "payload=" + m,
	} {
		if got, _ := mask.Body(mezu.BodyFields, "", []byte(in)); string(got) != want {
			t.Errorf("%s: %s", in, got)
		}
	}
}

func TestBody_Multipart(t *testing.T) {
	lines := func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }
	const kind = `multipart/form-data; boundary="X-1"`
	in := strings.ReplaceAll(lines(`--X-1
Content-Disposition: form-data; name="user"

ada
--X-1
Content-Disposition: form-data; name="pass word"; filename="a"

hunter2
of two lines
--X-1
content-disposition: form-data; name=csrf_token

abc
--X-1
Content-Disposition: form-data; name="meta"
Content-Type: application/json

{"api_key":"x"}
--X-1
Content-Disposition: form-data; name="file"; filename="a.bin"
Content-Type: application/octet-stream

password=stays \x00 AKIAIOSFODNN7EXAMPLE
--X-1
Content-Type: multipart/mixed; boundary=Y

--Y
Content-Disposition: attachment; name=token

inner
--Y--

--X-1--
`), `\x00`, "\x00")
	want := strings.NewReplacer("hunter2\r\nof two lines", m, "abc", m, `"x"`, `"`+m+`"`, "AKIAIOSFODNN7EXAMPLE", m, "inner", m).Replace(in)
	want = strings.Replace(want, `name="pass word"`, `name="pass word"`, 1)
	for _, c := range []string{kind, "multipart/form-data"} {
		if got, n := mask.Body(mezu.BodyMultipart, c, []byte(in)); string(got) != want || n != 5 {
			t.Errorf("%s: %d masked:\n%s", c, n, got)
		}
	}
	cut := in[:strings.Index(in, "of two")]
	if got, n := mask.Body(mezu.BodyMultipart, kind, []byte(cut)); n != 1 || bytes.Contains(got, []byte("hunter")) {
		t.Errorf("cut: %s", got)
	}
	if got, n := mask.Body(mezu.BodyMultipart, "multipart/form-data; boundary=other", []byte("a\npassword=x\n")); n != 1 {
		t.Errorf("of no parts: %s", got)
	}
}

func TestBody_Text(t *testing.T) {
	for in, want := range map[string]string{
		"password=x&a=b":                                  "password=" + m + "&a=b",
		"a password = x y":                                "a password = " + m + " y",
		"PASSWORD=p;a,s'd)\nB=1":                          "PASSWORD=" + m + "\nB=1",
		"export API_KEY='a b'":                            "export API_KEY='" + m + "'",
		"level=info token=abc msg=hi":                     "level=info token=" + m + " msg=hi",
		"if (token == null) x":                            "if (token == null) x",
		"password: hunter2 # mine\nuser: a":               "password: " + m + "\nuser: a",
		"  - token: |\n      abc\n      def\nb":           "  - token: " + m + "\nb",
		"say your password: it is late":                   "say your password: it is late",
		"Authorization: Basic xyz\r\nA: b":                "Authorization: " + m + "\r\nA: b",
		`42["login",{"password":"x"}]`:                    `42["login",{"password":"` + m + `"}]`,
		`x = {apiKey: "abc", n: 1}`:                       `x = {apiKey: "` + m + `", n: 1}`,
		`"{\"password\":\"x\",\"a\":1}"`:                  `"{\"password\":\"` + m + `\",\"a\":1}"`,
		`"password" => "x"`:                               `"password" => "` + m + `"`,
		"<a><password>x</password><b/></a>":               "<a><password>" + m + "</password><b/></a>",
		"<s:Token a='1'><x>y</x></s:Token>":               "<s:Token a='1'>" + m + "</s:Token>",
		"<password><![CDATA[x]]></password>":              "<password>" + m + "</password>",
		"<password>x":                                     "<password>" + m,
		"<password/><a>b</a>":                             "<password/><a>b</a>",
		`<add key="Password" value="x" />`:                `<add key="Password" value="` + m + `" />`,
		`<input value="x" type=hidden name="csrf_token">`: `<input value="` + m + `" type=hidden name="csrf_token">`,
		`<meta name="csrf-token" content='x'>`:            `<meta name="csrf-token" content='` + m + `'>`,
		`<input name="user" value="ada">`:                 `<input name="user" value="ada">`,
		`<conn password="x" user="y"/>`:                   `<conn password="` + m + `" user="y"/>`,
		`<a href="/x?code=1&amp;a=2">`:                    `<a href="/x?code=` + m + `&amp;a=2">`,
		"data: {\"token\":\"x\"}\n\n":                     "data: {\"token\":\"" + m + "\"}\n\n",
		"plain words, nothing else: fine":                 "plain words, nothing else: fine",
		"token":                                           "token",
		"token=":                                          "token=",
		"=":                                               "=",
		"=x":                                              "=x",
		"<":                                               "<",
		"\"\":x":                                          "\"\":x",
	} {
		if got, n := mask.Body(mezu.BodyText, "text/plain", []byte(in)); string(got) != want || n != strings.Count(want, m) {
			t.Errorf("%s:\n got %s\nwant %s (%d)", in, got, want, n)
		}
	}
}

func TestBody_Binary(t *testing.T) {
	for in, want := range map[string]string{
		`{"password":"x"}`:                     `{"password":"` + m + `"}`, // as frames have it
		"\x89PNG\x00password=x":                "\x89PNG\x00password=x",
		"\x00\x01Bearer abc123 token=x":        "\x00\x01Bearer " + m + " token=x",
		"a text of another encoding\xe9 pin=1": "a text of another encoding\xe9 pin=" + m,
	} {
		if got, _ := mask.Body(mezu.BodyBinary, "", []byte(in)); string(got) != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

// TestBody_LinearTime would take minutes if a step looked at all that is before or behind it.
func TestBody_LinearTime(t *testing.T) {
	for _, unit := range []string{"<token>", "<a ", "<a b='", "token=", `"a":`, `":`, `\"`, "eyJ", "eyJ.", "-----BEGIN PRIVATE KEY-----", "://a:",
		"Bearer ", "mezu_", "{\"token\":[", "--X\r\n", "password: |\n ", "a", `{"a":"\"`, "token=\"", "</token", "%3D", ":"} {
		body := bytes.Repeat([]byte(unit), 1<<17/len(unit))
		for _, form := range []mezu.BodyForm{mezu.BodyJSON, mezu.BodyText, mezu.BodyFields, mezu.BodyMultipart, mezu.BodyBinary} {
			mask.Body(form, "multipart/mixed; boundary=X", body)
		}
		mask.Line(string(body))
	}
}

// TestNothingIsCopied of what has no secret.
func TestNothingIsCopied(t *testing.T) {
	body := []byte(`{"a":"b","c":[1,2,{"d":"e f g"}],"long text":"with some words and no secret in it"}`)
	if n := testing.AllocsPerRun(100, func() { mask.Body(mezu.BodyJSON, "", body) }); n > 0 {
		t.Errorf("%v allocations of a body", n)
	}
	if n := testing.AllocsPerRun(100, func() { mask.Query("?page=3&sort=created_at&filter%5Bname%5D=x") }); n > 0 {
		t.Errorf("%v allocations of a query", n)
	}
}

func FuzzBody(f *testing.F) {
	for _, s := range shapes() {
		f.Add("json", []byte(`{"a":"`+s+`"}`))
	}
	f.Add("json", []byte(`{"password":{"a":[1]},"b":"{\"token\":\"x\"}"`))
	f.Add("text", []byte("<input name=csrf value='x'>\ntoken: x\n?code=1&a=b"))
	f.Add("form", []byte("a=b&password=x%zz"))
	f.Add("multipart", []byte("--X\r\nContent-Disposition: form-data; name=token\r\n\r\nx\r\n--X--"))
	f.Fuzz(func(t *testing.T, form string, body []byte) {
		before := bytes.Clone(body)
		got, n := mask.Body(mezu.BodyForm(form), "multipart/form-data; boundary=X", body)
		if !bytes.Equal(before, body) {
			t.Fatal("the body was changed in place")
		}
		if n == 0 && !bytes.Equal(got, body) {
			t.Fatalf("changed, and nothing masked: %q", got)
		}
		if n > 0 && !bytes.Contains(got, []byte(m)) {
			t.Fatalf("%d masked in %q", n, got)
		}
		if form == "json" && json.Valid(body) && !json.Valid(got) {
			t.Fatalf("no JSON any more: %q", got)
		}
		if utf8.Valid(body) && !utf8.Valid(got) {
			t.Fatalf("no UTF-8 any more: %q", got)
		}
		mask.Line(string(body))
		mask.Query(string(body))
		mask.Field("Cookie", string(body))
	})
}

func BenchmarkBody(b *testing.B) {
	const size = 1 << 20 // of 64 that are kept at most
	for name, unit := range map[string]string{
		"json": `{"id":"evt_1PzX","type":"payment_intent.succeeded","data":{"object":{"amount":4200,"currency":"eur","client_secret":"pi_x"}}},`,
		"text": "It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want of a wife.\n",
	} {
		body := []byte(strings.Repeat(unit, size/len(unit)))
		b.Run(name, func(b *testing.B) {
			b.SetBytes(64 * int64(len(body)))
			for b.Loop() {
				for range 64 {
					mask.Body(mezu.BodyForm(name), "", body)
				}
			}
		})
	}
}
