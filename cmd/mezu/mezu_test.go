package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/dev"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/cmd/unasked"
	"github.com/mezusphere/mezu/testkit"
)

// argRemoved, as the first argument, has a program of the test removed before it runs.
const argRemoved = "removed"

// TestMain is mezu itself where a test has started it as the daemon.
func TestMain(m *testing.M) {
	unasked.Restore()
	version = "1.3.0"
	if len(os.Args) > 1 && os.Args[1] == argRemoved {
		if err := removeSelf(); err != nil {
			panic(err)
		}
		os.Args = append(os.Args[:1], os.Args[2:]...)
	}
	if len(os.Args) > 1 && os.Args[1] == "daemon" || os.Getenv("MEZU_TEST_PROGRAM") != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/golang/glog.(*fileSink).flushDaemon"))
}

func removeSelf() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return os.Remove(self)
}

// startTimeout is generous: a first run makes keys and files on a busy machine.
const startTimeout = 60 * time.Second

// exitCode is that of a command, as soon as it has ended.
type exitCode chan int

// wait waits for it. said is what the command has said.
func (c exitCode) wait(t *testing.T, said fmt.Stringer) int {
	t.Helper()
	select {
	case code := <-c:
		c <- code
		return code
	case <-time.After(startTimeout):
		t.Fatalf("it does not end: %s", said)
		return -1
	}
}

// telling is a command with --json in this process.
type telling struct {
	t      *testing.T
	events chan mezu.Event
	errors *testkit.Buffer
	cancel context.CancelFunc
	code   exitCode
}

// tell runs a command that tells of events until the test ends.
func tell(t *testing.T, getenv func(string) string, args ...string) *telling {
	r := &telling{t: t, events: make(chan mezu.Event, 1000), errors: &testkit.Buffer{}, code: make(exitCode, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	out, in := io.Pipe()
	go r.read(out)
	go func() {
		code := run(ctx, args, getenv, terminal.Streams{In: strings.NewReader(""), Out: in, Err: r.errors})
		in.Close()
		r.code <- code
	}()
	t.Cleanup(func() { r.stop() })
	return r
}

// running is "mezu dev --json" in this process.
type running struct {
	*telling
	t     *testing.T
	home  string
	ready mezu.Event
}

// start runs the program on free ports and waits until it is ready.
func start(t *testing.T, home string, args ...string) *running {
	t.Helper()
	r := &running{t: t, home: home}
	// Of two flags the last wins.
	r.telling = tell(t, r.getenv, append([]string{"dev", "--json", "--https-addr", "127.0.0.1:0", "--api-addr", "127.0.0.1:0"}, args...)...)
	r.ready = r.await(mezu.EventReady)
	return r
}

func (r *running) getenv(key string) string {
	return map[string]string{"MEZU_HOME": r.home, "MEZU_PROJECT": "shop", "MEZU_NO_KEYRING": "1"}[key]
}

func (r *telling) read(out io.Reader) {
	defer close(r.events)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var e mezu.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			r.t.Errorf("stdout has %q: %v", lines.Text(), err)
		}
		r.events <- e
	}
}

// await gives the next event of a kind.
func (r *telling) await(kind mezu.EventKind) mezu.Event {
	r.t.Helper()
	late := time.After(startTimeout)
	for {
		select {
		case e, ok := <-r.events:
			if !ok {
				r.t.Fatalf("ended without %s: %s", kind, r.errors)
			}
			if e.Event == kind {
				return e
			}
		case <-late:
			r.t.Fatalf("no %s: %s", kind, r.errors)
		}
	}
}

// stop ends the program as the first signal does, and gives its code.
func (r *telling) stop() int {
	r.t.Helper()
	r.cancel()
	return r.code.wait(r.t, r.errors)
}

// client speaks to the public endpoint.
func (r *running) client() *http.Client {
	roots, err := invocation.Roots(r.ready.CAFile)
	if err != nil {
		r.t.Fatal(err)
	}
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			_, port, _ := net.SplitHostPort(addr)
			return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:"+port)
		},
	}
	r.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: startTimeout}
}

// mezu runs another command against this run, as its profile allows.
func (r *running) mezu(args ...string) (code int, out, talk string) {
	var stdout, stderr bytes.Buffer
	code = run(context.Background(), args, r.getenv, terminal.Streams{In: strings.NewReader(""), Out: &stdout, Err: &stderr})
	return code, stdout.String(), stderr.String()
}

