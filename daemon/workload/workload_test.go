package workload_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/workload"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, to mezu.TunnelTarget, before *workload.Way) *workload.Way {
	t.Helper()
	w, err := workload.Open(workload.Config{Say: func(workload.Finding) {}}, to, before)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

// speaks is a server that answers each connection with a text.
func speaks(t *testing.T, answer string) string { return speaksAt(t, "tcp", "127.0.0.1:0", answer) }

func speaksAt(t *testing.T, network, address, answer string) string {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(conn, answer)
			conn.Close()
		}
	}()
	return l.Addr().String()
}

func TestProbe(t *testing.T) {
	web := func(s *httptest.Server) *httptest.Server {
		s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
		t.Cleanup(s.Close)
		return s
	}
	answers := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {})
	plain, secure := web(httptest.NewServer(answers)), web(httptest.NewTLSServer(answers))
	path := filepath.Join(t.TempDir(), "s")
	pathed := httptest.NewUnstartedServer(answers)
	pathed.Listener.Close()
	var err error
	if pathed.Listener, err = net.Listen("unix", path); err != nil {
		t.Fatal(err)
	}
	web(pathed).StartTLS()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	address := func(s *httptest.Server) string { return s.Listener.Addr().String() }
	for name, c := range map[string]struct {
		to           mezu.TunnelTarget
		up           bool
		code         mezu.Code
		detail, hint string
	}{
		"refused":         {mezu.TunnelTarget{Target: gone.Addr().String()}, false, mezu.CodeWorkloadRefused, "nothing answers at " + gone.Addr().String(), ""},
		"no socket":       {mezu.TunnelTarget{Target: "unix:" + filepath.Join(t.TempDir(), "none.sock")}, false, mezu.CodeWorkloadRefused, "nothing answers at unix:", "check the path"},
		"a web server":    {mezu.TunnelTarget{Target: address(plain)}, true, "", "", ""},
		"over TLS":        {mezu.TunnelTarget{Target: "https://" + address(secure)}, true, "", "", ""},
		"its CA":          {mezu.TunnelTarget{Target: "https://" + address(secure), UpstreamCA: ca}, true, "", "", ""},
		"TLS":             {mezu.TunnelTarget{Target: address(secure)}, true, mezu.CodeWorkloadBadResponse, "speaks TLS", "mezu tunnel https://" + address(secure)},
		"no TLS":          {mezu.TunnelTarget{Target: "https://" + address(plain)}, true, mezu.CodeWorkloadBadResponse, "speaks no TLS", "mezu tunnel " + address(plain)},
		"another CA":      {mezu.TunnelTarget{Target: "https://" + address(secure), UpstreamCA: otherCA(t)}, true, mezu.CodeWorkloadBadResponse, "is not trusted", "--upstream-ca"},
		"garbage":         {mezu.TunnelTarget{Target: speaks(t, "220 mail.example ESMTP\r\n")}, true, mezu.CodeWorkloadBadResponse, "speaks no HTTP", "check the port"},
		"behind a path":   {mezu.TunnelTarget{Target: "unix:" + speaksAt(t, "unix", filepath.Join(t.TempDir(), "s"), "220 mail.example ESMTP\r\n")}, true, mezu.CodeWorkloadBadResponse, "speaks no HTTP", "check the path"},
		"TLS at a path":   {mezu.TunnelTarget{Target: "unix:" + path}, true, mezu.CodeWorkloadBadResponse, "speaks TLS", "or listen at a port"},
		"a silent end":    {mezu.TunnelTarget{Target: speaks(t, "")}, true, mezu.CodeWorkloadBadResponse, "speaks no HTTP", ""},
		"a TLS alert":     {mezu.TunnelTarget{Target: speaks(t, "\x15\x03\x01\x00\x02\x02\x16")}, true, mezu.CodeWorkloadBadResponse, "", ""},
		"a folder":        {mezu.TunnelTarget{Target: t.TempDir()}, true, "", "", ""},
		"a mere greeting": {mezu.TunnelTarget{Target: speaks(t, "HTTP/1.1 400 Bad Request\r\n\r\n")}, true, "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			is, _ := open(t, c.to, nil).Probe(t.Context())
			if is.Up == nil || *is.Up != c.up || is.Code != c.code || !strings.Contains(is.Detail, c.detail) || !strings.Contains(is.Hint, c.hint) {
				t.Errorf("%+v, up %v", is, is.Up != nil && *is.Up)
			}
		})
	}
	http.DefaultClient.CloseIdleConnections()
}

