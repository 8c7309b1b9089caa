package logout

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// control is a control plane that may be away, and keeps what it is told.
type control struct {
	*api.Client
	away  atomic.Bool
	calls atomic.Int32
	mu    sync.Mutex
	told  []string
}

func newControl(t *testing.T) *control {
	t.Helper()
	c := &control{}
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		away := c.away.Load() // when the call came: whoever waits for it may change that
		c.calls.Add(1)
		var in api.EdgeLogouts
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || r.URL.Path != api.OpEdgeLogout.Path || len(in.Grants) > api.MaxEdgeLogouts {
			t.Errorf("%s: %d grants, %v", r.URL, len(in.Grants), err)
		}
		if away {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.told = append(c.told, in.Grants...)
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	var err error
	if c.Client, err = api.NewClient(api.ClientConfig{BaseURL: s.URL, TLS: &tls.Config{RootCAs: roots}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdle)
	return c
}

func (c *control) heard() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(slices.Values(c.told))
}

// open opens Logouts and runs them until the function that it gives is called.
func open(t *testing.T, dir string, c *control, now func() time.Time) (*Logouts, func()) {
	t.Helper()
	l, err := Open(Config{Dir: dir, Client: func() *api.Client { return c.Client }, Log: slog.New(slog.DiscardHandler), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { l.Run(ctx) })
	stop := sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		l.Close()
	})
	t.Cleanup(stop)
	return l, stop
}

func session(n string) *mezu.Grant {
	return &mezu.Grant{Session: "ses_" + strings.Repeat("0", 25) + n, NotAfter: start.Add(time.Hour)}
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain for " + what)
		}
		<-time.After(time.Millisecond)
	}
}

// L8 and N24: a session that ended here stays ended, after a restart too, and the control
// plane is told as soon as it is back.
func TestLeave(t *testing.T) {
	dir, c, clock := filepath.Join(t.TempDir(), Folder), newControl(t), testkit.StillClock(start)
	c.away.Store(true)
	l, stop := open(t, dir, c, clock.Now)
	a, b := session("1"), session("2")
	for range 2 {
		if err := l.Leave(a, []byte("grant-a")); err != nil {
			t.Fatal(err)
		}
	}
	if !l.Left(a.Session) || l.Left(b.Session) || l.Untold() != 1 {
		t.Errorf("left %v and %v, %d untold", l.Left(a.Session), l.Left(b.Session), l.Untold())
	}
	until(t, "a call", func() bool { return c.calls.Load() > 0 })
	stop()

	l, stop = open(t, dir, c, clock.Now)
	if !l.Left(a.Session) || l.Untold() != 1 {
		t.Fatal("it goes on after a restart")
	}
	c.away.Store(false)
	if err := l.Leave(b, []byte("grant-b")); err != nil {
		t.Fatal(err)
	}
	until(t, "the control plane to hear of both", func() bool { return l.Untold() == 0 })
	if got := c.heard(); !slices.Equal(got, []string{"grant-a", "grant-b"}) {
		t.Errorf("told %q", got)
	}
	if !l.Left(a.Session) || !l.Left(b.Session) {
		t.Error("they go on before the revocations are here")
	}
	stop()
	l, stop = open(t, dir, c, clock.Now)
	defer stop()
	if files, err := filepath.Glob(filepath.Join(dir, "*.json")); err != nil || len(files) > 0 || l.Untold() != 0 {
		t.Errorf("%q stay on disk, %v", files, err)
	}
}

// A session that is over anyway is forgotten, whether it was told or not.
func TestForget(t *testing.T) {
	dir, c, clock := filepath.Join(t.TempDir(), Folder), newControl(t), testkit.StillClock(start)
	c.away.Store(true)
	l, _ := open(t, dir, c, clock.Now)
	a := session("1")
	if err := l.Leave(a, []byte("grant-a")); err != nil {
		t.Fatal(err)
	}
	clock.Advance(2 * time.Hour)
	l.forget()
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if l.Left(a.Session) || l.any.Load() || len(files) > 0 || err != nil {
		t.Errorf("left %v, files %q, %v", l.Left(a.Session), files, err)
	}
}

// However many there are, so many are kept and told at once.
func TestLeave_InBounds(t *testing.T) {
	c, clock := newControl(t), testkit.StillClock(start)
	l, err := Open(Config{Dir: filepath.Join(t.TempDir(), Folder), Client: func() *api.Client { return c.Client }, Log: slog.New(slog.DiscardHandler), Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range maxLeft {
		l.left[mezu.NewID(mezu.PrefixSession, start)] = left{Grant: "g", Until: start.Add(time.Hour)}
	}
	if err := l.Leave(session("1"), nil); mezu.CodeOf(err) != mezu.CodeUnavailable {
		t.Error(err)
	}
	if more, err := l.pass(t.Context()); !more || err != nil || l.Untold() != maxLeft-api.MaxEdgeLogouts {
		t.Errorf("%v, %v, %d untold", more, err, l.Untold())
	}
}

// What somebody else has put on the disk is set aside, and ends nothing.
func TestOpen_BadFiles(t *testing.T) {
	dir, c := filepath.Join(t.TempDir(), Folder), newControl(t)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		fileOf(session("1").Session): "{", "usr_1.json": "{}", fileOf(session("2").Session): `{"grant":"` + strings.Repeat("a", mezu.MaxGrantText+1) + `"}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l, _ := open(t, dir, c, time.Now)
	aside, err := filepath.Glob(filepath.Join(dir, "*.rejected"))
	if len(l.left) != 0 || len(aside) != 3 || err != nil {
		t.Errorf("%d are ended, set aside %q, %v", len(l.left), aside, err)
	}
}

// A disk that fails costs nothing but the restart.
func TestLeave_WithoutDisk(t *testing.T) {
	dir, c := filepath.Join(t.TempDir(), Folder), newControl(t)
	var log testkit.Buffer
	l, err := Open(Config{Dir: dir, Client: func() *api.Client { return c.Client }, Log: slog.New(slog.NewTextHandler(&log, nil)), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a := session("1")
	if err := os.MkdirAll(filepath.Join(dir, fileOf(a.Session), "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := l.Leave(a, []byte("grant-a")); err != nil || !l.Left(a.Session) || !strings.Contains(log.String(), a.Session) {
		t.Errorf("%v, left %v, log %s", err, l.Left(a.Session), log.String())
	}
}
