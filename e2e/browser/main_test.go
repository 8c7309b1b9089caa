package browser

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/testkit"
)

// patience bounds every wait of a test: a busy machine is slow, a hang is for ever.
const patience = 30 * time.Second

// programsVariable names a folder with a program that is tested in place of that of this
// commit.
const programsVariable = "MEZU_PROGRAMS"

// soakVariable asks for the long forms of tests.
const soakVariable = "MEZU_SOAK"

// manifest is the mezu.yaml of the tests: people log in for what is below /my/, and pages of the
// foreign site, whose origin it names, may read what is below /cors/.
const manifest = `project: shop
directories:
  users:
    signup: open
    brand: {name: Acme Shop, color: "#0b5d3b"}
environments:
  development:
    directory: users
    routes:
      - {prefix: /my/, auth: required}
      - prefix: /cors/
        cors: {allow_origins: ["%[1]s"], allow_methods: [PUT], allow_headers: [Content-Type, X-Trace], expose_headers: [X-Total], allow_credentials: true, max_age: 10m}
      - {prefix: /cors/my/, auth: required, cors: {allow_origins: ["%[1]s"], allow_headers: [Content-Type], allow_credentials: true}}
      - {prefix: /cors/gone/, upstream: "localhost:1", cors: {allow_origins: ["%[1]s"]}}
      - {prefix: /cors/few/, rate_limit: {requests: 1, per: 1h, by: ip}, cors: {allow_origins: ["%[1]s"]}}
      - {prefix: /cors/all/, cors: {allow_origins: ["*"], allow_headers: ["*"]}}
      - {prefix: /}
  cookieless:
    directory: users
    routes:
      - {prefix: /, auth: required}
`

// world is what all tests share: "mezu dev" with a workload, and Chromium.
type world struct {
	dir      string
	workload *httptest.Server
	// foreign is another site on the same host name: browsers send it the same cookies.
	foreign *httptest.Server
	dev     *devProcess
	public  string // the address at which both environments are served
	url     string // of the environment
	// cookieless is the address of an environment for which Chromium keeps no cookies.
	cookieless string
	// site is the address of the control plane's pages.
	site    string
	roots   *x509.CertPool
	chrome  context.Context
	users   atomic.Int64 // that have an address
	joining sync.Once    // of the account that tests share
	joined  string
	posts   sync.Map // the forms that the workload got, by their path

	mu    sync.Mutex
	mails map[string][]mail
	came  chan struct{} // closed when the next mail comes
}

// mail is one that "mezu dev" tells of.
type mail struct {
	To, Subject, Text string
	Links             []string
}

var shared world

// atOnce is how many tests run at once, on however many cores: one network gets twenty pages a
// second, and theirs is one.
const atOnce = "2"

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", atOnce); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	code := m.Run()
	if err := shared.stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// begin starts the world with the first test that needs it.
var begin = sync.OnceValue(func() error { return shared.start() })

// newWorld is the world, or skips the test where there is no browser.
func newWorld(t *testing.T) *world {
	t.Helper()
	testkit.Programs(t, "chromium")
	if err := begin(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of mezu dev:\n%s", shared.dev.log.String())
		}
	})
	return &shared
}

func (w *world) start() (err error) {
	w.mails, w.came = map[string][]mail{}, make(chan struct{})
	if w.dir, err = os.MkdirTemp("", "mezu-browser-"); err != nil {
		return err
	}
	program := filepath.Join(os.Getenv(programsVariable), "mezu")
	if os.Getenv(programsVariable) == "" {
		program = filepath.Join(w.dir, "mezu")
		args := append(append([]string{"build", "-o", program}, raceFlag...), "../../cmd/mezu")
		if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("building mezu: %w\n%s", err, out)
		}
	}
	w.workload, w.foreign = httptest.NewServer(w.application()), httptest.NewTLSServer(foreign())
	if err := os.WriteFile(filepath.Join(w.dir, "mezu.yaml"), fmt.Appendf(nil, manifest, w.foreign.URL), 0o600); err != nil {
		return err
	}
	if w.public, err = freeAddr(); err != nil {
		return err
	}
	apiAddr, err := freeAddr()
	if err != nil {
		return err
	}
	w.dev = &devProcess{program: program, args: []string{
		"dev", "--json", "--file", filepath.Join(w.dir, "mezu.yaml"), "--state", filepath.Join(w.dir, "state"), "--https-addr", w.public, "--api-addr", apiAddr, w.workload.URL,
	}, home: w.dir, mail: w.keep}
	if err := w.dev.start(); err != nil {
		return err
	}
	w.url = w.dev.url
	pem, err := os.ReadFile(w.dev.ca)
	if err != nil {
		return err
	}
	w.roots = x509.NewCertPool()
	w.roots.AppendCertsFromPEM(pem)
	if w.cookieless, err = w.environment("cookieless"); err != nil {
		return err
	}
	keys := []string{keyOf(w.foreign.Certificate())}
	w.site = "https://localhost:" + w.dev.api[strings.LastIndexByte(w.dev.api, ':')+1:]
	for address, at := range map[string]string{w.url: w.public, w.cookieless: w.public, w.site: strings.TrimPrefix(w.dev.api, "https://")} {
		of, err := w.publicKeys(address, at)
		if err != nil {
			return err
		}
		keys = append(keys, of...)
	}
	return w.startChromium(keys...)
}

