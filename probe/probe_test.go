package probe_test

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/probe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// edge answers probes with what answer does.
func edge(t *testing.T, answer http.HandlerFunc) (*probe.Client, string) {
	t.Helper()
	server := httptest.NewTLSServer(answer)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	c, err := probe.New(probe.Config{URL: server.URL, Roots: roots})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); server.Close() })
	return c, server.URL
}

func TestOnce(t *testing.T) {
	c, _ := edge(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/.mezu/probe" {
			t.Errorf("%s", r.URL)
		}
		w.Header().Set("Server-Timing", "edge;dur=0.250, warpgate;dur=2.000, nonsense;dur=-1, edge2")
		w.Header().Set(mezu.HeaderRequestID, "7f3a")
		if r.URL.Query().Get("hop") == "edge" {
			w.Header().Set("Server-Timing", "edge;dur=0.5")
		}
		w.WriteHeader(http.StatusNoContent)
	})
	a, err := c.Once(t.Context())
	if err != nil || !a.Arrived() || a.Edge != 250*time.Microsecond || a.Warpgate != 2*time.Millisecond || a.RequestID != "7f3a" || a.Took <= 0 {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err = c.EdgeOnly(t.Context()); err != nil || a.Warpgate != 0 || a.Edge != 500*time.Microsecond {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestOnce_Refused(t *testing.T) {
	for body, want := range map[string]mezu.Code{
		`{"code":"no_warpgate","detail":"no Warpgate"}`: mezu.CodeNoWarpgate,
		`{"code":"made_up"}`:                            mezu.CodeInternal,
		`<html>another server`:                          mezu.CodeInternal,
	} {
		c, _ := edge(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
			w.Write([]byte(body))
		})
		if a, err := c.Once(t.Context()); err != nil || a.Arrived() || a.Code != want {
			t.Errorf("%s: %+v, %v", body, a, err)
		}
	}
}

func TestAwait(t *testing.T) {
	var asked atomic.Int32
	c, _ := edge(t, func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			w.Write([]byte(`{"code":"no_warpgate"}`))
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	if a, err := c.Await(t.Context()); err != nil || !a.Arrived() || asked.Load() != 3 {
		t.Errorf("%+v, %v after %d", a, err, asked.Load())
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if a, err := c.Await(ended); err == nil || a != nil {
		t.Errorf("%+v, %v", a, err)
	}
}

// A name below localhost leads to the edge, whatever a resolver says.
func TestNamesOfThisMachine(t *testing.T) {
	_, address := edge(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	for _, edge := range []string{"", u.Host} {
		c, err := probe.New(probe.Config{URL: "https://shop-dev-ada-dev.localhost:" + u.Port(), Edge: edge})
		if err != nil {
			t.Fatal(err)
		}
		// It arrives there: the certificate is of another name.
		if _, err = c.Once(t.Context()); err == nil || !isCertificate(err) {
			t.Errorf("%v", err)
		}
		c.Close()
	}
	for _, wrong := range []string{"http://a", "a", "https://", "::"} {
		if _, err := probe.New(probe.Config{URL: wrong}); mezu.CodeOf(err) != mezu.CodeInvalid {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}

func isCertificate(err error) bool {
	return errorsAs[x509.UnknownAuthorityError](err) || errorsAs[x509.HostnameError](err)
}

func errorsAs[T error](err error) bool {
	_, ok := errors.AsType[T](err)
	return ok
}
