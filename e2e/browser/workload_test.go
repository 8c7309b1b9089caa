package browser

import (
	"encoding/json"
	"fmt"
	"html"
	"net/http"
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

// workload is a web application that knows its users by what it is told.
func workload() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		said, err := json.Marshal(seen{r.Method, r.RequestURI, r.Header})
		if err != nil {
			panic(err) // it is made of strings
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!doctype html><title>workload</title><link rel="icon" href="data:,"><h1 id="section">Hello %s</h1><pre id="seen">%s</pre>`,
			html.EscapeString(r.Header.Get(mezu.HeaderUserEmail)), html.EscapeString(string(said)))
	})
	mux.HandleFunc("/my/socket", socket)
	return mux
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

// checkCookies: none of ours reaches a workload.
func checkCookies(t *testing.T, s seen) {
	t.Helper()
	if c := s.Header.Get("Cookie"); strings.Contains(c, mezu.CookiePrefix) {
		t.Errorf("the workload gets the cookies %q", c)
	}
}