func TestDevServesTheDemo(t *testing.T) {
	r := start(t, t.TempDir())
	if want := "https://shop-development-dev.localhost:"; !strings.HasPrefix(r.ready.URL, want) || r.ready.WarpgateID == "" || r.ready.Upstream == "" {
		t.Errorf("ready: %+v", r.ready)
	}
	client := r.client()
	t.Run("page", func(t *testing.T) { checkPage(t, client, r.ready.URL) })
	t.Run("echo", func(t *testing.T) { checkEcho(t, client, r.ready.URL) })
	t.Run("events", func(t *testing.T) { checkEvents(t, client, r.ready.URL) })
	t.Run("socket", func(t *testing.T) { checkSocket(t, client, r.ready.URL) })
	for {
		e := r.await(mezu.EventRequest)
		if e.Path == "/echo" {
			if e.Method != "POST" || e.Status != 200.0 {
				t.Errorf("request: %+v", e)
			}
			break
		}
	}
	t.Run("profile", func(t *testing.T) {
		if code, out, talk := r.mezu("projects", "list"); code != 0 || !strings.HasPrefix(out, "shop\t") || talk != "" {
			t.Errorf("code %d, %q, %q", code, out, talk)
		}
		if code, _, _ := r.mezu("projects", "show", "nothing"); code != 4 {
			t.Errorf("a project that isn't there: code %d", code)
		}
	})
	// It names mezu trust, which finds the CA by the profile, unless both are gone with the run. Here
	// is no store to put the CA into.
	t.Run("trust", func(t *testing.T) {
		for _, ephemeral := range []bool{false, true} {
			var said testkit.Buffer
			o := dev.Options{Invocation: &invocation.Invocation{Streams: terminal.Streams{Out: &said, Err: &said}, Getenv: r.getenv}, Ephemeral: ephemeral}
			newDevOutput(o, slog.New(slog.DiscardHandler)).ready(r.ready, true, 1)
			if named := strings.Contains(said.String(), "\n  trust      mezu trust --profile dev has browsers here accept its certificate\n"); named == ephemeral {
				t.Errorf("%s", &said)
			}
		}
		if code, _, talk := r.mezu("trust", "--profile", "dev", "--user", "--yes"); code != 6 || !strings.Contains(talk, "no store") || !strings.Contains(talk, r.ready.CAFile) {
			t.Errorf("code %d, %s", code, talk)
		}
	})
	client.CloseIdleConnections()
	if code := r.stop(); code != 0 {
		t.Errorf("stopped with %d: %s", code, r.errors)
	}
	r.await(mezu.EventStopped)
	if text := r.errors.String(); text != "" {
		t.Errorf("stderr of a good run: %s", text)
	}
}

func checkPage(t *testing.T, client *http.Client, url string) {
	req, err := http.NewRequest("GET", url+"/some/path?q=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/html")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 || !strings.Contains(string(body), "GET /some/path?q=1 HTTP/1.1") || !strings.Contains(string(body), "X-Forwarded-Proto: https") {
		t.Errorf("%d %s, %v", resp.StatusCode, body, err)
	}
}

func checkEcho(t *testing.T, client *http.Client, url string) {
	sent := make([]byte, 3<<20)
	rand.Read(sent)
	resp, err := client.Post(url+"/echo", "application/octet-stream", bytes.NewReader(sent))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes of %d came back, %v", len(got), len(sent), err)
	}
}

func checkEvents(t *testing.T, client *http.Client, url string) {
	resp, err := client.Get(url + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	line, err := bufio.NewReader(resp.Body).ReadString('\n')
	if err != nil || line != "id: 0\n" || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("%q, %v", line, err)
	}
}

func checkSocket(t *testing.T, client *http.Client, url string) {
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, url+"/socket", &websocket.DialOptions{HTTPClient: client})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	conn.SetReadLimit(1 << 20)
	for _, n := range []int{1, 125, 126, 65535, 65536, 500_000} {
		sent := strings.Repeat("x", n)
		if err := conn.Write(ctx, websocket.MessageText, []byte(sent)); err != nil {
			t.Fatal(err)
		}
		kind, got, err := conn.Read(ctx)
		if err != nil || kind != websocket.MessageText || string(got) != sent {
			t.Fatalf("%d bytes: %v, %d came back, %v", n, kind, len(got), err)
		}
	}
	if err := conn.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Error(err)
	}
}

