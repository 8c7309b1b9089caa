package e2e

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/tunnel"
)

// listener is a Warpgate in the hands of a test, which keeps what an edge tells it.
type listener struct {
	*peer
	link  *tunnel.Link
	epoch atomic.Uint64

	mu      sync.Mutex
	subject map[string]int // how often each subject was told
	other   int            // documents that are no revocations
	current mezu.Told
	welcome bool
}

// listen keeps a peer connected to an edge until the test ends.
func (w *world) listen(t *testing.T, p *peer, e *edgeNode) *listener {
	t.Helper()
	l := &listener{peer: p, subject: map[string]int{}}
	l.epoch.Store(uint64(time.Now().UnixNano()))
	configs := map[string]*tls.Config{}
	for _, protocol := range []string{mezu.ProtocolControl, mezu.ProtocolData} {
		configs[protocol] = p.anchor.EdgeTLS(p.certificate, "", protocol)
	}
	l.link = tunnel.NewLink(tunnel.LinkConfig{
		Edge: mezu.EdgeInfo{TunnelAddress: e.https}, TLS: func(protocol string) *tls.Config { return configs[protocol] },
		Epoch: func() uint64 { return l.epoch.Add(1) }, Serve: func(ctx context.Context, _ net.Conn) { <-ctx.Done() },
		Told: l.told, Current: l.upTo, Statement: l.take, State: l.state,
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); l.link.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return l
}

func (l *listener) state(s tunnel.LinkState, _ error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.welcome = l.welcome || s == tunnel.LinkConnected
}

func (l *listener) take(doc mezu.Signed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if doc.Purpose == mezu.PurposeKeyset {
		l.anchor.AcceptKeyset(doc)
	}
	var r mezu.Revocation
	if doc.Purpose != mezu.PurposeRevocation || json.Unmarshal(doc.Payload, &r) != nil {
		l.other++
		return
	}
	l.subject[r.Subject]++
}

func (l *listener) told() mezu.Told {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.current
}

func (l *listener) upTo(told mezu.Told) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.current = told
}

// heard is how many subjects and documents it was told of, and up to where.
func (l *listener) heard() (subjects, again, other int, upTo mezu.Told) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.subject {
		again += n - 1
	}
	return len(l.subject), again, l.other, l.current
}

