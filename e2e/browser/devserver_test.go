//go:build unix

package browser

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/testkit"
)

// devServers is the folder with the dev servers and their versions.
const devServers = "../../tools/devservers"

// devServer is one of them.
type devServer struct {
	name string
	// args are the program and its arguments, without the port, which follows.
	args []string
	// source is the file that is edited.
	source string
	// says is the hint to its refusal of a name that it doesn't know, status what it answers to
	// the page under such a name.
	says   string
	status int
}

// Before and after the edit.
const wordsBefore, wordsAfter = "before the edit", "after the edit"

// quiet is how long a dev server that has said all says nothing.
const quiet = time.Second

func vite() devServer {
	return devServer{"vite", []string{"vite", "--strictPort", "--clearScreen", "false", "--port"}, "src/words.js", "Vite refuses the name", http.StatusForbidden}
}

// TestDevServers puts dev servers as they are behind "mezu tunnel".
func TestDevServers(t *testing.T) {
	w := newDevServerWorld(t)
	for _, d := range []devServer{
		vite(),
		{"next", []string{"next", "dev", "-p"}, "app/page.jsx", "Next refuses its development files", http.StatusOK},
	} {
		t.Run(d.name, func(t *testing.T) {
			dir, port := w.run(t, d)
			t.Run("hint", func(t *testing.T) { w.hint(t, d, port) })
			t.Run("hot update", func(t *testing.T) { w.hotUpdate(t, d, dir, port) })
		})
	}
}

// hint: a dev server that refuses the public name is recognized, and the tunnel says once what
// to type. It serves on.
func (w *devServerWorld) hint(t *testing.T, d devServer, port string) {
	address, log := w.tunnel(t, "--name", d.name+"-hint", port)
	w.visitor(t).visit(address + "/")
	w.await(t, "the hint", func() bool { return strings.Contains(log.String(), d.says) })
	for range 3 {
		if got := w.status(t, address+"/"); got != d.status {
			t.Errorf("status %d", got)
		}
	}
	if n := strings.Count(log.String(), d.says); n != 1 {
		t.Errorf("the hint came %d times", n)
	}
	if !strings.Contains(log.String(), "mezu tunnel "+port+" --host-header target") {
		t.Errorf("the hint has no fix:\n%s", log.String())
	}
}

