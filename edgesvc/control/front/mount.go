package front

import (
	"net/http"
	"strings"

	"github.com/mezusphere/mezu/edgesvc/console"
	"github.com/mezusphere/mezu/edgesvc/control/rest"
	"github.com/mezusphere/mezu/edgesvc/control/service"
)

// restPaths are what the REST API answers; a path that ends with a slash or a dot stands
// for all that begin with it.
var restPaths = [...]string{"/v1/", "/docs", "/openapi."}

// mount gives the REST API its paths, further pages theirs, and the pages all others. It compares, and cleans
// nothing: callers are never redirected.
func mount(more map[string]http.Handler, rest, pages http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if page := more[req.URL.EscapedPath()]; page != nil {
			page.ServeHTTP(w, req)
			return
		}
		if isREST(req.URL.Path) {
			rest.ServeHTTP(w, req)
			return
		}
		pages.ServeHTTP(w, req)
	})
}

func isREST(path string) bool {
	for _, p := range restPaths {
		if path == p || p != "/docs" && strings.HasPrefix(path, p) {
			return true
		}
	}
	return false
}

// API is what the handler of the API is made of.
type API struct {
	Service *service.Service
	// CallRate is how many calls a second one caller may make; if zero,
	// rest.DefaultCallRate.
	CallRate int
	// Version is this program's.
	Version string
	// Done ends open streams when it is closed.
	Done <-chan struct{}
	// Pages are further ones, by their whole path.
	Pages map[string]http.Handler
}

// Handler serves the REST API, what logs programs in, and the pages at the control plane's own
// address. What none of them has the API answers:
// that there is no such path. Open comes first.
func (f *Front) Handler(a API) (http.Handler, error) {
	api, err := rest.New(rest.Config{CallRate: a.CallRate, Service: a.Service, Log: f.cfg.Log, Version: a.Version, Observe: f.metrics.observe, Done: a.Done})
	if err != nil {
		return nil, err
	}
	f.metrics.hashesWaiting(a.Service.HashesWaiting)
	return mount(a.Pages, api, a.Service.Programs.Handler(console.New(console.Config{Site: f.Site(), Logins: a.Service, Log: f.cfg.Log}, api))), nil
}
