package forward_test

import (
	"net/http"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/forward"
)

// A request under way ends where it began; the next goes to the other target, and the
// connection to the first is closed.
func TestRetarget(t *testing.T) {
	first, second := tcpWorkload(t), tcpWorkload(t)
	w := newWorld(t, first.addr())
	e := w.connect(false)
	e.ask(newGet)
	s := first.conn()
	s.request()
	s.answer(ok5)
	e.reads("GET", 200, "hello")
	e.goesOn()

	e.ask(newGet)
	s.request()
	w.f.Retarget(forward.Targets{Upstream: parse(t, second.addr())})
	s.answer(ok5)
	e.reads("GET", 200, "hello")
	s.dropped()

	e.ask(newGet)
	other := second.conn()
	other.request()
	other.answer(ok5)
	e.reads("GET", 200, "hello")
	e.goesOn()

	// What stays a target keeps its connections, whatever else changes.
	w.f.Retarget(forward.Targets{Upstream: parse(t, second.addr()), Insecure: true})
	e.ask(newGet)
	other.request()
	other.answer(ok5)
	e.reads("GET", 200, "hello")
	first.quiet()

	// A target that nobody allows any more is none.
	w.f.Retarget(forward.Targets{})
	e.ask(newGet)
	e.fails(mezu.CodeUpstreamNotAllowed)
	other.dropped()
	w.f.Retarget(forward.Targets{MayForward: func(u mezu.Upstream) bool { return u.Address == "127.0.0.1:9" }})
	e.ask(getOf("/foreign/"))
	e.fails(mezu.CodeWorkloadRefused)
}

// The same of workloads whose connections are shared.
func TestRetarget_Shared(t *testing.T) {
	for name, start := range map[string]func(testing.TB, http.HandlerFunc) string{
		"h2c":   h2cWorkload,
		"https": func(t testing.TB, h http.HandlerFunc) string { return httpsWorkload(t, true, h) },
	} {
		t.Run(name, func(t *testing.T) {
			entered, leave := make(chan bool, 1), make(chan bool)
			first := start(t, func(rw http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/held" {
					entered <- true
					<-leave
				}
				rw.Write([]byte("first"))
			})
			second := start(t, func(rw http.ResponseWriter, _ *http.Request) { rw.Write([]byte("second")) })
			w := newWorld(t, first)
			held, e := w.connect(false), w.connect(false)
			held.ask(getOf("/held"))
			receive(t, entered, "request")
			w.f.Retarget(forward.Targets{Upstream: parse(t, second)})
			e.ask(newGet)
			e.reads("GET", 200, "second")
			close(leave)
			held.reads("GET", 200, "first")
			held.ask(newGet)
			held.reads("GET", 200, "second")
		})
	}
}
