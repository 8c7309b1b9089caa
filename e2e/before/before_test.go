package before

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/daemon/warpgate"
	"github.com/mezusphere/mezu/edgesvc/control"
	"github.com/mezusphere/mezu/edgesvc/edge"
	"github.com/mezusphere/mezu/manifest"
	"github.com/mezusphere/mezu/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait.
const patience = time.Minute

// recording is what TestRecord of e2e packed, unpacked in a folder of the test's.
type recording struct {
	t     *testing.T
	dir   string
	now   func() time.Time // begins when the recording ended
	roots *x509.CertPool

	At      time.Time         `json:"at"`
	Host    string            `json:"host"`
	Edge    string            `json:"edge"` // its address
	API     string            `json:"api"`  // the control plane's
	Token   string            `json:"token"`
	Member  string            `json:"member"`
	Account string            `json:"account"`
	Shown   map[string]answer `json:"shown"` // by path of the API
	Asked   []asked           `json:"asked"` // in turn
}

// answer is what the API said at one path.
type answer struct {
	Status int             `json:"status"`
	ETag   string          `json:"etag"`
	Body   json.RawMessage `json:"body"`
}

// asked is a request through the edge and what became of it.
type asked struct {
	Method, Path, Body string
	Header             map[string]string
	Status             int
	Code               mezu.Code
}

func unpack(t *testing.T) *recording {
	t.Helper()
	r := &recording{t: t, dir: t.TempDir(), roots: x509.NewCertPool()}
	f, err := os.Open(filepath.Join("testdata", "before.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zr, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for tr := tar.NewReader(zr); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(r.dir, filepath.FromSlash(h.Name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, data, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := json.Unmarshal(r.file("about.json"), r); err != nil {
		t.Fatal(err)
	}
	shift := time.Until(r.At)
	r.now = func() time.Time { return time.Now().Add(shift) }
	if !r.roots.AppendCertsFromPEM(r.file("control/ca.pem")) {
		t.Fatal("no certificates of the CA")
	}
	return r
}

func (r *recording) path(name string) string { return filepath.Join(r.dir, filepath.FromSlash(name)) }

func (r *recording) file(name string) []byte {
	r.t.Helper()
	data, err := os.ReadFile(r.path(name))
	if err != nil {
		r.t.Fatal(err)
	}
	return data
}

// service is one of the three.
type service interface {
	Listen() error
	Run(ctx context.Context) error
}

// run runs a service until the test ends or stop is called.
func run(t *testing.T, s service, log *testkit.Buffer) (stop func()) {
	t.Helper()
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop = func() {
		if cancel == nil {
			return
		}
		cancel()
		cancel = nil
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	return stop
}

func logger() (*slog.Logger, *testkit.Buffer) {
	log := &testkit.Buffer{}
	return slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})), log
}

// plane is a running control plane.
type plane struct {
	*recording
	t      *testing.T
	client *http.Client
	stop   func()
}

// controlConfig is that of the recording, with the state elsewhere.
func (r *recording) controlConfig(dir string) (control.Config, *testkit.Buffer) {
	log, text := logger()
	return control.Config{StateDir: r.path(dir), APIAddr: r.API, Domain: "localhost", Log: log, Now: r.now, Version: "devel"}, text
}

func (r *recording) startControl(t *testing.T, dir, sealKey string) *plane {
	t.Helper()
	cfg, log := r.controlConfig(dir)
	cfg.SealKey = sealKey
	c, err := control.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	carrier := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: r.roots, Time: r.now}}
	p := &plane{recording: r, t: t, client: &http.Client{Transport: carrier, Timeout: patience}}
	p.stop = run(t, c, log)
	t.Cleanup(carrier.CloseIdleConnections)
	return p
}

func (p *plane) url() string { return "https://" + p.API }

// get reads one path of the API.
func (p *plane) get(path, token string) answer {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), "GET", p.url()+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := p.client.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header.Get("ETag"), body}
}

