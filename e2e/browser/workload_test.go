package browser

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/mezusphere/mezu"
)

// seen is what the workload says of a request.
type seen struct {
	Method, URI string
	Header      http.Header
}

// application is the workload: it knows its users by what it is told.
func (w *world) application() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", showing(""))
	mux.HandleFunc("/my/data", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header.Get(mezu.HeaderUserEmail)) })
	mux.HandleFunc("GET /my/form", showing(`<form method="post"><button id="send">Send</button></form>`))
	mux.HandleFunc("POST /my/form", func(out http.ResponseWriter, r *http.Request) {
		w.posts.Store(r.RequestURI, true)
		showing("")(out, r)
	})
	mux.HandleFunc("/my/socket", socket)
	mux.HandleFunc("/prefetch", showing(`<link rel="prefetch" href="/.mezu/logout">`))
	mux.HandleFunc("/my/app.webmanifest", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"name": "application"}`) })
	mux.HandleFunc("/manifest", func(w http.ResponseWriter, r *http.Request) {
		attribute, _ := url.QueryUnescape(r.URL.RawQuery)
		showing(`<link rel="manifest" href="/my/app.webmanifest" `+attribute+`>`)(w, r)
	})
	mux.HandleFunc("/shell", shell)
	mux.HandleFunc("/worker.js", serviceWorker)
	mux.HandleFunc("/inspected/", inspected)
	mux.HandleFunc("/hooks/", inspected)
	mux.Handle("/streams/events", newTicker())
	mux.HandleFunc("/streams/socket", echoSocket)
	mux.HandleFunc("/cors/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Total", "7")
		// What the route's cors says counts.
		w.Header().Set("Access-Control-Allow-Origin", "*")
		fmt.Fprint(w, r.Method, r.Header.Get("Content-Type"), r.Header.Get("X-Trace"))
	})
	return mux
}

// showing says what was asked for, below more.
func showing(more string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		said, err := json.Marshal(seen{r.Method, r.RequestURI, r.Header})
		if err != nil {
			panic(err) // it is made of strings
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!doctype html><title>workload</title><link rel="icon" href="data:,">%s<h1 id="section">Hello %s</h1><pre id="seen">%s</pre>`,
			more, html.EscapeString(r.Header.Get(mezu.HeaderUserEmail)), html.EscapeString(string(said)))
	}
}

// socket says who is there, over a WebSocket.
func socket(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true}) // the edge looks at the origin
	if err != nil {
		return
	}
	defer c.CloseNow()
	c.Write(r.Context(), websocket.MessageText, []byte(r.Header.Get(mezu.HeaderUserEmail)))
}

// foreign is a site of somebody else.
func foreign() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, `<!doctype html><title>foreign</title><link rel="icon" href="data:,">`)
	})
	mux.HandleFunc("/public", func(w http.ResponseWriter, _ *http.Request) {
		// As if it came from the internet (Local Network Access).
		w.Header().Set("Content-Security-Policy", "treat-as-public-address")
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, `<!doctype html><title>foreign</title><link rel="icon" href="data:,">`)
	})
	mux.Handle("/gallery/", galleries())
	return mux
}

// saw is what the workload says of the request for the page that the tab shows. It fails the
// test if that isn't a page of the workload.
func (b *tab) saw() seen {
	b.t.Helper()
	var out seen
	text := eval[string](b, `(document.getElementById("seen") || document.body).textContent`)
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		b.t.Fatalf("%s is no page of the workload:\n%s", b.where(), b.text())
	}
	return out
}

// knows fails the test if the workload was not told of a user, or of more than it may be told.
func (b *tab) knows(email string) {
	b.t.Helper()
	s := b.saw()
	if got := s.Header.Get(mezu.HeaderUserEmail); got != email || (s.Header.Get(mezu.HeaderUserID) != "") != (email != "") {
		b.t.Errorf("the workload at %s takes its visitor for %q: %v", s.URI, got, s.Header)
	}
	checkCookies(b.t, s)
}

// asserts fails the test if the workload was not told of the user of its page by a token that a key
// of the environment has signed.
func (b *tab) asserts(email string) {
	b.t.Helper()
	var token []string
	// A Warpgate signs as soon as its key is listed.
	b.eventually("a page to come with an assertion", func() bool {
		token = strings.Split(b.saw().Header.Get(mezu.HeaderAssertion), ".")
		if len(token) != 3 {
			b.visit(b.where())
		}
		return len(token) == 3
	})
	var head struct{ Kid string }
	var claims struct{ Iss, Sub, Email string }
	for i, into := range []any{&head, &claims} {
		text, err := base64.RawURLEncoding.DecodeString(token[i])
		if err == nil {
			err = json.Unmarshal(text, into)
		}
		if err != nil {
			b.t.Fatal(err)
		}
	}
	if claims.Iss != b.url || claims.Email != email || claims.Sub != b.saw().Header.Get(mezu.HeaderUserID) {
		b.t.Errorf("the assertion says %+v", claims)
	}
	if !eval[bool](b, `fetch("/.mezu/jwks.json").then((r) => r.json()).then((s) => s.keys.some((k) => k.kid === %s))`, head.Kid) {
		b.t.Errorf("the key %s is not listed", head.Kid)
	}
}

// checkCookies: none of ours reaches a workload.
func checkCookies(t *testing.T, s seen) {
	t.Helper()
	if c := s.Header.Get("Cookie"); strings.Contains(c, mezu.CookiePrefix) {
		t.Errorf("the workload gets the cookies %q", c)
	}
}