// environment is the address of another environment.
func (w *world) environment(name string) (string, error) {
	client, err := api.NewClient(api.ClientConfig{BaseURL: w.dev.api, TLS: &tls.Config{RootCAs: w.roots}, UserAgent: "test", Token: func() (string, error) { return w.dev.token, nil }})
	if err != nil {
		return "", err
	}
	defer client.CloseIdle()
	env, err := api.Invoke[mezu.Environment](context.Background(), client, api.OpGetEnvironment, nil, "dev", "shop", name)
	return env.URL, err
}

// portsTaken counts those of freeAddr.
var portsTaken atomic.Int64

// freeAddr is an address that nobody listens on, below the ports that the kernel gives away:
// nobody takes it before the program that it is for, and that may come back to it. No other
// caller gets it.
func freeAddr() (string, error) {
	const first, count = 12_000, 7_000
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", first+(int64(os.Getpid())*97+portsTaken.Add(1))%count)
		if l, err := net.Listen("tcp", addr); err == nil {
			return addr, l.Close()
		}
	}
	return "", errors.New("no port is free")
}

// publicKeys are those of the certificates of an address, which at serves, and which are the
// installation's: one that it has after a restart is signed by one of them. Chromium is told to
// trust them, and takes nothing else that is wrong with a certificate.
func (w *world) publicKeys(address, at string) (keys []string, err error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	conn, err := tls.Dial("tcp", at, &tls.Config{RootCAs: w.roots, ServerName: u.Hostname()})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	for _, c := range conn.ConnectionState().PeerCertificates {
		keys = append(keys, keyOf(c))
	}
	return keys, nil
}

// keyOf is how Chromium names the public key of a certificate.
func keyOf(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// stop ends what start began.
func (w *world) stop() error {
	var errs []error
	if w.chrome != nil {
		errs = append(errs, w.stopChromium())
	}
	if w.dev != nil {
		errs = append(errs, w.dev.stop())
	}
	for _, s := range []*httptest.Server{w.workload, w.foreign} {
		if s != nil {
			s.CloseClientConnections()
			s.Close()
		}
	}
	if w.dir != "" {
		errs = append(errs, os.RemoveAll(w.dir))
	}
	return errors.Join(errs...)
}

func (w *world) keep(m mail) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mails[m.To] = append(w.mails[m.To], m)
	close(w.came)
	w.came = make(chan struct{})
}

// mail is the nth that somebody gets, counted from 1.
func (w *world) mail(t *testing.T, to string, nth int) mail {
	t.Helper()
	timeout := time.After(patience)
	for {
		w.mu.Lock()
		all, came := w.mails[to], w.came
		w.mu.Unlock()
		if len(all) >= nth {
			return all[nth-1]
		}
		select {
		case <-came:
		case <-timeout:
			t.Fatalf("%s got %d mails, and not %d", to, len(all), nth)
		}
	}
}

// devProcess is "mezu dev", which may be started again.
type devProcess struct {
	program, home string
	args, env     []string
	mail          func(mail)

	cmd *exec.Cmd
	log testkit.Buffer
	// What its first event says.
	url, ca, api, token string
	ended               chan error
}

// start runs the program until stop, and waits until it is ready.
func (p *devProcess) start() error {
	p.cmd = exec.Command(p.program, p.args...)
	p.cmd.Env = append(append(os.Environ(), "MEZU_HOME="+filepath.Join(p.home, "home"), "MEZU_NO_KEYRING=1"), p.env...)
	p.cmd.Stderr = &p.log
	lines, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	ready := make(chan struct{})
	p.ended = make(chan error, 1)
	go p.read(bufio.NewScanner(lines), ready)
	select {
	case <-ready:
		return nil
	case err := <-p.ended:
		p.ended <- err
		return fmt.Errorf("mezu %s ended: %w\n%s", p.args[0], err, p.log.String())
	case <-time.After(patience):
		return fmt.Errorf("mezu %s is not ready\n%s", p.args[0], p.log.String())
	}
}

// read reads events until there are no more.
func (p *devProcess) read(lines *bufio.Scanner, ready chan<- struct{}) {
	for lines.Scan() {
		var e struct {
			Event  string
			URL    string
			API    string
			Token  string
			CAFile string `json:"ca_file"`
			mail
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			fmt.Fprintf(&p.log, "%v in %s\n", err, lines.Text())
			continue
		}
		switch e.Event {
		case "ready":
			p.url, p.ca, p.api, p.token = e.URL, e.CAFile, e.API, e.Token
			close(ready)
		case "mail":
			p.mail(e.mail)
		case "error":
			fmt.Fprintln(&p.log, lines.Text())
		}
	}
	p.ended <- p.cmd.Wait()
}

// stop ends the program.
func (p *devProcess) stop() error {
	if p.cmd == nil || p.cmd.Process == nil {
		return nil
	}
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-p.ended:
		p.ended <- err
		if strings.Contains(p.log.String(), "DATA RACE") {
			return fmt.Errorf("mezu dev has a data race:\n%s", p.log.String())
		}
		return err
	case <-time.After(patience):
		p.cmd.Process.Kill()
		return errors.New("mezu dev did not end")
	}
}

// soak reports whether the long form of a test is asked for.
func soak() bool { return os.Getenv(soakVariable) != "" }

// at is the address of a path of the environment.
func (w *world) at(path string) string { return w.url + path }

// pathOf is what follows the host in an address.
func pathOf(address string) string {
	_, rest, _ := strings.Cut(address, "://")
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		return rest[i:]
	}
	return ""
}
