package front

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// Each path has one handler, and none is cleaned.
func TestMount(t *testing.T) {
	says := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { w.Header().Set("By", name+" "+req.URL.Path) })
	}
	all := mount(map[string]http.Handler{"/dev/mail/x": says("more"), "/v1/own": says("more")}, says("rest"), says("pages"))
	for path, want := range map[string]string{
		"/v1/self": "rest", "/v1/": "rest", "/v1//x": "rest", "/docs": "rest", "/openapi.json": "rest",
		"/dev/mail/x": "more", "/v1/own": "more", "/dev/mail/x/": "pages", "/dev/mail/": "pages", "/dev//mail/x": "pages",
		"/": "pages", "/v1": "pages", "/docs/": "pages", "/docs2": "pages", "//v1/self": "pages", "/./docs": "pages", "/openapi": "pages", "/openapi-3.0.yaml": "pages", "/login": "pages",
	} {
		w := httptest.NewRecorder()
		req := httptest.NewRequest("GET", "/", nil)
		req.URL.Path = path
		all.ServeHTTP(w, req)
		if got := w.Header().Get("By"); w.Code != http.StatusOK || got != want+" "+path {
			t.Errorf("%s: %d by %q, want %s", path, w.Code, got, want)
		}
	}
}