// suspendMany makes users of a directory and suspends them all.
func (w *world) suspendMany(t *testing.T, n int, directory ...string) {
	t.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				u, err := api.Invoke[mezu.User](t.Context(), w.client, api.OpCreateUser, mezu.User{Profile: mezu.Profile{Email: fmt.Sprintf("u%d@example.com", i)}}, directory...)
				if err == nil {
					_, err = api.Invoke[mezu.User](t.Context(), w.client, api.OpUpdateUser, map[string]any{"status": mezu.UserSuspended}, append(directory[:len(directory):len(directory)], u.ID)...)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// memoryDir is a folder in memory where there is such a file system: thousands of commits
// wait for a disk longer than a test may take.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "mezu-e2e-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// Issue 7, row 1: more than a thousand revocations in force kept every Warpgate of every
// tenant from registering. They keep nobody out, those of one tenant are told to nobody
// else, and none twice.
func TestRow1RevocationsOfOneTenant(t *testing.T) {
	t.Parallel()
	const many = 1100
	w := &world{t: t, dir: memoryDir(t), api: freeAddr(t)}
	w.startControlIn("control", "--call-rate", "100000")
	w.bootstrap()
	e := w.addEdge("edge-1")
	w.makeProject([]mezu.Route{open})
	invoke[mezu.Directory](w, w.client, api.OpCreateDirectory, mezu.Directory{Name: "customers"}, "acme", "shop")
	invoke[mezu.Environment](w, w.client, api.OpUpdateEnvironment, map[string]any{"directory": "customers"}, w.path()...)
	invoke[mezu.Environment](w, w.client, api.OpCreateEnvironment, mezu.Environment{Name: "staging"}, "acme", "shop")
	g := w.addGate("gate", newWorkload(t, false).addr())
	concerned, foreign := w.enrolWarpgate(t, "production"), w.enrolWarpgate(t, "staging")

	w.suspendMany(t, many, "acme", "shop", "customers")
	if code := e.stop(); code != 0 {
		t.Fatalf("the edge ended with %d", code)
	}
	e.run()
	w.reachable(e)
	healthy(t, g.health)
	metricIs(t, e.admin, "mezu_edge_compared", 1)
	metricIs(t, e.admin, "mezu_edge_statements_differ", 0)
	metricIs(t, e.admin, "mezu_edge_revocations", many)

	own, other := w.listen(t, concerned, e), w.listen(t, foreign, e)
	eventually(t, "its own are told", func() error {
		if n, again, _, upTo := own.heard(); n != many || again != 0 || upTo.Position.IsZero() {
			return fmt.Errorf("%d subjects, %d again, up to %+v", n, again, upTo)
		}
		return nil
	})
	// It is told up to where it knows all, and so after all that it is to be told.
	eventually(t, "the other is up to date", func() error {
		if _, _, documents, upTo := other.heard(); documents < 3 || upTo.Position.IsZero() {
			return fmt.Errorf("%d documents, up to %+v", documents, upTo)
		}
		return nil
	})
	if n, _, _, _ := other.heard(); n != 0 {
		t.Errorf("a Warpgate was told of %d revocations that concern others", n)
	}

	// What it was told before is not told again after the edge's restart; what is new is.
	e.stop()
	u := invoke[mezu.User](w, w.client, api.OpCreateUser, mezu.User{Profile: mezu.Profile{Email: "new@example.com"}}, "acme", "shop", "customers")
	invoke[any](w, w.client, api.OpDeleteUser, nil, "acme", "shop", "customers", u.ID)
	e.run()
	eventually(t, "the new one is told", func() error {
		if n, again, _, _ := own.heard(); n != many+1 || again != 0 {
			return fmt.Errorf("%d subjects, %d again", n, again)
		}
		return nil
	})
	if n, _, _, _ := other.heard(); n != 0 {
		t.Errorf("a Warpgate was told of %d revocations that concern others", n)
	}
}

// ready is what an edge says of being ready.
func (e *edgeNode) ready(t *testing.T) (status int, text string) {
	t.Helper()
	resp, err := http.Get("http://" + e.admin + "/readyz")
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// Issue 7, row 14: an edge whose disk lost a revocation, or got back an older state of
// it, welcomed a revoked Warpgate again. It fetches what is missing first, and names it
// where it can't.
func TestRow14LostRevocation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, open)
	e := w.edges[0]
	log := filepath.Join(e.dir, "revocations.log")
	first, second := w.enrolWarpgate(t, "production"), w.enrolWarpgate(t, "production")
	revoke := func(p *peer) {
		t.Helper()
		serial := p.cert.Leaf.SerialNumber.Text(16)
		invoke[any](w, w.client, api.OpDeleteWarpgate, nil, w.path(p.ID)...)
		eventually(t, "the revocation on the edge's disk", func() error {
			data, err := os.ReadFile(log)
			state, _ := os.ReadFile(filepath.Join(e.dir, "stream.json"))
			if err != nil || !strings.Contains(string(data), serial) || !strings.Contains(string(state), `"revocations":{"generation":1,"size":`+fmt.Sprint(len(data))) {
				return fmt.Errorf("it is not there: %v", err)
			}
			return nil
		})
	}
	revoke(first)
	older, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	revoke(second)
	for how, spoil := range map[string]func() error{
		"removed":     func() error { return os.Remove(log) },
		"rolled back": func() error { return os.WriteFile(log, older, 0o600) },
	} {
		e.stop()
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		l := w.listen(t, second, e)
		e.run()
		healthy(t, e.admin)
		eventually(t, "the log names what is lost", func() error {
			if text := e.log.String(); !strings.Contains(text, "not there any more") {
				return fmt.Errorf("it does not")
			}
			return nil
		})
		metricIs(t, e.admin, "mezu_edge_statements_lost", 0)
		metricIs(t, e.admin, "mezu_edge_compared", 1)
		eventually(t, "it was turned away", func() error {
			if !strings.Contains(e.log.String(), "is revoked") {
				return fmt.Errorf("it has not come")
			}
			return nil
		})
		l.mu.Lock()
		if l.welcome {
			t.Errorf("%s: a revoked Warpgate was welcomed", how)
		}
		l.mu.Unlock()
		if status, text := e.ready(t); status != 200 || text != "ok\n" {
			t.Errorf("%s: ready says %d %q", how, status, text)
		}
	}

	// Without a control plane nothing can be fetched: it serves, and says what is lost.
	e.stop()
	w.control.signal(syscall.SIGKILL)
	<-w.control.gone
	if err := os.Remove(log); err != nil {
		t.Fatal(err)
	}
	e.run()
	healthy(t, e.admin)
	if status, text := e.ready(t); status != 200 || !strings.Contains(text, "missing on its disk and not fetched yet: revocations") || !strings.Contains(text, "not compared") {
		t.Errorf("ready says %d %q", status, text)
	}
	metricIs(t, e.admin, "mezu_edge_statements_lost", 1)
	metricIs(t, e.admin, "mezu_edge_compared", 0)
}
