package page

import (
	_ "embed"
	"net/http"
	"slices"
	"strings"
)

//go:embed page.html
var markup string

//go:embed page.css
var style string

//go:embed page.js
var script string

//go:embed icon.svg
var icon string

// policy allows what the page is made of, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// ServeHTTP answers one request.
func (r *run) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if !r.enter() {
		panic(http.ErrAbortHandler) // the connection is closed already
	}
	defer r.requests.Done()
	h := w.Header()
	for name, value := range map[string]string{
		"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
		"Cross-Origin-Resource-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin", "X-Frame-Options": "DENY",
	} {
		h.Set(name, value)
	}
	if problem := r.judge(req); problem != "" {
		h.Set("Connection", "close")
		refuse(w, http.StatusForbidden, problem)
		return
	}
	path := req.URL.Path
	part, isPart := parts()[path]
	switch {
	case path == "/session" && req.Method == http.MethodPost:
		r.begin(w, req)
	case req.Method != http.MethodGet:
		h.Set("Allow", http.MethodGet)
		refuse(w, http.StatusMethodNotAllowed, "the page is only read")
	case isPart:
		h.Set("Content-Type", part.media)
		// Whoever has gone misses the rest.
		_, _ = w.Write([]byte(part.text))
	case strings.HasPrefix(path, "/v1/"):
		if !r.admits(req) {
			refuse(w, http.StatusForbidden, "this page is not open any more: mezu requests web opens it")
			return
		}
		r.page.cfg.Reads.ServeHTTP(w, req)
	default:
		refuse(w, http.StatusNotFound, "there is no such page")
	}
}

// part is a file of the page.
type part struct{ media, text string }

// parts are the files of the page. They tell nothing of what passes.
func parts() map[string]part {
	return map[string]part{
		"/":         {"text/html; charset=utf-8", markup},
		"/page.css": {"text/css; charset=utf-8", style},
		"/page.js":  {"text/javascript; charset=utf-8", script},
		"/icon.svg": {"image/svg+xml", icon},
	}
}

// judge says why a request can't be one of this page, or of somebody who opens it.
func (r *run) judge(req *http.Request) string {
	origin, site := req.Header.Get("Origin"), req.Header.Get("Sec-Fetch-Site")
	switch {
	// A name that was made to lead here belongs to somebody else's page.
	case !slices.Contains([]string{"127.0.0.1:" + r.port, "localhost:" + r.port, "[::1]:" + r.port}, strings.ToLower(req.Host)):
		return "the page has no such host"
	case req.Header.Get("Upgrade") != "":
		return "the page speaks HTTP and nothing else"
	case origin != "" && origin != "http://"+strings.ToLower(req.Host):
		return "other pages have no access"
	case origin == "" && req.Method != http.MethodGet:
		return "a page says where it is of"
	case site == "" || site == "same-origin":
		return ""
	case site == "none" && req.URL.Path == "/":
		return "" // somebody has typed it, or a program opens it
	case site == "cross-site" && req.URL.Path == "/" && req.Header.Get("Sec-Fetch-Mode") == "navigate" && req.Header.Get("Sec-Fetch-Dest") == "document":
		return "" // a file that mezu requests web has written leads here, or a link; the page itself tells nothing
	}
	return "other pages have no access"
}

func refuse(w http.ResponseWriter, status int, text string) { http.Error(w, text, status) }
