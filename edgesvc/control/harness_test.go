package control_test

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control"
	"github.com/mezusphere/mezu/edgesvc/control/format"
	"github.com/mezusphere/mezu/edgesvc/seal"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/sealed"
	"github.com/mezusphere/mezu/testkit"
	"github.com/mezusphere/mezu/trust"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a time that tests move.
type clock struct {
	mu    sync.Mutex
	shift time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.shift)
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shift += d
}

// installation is a running control plane in a directory of its own.
type installation struct {
	t       *testing.T
	dir     string
	clock   *clock
	log     *testkit.Buffer
	notice  *testkit.Buffer
	plane   *control.Control
	roots   *x509.CertPool
	mu      sync.Mutex // guards clients
	clients []*api.Client
	// membersFound is the setting of that name, from the next start on.
	membersFound bool
	driver       store.Store // if nil, the control plane's own
	store        store.Store // what driver holds, opened; nil without one
	stop         func()
	// tlsTime is the time by which clients judge certificates; if nil, the true one.
	tlsTime func() time.Time
	// secrets are all that were given out, for the scan at the end.
	secrets []string
	// callRate is the limit of calls; if zero, one that no test reaches.
	callRate int
	quotas   control.Quotas
	// contract is what the API says of itself.
	contract *contract
}

func install(t *testing.T) *installation {
	t.Helper()
	in := &installation{t: t, dir: t.TempDir(), clock: &clock{}, log: &testkit.Buffer{}, notice: &testkit.Buffer{}}
	in.start()
	t.Cleanup(func() { in.stop() })
	return in
}