// shows compares all that the API showed with what it shows, but in the members of some names,
// which are meant to differ.
func (p *plane) shows(but ...string) {
	p.t.Helper()
	for _, path := range slices.Sorted(maps.Keys(p.Shown)) {
		was, now := p.Shown[path], p.get(path, p.Token)
		if was.Status != now.Status {
			p.t.Errorf("%s answers %d %s, was %d", path, now.Status, now.Body, was.Status)
			continue
		}
		if was.Status != http.StatusOK {
			continue
		}
		for _, differs := range changed("", decode(p.t, was.Body), decode(p.t, now.Body), but) {
			p.t.Errorf("%s: %s", path, differs)
		}
		if was.ETag != now.ETag {
			p.t.Errorf("%s has the ETag %s, had %s", path, now.ETag, was.ETag)
		}
	}
}

// added are the members that this build tells beside what the earlier one told.
var added = []string{"organizations", "token_id", "status", "last_seen_at", "behind", "since", "name"}

// enforced is how requests are answered, by their path, whose route was closed before because of a
// field that this build enforces.
var enforced = map[string]int{"/cors/": http.StatusOK, "/moved": http.StatusPermanentRedirect, "/rate/": http.StatusOK, "/waf/": http.StatusOK, "/strip/x": http.StatusOK, "/edits/": http.StatusOK}

// lasting are warnings without those of fields that the build which gives them does not enforce, and of
// what only a build that enforces them can say.
func lasting(warnings any) any {
	all, _ := warnings.([]any)
	left := slices.DeleteFunc(slices.Clone(all), func(w any) bool {
		return strings.Contains(fmt.Sprint(w), "is not enforced by this version") || strings.Contains(fmt.Sprint(w), "which has to let a request pass, too")
	})
	if len(left) == 0 {
		return nil
	}
	return left
}

// changed says where an answer is another one than it was, but in the members of some names.
// Members may have been added, of the names in added alone.
func changed(at string, was, now any, but []string) []string {
	var out []string
	switch was := was.(type) {
	case map[string]any:
		now, ok := now.(map[string]any)
		if !ok {
			break
		}
		for name := range now {
			if _, ok := was[name]; !ok && !slices.Contains(added, name) && !slices.Contains(but, name) {
				out = append(out, at+"."+name+" was not there")
			}
		}
		for name, v := range was {
			if name == "warnings" {
				v, now[name] = lasting(v), lasting(now[name])
			}
			if !slices.Contains(but, name) {
				out = append(out, changed(at+"."+name, v, now[name], but)...)
			}
		}
		return out
	case []any:
		now, ok := now.([]any)
		if !ok || len(was) != len(now) {
			break
		}
		for i, v := range was {
			out = append(out, changed(fmt.Sprintf("%s[%d]", at, i), v, now[i], but)...)
		}
		return out
	}
	if !reflect.DeepEqual(was, now) {
		out = append(out, fmt.Sprintf("%s is %v, was %v", at, now, was))
	}
	return out
}

