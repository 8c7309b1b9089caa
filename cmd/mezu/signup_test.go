package main

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control"
)

// visitor is somebody at a browser.
type visitor struct {
	*running
	client *http.Client
}

func (r *running) visitor() visitor {
	jar, err := cookiejar.New(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	c := r.client()
	c.Jar, c.CheckRedirect = jar, func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return visitor{r, c}
}

// get opens a page of the environment, or another one.
func (v visitor) get(page string) (*http.Response, string) {
	v.t.Helper()
	if strings.HasPrefix(page, "/") {
		page = v.ready.URL + page
	}
	return v.send("GET", page, "")
}

// post sends a form.
func (v visitor) post(page string, form url.Values) (*http.Response, string) {
	v.t.Helper()
	return v.send("POST", v.ready.URL+page, form.Encode())
}

func (v visitor) send(method, page, form string) (*http.Response, string) {
	v.t.Helper()
	req, err := http.NewRequest(method, page, strings.NewReader(form))
	if err != nil {
		v.t.Fatal(err)
	}
	req.Header = http.Header{"Accept": {"text/html"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}, "Sec-Fetch-Site": {"same-origin"}}
	if form != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", v.ready.URL)
	}
	resp, err := v.client.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return resp, string(body)
}

// A visitor of a protected route signs up, with the mail that mezu dev shows instead of
// sending it, and the workload sees who it is.
func TestDevSignup(t *testing.T) {
	r := start(t, t.TempDir())
	if code, _, talk := r.mezu("routes", "create", "in", "--prefix", "/in/", "--auth", "required"); code != 0 {
		t.Fatal(talk)
	}
	v := r.visitor()
	var resp *http.Response
	var body string
	for late := time.Now().Add(startTimeout); ; {
		if resp, _ = v.get("/in/x"); resp.StatusCode >= 300 && resp.StatusCode < 400 || time.Now().After(late) {
			break // the new route is in force
		}
	}
	if to := resp.Header.Get("Location"); to != "/.mezu/login?to=%2Fin%2Fx" {
		t.Fatalf("%d to %q", resp.StatusCode, to)
	}
	if _, body = v.get("/.mezu/login?to=%2Fin%2Fx"); !strings.Contains(body, "signup") {
		t.Fatalf("no way to sign up: %s", body)
	}
	v.get("/.mezu/signup")
	resp, body = v.post("/.mezu/signup", url.Values{"email": {"ann@example.com"}, "password": {"correct horse battery staple"}, "to": {"/in/x"}})
	pending := regexp.MustCompile(`name="pending" value="([^"]+)"`).FindStringSubmatch(body)
	if resp.StatusCode != 200 || pending == nil {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	m := r.await(mezu.EventMail)
	digits := regexp.MustCompile(`(?m)^(\d{4} ?\d{4})$`).FindStringSubmatch(m.Text)
	if m.To != "ann@example.com" || m.Subject == "" || digits == nil || len(m.Links) != 1 || !strings.HasPrefix(m.Links[0], r.ready.URL+"/.mezu/verify#") {
		t.Fatalf("%+v", m)
	}
	resp, body = v.post("/.mezu/signup/code", url.Values{"pending": {pending[1]}, "code": {digits[1]}, "to": {"/in/x"}})
	for range 2 {
		if resp.StatusCode != http.StatusSeeOther {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
		resp, body = v.get(resp.Header.Get("Location"))
	}
	if resp.StatusCode != 200 || !strings.Contains(body, "X-Mezu-User-Email: ann@example.com") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	// The page of mails shows it to who has the address, and nothing in it runs.
	resp, body = v.get(r.ready.Mailbox)
	if resp.StatusCode != 200 || !strings.Contains(body, "to ann@example.com") || !strings.Contains(body, `href="`+m.Links[0]+`"`) || resp.Header.Get("Cache-Control") != "no-store" ||
		!strings.Contains(resp.Header.Get("Content-Security-Policy"), "sandbox") || strings.Contains(resp.Header.Get("Content-Security-Policy"), "allow-scripts") || resp.Header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("%d %v %s", resp.StatusCode, resp.Header, body)
	}
	site := r.ready.Mailbox[:strings.Index(r.ready.Mailbox, "/dev/")]
	for _, page := range []string{"/dev/mail/", "/dev/mail", "/dev/mail/x", "/dev/"} {
		if resp, _ := v.get(site + page); resp.StatusCode != 404 {
			t.Errorf("%s: %d", page, resp.StatusCode)
		}
	}
	if resp, _ := v.send("POST", r.ready.Mailbox, "a=b"); resp.StatusCode != 405 {
		t.Errorf("%d", resp.StatusCode)
	}
}

// The mailbox keeps the last mails, and shows text as text.
func TestMailbox(t *testing.T) {
	b := newMailbox()
	for range maxKept + 10 {
		b.add(control.Mail{To: "ann@example.com", Subject: "old", Text: "nothing"}, time.Now())
	}
	b.add(control.Mail{To: "ann@example.com", Subject: "<script>alert(1)</script>", Text: "see javascript:alert(1) and https://a.example/x#y\"onclick=z or\nhttps://b.example/\n"}, time.Now())
	if len(b.mails) != maxKept {
		t.Errorf("%d mails are kept", len(b.mails))
	}
	w := httptest.NewRecorder()
	b.ServeHTTP(w, httptest.NewRequest("GET", b.path, nil))
	body := w.Body.String()
	if strings.Contains(body, "<script>") || strings.Contains(body, `href="javascript`) || strings.Contains(body, `"onclick`) || !strings.Contains(body, `href="https://b.example/"`) || strings.Count(body, "<article>") != maxKept {
		t.Errorf("%s", body)
	}
	if other := newMailbox(); other.path == b.path || len(b.path) < len("/dev/mail/")+26 {
		t.Errorf("%s, %s", b.path, other.path)
	}
}
