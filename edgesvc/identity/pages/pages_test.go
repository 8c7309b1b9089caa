package pages_test

import (
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/identity/pages"
	"github.com/mezusphere/mezu/edgesvc/identity/pages/pagestest"
)

// inEnglish are all pages of a usual visit.
var inEnglish = sync.OnceValue(func() map[string]pages.Page { return pagestest.Usual().All("en") })

// parse reads a page.
func parse(t *testing.T, body string) *html.Node {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// nodes are the elements that have the name, in order; all if it is empty.
func nodes(doc *html.Node, name string) []*html.Node {
	var out []*html.Node
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode && (name == "" || n.Data == name) {
			out = append(out, n)
		}
	}
	return out
}

// attr is the value of an attribute, and whether there is one.
func attr(n *html.Node, name string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val, true
		}
	}
	return "", false
}

func value(n *html.Node, name string) string {
	s, _ := attr(n, name)
	return s
}

// shown is the text of a node.
func shown(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return b.String()
}

// balanced reports the first tag that is not closed, or closes nothing: a parser mends
// both without a word.
func balanced(body string) string {
	var open []string
	z := html.NewTokenizer(strings.NewReader(body))
	for {
		switch z.Next() {
		case html.ErrorToken:
			if len(open) > 0 {
				return open[len(open)-1]
			}
			return ""
		case html.StartTagToken:
			name, _ := z.TagName()
			switch atom.Lookup(name) {
			case atom.Meta, atom.Link, atom.Img, atom.Input:
			default:
				open = append(open, string(name))
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			if len(open) == 0 || open[len(open)-1] != string(name) {
				return "/" + string(name)
			}
			open = open[:len(open)-1]
		}
	}
}

func TestPages_AreValid(t *testing.T) {
	for _, language := range []string{"en", "de", "qps"} {
		for name, p := range pagestest.Usual().All(language) {
			if tag := balanced(string(p.Body)); tag != "" {
				t.Errorf("%s: <%s> is not closed where it has to be", name, tag)
			}
			doc := parse(t, string(p.Body))
			checkIDs(t, name, doc)
			checkHeadings(t, name, doc)
			for _, f := range nodes(doc, "form") {
				checkForm(t, name, doc, f)
			}
			if lang := value(nodes(doc, "html")[0], "lang"); lang != language && language != "qps" {
				t.Errorf("%s is in %q and says that it is in %q", name, language, lang)
			}
			if title := shown(nodes(doc, "title")[0]); !strings.HasSuffix(title, " · Acme") {
				t.Errorf("%s has the title %q", name, title)
			}
		}
	}
}

// checkIDs: an id is there once, and what an attribute points at exists.
func checkIDs(t *testing.T, page string, doc *html.Node) {
	t.Helper()
	ids := map[string]bool{}
	for _, n := range nodes(doc, "") {
		if id, ok := attr(n, "id"); ok {
			if id == "" || ids[id] {
				t.Errorf("%s has the id %q twice", page, id)
			}
			ids[id] = true
		}
	}
	for _, n := range nodes(doc, "") {
		for _, key := range []string{"for", "aria-describedby", "aria-labelledby", "aria-controls"} {
			refs, ok := attr(n, key)
			for _, id := range strings.Fields(refs) {
				if !ids[id] {
					t.Errorf("%s: %s of <%s> points at %q, which is not there", page, key, n.Data, id)
				}
			}
			if ok && strings.TrimSpace(refs) == "" {
				t.Errorf("%s: %s of <%s> is empty", page, key, n.Data)
			}
		}
	}
}

// checkHeadings: one of the first level, and none skips a level.
func checkHeadings(t *testing.T, page string, doc *html.Node) {
	t.Helper()
	level, first := 0, 0
	for _, n := range nodes(doc, "") {
		if len(n.Data) != 2 || n.Data[0] != 'h' || n.Data[1] < '1' || n.Data[1] > '6' {
			continue
		}
		at := int(n.Data[1] - '0')
		if at > level+1 || strings.TrimSpace(shown(n)) == "" {
			t.Errorf("%s: the heading %q is of level %d below one of %d", page, shown(n), at, level)
		}
		if level = at; at == 1 {
			first++
		}
	}
	if first != 1 || len(nodes(doc, "main")) != 1 {
		t.Errorf("%s has %d main headings and %d main parts", page, first, len(nodes(doc, "main")))
	}
	if n := slices.DeleteFunc(nodes(doc, "input"), func(n *html.Node) bool { _, ok := attr(n, "autofocus"); return !ok }); len(n) > 1 {
		t.Errorf("%s has the focus at %d fields", page, len(n))
	}
}

// TestPages_SayNothingThatIsNotInTheCatalogue: in the pseudo-language all of that stands in
// brackets.
func TestPages_SayNothingThatIsNotInTheCatalogue(t *testing.T) {
	for name, p := range pagestest.Usual().All("qps") {
		for _, n := range nodes(parse(t, string(p.Body)), "") {
			s := strings.TrimSuffix(strings.TrimSpace(shown(n)), " · Acme")
			switch n.Data {
			case "h1", "h2", "p", "label", "button", "summary", "dt", "a", "title":
				if !strings.HasPrefix(s, "[") || !strings.HasSuffix(s, "]") {
					t.Errorf("%s: <%s> says %q", name, n.Data, s)
				}
			}
			if spoken, ok := attr(n, "aria-label"); ok && !strings.HasPrefix(spoken, "[") {
				t.Errorf("%s: <%s> is called %q", name, n.Data, spoken)
			}
		}
	}
}

// sends are the fields of each form.
var sends = map[string]string{
	pages.PathLogin: "to email password", pages.PathSignup: "to email password name display_name terms",
	pages.PathSignupCode: "to pending code", pages.PathSignupGoOn: "to pending code", pages.PathSignupResend: "to pending code",
	pages.PathVerify: "to token password", pages.PathVerifyDeny: "to token password",
	pages.PathReset: "to email", pages.PathNewPassword: "to token", pages.PathSetPassword: "to token password",
	pages.PathInvited: "to token", pages.PathAccept: "to token password name display_name terms",
	pages.PathTerms: "to pending terms", pages.PathProfile: "to pending name display_name", pages.PathLogout: "to session",
	pages.PathAccountProfile: "name display_name", pages.PathAccountMail: "email current_password", pages.PathAccountPass: "current_password password",
	pages.PathEndSession: "session", pages.PathEndOthers: "session", pages.PathMailChange: "to token",
	pages.PathBootstrap: "to token", pages.PathFirstOperator: "to token email password", pages.PathTeamInvited: "to token email",
	pages.PathJoin: "to token email password", pages.PathLoginLink: "to token", pages.PathFirstPassword: "to token password",
	pages.PathAllowProgram: "state answer", pages.PathDevice: "code", pages.PathAnswerDevice: "code answer",
}

// checkForm: it posts to a path of ours, sends what that path takes, and each of its
// fields has a label and says when it is wrong.
func checkForm(t *testing.T, page string, doc, form *html.Node) {
	t.Helper()
	actions := []string{value(form, "action")}
	if value(form, "method") != "post" {
		t.Errorf("%s has a form that is sent with %q", page, value(form, "method"))
	}
	var names []string
	buttons := 0
	for _, b := range nodes(form, "button") {
		if strings.TrimSpace(shown(b)) == "" {
			t.Errorf("%s has a button without words", page)
		}
		if value(b, "type") == "button" {
			continue
		}
		buttons++
		if a, ok := attr(b, "formaction"); ok {
			actions = append(actions, a)
		}
		if n := value(b, "name"); n != "" {
			names = append(names, n)
		}
	}
	if buttons == 0 {
		t.Errorf("%s has a form that can't be sent", page)
	}
	for _, in := range nodes(form, "input") {
		if n, ok := attr(in, "name"); ok {
			names = append(names, n)
		}
		if value(in, "type") == "hidden" {
			continue
		}
		labels := slices.DeleteFunc(nodes(form, "label"), func(l *html.Node) bool { return value(l, "for") != value(in, "id") })
		if len(labels) != 1 || strings.TrimSpace(shown(labels[0])) == "" {
			t.Errorf("%s: the field %q has %d labels", page, value(in, "name"), len(labels))
		}
		if _, bad := attr(in, "aria-invalid"); bad && value(in, "aria-describedby") == "" {
			t.Errorf("%s: the field %q is wrong, and nothing says why", page, value(in, "name"))
		}
		if value(in, "type") != "checkbox" && (value(in, "maxlength") == "" || value(in, "autocapitalize") != "none" || value(in, "spellcheck") != "false") {
			t.Errorf("%s: the field %q has no bound, or is corrected while one types", page, value(in, "name"))
		}
	}
	for _, a := range actions {
		path, ok := strings.CutPrefix(a, "/.mezu/")
		takes := strings.Fields(sends[path])
		if !ok || len(takes) == 0 && path != pages.PathEndOthers {
			t.Errorf("%s has a form that is sent to %q", page, a)
		}
		for _, n := range names {
			if !slices.Contains(takes, n) {
				t.Errorf("%s sends %q to %q", page, n, a)
			}
		}
	}
}

// TestPages_AreSmall with all that a page can have to show, however long it is. The way
// back is the longest of a search with many words; one of apostrophes alone, each of which
// is five bytes in HTML, is for pages without lists.
func TestPages_AreSmall(t *testing.T) {
	const most = 40 << 10
	long := strings.Repeat("Ä", mezu.MaxDisplayName/2)
	w := pagestest.Words{
		Brand: long, Color: "#123456", Email: strings.Repeat("ß", 100) + "@example.com", Name: long,
		Terms: "https://example.com/" + strings.Repeat("t", 400), Pending: strings.Repeat("p", 64), Token: strings.Repeat("t", 43),
		Agent:   "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36",
		Address: "2001:db8:1234:5678:9abc:def0:1234:5678", Role: strings.Repeat("r", 104), Session: strings.Repeat("s", 26), Request: strings.Repeat("r", 64),
	}
	for _, to := range []string{"/search?" + strings.Repeat("q=%C3%A4&", 226), "/" + strings.Repeat("'", 2047)} {
		w.To = to
		for _, language := range []string{"en", "de", "qps"} {
			for name, p := range w.All(language) {
				if len(p.Body) > most && !(name == "account-full" && to[1] == '\'') {
					t.Errorf("%s has %d bytes in %q", name, len(p.Body), language)
				}
			}
		}
	}
}

// TestL18_NothingOfStrangersIsMarkup: whatever stands in the place of a name, the page has
// the same elements and attributes.
func TestL18_NothingOfStrangersIsMarkup(t *testing.T) {
	good := inEnglish()
	for _, evil := range []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' autofocus onfocus=alert(1) x='`, `</title></style></textarea></script><b>`,
		`{{.}}${7*7}`, `javascript:alert(1)`, "\u202ereversed", `&lt;b&gt;`,
	} {
		w := pagestest.Words{
			Brand: evil, Color: evil, To: "/" + evil, Email: evil, Name: evil, Terms: evil, Pending: evil, Token: evil,
			Agent: evil, Address: evil, Role: evil, Session: evil, Request: evil,
		}
		bad, wrong := w.Plain("en"), w.Wrong("en")
		for _, of := range []string{"login-wrong_login", "signup-email_invalid", "account-account/mail-email_invalid"} {
			bad[of] = wrong[of]
		}
		for name := range bad {
			want, got := shape(parse(t, string(good[name].Body))), shape(parse(t, string(bad[name].Body)))
			if !slices.Equal(got, want) {
				t.Fatalf("%s with %q has other elements:\n%s\nwant\n%s", name, evil, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			for _, a := range nodes(parse(t, string(bad[name].Body)), "a") {
				if to := value(a, "href"); strings.HasPrefix(strings.ToLower(to), "javascript") {
					t.Errorf("%s links to %q", name, to)
				}
			}
			if good[name].CSP == "" || strings.Contains(bad[name].CSP, evil) {
				t.Errorf("%s has the policy %q", name, bad[name].CSP)
			}
		}
	}
}

// shape is a page without its words. The initial of a name is a word too.
func shape(doc *html.Node) []string {
	var out []string
	for _, n := range nodes(doc, "") {
		one := n.Data
		for _, a := range n.Attr {
			one += " " + a.Key
		}
		out = append(out, one)
	}
	return out
}

// TestL18_ALogoIsAPath of the page's own host, or there is none.
func TestL18_ALogoIsAPath(t *testing.T) {
	for logo, want := range map[string]string{
		"/.mezu/logo?v=3": "/.mezu/logo?v=3", `/x" onerror="alert(1)`: "/x%22%20onerror=%22alert%281%29",
		"javascript:alert(1)": "", "//evil.example/x": "", "https://evil.example/x": "", "logo": "",
	} {
		w := pagestest.Usual()
		w.Logo = logo
		for name, p := range map[string]pages.Page{"login": w.View("en").Login(pages.LoginForm{}), "away": w.View("en").LoginAway()} {
			doc := parse(t, string(p.Body))
			images, policy := 1, "img-src 'self';"
			if want == "" {
				images, policy = 0, "img-src data:;"
			}
			if len(nodes(doc, "img")) != images || !strings.Contains(p.CSP, policy) {
				t.Errorf("%s with the logo %q has %d images and the policy %q", name, logo, len(nodes(doc, "img")), p.CSP)
			}
			for _, n := range append(nodes(doc, "img"), nodes(doc, "link")...) {
				if got := value(n, "src") + value(n, "href"); got != want && !strings.HasPrefix(got, "data:image/svg+xml;base64,") {
					t.Errorf("%s loads %q for %q", name, got, logo)
				}
			}
		}
	}
}

// TestL18_PolicyAllowsWhatThePageHas and nothing else.
func TestL18_PolicyAllowsWhatThePageHas(t *testing.T) {
	for _, color := range []string{"", "#ff0000", "red", "#12345", "};body{display:none"} {
		w := pagestest.Usual()
		w.Color = color
		for name, p := range w.Plain("de") {
			doc := parse(t, string(p.Body))
			policy := map[string]string{}
			for _, one := range strings.Split(p.CSP, "; ") {
				key, sources, _ := strings.Cut(one, " ")
				policy[key] = sources
			}
			want := map[string]string{
				"default-src": "'none'", "style-src": hashes(nodes(doc, "style")), "script-src": hashes(nodes(doc, "script")),
				"img-src": "data:", "form-action": "'self'", "frame-ancestors": "'none'", "base-uri": "'none'",
			}
			if !maps.Equal(policy, want) {
				t.Errorf("%s with the colour %q has the policy\n%v\nwant\n%v", name, color, policy, want)
			}
			for _, n := range nodes(doc, "") {
				for _, a := range n.Attr {
					if strings.HasPrefix(a.Key, "on") || a.Key == "style" {
						t.Errorf("%s: <%s> has the attribute %s, which the policy forbids", name, n.Data, a.Key)
					}
				}
				if src := value(n, "src"); src != "" {
					t.Errorf("%s loads %q", name, src)
				}
			}
		}
	}
}

func hashes(all []*html.Node) string {
	var out []string
	for _, n := range all {
		sum := sha256.Sum256([]byte(shown(n)))
		out = append(out, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
	}
	return strings.Join(out, " ")
}

// TestProgram: a form leads to a waiting program only where one can wait.
func TestProgram(t *testing.T) {
	for program, want := range map[string]string{
		"":                              "form-action 'self';",
		"http://127.0.0.1:4711":         "form-action 'self' http://127.0.0.1:4711;",
		"http://[::1]:4711":             "form-action 'self' http://[::1]:4711;",
		"https://evil.example":          "form-action 'self';",
		"http://127.0.0.1:1; x":         "form-action 'self';",
		"http://127.0.0.1.evil.example": "form-action 'self';",
		"http://localhost:4711":         "form-action 'self';",
	} {
		v := pagestest.Usual().View("en")
		v.Program = program
		if p := v.Login(pages.LoginForm{}); !strings.Contains(p.CSP, want) {
			t.Errorf("the program %q gives the policy %q", program, p.CSP)
		}
	}
}

// TestN11_NoPageIsStored, framed, searched or told to others.
func TestN11_NoPageIsStored(t *testing.T) {
	for name, p := range inEnglish() {
		got := http.Header{}
		for _, h := range p.Header() {
			got.Add(h[0], h[1])
		}
		for key, want := range map[string]string{
			"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store", "Referrer-Policy": "same-origin",
			"X-Content-Type-Options": "nosniff", "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
			"X-Frame-Options": "DENY", "X-Robots-Tag": "noindex", "Content-Security-Policy": p.CSP,
		} {
			if !slices.Equal(got[key], []string{want}) {
				t.Errorf("%s has %s: %q", name, key, got[key])
			}
		}
		later := p.Status == http.StatusTooManyRequests || p.Status == http.StatusServiceUnavailable && name != "mail-away"
		if (got.Get("Retry-After") != "") != later {
			t.Errorf("%s has the status %d and Retry-After %q", name, p.Status, got.Get("Retry-After"))
		}
	}
	if p := pagestest.Usual().View("en").Wait(1500 * time.Millisecond); !slices.Contains(p.Header(), [2]string{"Retry-After", "2"}) {
		t.Errorf("a wait of 1.5 s is %v", p.Header())
	}
}

func TestStatuses(t *testing.T) {
	got := inEnglish()
	for name, want := range map[string]int{
		"login": 200, "login-wrong_login": 422, "login-wait": 429, "signup": 200, "signup-too_short": 422, "denied": 403, "link": 410, "wait": 429,
		"not-sent": 401, "away": 503, "busy": 503, "no-directory": 404, "suspended": 403, "inactive": 403, "mail-away": 503, "cookie": 400,
		"refused-form_large": 413, "refused-form_malformed": 400, "refused-form_foreign": 403, "not-found": 404, "failed": 500,
	} {
		if got[name].Status != want {
			t.Errorf("%s has the status %d, not %d", name, got[name].Status, want)
		}
	}
}

// TestW6_TokensStayInTheirField: a token is in a hidden field of a form, and nowhere else.
func TestW6_TokensStayInTheirField(t *testing.T) {
	w := pagestest.Usual()
	w.Token = "TheTokenOfTheLink"
	all := w.All("en")
	for _, name := range []string{"verify-password", "set-password", "accept", "set-password-common"} {
		p := all[name]
		doc := parse(t, string(p.Body))
		found := 0
		for _, n := range nodes(doc, "input") {
			if value(n, "name") == pages.FieldToken && value(n, "type") == "hidden" && value(n, "value") == w.Token {
				found++
			}
		}
		rest := strings.Count(string(p.Body), w.Token)
		if name == "accept" {
			rest-- // the version of the terms is the same word here
		}
		if found != 1 || rest != 1 {
			t.Errorf("%s has the token in %d fields and at %d places", name, found, rest)
		}
	}
	// A page that a mail links to asks for it, and has its script take it from the fragment.
	for _, name := range []string{"verify", "new-password", "invited", "mail-change"} {
		form := nodes(parse(t, string(all[name].Body)), "form")[0]
		if _, ok := attr(form, "data-token"); !ok {
			t.Errorf("%s takes no token from its fragment", name)
		}
	}
	// What came of an error has the workload's fragment, which is no token.
	if _, ok := attr(nodes(parse(t, string(all["verify-token_wrong"].Body)), "form")[0], "data-token"); ok {
		t.Error("a page with an error takes its fragment for a token")
	}
}

// TestN2_TheWaitingTab has a field for the digits, and a button for when the link was
// opened elsewhere.
func TestN2_TheWaitingTab(t *testing.T) {
	all := inEnglish()
	doc := parse(t, string(all["check-mail"].Body))
	code := field(t, doc, pages.FieldCode)
	if value(code, "autocomplete") != "one-time-code" || value(code, "inputmode") != "numeric" {
		t.Errorf("the field of the digits is %v", code.Attr)
	}
	var actions []string
	for _, b := range nodes(doc, "button") {
		actions = append(actions, value(b, "formaction"))
	}
	if !slices.Equal(actions, []string{"", "/.mezu/signup/continue", "/.mezu/signup/resend"}) {
		t.Errorf("its buttons lead to %q", actions)
	}
	// In another browser the link asks for the password, and logs nobody in.
	other := parse(t, string(all["verify-password"].Body))
	if value(field(t, other, pages.FieldPassword), "autocomplete") != "current-password" {
		t.Error("the link in another browser does not ask for the password")
	}
	if links := nodes(parse(t, string(all["confirmed"].Body)), "a"); len(links) != 0 {
		t.Errorf("who has confirmed elsewhere is led to %v", links[0].Attr)
	}
}

// TestN4_ThisWasNotMe: each page that confirms a sign-up can end it.
func TestN4_ThisWasNotMe(t *testing.T) {
	all := inEnglish()
	for _, name := range []string{"verify", "verify-password", "verify-token_wrong"} {
		body := string(all[name].Body)
		if !strings.Contains(body, `formaction="/.mezu/verify/deny"`) {
			t.Errorf("%s can't end the sign-up", name)
		}
	}
}

// TestN6_TheFormComesBack with the address, and one sentence.
func TestN6_TheFormComesBack(t *testing.T) {
	p := inEnglish()["login-form_old"]
	doc := parse(t, string(p.Body))
	if got := value(field(t, doc, pages.FieldEmail), "value"); got != pagestest.Usual().Email {
		t.Errorf("the address is %q", got)
	}
	alerts := slices.DeleteFunc(nodes(doc, "p"), func(n *html.Node) bool { return value(n, "role") != "alert" })
	if len(alerts) != 1 {
		t.Errorf("%d sentences say what is wrong", len(alerts))
	}
	for _, n := range nodes(doc, "input") {
		if value(n, "type") == "hidden" && value(n, "name") != pages.FieldTo {
			t.Errorf("the form depends on %q, which may end", value(n, "name"))
		}
	}
}

// TestN7_EachTabKeepsItsTarget in its forms and links.
func TestN7_EachTabKeepsItsTarget(t *testing.T) {
	for _, to := range []string{"/a?b=c&d=%2F", "/"} {
		w := pagestest.Usual()
		w.To = to
		for name, p := range w.All("en") {
			if strings.HasPrefix(name, "account") || strings.HasPrefix(name, "device") || name == "program" {
				continue // it is a target of its own, or has one
			}
			doc := parse(t, string(p.Body))
			for _, f := range nodes(doc, "form") {
				got := ""
				for _, in := range nodes(f, "input") {
					if value(in, "name") == pages.FieldTo {
						got = value(in, "value")
					}
				}
				if want := strings.TrimSuffix(to, "/"); got != want {
					t.Errorf("%s: a form returns to %q, not %q", name, got, to)
				}
			}
			for _, a := range nodes(doc, "a") {
				href := value(a, "href")
				if strings.HasPrefix(href, "/.mezu/") && strings.Contains(href, "?to=%2Fa%3Fb%3Dc%26d%3D%252F") != (to != "/") {
					t.Errorf("%s: a link returns to %q", name, href)
				}
			}
		}
	}
}

// TestN8_PagesThatWaitKeepTheFragment by their script.
func TestN8_PagesThatWaitKeepTheFragment(t *testing.T) {
	all := inEnglish()
	for name, marks := range map[string][2]bool{"login": {false, true}, "check-mail": {true, false}, "reset-sent": {true, false}, "verify": {false, false}} {
		body := nodes(parse(t, string(all[name].Body)), "body")[0]
		_, keep := attr(body, "data-keep")
		_, forget := attr(body, "data-forget")
		if [2]bool{keep, forget} != marks {
			t.Errorf("%s keeps the fragment: %t, forgets it: %t", name, keep, forget)
		}
		if (keep || name == "verify") && value(body, "data-to") != pagestest.Usual().To {
			t.Errorf("%s does not know which page's fragment it is", name)
		}
	}
}

// TestN12_LogoutIsAForm, so that nothing that is fetched in advance ends a session.
func TestN12_LogoutIsAForm(t *testing.T) {
	for name, p := range inEnglish() {
		for _, f := range nodes(parse(t, string(p.Body)), "form") {
			if value(f, "method") != "post" {
				t.Errorf("%s has a form for GET", name)
			}
		}
	}
	doc := parse(t, string(inEnglish()["logout"].Body))
	if value(nodes(doc, "form")[0], "action") != "/.mezu/logout" || !strings.Contains(shown(doc), pagestest.Usual().Email) {
		t.Error("the page does not ask who is logged in whether to log out")
	}
}

// TestN13_PasswordManagersKnowTheFields.
func TestN13_PasswordManagersKnowTheFields(t *testing.T) {
	for name, p := range inEnglish() {
		for _, f := range nodes(parse(t, string(p.Body)), "form") {
			var user, current, fresh int
			for _, in := range nodes(f, "input") {
				switch value(in, "autocomplete") {
				case "username":
					user++
					if value(in, "type") != "email" {
						t.Errorf("%s: the address is of type %q", name, value(in, "type"))
					}
				case "current-password":
					current++
				case "new-password":
					fresh++
				case "one-time-code":
					if n := value(in, "name"); n != pages.FieldCode && n != pages.FieldToken {
						t.Errorf("%s: %q is no code", name, n)
					}
				case "name", "nickname", "email":
				case "off":
					if !strings.HasPrefix(name, "device") {
						t.Errorf("%s: nothing fills in %q", name, value(in, "name"))
					}
				default:
					if typ := value(in, "type"); typ != "hidden" && typ != "checkbox" {
						t.Errorf("%s: the field %q says nothing to a password manager", name, value(in, "name"))
					}
				}
				if strings.HasSuffix(value(in, "autocomplete"), "password") && (value(in, "type") != "password" || value(in, "value") != "") {
					t.Errorf("%s shows a password", name)
				}
			}
			if fresh > 0 && user != 1 || fresh > 1 || current > 1 {
				t.Errorf("%s has a form with %d addresses, %d current and %d new passwords", name, user, current, fresh)
			}
		}
	}
	login := nodes(parse(t, string(inEnglish()["login"].Body)), "form")[0]
	field(t, login, pages.FieldEmail)
	field(t, login, pages.FieldPassword)
}

// TestN15_NoPageLeadsOnByItself: whoever is in a loop sees a page that ends it.
func TestN15_NoPageLeadsOnByItself(t *testing.T) {
	for name, p := range inEnglish() {
		for _, n := range nodes(parse(t, string(p.Body)), "meta") {
			if value(n, "http-equiv") != "" {
				t.Errorf("%s has %v", name, n.Attr)
			}
		}
	}
}

// field is the one with the name.
func field(t *testing.T, doc *html.Node, name string) *html.Node {
	t.Helper()
	for _, n := range nodes(doc, "input") {
		if value(n, "name") == name {
			return n
		}
	}
	t.Fatalf("there is no field %q", name)
	return nil
}

// TestProblems: each has words of its own, beside the field that it is about or above the
// form, and typing goes on there.
func TestProblems(t *testing.T) {
	for _, language := range []string{"en", "de"} {
		seen := map[string]pages.Code{}
		for _, c := range pagestest.Codes() {
			doc := parse(t, string(pagestest.Usual().View(language).Refused(c).Body))
			sentence := shown(nodes(doc, "p")[0])
			if other, ok := seen[sentence]; ok {
				t.Errorf("%q and %q are both %q", c, other, sentence)
			}
			seen[sentence] = c
		}
	}
	all := inEnglish()
	for name, want := range map[string]string{
		"signup-email_invalid": pages.FieldEmail, "signup-too_short": pages.FieldPassword, "signup-name_missing": pages.FieldName,
		"signup-display_name_missing": pages.FieldDisplayName, "signup-terms_missing": pages.FieldTerms, "login-wrong_login": pages.FieldPassword,
		"account-account/password-wrong_password": pages.FieldCurrent, "account-account/password-common": pages.FieldPassword,
		"check-mail-code_wrong": pages.FieldCode, "verify-token_wrong": pages.FieldToken, "verify-password-wrong_password": pages.FieldPassword,
	} {
		doc := parse(t, string(all[name].Body))
		in := slices.DeleteFunc(nodes(doc, "input"), func(n *html.Node) bool { _, ok := attr(n, "autofocus"); return !ok })
		if len(in) != 1 || value(in[0], "name") != want || value(in[0], "aria-invalid") != "true" {
			t.Errorf("%s has its focus elsewhere than at %q", name, want)
		}
		if title := shown(nodes(doc, "title")[0]); !strings.HasPrefix(title, "Error: ") {
			t.Errorf("%s has the title %q", name, title)
		}
	}
	left := pagestest.Usual().View("en").CheckMail(pages.CheckMailForm{Problems: []pages.Problem{{Code: pages.CodeWrong}}})
	if !strings.Contains(string(left.Body), "no attempts left") {
		t.Error("the last guess is not said")
	}
}

// TestZeroView: an edge renders with nothing at hand.
func TestZeroView(t *testing.T) {
	for name, p := range (pagestest.Words{}).All("") {
		if len(p.Body) == 0 || balanced(string(p.Body)) != "" {
			t.Errorf("%s is broken", name)
		}
	}
	if body := string((pages.View{}).Login(pages.LoginForm{}).Body); !strings.Contains(body, "Log in to this site") {
		t.Error("a brand without a name has nothing in its place")
	}
}
