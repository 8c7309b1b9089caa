package hosted

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/relay"
)

const environment = "env_00000000000000000000000001"

// control is a control plane that answers requests for pages as a test says.
func control(t *testing.T, page func(*api.EdgePageRequest) (*api.EdgePage, error)) *Pages {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in api.EdgePageRequest
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || r.URL.Path != api.OpEdgePage.Path {
			t.Errorf("%s %s: %v", r.Method, r.URL, err)
		}
		out, err := page(&in)
		var told *mezu.Error
		if errors.As(err, &told) {
			w.WriteHeader(told.Code.Status())
			json.NewEncoder(w).Encode(api.Problem{Code: told.Code, Detail: told.Detail})
			return
		}
		json.NewEncoder(w).Encode(out)
	}))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	s.StartTLS()
	t.Cleanup(s.Close)
	return pagesOf(t, s)
}

func pagesOf(t *testing.T, s *httptest.Server) *Pages {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	client, err := api.NewClient(api.ClientConfig{BaseURL: s.URL, TLS: &tls.Config{RootCAs: roots}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdle)
	return New(Config{Client: func() *api.Client { return client }})
}

// ask makes a request as package web does; fields come as name, value and so on.
func ask(t *testing.T, method, path string, fields ...string) *Request {
	t.Helper()
	path, query, ok := strings.Cut(path, "?")
	canonical, err := mezu.CanonicalPath(path)
	if err != nil {
		t.Fatal(err)
	}
	if ok {
		query = "?" + query
	}
	r := &Request{Request: &relay.Request{Method: method, Host: "shop.example", Authority: "shop.example", Path: canonical, Query: query, ID: "r1"},
		Client: netip.MustParseAddr("192.0.2.1"), Environment: environment, Directory: "dir_00000000000000000000000001"}
	for i := 0; i < len(fields); i += 2 {
		r.Fields = append(r.Fields, relay.Field{Name: []byte(fields[i]), Value: []byte(fields[i+1])})
	}
	return r
}

func header(a *policy.Answer, name string) string {
	var out []string
	for _, h := range a.Header {
		if h.Name == name {
			out = append(out, h.Value)
		}
	}
	return strings.Join(out, " | ")
}

// A page is asked for with what it may depend on, and nothing else of the request.
func TestPage(t *testing.T) {
	var got api.EdgePageRequest
	pages := control(t, func(in *api.EdgePageRequest) (*api.EdgePage, error) {
		got = *in
		return &api.EdgePage{Status: 303, Header: []api.PageField{{Name: "Location", Value: "/"}, {Name: "Set-Cookie", Value: mezu.SessionCookie + "=a; Path=/; Secure; HttpOnly; SameSite=Lax"}}}, nil
	})
	r := ask(t, "POST", "/.mezu/login?to=%2Fa", "Origin", "https://shop.example", "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document",
		"Accept-Language", "de", "Accept-Language", "en", "User-Agent", strings.Repeat("x", 2*maxSaid), "Content-Type", formType+"; charset=utf-8", "Cookie", "theirs=1", "X-Secret", "s")
	r.Body = []byte("email=a")
	r.Cookies = []api.PageField{{Name: mezu.SessionCookie, Value: "a"}}
	a, err := pages.Serve(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	want := api.EdgePageRequest{Environment: environment, Method: "POST", Path: "login", Query: "to=%2Fa", Origin: "https://shop.example", FetchSite: "same-origin", FetchMode: "navigate",
		FetchDest: "document", AcceptLanguage: "de, en", UserAgent: strings.Repeat("x", maxSaid), ContentType: formType + "; charset=utf-8", Cookies: r.Cookies, Body: r.Body, Client: "192.0.2.1", RequestID: "r1"}
	if w, g := fmt.Sprintf("%+v", want), fmt.Sprintf("%+v", got); w != g {
		t.Errorf("asked\n%s\nwant\n%s", g, w)
	}
	if a.Status != 303 || header(a, "Location") != "/" || header(a, "Cache-Control") != "no-store" || header(a, "X-Frame-Options") != "DENY" {
		t.Errorf("%+v", a)
	}
	if pages.InFlight() != 0 || pages.Refused() != 0 {
		t.Errorf("%d in flight, %d refused", pages.InFlight(), pages.Refused())
	}
}

// What no page can have is refused before the control plane is asked.
func TestPage_WhatIsNoFormIsRefused(t *testing.T) {
	pages := control(t, func(*api.EdgePageRequest) (*api.EdgePage, error) {
		t.Error("asked")
		return nil, errors.New("asked")
	})
	large := ask(t, "POST", "/.mezu/login", "Content-Type", formType)
	large.Body = make([]byte, api.MaxPageBody+1)
	for name, c := range map[string]struct {
		r    *Request
		code mezu.Code
	}{
		"another type":      {ask(t, "POST", "/.mezu/login", "Content-Type", "multipart/form-data; boundary=x"), mezu.CodeInvalid},
		"no type":           {ask(t, "POST", "/.mezu/login"), mezu.CodeInvalid},
		"two types":         {ask(t, "POST", "/.mezu/login", "Content-Type", formType, "Content-Type", "text/plain"), mezu.CodeInvalid},
		"a large form":      {large, mezu.CodeBodyTooLarge},
		"an endless query":  {ask(t, "GET", "/.mezu/login?"+strings.Repeat("a", api.MaxPageQuery+1)), mezu.CodeURITooLong},
		"another's session": {ask(t, "GET", "/.mezu/session", "Sec-Fetch-Site", "cross-site"), mezu.CodeForbidden},
		"a sibling's":       {ask(t, "GET", "/.mezu/session", "Sec-Fetch-Site", "same-site"), mezu.CodeForbidden},
	} {
		if _, err := pages.Serve(t.Context(), c.r); mezu.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An edge serves the hosts of many tenants: what a control plane answers in error or in bad
// faith is no page, and costs the visitor nothing but a 500.
func TestLyingControlPlane(t *testing.T) {
	good := api.EdgePage{Status: 200, Body: []byte("<p>"), Header: []api.PageField{{Name: "Content-Type", Value: "text/html; charset=utf-8"}}}
	with := func(name, value string) api.EdgePage {
		p := good
		p.Header = append([]api.PageField{{Name: name, Value: value}}, good.Header...)
		return p
	}
	to := func(location string) api.EdgePage {
		return api.EdgePage{Status: 303, Header: []api.PageField{{Name: "Location", Value: location}}}
	}
	cookie := func(line string) api.EdgePage { return with("Set-Cookie", line) }
	session := mezu.SessionCookie + "=a; Path=/; Secure; HttpOnly; SameSite=Lax"
	many := good
	for i := range api.MaxPageHeaders {
		many.Header = append(many.Header, api.PageField{Name: "Set-Cookie", Value: strings.Replace(session, "session", fmt.Sprint("c", i), 1)})
	}
	for name, c := range map[string]struct {
		page api.EdgePage
		ok   bool
	}{
		"a page":                    {good, true},
		"a cookie":                  {cookie(session), true},
		"a cookie that goes":        {cookie(mezu.SessionCookie + "=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Strict"), true},
		"a redirect":                {to("/a/?b=c#d"), true},
		"a redirect to pages":       {to("/.mezu/return?to=%2F"), true},
		"status 101":                {api.EdgePage{Status: 101}, false},
		"status 0":                  {api.EdgePage{}, false},
		"status 200000":             {api.EdgePage{Status: 200000}, false},
		"a body of 256 KiB and one": {api.EdgePage{Status: 200, Header: good.Header, Body: make([]byte, api.MaxPage+1)}, false},
		"a body of 2 MiB":           {api.EdgePage{Status: 200, Header: good.Header, Body: make([]byte, 2<<20)}, false},
		"a body without a type":     {api.EdgePage{Status: 200, Body: []byte("x")}, false},
		"many fields":               {many, false},
		"an unknown field":          {with("X-Mezu-User-Id", "usr_1"), false},
		"a field in lower case":     {with("content-type", "text/html"), false},
		"a length":                  {with("Content-Length", "1"), false},
		"a transfer coding":         {with("Transfer-Encoding", "chunked"), false},
		"a field twice":             {with("Content-Type", "text/plain"), false},
		"a split":                   {with("Retry-After", "1\r\nSet-Cookie: a=b"), false},
		"a long value":              {with("Content-Security-Policy", strings.Repeat("a", maxField+1)), false},
		"a cookie of another name":  {cookie("session=a; Path=/; Secure; HttpOnly; SameSite=Lax"), false},
		"a cookie for the domain":   {cookie(session + "; Domain=example"), false},
		"a cookie for scripts":      {cookie(strings.Replace(session, "HttpOnly; ", "", 1)), false},
		"a cookie of a path":        {cookie(strings.Replace(session, "Path=/", "Path=/a", 1)), false},
		"a cookie without TLS":      {cookie(strings.Replace(session, "Secure; ", "", 1)), false},
		"a cookie for all sites":    {cookie(strings.Replace(session, "Lax", "None", 1)), false},
		"a location elsewhere":      {to("https://evil.example/"), false},
		"a location on a host":      {to("//evil.example/"), false},
		"a location by a backslash": {to(`/\evil.example/`), false},
		"a location by a tab":       {to("/\t/evil.example/"), false},
		"a location by an escape":   {to("/%09/evil.example/"), false},
		"a location of dots":        {to("/a/../../evil"), false},
		"a location of a script":    {to("javascript:alert(1)"), false},
		"a location in a page":      {with("Location", "/"), false},
		"a redirect to nowhere":     {api.EdgePage{Status: 303}, false},
	} {
		pages := control(t, func(*api.EdgePageRequest) (*api.EdgePage, error) { return &c.page, nil })
		a, err := pages.Serve(t.Context(), ask(t, "GET", "/.mezu/login"))
		if c.ok != (err == nil) || err != nil && mezu.CodeOf(err) != mezu.CodeInternal {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
}

// Whatever the control plane answers, a visitor stays on this host and gets no cookie but ours,
// and the answer has the one length and the fields of a page.
func FuzzCheck(f *testing.F) {
	for _, seed := range []string{
		`{"status":200,"header":[{"name":"Content-Type","value":"text/html; charset=utf-8"}],"body":"PHA+"}`,
		`{"status":303,"header":[{"name":"Location","value":"/.mezu/return?to=%2Fa#b"},{"name":"Set-Cookie","value":"__Host-mezu_session=x; Path=/; Secure; HttpOnly; SameSite=Lax"}]}`,
		`{"status":303,"header":[{"name":"Location","value":"//evil.example"}]}`,
		`{"status":200,"header":[{"name":"Set-Cookie","value":"__Host-mezu_a=b; Path=/; Secure; HttpOnly; SameSite=Lax; Domain=example"},{"name":"Content-Length","value":"1"}]}`,
		`{"status":101,"header":[{"name":"X-Frame-Options","value":"a\r\nb"}]}`,
	} {
		f.Add([]byte(seed))
	}
	base := &url.URL{Scheme: "https", Host: "app.example.com", Path: "/.mezu/login"}
	f.Fuzz(func(t *testing.T, answer []byte) {
		var page api.EdgePage
		if json.Unmarshal(answer, &page) != nil {
			return
		}
		a, err := check(&page, nil)
		if err != nil {
			return
		}
		had := map[string]int{}
		for _, h := range a.Header {
			had[h.Name]++
			switch u, err := base.Parse(h.Value); {
			case !mezu.ValidHeaderName(h.Name) || !mezu.ValidHeaderValue(h.Value):
				t.Errorf("%q: %q", h.Name, h.Value)
			case h.Name == "Location" && (err != nil || u.Scheme != base.Scheme || u.Host != base.Host || u.User != nil):
				t.Errorf("it leads to %q", h.Value)
			case h.Name == "Set-Cookie" && !strings.HasPrefix(h.Value, mezu.CookiePrefix):
				t.Errorf("it sets %q", h.Value)
			}
		}
		for name, n := range had {
			if n > 1 && name != "Set-Cookie" || slices.Contains([]string{"Content-Length", "Transfer-Encoding", "Connection"}, name) {
				t.Errorf("%d of %s", n, name)
			}
		}
		if a.Status < 200 || a.Status > 599 || had["Location"] != 1 && a.Status == 303 || had["Cache-Control"] != 1 || had["X-Frame-Options"] != 1 {
			t.Errorf("%d %v", a.Status, a.Header)
		}
	})
}

// Errors of the control plane other than that it is away are none of the visitor's business.
func TestPage_Errors(t *testing.T) {
	for code, want := range map[mezu.Code]mezu.Code{mezu.CodeUnavailable: mezu.CodeUnavailable, mezu.CodeForbidden: mezu.CodeInternal, mezu.CodeNotFound: mezu.CodeInternal, mezu.CodeInternal: mezu.CodeInternal} {
		pages := control(t, func(*api.EdgePageRequest) (*api.EdgePage, error) {
			return nil, &mezu.Error{Code: code, Detail: "secret"}
		})
		_, err := pages.Serve(t.Context(), ask(t, "GET", "/.mezu/login"))
		var told *mezu.Error
		if !errors.As(err, &told) || told.Code != want || strings.Contains(told.Detail, "secret") {
			t.Errorf("%s: %v", code, err)
		}
	}
	if _, err := New(Config{Client: func() *api.Client { return nil }}).Serve(t.Context(), ask(t, "GET", "/.mezu/login")); mezu.CodeOf(err) != mezu.CodeUnavailable {
		t.Errorf("before the edge has enrolled: %v", err)
	}
}

// A flood on the login of one environment leaves room for the others, and what is asked
// for is bounded.
func TestPage_InFlight(t *testing.T) {
	pages := New(Config{})
	for i := range maxEnvironmentPages {
		if !pages.begin("a") {
			t.Fatalf("request %d was refused", i)
		}
	}
	if pages.begin("a") || !pages.begin("b") {
		t.Error("an environment has not its share and no more")
	}
	pages.end("a")
	if !pages.begin("a") {
		t.Error("what ended takes room")
	}
	n := pages.InFlight()
	for ; pages.begin(fmt.Sprint(n)); n++ {
	}
	if n != maxPages || pages.InFlight() != maxPages {
		t.Errorf("%d at once", n)
	}
	_, err := pages.Serve(t.Context(), ask(t, "GET", "/.mezu/login"))
	if mezu.CodeOf(err) != mezu.CodeOverloaded || pages.Refused() != 1 {
		t.Errorf("%v, %d refused", err, pages.Refused())
	}
}

// Addresses of one network count together.
func TestAdmit(t *testing.T) {
	at := time.Unix(1000, 0)
	for _, c := range []struct{ one, neighbour, stranger string }{
		{"192.0.2.1", "192.0.2.200", "192.0.3.1"}, {"2001:db8::1", "2001:db8::ffff:0:0:1", "2001:db8:0:1::1"},
	} {
		pages := New(Config{})
		admitted := func(client string) bool {
			r := ask(t, "GET", "/.mezu/login")
			r.Client = netip.MustParseAddr(client)
			err := pages.Admit(r, at)
			if err != nil && mezu.CodeOf(err) != mezu.CodeRateLimited {
				t.Error(err)
			}
			return err == nil
		}
		for i := range pagesPerSecond {
			if !admitted(c.one) {
				t.Fatalf("page %d was refused", i)
			}
		}
		if admitted(c.one) || admitted(c.neighbour) || !admitted(c.stranger) || pages.Refused() != 2 {
			t.Errorf("the limit is not one of each network: %+v", c)
		}
	}
	nowhere := ask(t, "GET", "/.mezu/login")
	nowhere.Directory = ""
	for r, want := range map[*Request]mezu.Code{nowhere: mezu.CodeNoRoute, ask(t, "GET", "/.mezu/"): mezu.CodeNoRoute, ask(t, "GET", "/.mezu"): mezu.CodeNoRoute, ask(t, "GET", "/.mezu/session"): "", ask(t, "GET", "/.mezu/jwks.json"): ""} {
		if err := New(Config{}).Admit(r, at); mezu.CodeOf(err) != want {
			t.Errorf("%s: %v", r.Path.Path, err)
		}
	}
}

func TestAdmitProbe(t *testing.T) {
	pages, a, b, at := New(Config{}), netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), time.Unix(1000, 0)
	allowed := func(client netip.Addr, at time.Time) bool { return pages.AdmitProbe(client, at) == nil }
	for i := range probesPerSecond {
		if !allowed(a, at) {
			t.Fatalf("probe %d was refused", i)
		}
	}
	if allowed(a, at) || !allowed(b, at) {
		t.Error("the limit is not one of each address")
	}
	if !allowed(a, at.Add(time.Second/probesPerSecond)) || allowed(a, at.Add(time.Second/probesPerSecond)) {
		t.Error("the bucket does not fill at its rate")
	}
	// Whoever has an address of IPv6 has many.
	for i := range probesPerSecond + 1 {
		if allowed(netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 15: byte(i)}), at) != (i < probesPerSecond) {
			t.Errorf("probe %d of one subscriber of IPv6", i)
		}
	}
}

// An application learns who is logged in, and strangers learn nothing.
func TestSession(t *testing.T) {
	pages := New(Config{})
	until := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for want, g := range map[string]*mezu.Grant{
		"{}\n": nil,
		`{"user":{"id":"usr_1","email":"a@b.example","name":"A","roles":[]},"until":"2026-01-02T03:04:05Z"}` + "\n": {User: "usr_1", Email: "a@b.example", Name: "A", NotAfter: until},
	} {
		r := ask(t, "GET", "/.mezu/session", "Sec-Fetch-Site", "same-origin")
		r.Session = func() (*mezu.Grant, error) { return g, nil }
		a, err := pages.Serve(t.Context(), r)
		if err != nil || string(a.Body) != want || header(a, "Cache-Control") != "no-store" {
			t.Errorf("%+v %s, %v", a, a.Body, err)
		}
	}
}

func TestKeys(t *testing.T) {
	pages := New(Config{})
	a, err := pages.Serve(t.Context(), ask(t, "GET", "/.mezu/jwks.json", "Sec-Fetch-Site", "cross-site"))
	if err != nil || string(a.Body) != "{\"keys\":[]}\n" || header(a, "Access-Control-Allow-Origin") != "*" {
		t.Errorf("%+v %s, %v", a, a.Body, err)
	}
	// The key of RFC 8037, A.2, with its thumbprint.
	key, err := base64.RawURLEncoding.DecodeString("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
	if err != nil {
		t.Fatal(err)
	}
	pages = New(Config{Keys: func(of string) []mezu.AssertionKey {
		if of != environment {
			t.Error(of)
		}
		return []mezu.AssertionKey{{Key: key}}
	}})
	a, err = pages.Serve(t.Context(), ask(t, "GET", "/.mezu/jwks.json"))
	const want = `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k","use":"sig","alg":"EdDSA"}]}`
	if err != nil || string(a.Body) != want+"\n" {
		t.Errorf("%s, %v", a.Body, err)
	}
}

// Whoever asks again and again for the keys of a large environment gets what was encoded once, and
// as long as they are the same ones.
func TestKeys_AreEncodedOnce(t *testing.T) {
	keys := make([]mezu.AssertionKey, mezu.MaxAssertionKeys)
	for i := range keys {
		keys[i].Key = binary.BigEndian.AppendUint32(make([]byte, 28, 32), uint32(i))
	}
	pages := New(Config{Keys: func(string) []mezu.AssertionKey { return keys }})
	get := func(of string) []byte {
		r := ask(t, "GET", "/.mezu/jwks.json")
		r.Environment = of
		a, err := pages.Serve(t.Context(), r)
		if err != nil || len(a.Body) > 1<<20 {
			t.Fatalf("%d bytes, %v", len(a.Body), err)
		}
		return a.Body
	}
	first, again := get(environment), get(environment)
	if &first[0] != &again[0] {
		t.Error("encoded twice")
	}
	keys = keys[1:]
	if next := get(environment); bytes.Equal(first, next) {
		t.Error("a list that is old")
	}
	for i := range 40 {
		get(environment + strconv.Itoa(i))
		if pages.lists.bytes > maxLists {
			t.Fatalf("%d bytes are kept", pages.lists.bytes)
		}
	}
}

// L5: while the control plane is away, too, only a form of this host's own pages ends a
// session.
func TestL5_LogoutWhileTheControlPlaneIsAway(t *testing.T) {
	pages := control(t, func(*api.EdgePageRequest) (*api.EdgePage, error) { return nil, &mezu.Error{Code: mezu.CodeUnavailable} })
	for origin, want := range map[string]mezu.Code{"https://shop.example": "", "https://evil.example": mezu.CodeForbidden, "null": mezu.CodeForbidden, "http://shop.example": mezu.CodeForbidden, "": mezu.CodeForbidden} {
		left := 0
		r := ask(t, "POST", "/.mezu/logout", "Content-Type", formType, "Origin", origin)
		r.Leave = func() error { left++; return nil }
		a, err := pages.Serve(t.Context(), r)
		if mezu.CodeOf(err) != want || (left == 1) != (want == "") {
			t.Errorf("%q: %v, left %d times", origin, err, left)
		}
		if want == "" && (a.Status != 200 || header(a, "Clear-Site-Data") != `"cache"` || header(a, "Cache-Control") != "no-store") {
			t.Errorf("%+v", a)
		}
	}
	r := ask(t, "POST", "/.mezu/logout", "Content-Type", formType, "Origin", "https://shop.example", "Sec-Fetch-Site", "cross-site")
	r.Leave = func() error { t.Error("left"); return nil }
	if _, err := pages.Serve(t.Context(), r); mezu.CodeOf(err) != mezu.CodeForbidden {
		t.Errorf("a site that says it is another: %v", err)
	}
	if _, err := pages.Serve(t.Context(), ask(t, "GET", "/.mezu/logout")); mezu.CodeOf(err) != mezu.CodeUnavailable {
		t.Errorf("a GET: %v", err)
	}
}

// A page waits no longer than people do for a control plane that takes calls and says
// nothing.
func TestPage_SilentControlPlane(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	s.StartTLS()
	t.Cleanup(s.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := pagesOf(t, s).Serve(ctx, ask(t, "GET", "/.mezu/login")); mezu.CodeOf(err) != mezu.CodeUnavailable {
		t.Errorf("%v: %v", err, errors.Unwrap(err))
	}
}

// N10: a login returns to a path of its own host, as it was asked for.
func TestN10_LoginPath(t *testing.T) {
	for path, want := range map[string]string{
		"/":                               "/.mezu/login",
		"/a/b?c=d&e=/f":                   "/.mezu/login?to=%2Fa%2Fb%3Fc%3Dd%26e%3D%2Ff",
		"//evil.example/":                 "/.mezu/login?to=%2Fevil.example%2F",
		"/a/" + strings.Repeat("b", 2048): "/.mezu/login",
	} {
		r := ask(t, "GET", path)
		if got := LoginPath(r.Request); got != want || !ownPath(got) {
			t.Errorf("%s: %s", path, got)
		}
	}
}

// Each refusal that a login brings about has a page of its own, which says how to go on.
func TestRefusal(t *testing.T) {
	user := &mezu.Grant{Email: "ann@acme.example"}
	staff := &policy.Missing{Roles: []string{"staff"}}
	for name, c := range map[string]struct {
		r      *Request
		code   mezu.Code
		user   *mezu.Grant
		status int // 0 is no page
		says   string
	}{
		"N9: a form after the session": {ask(t, "POST", "/buy", "Referer", "https://shop.example/cart?x=1"), mezu.CodeUnauthenticated, nil, 401, "/.mezu/login?to=%2Fcart%3Fx%3D1"},
		"a form of another site":       {ask(t, "POST", "/buy", "Referer", "https://shop.example.evil.example/cart"), mezu.CodeUnauthenticated, nil, 401, `"/.mezu/login"`},
		"a frame":                      {ask(t, "GET", "/a"), mezu.CodeUnauthenticated, nil, 0, ""},
		"denied":                       {ask(t, "GET", "/a"), mezu.CodeForbidden, user, 403, "ann@acme.example"},
		"denied in German":             {ask(t, "GET", "/a", "Accept-Language", "de"), mezu.CodeForbidden, user, 403, `lang="de"`},
		"an address":                   {ask(t, "GET", "/a"), mezu.CodeForbidden, nil, 0, ""},
		"another refusal":              {ask(t, "GET", "/a"), mezu.CodeNoWarpgate, user, 0, ""},
		"away":                         {ask(t, "GET", "/.mezu/signup?to=%2Fa"), mezu.CodeUnavailable, nil, 503, "/.mezu/login?to=%2Fa"},
		"away, and a target elsewhere": {ask(t, "GET", "/.mezu/signup?to=%2F%2Fevil.example"), mezu.CodeUnavailable, nil, 503, `"/.mezu/login"`},
		"no directory":                 {ask(t, "GET", "/.mezu/login"), mezu.CodeNoRoute, nil, 404, "r1"},
		"wait":                         {ask(t, "GET", "/.mezu/login"), mezu.CodeRateLimited, nil, 429, "r1"},
		"a large form":                 {ask(t, "POST", "/.mezu/login"), mezu.CodeBodyTooLarge, nil, 413, "r1"},
		"a fault":                      {ask(t, "GET", "/.mezu/login"), mezu.CodeInternal, nil, 500, "r1"},
	} {
		a := (&Refusal{Request: c.r.Request, Code: c.code, User: c.user, Missing: staff}).Page()
		switch {
		case (a == nil) != (c.status == 0):
			t.Errorf("%s: %+v", name, a)
		case a == nil:
		case a.Status != c.status || !bytes.Contains(a.Body, []byte(c.says)) || bytes.Contains(a.Body, []byte("evil")) || header(a, "Cache-Control") != "no-store" || header(a, "X-Frame-Options") != "DENY":
			t.Errorf("%s: %d %v %s", name, a.Status, a.Header, a.Body)
		}
	}
}
