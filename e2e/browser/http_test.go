package browser

import (
	"context"
	"crypto/tls"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
)

// newClient is a program that keeps cookies, for what a test needs and is not about.
func (w *world) newClient(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: w.roots}, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, w.public) // names below localhost need not resolve
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Jar: jar, Transport: transport, Timeout: patience}
}

// post sends a form as a page of the environment does, and gives the page that follows.
func (w *world) post(t *testing.T, c *http.Client, path string, fields url.Values) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", w.at(path), strings.NewReader(fields.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Origin", w.url)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%s: %s %v %s", path, resp.Status, err, headline.Find(body))
	}
	return string(body)
}

// address is one that nobody else has.
func (w *world) address() string { return fmt.Sprintf("user%d@example.com", w.users.Add(1)) }

// pendingField is the field that tells which signup waits.
var pendingField = regexp.MustCompile(`name="pending" value="([^"]+)"`)

// headline is what a page is about.
var headline = regexp.MustCompile(`<h1>[^<]*`)

// member is the address of an account that tests share which leave it as it is: from one network
// there are thirty signups, resets and wrong passwords in ten minutes, and no more.
func (w *world) member(t *testing.T) string {
	t.Helper()
	w.joining.Do(func() { w.joined = w.account(t) })
	if w.joined == "" {
		t.Fatal("the account that tests share could not be made")
	}
	return w.joined
}

// account signs somebody up, and gives their address.
func (w *world) account(t *testing.T) string {
	t.Helper()
	email, c := w.address(), w.newClient(t)
	found := pendingField.FindStringSubmatch(w.post(t, c, "/.mezu/signup", url.Values{"email": {email}, "password": {password}}))
	if found == nil {
		t.Fatal("no signup waits for its digits")
	}
	w.post(t, c, "/.mezu/signup/code", url.Values{"pending": {html.UnescapeString(found[1])}, "code": {w.digits(t, email)}})
	return email
}

// digits are those of the mail of a signup.
func (w *world) digits(t *testing.T, email string) string {
	t.Helper()
	m := w.mail(t, email, 1)
	found := digitsLine.FindString(m.Text)
	if found == "" {
		t.Fatalf("no digits in %s", m.Text)
	}
	return found
}

// digitsLine is the line of a mail that has the digits.
var digitsLine = regexp.MustCompile(`(?m)^\d{4} ?\d{4}$`)

// enter logs in as somebody, without the pages.
func (b *tab) enter(email string) {
	b.t.Helper()
	c := b.newClient(b.t)
	b.post(b.t, c, "/.mezu/login", url.Values{"email": {email}, "password": {password}})
	at, err := url.Parse(b.url)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, one := range c.Jar.Cookies(at) {
		call(b, network.SetCookie, network.SetCookieParams{
			Name: one.Name, Value: one.Value, URL: b.url, Path: "/", Secure: new(true), HTTPOnly: new(true), SameSite: network.CookieSameSiteLax,
		})
	}
}

// clone is a program with the cookies of the tab.
func (b *tab) clone() *http.Client {
	b.t.Helper()
	at, err := url.Parse(b.url)
	if err != nil {
		b.t.Fatal(err)
	}
	var all []*http.Cookie
	for _, one := range call(b, network.GetCookies, network.GetCookiesParams{}).Cookies {
		all = append(all, &http.Cookie{Name: one.Name, Value: one.Value, Path: "/", Secure: true})
	}
	c := b.newClient(b.t)
	c.Jar.SetCookies(at, all)
	return c
}