// TestDevAgain: a second run finds what the first left; an ephemeral one leaves
// nothing.
func TestDevAgain(t *testing.T) {
	home := t.TempDir()
	mine := workload(t, says("mine"))
	r := start(t, home, mine)
	if code, _, talk := r.mezu("projects", "create", "second"); code != 0 {
		t.Fatal(talk)
	}
	if code, _, talk := r.mezu("dev", "--https-addr", "127.0.0.1:0", "--api-addr", "127.0.0.1:0"); code != 5 || !strings.Contains(talk, "mezu dev runs already") {
		t.Errorf("twice at once: code %d, %s", code, talk)
	}
	if code := r.stop(); code != 0 {
		t.Fatalf("code %d: %s", code, r.errors)
	}
	if code, _, talk := r.mezu("projects", "list"); code != 6 || !strings.Contains(talk, "mezu dev") {
		t.Errorf("stopped: code %d, %s", code, talk)
	}
	again := start(t, home, mine, "--api-addr", strings.TrimPrefix(r.ready.API, "https://"))
	// The edge has moved to another port meanwhile.
	if again.ready.URL == r.ready.URL {
		t.Errorf("still at %s", r.ready.URL)
	}
	if again.ready.Token != r.ready.Token {
		t.Error("the second run has another token")
	}
	if again.ready.WarpgateID != r.ready.WarpgateID {
		t.Errorf("Warpgate %s became %s", r.ready.WarpgateID, again.ready.WarpgateID)
	}
	resp, err := again.client().Get(again.ready.URL)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if string(body) != "mine" || err != nil {
		t.Errorf("%q, %v", body, err)
	}
	if code, out, _ := again.mezu("projects", "list"); code != 0 || !strings.Contains(out, "second") {
		t.Errorf("code %d, %q", code, out)
	}
	if code := again.stop(); code != 0 {
		t.Fatalf("code %d: %s", code, again.errors)
	}
}

func TestDevEphemeral(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	r := start(t, t.TempDir(), "--ephemeral")
	if code := r.stop(); code != 0 {
		t.Fatalf("code %d: %s", code, r.errors)
	}
	for _, dir := range []string{os.TempDir(), filepath.Join(r.home, "state"), filepath.Join(r.home, "config", "profiles"), filepath.Join(r.home, "config", "credentials")} {
		if left, err := os.ReadDir(dir); len(left) > 0 || err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v, %v", dir, left, err)
		}
	}
}

// Issue 7, row 25: without a home, or with one that can't be written, mezu dev runs where
// it is told to, and says that other commands won't find it; else it says what to do.
func TestRow25DevWithoutHome(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := start(t, filepath.Join(file, "below"), "--state", t.TempDir())
	if code := r.stop(); code != 0 || !strings.Contains(r.errors.String(), "the profile could not be written") {
		t.Errorf("code %d: %s", code, r.errors)
	}
	for what, env := range map[string]map[string]string{"no home": {}, "a file": {"MEZU_HOME": file}} {
		var out, talk bytes.Buffer
		code := run(t.Context(), []string{"dev", "--https-addr", "127.0.0.1:0", "--api-addr", "127.0.0.1:0"}, func(k string) string { return env[k] }, terminal.Streams{In: strings.NewReader(""), Out: &out, Err: &talk})
		if code != 2 || !strings.Contains(talk.String(), "--state DIR") || !strings.Contains(talk.String(), "--ephemeral") {
			t.Errorf("%s: code %d, %s", what, code, &talk)
		}
		talk.Reset()
		if code := run(t.Context(), []string{"--help"}, func(k string) string { return env[k] }, terminal.Streams{In: strings.NewReader(""), Out: &out, Err: &talk}); code != 0 || out.Len() == 0 {
			t.Errorf("%s: --help: code %d, %s", what, code, &talk)
		}
	}
}

func TestDevRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	open := t.TempDir()
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	r := &running{t: t, home: t.TempDir()}
	for name, c := range map[string]struct {
		args []string
		code int
		say  []string
	}{
		"public port in use": {[]string{"--https-addr", taken.Addr().String(), "--api-addr", "127.0.0.1:0"}, 1, []string{taken.Addr().String(), "--https-addr"}},
		"API port in use":    {[]string{"--api-addr", taken.Addr().String(), "--https-addr", "127.0.0.1:0"}, 1, []string{taken.Addr().String(), "--api-addr"}},
		"no folder":          {[]string{"--state", file, "--api-addr", "127.0.0.1:0", "--https-addr", "127.0.0.1:0"}, 2, []string{file}},
		// Issue 7, row 13.
		"folder of everyone": {[]string{"--state", open}, 2, []string{open + " can be written by everyone", "chmod go-w " + open}},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, talk := r.mezu(append([]string{"dev"}, c.args...)...)
			if code != c.code || out != "" {
				t.Errorf("code %d, stdout %q", code, out)
			}
			for _, want := range c.say {
				if !strings.Contains(talk, want) {
					t.Errorf("%s: does not name %s", talk, want)
				}
			}
		})
	}
}