// assemble makes the control plane and opens nothing.
func (in *installation) assemble() (*control.Control, error) {
	return control.New(control.Config{CallRate: cmp.Or(in.callRate, 100_000),
		StateDir: in.dir, APIAddr: "127.0.0.1:0", AdminAddr: "127.0.0.1:0", Domain: "localhost", PublicPort: 8443,
		Log: slog.New(slog.NewTextHandler(in.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Notice: in.notice, Now: in.clock.now, Version: "test", Store: in.driver, MembersFound: in.membersFound, Quotas: in.quotas,
	})
}

func (in *installation) start() {
	in.t.Helper()
	plane, err := in.assemble()
	if err != nil {
		in.t.Fatal(err)
	}
	if err := plane.Listen(); err != nil {
		in.t.Fatal(err)
	}
	if in.driver != nil {
		key := seal.NewWrapper(filepath.Join(in.dir, "seal.key"))
		if in.store, err = sealed.Open(in.t.Context(), in.driver, sealed.Options{Wrapper: key, Plain: format.Plain}); err != nil {
			in.t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- plane.Run(ctx) }()
	in.plane = plane
	in.stop = sync.OnceFunc(func() {
		// A server waits a second for what its HTTP/2 clients still send.
		in.mu.Lock()
		for _, c := range in.clients {
			c.CloseIdle()
		}
		in.mu.Unlock()
		cancel()
		if err := <-ended; err != nil {
			in.t.Errorf("running: %v", err)
		}
	})
	pem, err := os.ReadFile(plane.CAFile())
	if err != nil {
		in.t.Fatal(err)
	}
	in.roots = x509.NewCertPool()
	if !in.roots.AppendCertsFromPEM(pem) {
		in.t.Fatal("the CA file has no certificate")
	}
	if in.contract == nil {
		if in.contract, err = newContract(in); err != nil {
			in.t.Fatal(err)
		}
	}
}

func (in *installation) restart() {
	in.t.Helper()
	in.stop()
	in.start()
}

func (in *installation) secret(s string) string {
	in.secrets = append(in.secrets, s)
	return s
}

// client speaks with a token, a certificate, both or none.
func (in *installation) client(token string, cert *tls.Certificate) *api.Client {
	in.t.Helper()
	config := &tls.Config{RootCAs: in.roots, Time: in.tlsTime}
	if cert != nil {
		config.Certificates = []tls.Certificate{*cert}
	}
	c, err := api.NewClient(api.ClientConfig{BaseURL: "https://" + in.plane.Addr(), Token: func() (string, error) { return token, nil }, TLS: config,
		Wrap: func(carrier http.RoundTripper) http.RoundTripper { return &witness{carrier, in.t, in.contract} }})
	if err != nil {
		in.t.Fatal(err)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.clients = append(in.clients, c)
	in.t.Cleanup(c.CloseIdle)
	return c
}

// operator redeems the bootstrap link.
func (in *installation) operator() *api.Client {
	in.t.Helper()
	return in.client(in.operatorToken(), nil)
}

func (in *installation) operatorToken() string {
	in.t.Helper()
	code := in.secret(in.bootstrapCode())
	out, err := api.Invoke[api.TokenResponse](in.t.Context(), in.client("", nil), api.OpBootstrap, api.BootstrapRequest{Code: code})
	if err != nil {
		in.t.Fatal(err)
	}
	return in.secret(out.Token)
}

func (in *installation) bootstrapCode() string {
	in.t.Helper()
	text, err := os.ReadFile(filepath.Join(in.dir, "bootstrap"))
	if err != nil {
		in.t.Fatal(err)
	}
	_, code, _ := strings.Cut(strings.TrimSpace(string(text)), "#code=")
	return code
}

// bounded is the same person by a token that may do this alone.
func (in *installation) bounded(c *api.Client, permissions ...mezu.Permission) *api.Client {
	in.t.Helper()
	out := call[api.TokenCreated](in.t, c, api.OpCreateToken, map[string]any{"permissions": permissions})
	return in.client(in.secret(out.Secret), nil)
}

// call invokes an operation that must succeed.
func call[Out any](t *testing.T, c *api.Client, op api.Operation, in any, params ...string) Out {
	t.Helper()
	out, err := api.Invoke[Out](t.Context(), c, op, in, params...)
	if err != nil {
		t.Fatalf("%s: %v", op.ID, err)
	}
	return out
}

// refused invokes an operation that must fail with a code.
func refused(t *testing.T, code mezu.Code, c *api.Client, op api.Operation, in any, params ...string) *mezu.Error {
	t.Helper()
	_, err := api.Invoke[any](t.Context(), c, op, in, params...)
	var e *mezu.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("%s: got %v, want %s", op.ID, err, code)
	}
	return e
}

// tenant is an organization with a project and an environment.
type tenant struct {
	in          *installation
	owner       *api.Client
	org, prj    string
	environment mezu.Environment
}

func (in *installation) tenant(owner *api.Client, org string) *tenant {
	in.t.Helper()
	call[mezu.Organization](in.t, owner, api.OpCreateOrganization, map[string]any{"name": org})
	call[mezu.Project](in.t, owner, api.OpCreateProject, map[string]any{"name": "shop"}, org)
	env := call[mezu.Environment](in.t, owner, api.OpCreateEnvironment, map[string]any{"name": "production"}, org, "shop")
	return &tenant{in, owner, org, "shop", env}
}

func (x *tenant) account(name string, permissions ...mezu.Permission) (mezu.ServiceAccount, string) {
	x.in.t.Helper()
	out := call[api.ServiceAccountCreated](x.in.t, x.owner, api.OpCreateServiceAccount, map[string]any{"name": name, "permissions": permissions}, x.org, x.prj)
	return out.ServiceAccount, x.in.secret(out.Key)
}

func (x *tenant) path(more ...string) []string {
	return append([]string{x.org, x.prj, x.environment.Name}, more...)
}

// identity is a key and the certificate that it got.
type identity struct {
	csr  string
	key  []byte
	id   string
	cert *tls.Certificate
}

func newIdentity(t *testing.T) *identity {
	t.Helper()
	key, pem, err := trust.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	csr, err := trust.CSR(key)
	if err != nil {
		t.Fatal(err)
	}
	return &identity{csr: csr, key: pem}
}

func (i *identity) take(t *testing.T, chain, id string) {
	t.Helper()
	cert, err := trust.KeyPair([]byte(chain), i.key)
	if err != nil {
		t.Fatal(err)
	}
	i.cert, i.id = cert, id
}

func (in *installation) register(key, environment string) (*identity, api.RegisterResponse) {
	in.t.Helper()
	w := newIdentity(in.t)
	out := call[api.RegisterResponse](in.t, in.client(key, nil), api.OpRegisterWarpgate, api.RegisterRequest{CSR: w.csr, Environment: environment, Version: "1.0"})
	w.take(in.t, out.Certificates, out.Warpgate)
	return w, out
}

func (in *installation) joinToken(operator *api.Client) string {
	in.t.Helper()
	return in.secret(call[api.JoinTokenResponse](in.t, operator, api.OpCreateJoinToken, nil).Token)
}

func (in *installation) enrol(operator *api.Client, name string) (*identity, api.EnrolResponse) {
	in.t.Helper()
	e := newIdentity(in.t)
	out := call[api.EnrolResponse](in.t, in.client(in.joinToken(operator), nil), api.OpEnrolEdge,
		api.EnrolRequest{CSR: e.csr, Name: name, TunnelAddress: "127.0.0.1:9443", Version: "1.0"})
	e.take(in.t, out.Certificates, out.Edge)
	return e, out
}

// raw sends a request as it is and gives status and body.
func (in *installation) raw(method, path, token, contentType, body string, header ...string) (int, http.Header, string) {
	in.t.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: in.roots, Time: in.tlsTime}, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(in.t.Context(), method, "https://"+in.plane.Addr()+path, strings.NewReader(body))
	if err != nil {
		in.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		in.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		in.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(data)
}

// eventually waits for a condition that nothing but a busy machine delays.
func eventually(t *testing.T, what string, met func() bool) {
	t.Helper()
	eventuallyWithin(t, time.Minute, what, met)
}

// eventuallyWithin waits for a condition, so long at most.
func eventuallyWithin(t *testing.T, limit time.Duration, what string, met func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !met() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		<-tick.C
	}
}
