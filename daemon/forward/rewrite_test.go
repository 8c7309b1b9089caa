package forward_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/preface"
)

// A Warpgate rewrites alike for workloads of both versions: the path, the fields and the trailers. It
// judges the path that is left, whatever the edge has let through, and refuses what an edge answers.
func TestRewrite_BothVersions(t *testing.T) {
	for _, scheme := range []string{"", "h2c://"} {
		t.Run("to "+scheme, func(t *testing.T) {
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				fmt.Fprintf(rw, "%d %s %q %q %q %q %v", r.ProtoMajor, r.RequestURI, r.Header["X-Forwarded-Prefix"], r.Header["X-Set"], r.Header["X-Removed"], r.Header["X_removed"], r.Trailer)
			}))
			s.Config.Protocols = new(http.Protocols)
			s.Config.Protocols.SetHTTP1(scheme == "")
			s.Config.Protocols.SetUnencryptedHTTP2(scheme != "")
			s.Start()
			t.Cleanup(s.Close)
			w := newWorld(t, scheme+s.Listener.Addr().String())
			w.table.Store(compile(t, position,
				mezu.Route{Prefix: "/cut/", StripPrefix: "/cut", RequestHeaders: &mezu.HeaderEdits{Set: map[string]string{"X-Set": "yes"}, Remove: []string{"X-Removed"}}},
				mezu.Route{Prefix: "/moved", Redirect: &mezu.Redirect{To: "/x"}}, mezu.Route{Prefix: "/said", Respond: &mezu.Respond{}}))
			major := 1
			if scheme != "" {
				major = 2
			}
			e := w.connect(false)
			e.ask(getOf("/cut/a%20b?q=/cut", "X-Set: no", "X_Set: no", "X-Removed: 1", "X_Removed: 2"))
			e.reads("GET", 200, fmt.Sprintf(`%d /a%%20b?q=/cut ["/cut"] ["yes"] [] [] map[]`, major))
			e.ask("POST /cut/ HTTP/1.1\r\nHost: app.example\r\nTrailer: X-Set, X-Kept\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Set: late\r\nX-Removed: late\r\nX-Kept: late\r\n\r\n")
			e.reads("POST", 200, fmt.Sprintf(`%d / ["/cut"] ["yes"] [] [] map[X-Kept:[late]]`, major))
			e.ask(getOf("/other"))
			e.reads("GET", 200, fmt.Sprintf(`%d /other [] [] [] [] map[]`, major))
			for _, path := range []string{"/cut/internal/x", "/cut/private/x", "/cut/.mezu/session", "/moved", "/said", "/cut/moved"} {
				e := w.connect(false)
				e.ask(getOf(path))
				if kind, payload := e.typed(); kind != preface.KindFailure {
					t.Errorf("%s is answered with %d %q", path, kind, payload)
				} else if f, err := preface.ParseFailure(payload); err != nil || f.Code != mezu.CodeRefusedByWarpgate || !f.Unsent {
					t.Errorf("%s: %+v, %v", path, f, err)
				}
			}
		})
	}
}

// A prefix that is cut off is no way to a route that leads to the same workload without naming it: the
// Warpgate knows its own upstream.
func TestR9_OwnUpstream(t *testing.T) {
	wl := tcpWorkload(t)
	w := newWorld(t, wl.addr())
	w.table.Store(compile(t, position, mezu.Route{Prefix: "/api/", StripPrefix: "/api", Upstream: wl.addr()}, mezu.Route{Prefix: "/admin/", Auth: mezu.AuthRequired}))
	e := w.connect(false)
	e.ask(getOf("/api/admin/x"))
	if f := e.fails(mezu.CodeRefusedByWarpgate); !f.Unsent {
		t.Errorf("%+v", f)
	}
	e.goesOn()
}
