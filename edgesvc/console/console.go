// Package console is the web console of the control plane.
//
// What lives here: pages, and the handlers that fill them through the operations
// that the REST API has too. What may not: an operation or a right of its own.
// The control plane and cmd import it.
package console

import "net/http"

// pages are the console's by their exact path. There is none yet.
func pages() map[string]http.Handler { return nil }

// New serves the pages, and hands every other path on.
func New(missing http.Handler) http.Handler {
	all := pages()
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if page, ok := all[req.URL.Path]; ok {
			page.ServeHTTP(w, req)
			return
		}
		missing.ServeHTTP(w, req)
	})
}
