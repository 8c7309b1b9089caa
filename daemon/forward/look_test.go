package forward_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/forward"
	"github.com/mezusphere/mezu/daemon/forward/hint"
)

// hinted makes a world whose target is watched.
func hinted(t *testing.T, target string, change func(*forward.Targets)) (*world, chan hint.Hint) {
	t.Helper()
	said := make(chan hint.Hint, 10)
	w := newWorld(t, target)
	to := forward.Targets{Upstream: parse(t, target), Allow: []mezu.Upstream{parse(t, "127.0.0.1:9")}}
	to.Hints = hint.New(hint.Config{Target: to.Upstream, Say: func(h hint.Hint) { said <- h }})
	if change != nil {
		change(&to)
	}
	w.f.Retarget(to)
	return w, said
}

// saysOnce asserts that one hint of a kind was said, and nothing else.
func saysOnce(t *testing.T, said chan hint.Hint, kind hint.Kind) {
	t.Helper()
	if h := receive(t, said, "hint"); h.Kind != kind {
		t.Errorf("says %+v", h)
	}
	select {
	case h := <-said:
		t.Errorf("says %+v, too", h)
	default:
	}
}

// An answer is looked at as it passes, whole or in pieces, and passes as it is. It is said
// once what it is.
func TestHints_AnswersPass(t *testing.T) {
	recorded, err := os.ReadFile("hint/testdata/vite-8.4.0.http")
	if err != nil {
		t.Fatal(err)
	}
	wl := tcpWorkload(t)
	w, said := hinted(t, wl.addr(), nil)
	e := w.connect(false)
	e.ask(newGet)
	s := wl.conn()
	for range 2 {
		s.request()
		s.answer(string(recorded))
		resp := e.response("GET")
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 403 || !strings.HasPrefix(string(body), "Blocked request.") || !strings.HasSuffix(string(body), "vite.config.js.") {
			t.Fatalf("%s %q %v", resp.Status, body, err)
		}
		e.ask(newGet)
	}
	saysOnce(t, said, hint.HostCheck)
	// One that comes byte by byte, of a kind that was not said.
	s.request()
	const text = "Forbidden. Origin checking failed - https://app.example does not match any trusted origins."
	s.answer("HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n")
	resp := e.response("GET")
	got := make([]byte, 1)
	for _, c := range text {
		s.answer("1\r\n" + string(c) + "\r\n")
		if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != string(c) {
			t.Fatalf("%q, %v", got, err)
		}
	}
	s.answer("0\r\n\r\n")
	io.Copy(io.Discard, resp.Body)
	saysOnce(t, said, hint.OriginCheck)
}

// What is compressed, binary, fine, long or of another target is passed on unseen.
func TestHints_NotLookedAt(t *testing.T) {
	const text = "Blocked request. This host is not allowed."
	target := plainServer(t, func(rw http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		rw.Header().Set("Content-Type", q.Get("type"))
		if encoding := q.Get("encoding"); encoding != "" {
			rw.Header().Set("Content-Encoding", encoding)
		}
		if q.Get("status") == "403" {
			rw.WriteHeader(403)
		}
		io.WriteString(rw, strings.Repeat(" ", len(q.Get("long"))*hint.MaxLook)+text)
	})
	w, said := hinted(t, target, nil)
	e := w.connect(false)
	for _, query := range []string{"type=text/html", "type=image/png&status=403", "type=text/html&status=403&encoding=br", "type=text/html&status=403&long=1"} {
		e.ask(getOf("/?" + query))
		io.Copy(io.Discard, e.response("GET").Body)
	}
	e.ask(getOf("/foreign/"))
	e.fails(mezu.CodeWorkloadRefused)
	e.ask(getOf("/?type=text/html&status=403"))
	io.Copy(io.Discard, e.response("GET").Body)
	saysOnce(t, said, hint.HostCheck)
}

