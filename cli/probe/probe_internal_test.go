package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestDuration(t *testing.T) {
	for timing, want := range map[string]time.Duration{
		"edge;dur=1.5, warpgate;dur=2.25": 2250 * time.Microsecond, "warpgate; desc=x; dur=3": 3 * time.Millisecond,
		"edge;dur=1": 0, "warpgate;dur=-1": 0, "warpgate;dur=x": 0, "warpgate;dur=1e300": 0, "warpgate;dur=NaN": 0, "": 0, "warpgate": 0,
	} {
		if got, ok := duration(timing, "warpgate"); got != want || ok != (want > 0) {
			t.Errorf("%q: %v", timing, got)
		}
	}
}

// site is what answers at a public address: whatever a test wants.
func site(t *testing.T, handle http.HandlerFunc) (address, caFile string) {
	s := httptest.NewUnstartedServer(handle)
	s.EnableHTTP2 = true
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	s.StartTLS()
	t.Cleanup(s.Close)
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return s.URL, caFile
}

func proberOf(t *testing.T, address, caFile string) *Prober {
	t.Helper()
	roots, err := Roots(caFile)
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(address, roots, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// What answers need not be an edge.
func TestAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		stage  string
	}{
		"no Warpgate":       {503, `{"code":"no_warpgate","detail":"none"}`, "edge reached, no Warpgate connected"},
		"another page":      {200, "<html>", "what answers is no edge"},
		"nothing to say":    {204, "", "what answers is no edge"},
		"a gate of a hotel": {302, "", "what answers is no edge"},
		"endless":           {503, strings.Repeat("x", 4*api.MaxProblem), "what answers is no edge"},
		"a new code":        {503, `{"code":"overloaded"}`, "edge reached, overloaded"},
	} {
		t.Run(name, func(t *testing.T) {
			address, ca := site(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
			})
			_, err := proberOf(t, address, ca).Through(t.Context())
			if Stage(err) != c.stage {
				t.Errorf("%v: %s", err, Stage(err))
			}
		})
	}
}

func TestThrough(t *testing.T) {
	address, ca := site(t, func(w http.ResponseWriter, r *http.Request) {
		timing := "edge;dur=0.001"
		if r.URL.RawQuery != "hop=edge" {
			timing += ", warpgate;dur=0.002"
		}
		w.Header().Set("Server-Timing", timing)
		w.WriteHeader(http.StatusNoContent)
	})
	p := proberOf(t, address, ca)
	edge, err := p.Edge(t.Context())
	if err != nil || edge.Edge != time.Microsecond || edge.Warpgate != 0 || "https://"+edge.Remote.String() != address {
		t.Errorf("%+v, %v", edge, err)
	}
	if all, err := p.Through(t.Context()); err != nil || all.Warpgate != 2*time.Microsecond {
		t.Errorf("%+v, %v", all, err)
	}
	var unreachable *api.UnreachableError
	other, _ := site(t, nil)
	if _, err := proberOf(t, other, "").Edge(t.Context()); !errors.As(err, &unreachable) || Stage(err) != "the edge is not reached" {
		t.Errorf("a foreign certificate: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Edge(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
}

// Others at the same address may have asked too often: the next second counts anew.
func TestTooOften(t *testing.T) {
	var asked atomic.Int32
	address, ca := site(t, func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = w.Write([]byte(`{"code":"rate_limited"}`))
			return
		}
		w.Header().Set("Server-Timing", "edge;dur=1")
		w.WriteHeader(http.StatusNoContent)
	})
	if _, err := proberOf(t, address, ca).Edge(t.Context()); err != nil || asked.Load() != 2 {
		t.Errorf("%d, %v", asked.Load(), err)
	}
}

// Names below localhost are this machine, whether a resolver knows them or not.
func TestDialLocalhost(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	conn, err := Dial(t.Context(), "tcp", net.JoinHostPort("shop-dev-ada.localhost", port))
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestNew(t *testing.T) {
	for _, address := range []string{"", "http://a.example", "shop", "https://", "https://%zz"} {
		if _, err := New(address, nil, nil); mezu.CodeOf(err) != mezu.CodeInvalid {
			t.Errorf("%q: %v", address, err)
		}
	}
	if _, err := Roots(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a CA file that is not there")
	}
}

func TestAwait(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte(`{"code":"no_warpgate"}`))
			return
		}
		w.Header().Set("Server-Timing", "edge;dur=1, warpgate;dur=1")
		w.WriteHeader(http.StatusNoContent)
	}))
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	p, err := New(server.URL, roots, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, err := p.Await(t.Context()); err != nil || asked.Load() != 3 {
		t.Errorf("%v after %d", err, asked.Load())
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := p.Await(ended); err == nil {
		t.Error("no answer, and no error")
	}
}

// Names below localhost lead to the edge that was named.
func TestAt(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	p, err := New("https://shop-dev.localhost:1", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	p.At(server.Listener.Addr().String())
	_, err = p.Through(t.Context())
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok {
		t.Errorf("it did not arrive: %v", err)
	}
}

// A resolver that does not answer knows nothing of a name.
func TestFailure(t *testing.T) {
	for want, err := range map[string]error{
		"unknown name": &net.DNSError{Name: "a.example", IsNotFound: true},
		"timed out":    &net.DNSError{Name: "a.example", IsTimeout: true},
		"":             errors.New("something else"),
	} {
		if got := Failure(&api.UnreachableError{Err: err}); got != want {
			t.Errorf("%v: %q instead of %q", err, got, want)
		}
	}
}