// otherCA is a file with a CA that has nothing to do with the server.
func otherCA(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "other.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestFolder: it has a server for as long as the way is open.
func TestFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.txt"), []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := open(t, mezu.TunnelTarget{Target: dir}, nil)
	u := w.Targets.Upstream
	dial := func() (net.Conn, error) { return net.Dial(u.Network(), u.Address) }
	client := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return dial() }}}
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://folder/a.txt")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if resp.Body.Close(); err != nil || !bytes.Equal(text, []byte("hello")) {
		t.Errorf("%q, %v", text, err)
	}
	w.Close()
	w.Close()
	if conn, err := dial(); err == nil {
		conn.Close()
		t.Error("it answers after its end")
	}
	if _, err := workload.Open(workload.Config{}, mezu.TunnelTarget{Target: filepath.Join(dir, "none")}, nil); mezu.CodeOf(err) != mezu.CodeInvalid {
		t.Errorf("a folder that isn't there: %v", err)
	}
	if _, err := workload.Open(workload.Config{}, mezu.TunnelTarget{Target: "https://x", UpstreamCA: filepath.Join(dir, "none")}, nil); mezu.CodeOf(err) != mezu.CodeInvalid {
		t.Errorf("a CA that isn't there: %v", err)
	}
}

// TestGuardGoesOn: whoever gave the password need not give it again when the target changes.
func TestGuardGoesOn(t *testing.T) {
	password := func() *mezu.TunnelPassword {
		return &mezu.TunnelPassword{User: "ada", Salt: make([]byte, 16), Hash: make([]byte, 32), Iterations: 100_000}
	}
	first := open(t, mezu.TunnelTarget{Target: "3000", BasicAuth: password()}, nil)
	if first.Targets.Guard == nil {
		t.Fatal("nobody is asked")
	}
	if again := open(t, mezu.TunnelTarget{Target: "4000", BasicAuth: password()}, first); again.Targets.Guard != first.Targets.Guard {
		t.Error("the same password is another guard")
	}
	other := password()
	other.User = "bob"
	if again := open(t, mezu.TunnelTarget{Target: "4000", BasicAuth: other}, first); again.Targets.Guard == first.Targets.Guard || again.Targets.Guard == nil {
		t.Error("another password is the same guard")
	}
	if again := open(t, mezu.TunnelTarget{Target: "4000"}, first); again.Targets.Guard != nil {
		t.Error("no password is a guard")
	}
}

// TestRefuses: what is said names what helps.
func TestRefuses(t *testing.T) {
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	for _, contained := range []bool{false, true} {
		said := make(chan workload.Finding, 10)
		w, err := workload.Open(workload.Config{Contained: contained, Say: func(f workload.Finding) { said <- f }}, mezu.TunnelTarget{Target: gone.Addr().String()}, nil)
		if err != nil {
			t.Fatal(err)
		}
		w.Refuses()
		w.Targets.Hints.Refuses() // a request, which finds what was said
		f := <-said
		if f.Code != mezu.CodeWorkloadRefused || !strings.HasPrefix(f.Message, "nothing answers at "+gone.Addr().String()) || f.Hint() == "" {
			t.Errorf("%+v", f)
		}
		// What listens in here comes before what may listen around the container.
		if last := f.Fixes[len(f.Fixes)-1]; strings.Contains(last, "host.docker.internal") != contained {
			t.Errorf("%+v", f)
		}
		w.Targets.Hints.Worked()
		w.Targets.Hints.Refuses()
		if f = <-said; f.Code != mezu.CodeWorkloadRefused || !strings.Contains(f.Message, " any more") {
			t.Errorf("%+v", f)
		}
		if w.Close(); len(said) != 0 {
			t.Errorf("said again: %+v", <-said)
		}
	}
}