// A plain target that speaks TLS is found out by what it says, and by trying if it says
// nothing.
func TestHints_TargetSpeaksTLS(t *testing.T) {
	t.Run("that says so", func(t *testing.T) {
		w, said := hinted(t, strings.TrimPrefix(httpsWorkload(t, false, http.NotFound), "https://"), nil)
		e := w.connect(false)
		e.ask(newGet)
		if resp := e.response("GET"); resp.StatusCode != 400 {
			t.Error(resp.Status)
		} else {
			io.Copy(io.Discard, resp.Body)
		}
		saysOnce(t, said, hint.SpeaksTLS)
	})
	t.Run("that says so to nobody who looks", func(t *testing.T) {
		at := strings.TrimPrefix(httpsWorkload(t, false, http.NotFound), "https://")
		w := newWorld(t, at)
		w.f.Retarget(forward.Targets{Upstream: parse(t, at), TryTLS: true})
		e := w.connect(false)
		for range 2 {
			e.ask(newGet)
			resp := e.response("GET")
			if body, err := io.ReadAll(resp.Body); resp.StatusCode != 400 || err != nil || string(body) != "Client sent an HTTP request to an HTTPS server.\n" {
				t.Errorf("%s %q, %v", resp.Status, body, err)
			}
			if got := receive(t, w.events, "end"); got.Status != 400 || got.Message != "what listens at "+at+" speaks TLS: write https://"+at {
				t.Errorf("tells %+v", got)
			}
		}
		e.goesOn()
	})
	t.Run("an answer of a workload that answers", func(t *testing.T) {
		at := plainServer(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/400" {
				http.Error(w, "Client sent an HTTP request to an HTTPS server.", 400)
			}
		})
		w := newWorld(t, at)
		w.f.Retarget(forward.Targets{Upstream: parse(t, at), TryTLS: true})
		e := w.connect(false)
		for _, path := range []string{"/", "/400"} {
			e.ask(getOf(path))
			io.Copy(io.Discard, e.response("GET").Body)
			if got := receive(t, w.events, "end"); got.Message != "" {
				t.Errorf("%s tells %+v", path, got)
			}
		}
	})
	for _, scheme := range []string{"http://", "h2c://"} {
		t.Run("that says nothing over "+scheme, func(t *testing.T) {
			l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate()}})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					conn.(*tls.Conn).Handshake()
					conn.Close()
				}
			}()
			w, said := hinted(t, scheme+l.Addr().String(), func(to *forward.Targets) { to.TryTLS = true })
			e := w.connect(false)
			e.ask(newGet)
			if f := e.fails(mezu.CodeWorkloadBadResponse); f.Detail != "the workload speaks TLS, and its upstream is not https" {
				t.Errorf("%+v", f)
			}
			saysOnce(t, said, hint.SpeaksTLS)
		})
	}
}

// A connection that does not come about says why.
func TestHints_Connections(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	for name, c := range map[string]struct {
		target string
		change func(*forward.Targets)
		want   hint.Kind
	}{
		"refused":             {free.Addr().String(), nil, hint.Refused},
		"refused over h2c":    {"h2c://" + free.Addr().String(), nil, hint.Refused},
		"refused over https":  {"https://" + free.Addr().String(), nil, hint.Refused},
		"plain":               {"https://" + plainServer(t, http.NotFound), nil, hint.SpeaksPlain},
		"another certificate": {httpsWorkload(t, true, http.NotFound), func(to *forward.Targets) { to.WorkloadCA = x509.NewCertPool() }, hint.Certificate},
	} {
		for _, raw := range []string{newGet, upgrade} {
			if strings.HasPrefix(c.target, "h2c") && raw == upgrade {
				continue
			}
			w, said := hinted(t, c.target, c.change)
			e := w.connect(false)
			for range 2 {
				e.ask(raw)
				if c.want == hint.SpeaksPlain {
					e.fails(mezu.CodeWorkloadBadResponse)
				} else {
					e.fails(mezu.CodeWorkloadRefused)
				}
			}
			t.Log(name)
			saysOnce(t, said, c.want)
		}
	}
}

// Next answers an upgrade from a page that it doesn't know by no response at all.
func TestHints_NextRefusesItsSocket(t *testing.T) {
	wl := tcpWorkload(t)
	w, said := hinted(t, wl.addr(), nil)
	e := w.connect(false)
	e.ask(strings.Replace(upgrade, "/ws", "/_next/hmr", 1))
	s := wl.conn()
	s.head()
	s.answer("Unauthorized")
	s.conn.Close()
	e.fails(mezu.CodeWorkloadBadResponse)
	saysOnce(t, said, hint.OriginCheck)
}

// A certificate that is not to be checked is not, and one that is, is on a loopback address
// too.
func TestInsecure(t *testing.T) {
	target := httpsWorkload(t, true, func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "hello") })
	w := newWorld(t, target)
	pool := x509.NewCertPool()
	leaf, err := x509.ParseCertificate(certificate().Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(leaf)
	for _, c := range []struct {
		to    forward.Targets
		works bool
	}{{forward.Targets{}, true}, {forward.Targets{WorkloadCA: x509.NewCertPool()}, false}, {forward.Targets{Insecure: true, WorkloadCA: x509.NewCertPool()}, true}, {forward.Targets{WorkloadCA: pool}, true}} {
		c.to.Upstream = parse(t, target)
		w.f.Retarget(c.to)
		e := w.connect(false)
		if e.ask(newGet); c.works {
			e.reads("GET", 200, "hello")
		} else {
			e.fails(mezu.CodeWorkloadRefused)
		}
	}
}