func decode(t *testing.T, text []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

func (p *plane) api(token string) *api.Client {
	p.t.Helper()
	c, err := api.NewClient(api.ClientConfig{BaseURL: p.url(), Token: func() (string, error) { return token, nil }, TLS: &tls.Config{RootCAs: p.roots, Time: p.now}})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(c.CloseIdle)
	return c
}

func invoke[Out any](p *plane, token string, op api.Operation, in any, params ...string) Out {
	p.t.Helper()
	out, err := api.Invoke[Out](p.t.Context(), p.api(token), op, in, params...)
	if err != nil {
		p.t.Fatalf("%s: %v", op.ID, err)
	}
	return out
}

// exports checks that the export is the file that mezu export wrote, and that applying
// it changes nothing.
func (p *plane) exports() {
	p.t.Helper()
	file, err := manifest.Read(p.t.Context(), p.path("export.yaml"), "export.yaml")
	if err != nil {
		p.t.Fatal(err)
	}
	want, err := json.Marshal(file.Manifest)
	if err != nil {
		p.t.Fatal(err)
	}
	got, err := json.Marshal(invoke[mezu.Manifest](p, p.Token, api.OpExportProject, nil, "acme", "shop"))
	if err != nil {
		p.t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		p.t.Errorf("the export is\n%s, was\n%s", got, want)
	}
	for _, dry := range []bool{true, false} {
		out := invoke[api.ApplyResponse](p, p.Token, api.OpApplyProject, api.ApplyRequest{Manifest: file.Manifest, Prune: true, DryRun: dry}, "acme", "shop")
		if len(out.Changes) != 0 || out.Omitted != 0 || out.Applied {
			p.t.Errorf("applying the export changes %+v", out)
		}
	}
}

// node is an edge with a Warpgate and a workload behind it.
type node struct {
	*recording
	t      *testing.T
	edge   *edge.Edge
	gate   *warpgate.Warpgate
	client *http.Client
	stop   func()
}

// startNode runs the edge and the Warpgate of the recording.
func (r *recording) startNode(t *testing.T) *node {
	t.Helper()
	n := &node{recording: r, t: t}
	log, text := logger()
	var err error
	n.edge, err = edge.New(edge.Config{Control: "https://" + r.API, CAFile: r.path("control/ca.pem"), StateDir: r.path("edge-1"), Name: "edge-1", HTTPSAddr: r.Edge,
		Log: log.With("service", "edge"), Now: r.now, Version: "devel", DrainTimeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	stopEdge := run(t, n.edge, text)
	workload := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, "workload")
	}))
	t.Cleanup(workload.Close)
	// Without a key: it has its certificate.
	n.gate, err = warpgate.New(warpgate.Config{API: "https://" + r.API, CAFile: r.path("control/ca.pem"), StateDir: r.path("gate-1"), Upstream: workload.Listener.Addr().String(),
		Log: log.With("service", "warpgate"), Now: r.now, Version: "devel", DrainTimeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	stopGate := run(t, n.gate, text)
	carrier := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: r.roots, Time: r.now},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, r.Edge)
		}}
	t.Cleanup(carrier.CloseIdleConnections)
	n.client = &http.Client{Transport: carrier, Timeout: patience}
	n.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	n.stop = func() { carrier.CloseIdleConnections(); stopGate(); stopEdge() }
	eventually(t, "a probe", func() error {
		resp, err := n.client.Get("https://" + r.Host + "/.mezu/probe")
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusNoContent {
			return fmt.Errorf("status %d", resp.StatusCode)
		}
		return nil
	})
	return n
}

// answers sends the recorded requests.
func (n *node) answers() {
	n.t.Helper()
	if len(n.Asked) < 20 {
		n.t.Fatalf("%d requests are recorded", len(n.Asked))
	}
	for _, a := range n.Asked {
		status, code := n.ask(a)
		if now, is := enforced[a.Path]; is && a.Code == mezu.CodeRouteUnavailable {
			a.Status, a.Code = now, ""
		}
		if status != a.Status || code != a.Code {
			n.t.Errorf("%s %s is answered %d %s, was %d %s", a.Method, a.Path, status, code, a.Status, a.Code)
		}
	}
}

func (n *node) ask(a asked) (int, mezu.Code) {
	n.t.Helper()
	req, err := http.NewRequestWithContext(n.t.Context(), a.Method, "https://"+n.Host+a.Path, strings.NewReader(a.Body))
	if err != nil {
		n.t.Fatal(err)
	}
	for name, value := range a.Header {
		req.Header.Set(name, value)
	}
	resp, err := n.client.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	defer resp.Body.Close()
	var told api.Problem
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/problem+json") {
		if err := json.NewDecoder(resp.Body).Decode(&told); err != nil {
			n.t.Fatal(err)
		}
	}
	return resp.StatusCode, told.Code
}

