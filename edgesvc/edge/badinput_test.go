package edge_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
)

// from has a browser speak one version of HTTP, from a network of its own: 127.0.n.1.
func (b *browser) from(n int, http2 bool) *browser {
	transport := b.client.Transport.(*http.Transport)
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, byte(n), 1)}}).DialContext(ctx, network, b.edge.HTTPSAddr())
	}
	if transport.ForceAttemptHTTP2 = http2; !http2 {
		transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	return b
}

// What no browser sends to a login is answered by a page that says so, over both versions of
// HTTP: forms that are too large, have a field twice or one that nobody knows, and cookies that
// are too large. Nothing of it reaches a session or the workload, and the login goes on.
func TestBadInput_AtTheLogin(t *testing.T) {
	w := newWorld(t)
	ann := w.browser()
	ann.signup("ann@example.com", "/my/")
	const form = "application/x-www-form-urlencoded"
	large := "email=ann%40example.com&password=" + strings.Repeat("a", 1<<20)
	networks := 0 // each may ask for 20 pages a second
	for _, http2 := range []bool{false, true} {
		networks++
		b := w.browser().from(networks, http2)
		send := func(kind, path, body string) answer {
			t.Helper()
			return b.send("POST", path, body, "Origin", b.env.URL, "Content-Type", kind, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Sec-Fetch-Site", "same-origin")
		}
		for name, c := range map[string]struct {
			kind, path, body string
			status           int
		}{
			"1 MiB of password":           {form, "login", large, 413},
			"a password of 60 KiB":        {form, "login", large[:60<<10], 422},
			"a new password of 60 KiB":    {form, "signup", "email=bob%40example.com&password=" + strings.Repeat("a", 60<<10), 422},
			"a field twice":               {form, "login", "email=ann%40example.com&email=bob%40example.com&password=x", 400},
			"the password twice":          {form, "login", "email=ann%40example.com&password=x&password=" + strings.ReplaceAll(password, " ", "+"), 400},
			"where to return to twice":    {form, "login", "email=ann%40example.com&password=x&to=%2Fa&to=%2F%2Fevil.example", 400},
			"a field that nobody knows":   {form, "login", "email=ann%40example.com&password=x&roles=staff", 400},
			"a field of another form":     {form, "login", "email=ann%40example.com&password=x&token=x", 400},
			"semicolons":                  {form, "login", "email=ann%40example.com;password=x", 400},
			"an escape that is cut":       {form, "login", "email=ann%4&password=x", 400},
			"no UTF-8":                    {form, "login", "email=ann%40example.com&password=%ff%fe", 400},
			"a thousand fields":           {form, "login", strings.Repeat("email=a&", 1000), 400},
			"NUL in the address":          {form, "login", "email=ann%00%40example.com&password=x", 422},
			"nothing":                     {form, "login", "", 422},
			"another type":                {"text/plain", "login", "email=ann%40example.com&password=x", 400},
			"a type that is a form of it": {"multipart/form-data; boundary=x", "login", "--x--\r\n", 400},
		} {
			a := send(c.kind, "/.mezu/"+c.path, c.body)
			if a.StatusCode != c.status || b.session() != "" || (a.ProtoMajor == 2) != http2 || strings.Contains(a.body, "evil.example") {
				t.Errorf("%s over %s: %s, not %d: %.100s", name, a.Proto, a.Status, c.status, a.body)
			}
		}
		// Without a length, too.
		req, err := http.NewRequestWithContext(t.Context(), "POST", b.env.URL+"/.mezu/login", io.MultiReader(strings.NewReader(large)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Origin", b.env.URL)
		req.Header.Set("Content-Type", form)
		if resp, err := b.client.Do(req); err != nil {
			t.Error(err)
		} else if resp.Body.Close(); resp.StatusCode != 413 {
			t.Errorf("1 MiB without a length over %s: %s", resp.Proto, resp.Status)
		}

		networks++
		b = w.browser().from(networks, http2)
		long := strings.Repeat("a", 8<<10)
		for name, cookie := range map[string]string{
			"8 KiB of session": mezu.SessionCookie + "=" + long, "a session with more behind": mezu.SessionCookie + "=" + ann.session() + long,
			"two sessions": mezu.SessionCookie + "=" + ann.session() + "; " + mezu.SessionCookie + "=" + long, "8 KiB of a device": mezu.CookiePrefix + "device=" + long,
			"8 KiB of a cookie that we don't have": mezu.CookiePrefix + "x=" + long,
		} {
			if a := b.send("GET", "/my/", "", "Cookie", cookie); a.StatusCode != 401 {
				t.Errorf("%s over %s: %s", name, a.Proto, a.Status)
			}
			if a := b.send("GET", "/any/", "", "Cookie", cookie+"; a=b"); a.StatusCode != 200 || !strings.HasSuffix(a.body, "user= roles= cookies=a=b\n") {
				t.Errorf("%s over %s: %s %.200s", name, a.Proto, a.Status, a.body)
			}
			if a := b.send("GET", "/.mezu/login", "", "Cookie", cookie); a.StatusCode != 200 || strings.Contains(a.body, long) {
				t.Errorf("%s at the login over %s: %s", name, a.Proto, a.Status)
			}
		}
		if a := b.send("GET", "/any/", "", "Cookie", "a="+long); !strings.HasSuffix(a.body, "cookies=a="+long+"\n") {
			t.Errorf("8 KiB of the workload's over %s: %s %.200s", a.Proto, a.Status, a.body)
		}
		b.says(b.post("/.mezu/login", "email", "ann@example.com", "password", password, "to", "/my/"), "GET /my/ user=ann@example.com")
	}
	ann.says(ann.get("/my/"), "user=ann@example.com")
}

// L5: what a form says of itself is not what its body writes over it. The body is as long as the
// head and comes after it was read, with the right origin where the head has another one.
func TestL5_TheBodyDoesNotChangeTheHead(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.signup("ann@example.com", "/my/")
	at, err := url.Parse(b.env.URL)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", b.edge.HTTPSAddr(), &tls.Config{RootCAs: b.in.Roots, ServerName: at.Hostname(), NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	evil := strings.Replace(b.env.URL, "shop", "evil", 1)
	const length = "0000"
	head := "POST /.mezu/logout HTTP/1.1\r\nHost: " + at.Host + "\r\nContent-Type: application/x-www-form-urlencoded\r\nCookie: " + mezu.SessionCookie + "=" + b.session() +
		"\r\nExpect: 100-continue\r\nOrigin: " + evil + "\r\nSec-Fetch-Site: cross-site\r\nContent-Length: " + length + "\r\n\r\n"
	body := "to=" + strings.NewReplacer(evil, b.env.URL, "Sec-Fetch-Site", "Xec-Fetch-Site").Replace(head[3:])
	head = strings.Replace(head, length, fmt.Sprintf("%04d", len(body)), 1)
	r := bufio.NewReader(conn)
	if _, err := io.WriteString(conn, head); err != nil {
		t.Fatal(err)
	}
	if line, err := r.ReadString('\n'); err != nil || !strings.Contains(line, " 100 ") {
		t.Fatalf("%q, %v", line, err)
	}
	if _, err := r.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, body); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 403 || b.get("/my/").StatusCode != 200 {
		t.Errorf("the form of another site is taken: %s", resp.Status)
	}
}
