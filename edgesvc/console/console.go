// Package console is the web pages at the control plane's own address: those on which the team
// logs in, and later the console.
//
// What lives here: how a request of a browser comes to a page, and what no page takes: other
// hosts, too large forms, too many requests. What may not: an operation or a right of its own,
// what a login is (package identity/login), how a page looks (identity/pages). The control
// plane's front imports it.
package console

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cookie"
	"github.com/mezusphere/mezu/edgesvc/identity/pages"
	"github.com/mezusphere/mezu/gcra"
)

// Bounds on requests for pages, which are those that edges have for theirs.
const (
	// pageTime bounds a page from the request's head to the end of the answer. People wait no
	// longer.
	pageTime = 10 * time.Second
	// maxPages is how many requests are served at once.
	maxPages = 256
	// pagesPerSecond is how many pages one client network may ask for. A login is five or
	// six, so three people a second log in behind one address.
	pagesPerSecond = 20
	// maxSaid bounds each of the fields of a request that a page is told. Browsers stay below
	// half of it; what is longer is cut.
	maxSaid = 512
	// busyFor is how long a visitor is asked to wait when too many are served.
	busyFor = 5 * time.Second
)

// Logins are the pages on which the team logs in.
type Logins interface {
	// TeamPaths are their paths.
	TeamPaths() []string
	// TeamPage serves one of them; the request's path is without the first slash.
	TeamPage(context.Context, api.EdgePageRequest) (api.EdgePage, error)
}

// Config is what the console serves with.
type Config struct {
	// Site is https://host[:port] at which people reach it.
	Site   string
	Logins Logins
	Log    *slog.Logger
}

// console serves the pages.
type console struct {
	cfg      Config
	host     string
	paths    map[string]bool
	networks *gcra.Limiter
	// serving has room for one value for each request that is served.
	serving chan struct{}
	missing http.Handler
}

// New serves the pages, and hands every other path on.
func New(cfg Config, missing http.Handler) http.Handler {
	c := &console{
		cfg: cfg, host: strings.TrimPrefix(cfg.Site, "https://"), paths: map[string]bool{}, missing: missing,
		networks: gcra.New(gcra.Rate{Events: pagesPerSecond, Per: time.Second, Burst: pagesPerSecond}), serving: make(chan struct{}, maxPages),
	}
	for _, path := range cfg.Logins.TeamPaths() {
		c.paths[path] = true
	}
	return c
}

// ServeHTTP implements http.Handler.
func (c *console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	view := pages.View{Base: "/", Language: pages.Language(said(r, "Accept-Language"))}
	if !c.paths[r.URL.EscapedPath()] {
		if navigates(r) {
			c.refuse(w, r, view, view.NotFound)
			return
		}
		c.missing.ServeHTTP(w, r)
		return
	}
	if !strings.EqualFold(r.Host, c.host) {
		// Cookies, links in mails and the origins of forms are of one host. Whoever comes by
		// another name may have been led there (W1).
		c.refuse(w, r, view, func() pages.Page { return view.OtherHost(c.cfg.Site) })
		return
	}
	if err := c.serve(w, r); err != nil {
		c.cfg.Log.Error("serving a page", "page", r.URL.Path, "error", err)
		http.Error(w, "The page could not be served. The log of the control plane says why.", http.StatusInternalServerError)
	}
}

// navigates reports whether somebody opened an address in a browser. Everything else is a
// program, which gets the API's answer where there is no page.
func navigates(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && strings.Contains(said(r, "Accept"), "text/html")
}

// refuse says that there is no page here, to one client network as often as it may have pages.
func (c *console) refuse(w http.ResponseWriter, r *http.Request, view pages.View, why func() pages.Page) {
	client, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		http.Error(w, "Your address can't be read.", http.StatusBadRequest)
		return
	}
	if wait, ok := c.networks.Allow(gcra.Network(client.Addr()).String(), time.Now()); !ok {
		why = func() pages.Page { return view.Wait(wait) }
	}
	_ = answer(w, why()) // it gives none
}

// serve serves a page. What it gives as an error was not answered.
func (c *console) serve(w http.ResponseWriter, r *http.Request) error {
	client, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return fmt.Errorf("reading the client's address: %w", err)
	}
	in := api.EdgePageRequest{
		Method: r.Method, Path: r.URL.Path[1:], Query: r.URL.RawQuery, Client: client.Addr().Unmap().WithZone("").String(), RequestID: mezu.NewID("req", time.Now()),
		Origin: said(r, "Origin"), FetchSite: said(r, "Sec-Fetch-Site"), FetchMode: said(r, "Sec-Fetch-Mode"), FetchDest: said(r, "Sec-Fetch-Dest"),
		AcceptLanguage: said(r, "Accept-Language"), UserAgent: said(r, "User-Agent"), ContentType: said(r, "Content-Type"), Cookies: ours(r),
	}
	view := pages.View{Base: "/", Language: pages.Language(in.AcceptLanguage), RequestID: in.RequestID}
	if wait, ok := c.networks.Allow(gcra.Network(client.Addr()).String(), time.Now()); !ok {
		return answer(w, view.Wait(wait))
	}
	select {
	case c.serving <- struct{}{}:
		defer func() { <-c.serving }()
	default:
		return answer(w, view.Overloaded(busyFor))
	}
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodPost:
		w.Header().Set("Allow", "GET, HEAD, POST")
		http.Error(w, "A page takes GET, HEAD and POST.", http.StatusMethodNotAllowed)
		return nil
	case len(in.Query) > api.MaxPageQuery:
		http.Error(w, "The query is longer than that of any page.", http.StatusRequestURITooLong)
		return nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), pageTime)
	defer cancel()
	deadlines := http.NewResponseController(w)
	// The servers of net/http have both.
	_ = deadlines.SetReadDeadline(time.Now().Add(pageTime))
	_ = deadlines.SetWriteDeadline(time.Now().Add(pageTime + busyFor))
	if r.Method == http.MethodPost {
		if in.Body, err = io.ReadAll(io.LimitReader(r.Body, api.MaxPageBody+1)); err != nil {
			http.Error(w, "The form did not come completely.", http.StatusBadRequest)
			return nil
		}
	}
	out, err := c.cfg.Logins.TeamPage(ctx, in)
	if err != nil {
		return err
	}
	for _, h := range out.Header {
		w.Header().Add(h.Name, h.Value)
	}
	w.WriteHeader(out.Status)
	// The status is sent; a client that has gone misses the rest.
	_, _ = w.Write(out.Body)
	return nil
}

// answer writes a page that needs no login.
func answer(w http.ResponseWriter, p pages.Page) error {
	for _, h := range p.Header() {
		w.Header().Set(h[0], h[1])
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(p.Body) // a client that has gone misses it
	return nil
}

// said is what a field says, cut to maxSaid. Of one that comes twice, all lines count.
func said(r *http.Request, name string) string {
	text := strings.Join(r.Header.Values(name), ", ")
	return text[:min(len(text), maxSaid)]
}

// ours are the cookies of ours that a request has. One that comes twice is none (N15).
func ours(r *http.Request) []api.PageField {
	var jar cookie.Jar
	for _, field := range r.Header.Values("Cookie") {
		jar.Take([]byte(field))
	}
	var out []api.PageField
	jar.Names(func(name []byte) {
		if value := jar.Get(string(name)); value != nil && len(out) < api.MaxPageCookies {
			out = append(out, api.PageField{Name: string(name), Value: string(value)})
		}
	})
	return out
}