// changeArrives adds a route and waits until edge and Warpgate judge by it.
func (n *node) changeArrives(p *plane) {
	n.t.Helper()
	invoke[api.RouteWritten](p, p.Token, api.OpCreateRoute, mezu.Route{Exact: "/new", Methods: []string{"POST"}}, "acme", "shop", "production")
	eventually(n.t, "the change to arrive", func() error {
		if status, code := n.ask(asked{Method: "GET", Path: "/new"}); code != mezu.CodeMethodNotAllowed {
			return fmt.Errorf("%d %s", status, code)
		}
		return nil
	})
	eventually(n.t, "the change to be acknowledged", func() error {
		now := invoke[api.RoutesState](p, p.Token, api.OpListRoutes, nil, "acme", "shop", "production")
		count := 0
		for _, a := range now.Applied {
			if a.Position.Compare(now.Position) >= 0 {
				count++
			}
		}
		if count != 2 {
			return fmt.Errorf("%+v at %v", now.Applied, now.Position)
		}
		return nil
	})
}

func eventually(t *testing.T, what string, ok func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waiting for %s: %v", what, err)
		}
		<-tick.C
	}
}

// needsAddress takes the addresses of the recording for this test alone, also among
// other runs on this machine. It skips the test where the machine has no such address.
func needsAddress(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the recorded services listen on an address of 127.0.0.0/8 that only Linux has from the start")
	}
	eventually(t, "another run of these tests to end", func() error {
		l, err := net.Listen("tcp", "127.8.0.1:28442")
		if err == nil {
			t.Cleanup(func() { l.Close() })
		}
		return err
	})
}

// The store is opened, and every record is shown as it was.
func TestStore(t *testing.T) {
	needsAddress(t)
	r := unpack(t)
	p := r.startControl(t, "control", "")
	p.shows()
	p.exports()
	for what, secret := range map[string]string{"member": r.Member, "service account": r.Account} {
		if got := p.get("/v1/organizations/acme/projects/shop", secret); got.Status != http.StatusOK {
			t.Errorf("the %s is answered %d %s", what, got.Status, got.Body)
		}
	}
	// Opened again, what the code of today wrote is there beside it.
	made := invoke[mezu.Project](p, r.Token, api.OpCreateProject, mezu.Project{Name: "late"}, "acme")
	p.stop()
	p = r.startControl(t, "control", "")
	if got := invoke[mezu.Project](p, r.Token, api.OpGetProject, nil, "acme", "late"); got.ID != made.ID {
		t.Errorf("got %+v, want %+v", got, made)
	}
}

// Edge and Warpgate serve by what is on their disks alone, and follow the control plane
// once it is there.
func TestStateOfEdgeAndWarpgate(t *testing.T) {
	needsAddress(t)
	r := unpack(t)
	n := r.startNode(t)
	n.answers()
	n.stop()
	p := r.startControl(t, "control", "")
	n = r.startNode(t)
	n.answers()
	n.changeArrives(p)
}

// The backup is restored and shows what the store did, but for what ends with a restore.
// The edge and the Warpgate take what the restored control plane says.
func TestBackup(t *testing.T) {
	needsAddress(t)
	r := unpack(t)
	cfg, _ := r.controlConfig("restored")
	cfg.SealKey = r.path("control/seal.key")
	got, err := control.Restore(t.Context(), cfg, bytes.NewReader(r.file("backup")), false)
	if err != nil {
		t.Fatal(err)
	}
	if got.Records < 50 || got.Program == "" || !got.MadeAt.Before(r.At) || got.MadeAt.Before(r.At.Add(-time.Hour)) {
		t.Errorf("restored %+v", got)
	}
	p := r.startControl(t, "restored", cfg.SealKey)
	for path := range r.Shown {
		if strings.Contains(path, "/invitations") {
			delete(r.Shown, path)
		}
	}
	// The epoch is another, and nobody has been there yet.
	p.shows("applied", "position", "bundle", "last_seen_at")
	p.exports()
	n := r.startNode(t)
	n.answers()
	n.changeArrives(p)
}