// hotUpdate edits a source file: the page that is open shows the change, which came over the
// WebSocket, and is not loaded again.
func (w *devServerWorld) hotUpdate(t *testing.T, d devServer, dir, port string) {
	address, _ := w.tunnel(t, "--host-header", "target", "--name", d.name, port)
	b := w.visitor(t)
	frames, opened := b.frames(), b.handshakes()
	b.visit(address + "/")
	b.eventually("the page to show its words", func() bool { return b.words() == wordsBefore })
	// While a dev server still builds the page it tells of an edit in other ways, or not at all.
	var at int64
	var since time.Time
	b.eventually("the dev server to have said all over its WebSocket", func() bool {
		if n := frames.Load(); n != at {
			at, since = n, time.Now()
		}
		return at > 0 && time.Since(since) > quiet
	})
	eval[int](b, `window.stayed = 1`)
	before := frames.Load()
	path := filepath.Join(dir, filepath.FromSlash(d.source))
	source := testkit.ReadData(t, path)
	if err := os.WriteFile(path, bytes.Replace(source, []byte(wordsBefore), []byte(wordsAfter), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	b.eventually("the page to show the edit", func() bool { return b.words() == wordsAfter })
	if eval[int](b, `window.stayed || 0`) != 1 {
		t.Error("the page was loaded again")
	}
	if frames.Load() == before {
		t.Error("nothing came over the WebSocket")
	}
	if got := opened(); got[http.StatusOK] == 0 || len(got) != 1 {
		t.Errorf("the WebSocket came over HTTP/1.1: %v", got)
	}
}

// words are what the page of a dev server shows.
func (b *tab) words() string {
	b.t.Helper()
	return eval[string](b, `(document.querySelector("#words") || {textContent: ""}).textContent`)
}

// frames counts what comes over WebSockets from now on.
func (b *tab) frames() *atomic.Int64 {
	b.t.Helper()
	n := new(atomic.Int64)
	if err := chromedp.Listen(b.ctx, func(event any) {
		if _, ok := event.(*network.EventWebSocketFrameReceived); ok {
			n.Add(1)
		}
	}); err != nil {
		b.t.Fatal(err)
	}
	return n
}

// handshakes counts WebSockets that open from now on by their status: 101 over HTTP/1.1, and 200 over
// HTTP/2 (RFC 8441).
func (b *tab) handshakes() func() map[int64]int {
	b.t.Helper()
	var mu sync.Mutex
	seen := map[int64]int{}
	if err := chromedp.Listen(b.ctx, func(event any) {
		if e, ok := event.(*network.EventWebSocketHandshakeResponseReceived); ok {
			mu.Lock()
			defer mu.Unlock()
			seen[e.Response.Status]++
		}
	}); err != nil {
		b.t.Fatal(err)
	}
	return func() map[int64]int {
		mu.Lock()
		defer mu.Unlock()
		return maps.Clone(seen)
	}
}

// devServerWorld is an installation with a domain of its own, and a Chromium that finds it.
type devServerWorld struct {
	*world
	dir, api, caFile, token string
	// proxy is the address of a proxy that finds the endpoints, as name servers would.
	proxy   string
	program string // mezu
	edge    string
}

func newDevServerWorld(t *testing.T) *devServerWorld {
	t.Helper()
	testkit.Programs(t, "chromium")
	if _, err := os.Stat(filepath.Join(devServers, "node_modules", ".bin", "vite")); err != nil {
		testkit.Missing(t, "what tools/devservers names")
	}
	w := &devServerWorld{dir: t.TempDir(), world: &world{}}
	w.world.dir = w.dir
	w.program = w.build(t, "mezu")
	t.Cleanup(func() { // it outlives the commands
		c := exec.Command(w.program, "daemon", "stop")
		c.Env = append(os.Environ(), "MEZU_HOME="+filepath.Join(w.dir, "home"))
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("stopping the daemon: %v\n%s", err, out)
		}
	})
	w.install(t, w.build(t, "mezusphere"))
	return w
}

// build builds a program, or gives that which is to be tested in its place.
func (w *devServerWorld) build(t *testing.T, name string) string {
	t.Helper()
	if dir := os.Getenv(programsVariable); dir != "" {
		return filepath.Join(dir, name)
	}
	program := filepath.Join(w.dir, name)
	if out, err := exec.Command("go", append(append([]string{"build", "-o", program}, raceFlag...), "../../cmd/"+name)...).CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", name, err, out)
	}
	return program
}

// install runs control plane and edge, and a browser that trusts the edge.
func (w *devServerWorld) install(t *testing.T, program string) {
	t.Helper()
	var err error
	if w.edge, err = freeAddr(); err != nil {
		t.Fatal(err)
	}
	if w.api, err = freeAddr(); err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(w.edge)
	state := filepath.Join(w.dir, "state")
	cert, key, public := wildcard(t, w.dir)
	w.start(t, nil, program, "all", "--state", state, "--api-addr", w.api, "--domain", edgeDomain, "--public-port", port,
		"--https-addr", w.edge, "--admin-addr", "", "--edge-admin-addr", "", "--tls-cert", cert, "--tls-key", key)
	link := filepath.Join(state, "control", "bootstrap")
	w.await(t, "the bootstrap link", func() bool { info, err := os.Stat(link); return err == nil && info.Size() > 0 })
	_, code, _ := strings.Cut(strings.TrimSpace(string(testkit.ReadData(t, link))), "#")
	// Programs believe the control plane and the edge, each by its own.
	trusted := append(testkit.ReadData(t, filepath.Join(state, "control", "ca.pem")), testkit.ReadData(t, cert)...)
	w.caFile = filepath.Join(w.dir, "roots.pem")
	if err := os.WriteFile(w.caFile, trusted, 0o600); err != nil {
		t.Fatal(err)
	}
	w.roots = x509.NewCertPool()
	w.roots.AppendCertsFromPEM(trusted)
	w.token = invoke[api.TokenResponse](t, w.client(t), api.OpBootstrap, api.BootstrapRequest{Code: code}).Token
	invoke[mezu.Organization](t, w.client(t), api.OpCreateOrganization, mezu.Organization{Name: "acme"})
	if err := w.startChromium(keyOf(public)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.stopChromium(); err != nil {
			t.Error(err)
		}
	})
	proxy := &http.Server{Handler: http.HandlerFunc(w.connect), ReadHeaderTimeout: patience}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go proxy.Serve(l)
	t.Cleanup(func() { proxy.Close() })
	w.proxy = "http://" + l.Addr().String()
}

// wildcard makes a certificate of all endpoints, and gives its files.
func wildcard(t *testing.T, dir string) (cert, key string, public *x509.Certificate) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public = &x509.Certificate{IsCA: true, BasicConstraintsValid: true, SerialNumber: big.NewInt(1), DNSNames: []string{"*." + edgeDomain}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, public, public, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	if public, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "edge.pem"), filepath.Join(dir, "edge.key")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key, public
}

// connect carries to the edge what is for its domain (RFC 9110, 9.3.6).
func (w *devServerWorld) connect(out http.ResponseWriter, r *http.Request) {
	host, _, _ := net.SplitHostPort(r.Host)
	if r.Method != http.MethodConnect || !strings.HasSuffix(host, "."+edgeDomain) {
		http.Error(out, "for "+edgeDomain+" only", http.StatusForbidden)
		return
	}
	to, err := net.Dial("tcp", w.edge)
	if err != nil {
		http.Error(out, err.Error(), http.StatusBadGateway)
		return
	}
	defer to.Close()
	from, buffered, err := http.NewResponseController(out).Hijack()
	if err != nil {
		return
	}
	defer from.Close()
	fmt.Fprint(from, "HTTP/1.1 200 OK\r\n\r\n")
	go func() {
		defer from.Close()
		io.Copy(from, to)
	}()
	io.Copy(to, buffered)
}

func (w *devServerWorld) client(t *testing.T) *api.Client {
	t.Helper()
	c, err := api.NewClient(api.ClientConfig{BaseURL: "https://" + w.api, TLS: &tls.Config{RootCAs: w.roots}, Token: func() (string, error) { return w.token, nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdle)
	return c
}

func invoke[Out any](t *testing.T, c *api.Client, op api.Operation, in any) Out {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := api.Invoke[Out](ctx, c, op, in)
	if err != nil {
		t.Fatalf("%s: %v", op.ID, err)
	}
	return out
}

// run runs a dev server on a copy of its folder. It finds its modules in the folders above.
func (w *devServerWorld) run(t *testing.T, d devServer) (dir, port string) {
	t.Helper()
	above, err := os.MkdirTemp(devServers, "run-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(above) })
	dir = filepath.Join(above, d.name)
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(devServers, d.name))); err != nil {
		t.Fatal(err)
	}
	addr, err := freeAddr()
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ = net.SplitHostPort(addr)
	program, err := filepath.Abs(filepath.Join(devServers, "node_modules", ".bin", d.args[0]))
	if err != nil {
		t.Fatal(err)
	}
	w.start(t, func(c *exec.Cmd) { c.Dir = dir }, program, append(d.args[1:], port)...)
	w.await(t, d.name+" to answer", func() bool {
		resp, err := http.Get("http://localhost:" + port)
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return dir, port
}

// tunnel opens a tunnel and waits until it is ready. The log has what it says.
func (w *devServerWorld) tunnel(t *testing.T, args ...string) (address string, log *testkit.Buffer) {
	t.Helper()
	p := &devProcess{program: w.program, home: w.dir, mail: func(mail) {},
		args: append([]string{"tunnel", "--json", "--api", "https://" + w.api, "--ca-file", w.caFile, "--org", "acme", "--project", "shop"}, args...),
		env:  []string{"MEZU_TOKEN=" + w.token, "HTTPS_PROXY=" + w.proxy, "NO_PROXY="}}
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("mezu tunnel:\n%s", p.log.String())
		}
	})
	return p.url, &p.log
}

// status asks the edge for an address.
func (w *devServerWorld) status(t *testing.T, address string) int {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: w.roots}, DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, w.edge)
		}}
	resp, err := (&http.Client{Transport: transport, Timeout: patience}).Get(address)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// start runs a program until the end of the test.
func (w *devServerWorld) start(t *testing.T, change func(*exec.Cmd), program string, args ...string) *exec.Cmd {
	t.Helper()
	log := new(testkit.Buffer)
	c := exec.Command(program, args...)
	c.Stdout, c.Stderr = log, log
	c.Env = append(os.Environ(), "NEXT_TELEMETRY_DISABLED=1")
	c.WaitDelay = time.Second
	if change != nil {
		change(c)
	}
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // dev servers start others
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		c.Wait()
		if t.Failed() {
			t.Logf("%s:\n%s", filepath.Base(program), log.String())
		}
	})
	return c
}

// await waits for a condition.
func (w *devServerWorld) await(t *testing.T, what string, met func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !met() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waiting for %s", what)
		}
	}
}
