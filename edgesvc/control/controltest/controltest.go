// Package controltest runs a whole control plane inside a test, with a store and a
// clock that the test moves, and gives it clients of every kind of caller. Each answer
// is held against the OpenAPI document.
//
// What lives here: what tests of several packages share. What may not: a test of an
// operation, which belongs beside its noun. Tests alone import it.
package controltest

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

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control"
	"github.com/mezusphere/mezu/edgesvc/control/state"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/testkit"
)

// Race runs n calls at once and counts the ones that win.
func Race(n int, try func(i int) error) (won int, lost []error) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			err := try(i)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won++
			} else {
				lost = append(lost, err)
			}
		})
	}
	close(start)
	wg.Wait()
	return won, lost
}

// Clock is a time that tests move.
type Clock struct {
	mu    sync.Mutex
	Shift time.Duration
}

// Now is the true time, shifted.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.Shift)
}

// Advance moves the clock.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Shift += d
}

// Installation is a running control plane in a directory of its own.
type Installation struct {
	T       *testing.T
	Dir     string
	Clock   *Clock
	Log     *testkit.Buffer
	Notice  *testkit.Buffer
	Plane   *control.Control
	Roots   *x509.CertPool
	mu      sync.Mutex // guards clients, and what Secret does
	clients []*api.Client
	// MembersMayCreateOrganizations is the setting of that name, from the next start on.
	MembersMayCreateOrganizations bool
	// TeamSignup is the setting of that name, from the next start on.
	TeamSignup mezu.SignupMode
	Driver     store.Store // if nil, the control plane's own
	Store      store.Store // what Driver holds, opened; nil without one
	Stop       func()
	// TLSTime is the time by which clients judge certificates; if nil, the true one.
	TLSTime func() time.Time
	// Secrets are all that were given out, for the scan at the end.
	Secrets []string
	// CallRate is the limit of calls; if zero, one that no test reaches.
	CallRate int
	Quotas   control.Quotas
	// NoMail says that nobody sends mail. Otherwise tests read it in the outbox.
	NoMail bool
	// SMTP and OnMail are the settings of these names, from the next start on.
	SMTP   control.SMTP
	OnMail func(control.Mail)
	// NoDeviceLogin is the setting of that name, from the next start on.
	NoDeviceLogin bool
	// contract is what the API says of itself.
	contract *contract
}

// New is an installation that doesn't run, in a directory of its own.
func New(t *testing.T) *Installation {
	t.Helper()
	slog.SetDefault(slog.New(slog.DiscardHandler)) // what libraries log by themselves goes nowhere, as in the programs
	return &Installation{T: t, Dir: t.TempDir(), Clock: &Clock{}, Log: &testkit.Buffer{}, Notice: &testkit.Buffer{}}
}

// Beside is another control plane of the installation, on its store and by its clock, in a
// directory of its own. It doesn't run.
func (in *Installation) Beside(dir string) *Installation {
	in.T.Helper()
	other := New(in.T)
	other.Dir, other.Clock, other.Driver = dir, in.Clock, in.Driver
	return other
}

// Install runs a new installation until the test ends.
func Install(t *testing.T) *Installation {
	t.Helper()
	in := New(t)
	in.Start()
	t.Cleanup(func() { in.Stop() })
	return in
}

// Assemble makes the control plane and opens nothing.
func (in *Installation) Assemble() (*control.Control, error) {
	return control.New(control.Config{CallRate: cmp.Or(in.CallRate, 100_000),
		StateDir: in.Dir, APIAddr: "127.0.0.1:0", AdminAddr: "127.0.0.1:0", Domain: "localhost", PublicPort: 8443,
		Log: slog.New(slog.NewTextHandler(in.Log, &slog.HandlerOptions{Level: slog.LevelDebug})), Notice: in.Notice, Now: in.Clock.Now, Version: "test", Store: in.Driver, MembersMayCreateOrganizations: in.MembersMayCreateOrganizations, TeamSignup: in.TeamSignup, NoDeviceLogin: in.NoDeviceLogin, Quotas: in.Quotas, Mail: !in.NoMail, SMTP: in.SMTP, OnMail: in.OnMail,
	})
}

// state is the state directory, for a look at what the control plane has in it.
func (in *Installation) state(cfg state.Config) *state.State {
	in.T.Helper()
	cfg.Dir, cfg.Program, cfg.Now, cfg.Log = in.Dir, "test", time.Now, slog.New(slog.DiscardHandler)
	dir, err := state.New(cfg)
	if err != nil {
		in.T.Fatal(err)
	}
	return dir
}

// Start opens the control plane and runs it until Stop.
func (in *Installation) Start() {
	in.T.Helper()
	plane, err := in.Assemble()
	if err != nil {
		in.T.Fatal(err)
	}
	testkit.Sparse(in.T, filepath.Join(in.Dir, "store", "ballast"), state.Ballast)
	if err := plane.Listen(); err != nil {
		in.T.Fatal(err)
	}
	if in.Driver != nil {
		dir := in.state(state.Config{Store: in.Driver})
		if err := dir.OpenStore(in.T.Context()); err != nil {
			in.T.Fatal(err)
		}
		in.Store = dir.Store()
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- plane.Run(ctx) }()
	in.Plane = plane
	in.Stop = sync.OnceFunc(func() {
		// A server waits a second for what its HTTP/2 clients still send.
		in.mu.Lock()
		for _, c := range in.clients {
			c.CloseIdle()
		}
		in.mu.Unlock()
		cancel()
		if err := <-ended; err != nil {
			in.T.Errorf("running: %v", err)
		}
	})
	pem, err := os.ReadFile(plane.CAFile())
	if err != nil {
		in.T.Fatal(err)
	}
	in.Roots = x509.NewCertPool()
	if !in.Roots.AppendCertsFromPEM(pem) {
		in.T.Fatal("the CA file has no certificate")
	}
	if in.contract, err = processContract(in); err != nil {
		in.T.Fatal(err)
	}
}

// Restart stops the control plane and starts it on the same directory.
func (in *Installation) Restart() {
	in.T.Helper()
	in.Stop()
	in.Start()
}

// Secret remembers what was given out, for the scan at the end.
func (in *Installation) Secret(s string) string {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.Secrets = append(in.Secrets, s)
	return s
}

// Client speaks with a token, a certificate, both or none.
func (in *Installation) Client(token string, cert *tls.Certificate) *api.Client {
	in.T.Helper()
	config := &tls.Config{RootCAs: in.Roots, Time: in.TLSTime}
	if cert != nil {
		config.Certificates = []tls.Certificate{*cert}
	}
	c, err := api.NewClient(api.ClientConfig{BaseURL: "https://" + in.Plane.Addr(), Token: func() (string, error) { return token, nil }, TLS: config,
		Wrap: func(carrier http.RoundTripper) http.RoundTripper { return &witness{carrier, in.T, in.contract} }})
	if err != nil {
		in.T.Fatal(err)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.clients = append(in.clients, c)
	in.T.Cleanup(c.CloseIdle)
	return c
}

// Operator redeems the bootstrap link and is the first operator.
func (in *Installation) Operator() *api.Client {
	in.T.Helper()
	return in.Client(in.OperatorToken(), nil)
}

// OperatorToken redeems the bootstrap link.
func (in *Installation) OperatorToken() string {
	in.T.Helper()
	code := in.Secret(in.BootstrapCode())
	out, err := api.Invoke[api.TokenResponse](in.T.Context(), in.Client("", nil), api.OpBootstrap, api.BootstrapRequest{Code: code})
	if err != nil {
		in.T.Fatal(err)
	}
	return in.Secret(out.Token)
}

// RecoveredToken is another token of the first operator, as `mezu dev` gets one.
func (in *Installation) RecoveredToken() string {
	in.T.Helper()
	code, err := in.Plane.BootstrapCode(in.T.Context())
	if err != nil {
		in.T.Fatal(err)
	}
	out := Call[api.TokenResponse](in.T, in.Client("", nil), api.OpBootstrap, api.BootstrapRequest{Code: in.Secret(code)})
	return in.Secret(out.Token)
}

// OtherOperator is the token of an operator who is in no organization.
func (in *Installation) OtherOperator(op *api.Client) string {
	in.T.Helper()
	const elsewhere = "elsewhere"
	Call[mezu.Organization](in.T, op, api.OpCreateOrganization, map[string]any{"name": elsewhere})
	token, member := in.JoinAs(op, elsewhere, "other.operator@mezusphere.example", mezu.RoleDeveloper)
	Call[mezu.Operator](in.T, op, api.OpCreateOperator, api.OperatorRequest{Person: member.Person})
	in.Leave(in.Client(token, nil), elsewhere)
	Call[any](in.T, op, api.OpDeleteOrganization, nil, elsewhere)
	return token
}

// BootstrapCode is the code in the file of the bootstrap link.
func (in *Installation) BootstrapCode() string {
	in.T.Helper()
	text, err := os.ReadFile(filepath.Join(in.Dir, "bootstrap"))
	if err != nil {
		in.T.Fatal(err)
	}
	_, code, _ := strings.Cut(strings.TrimSpace(string(text)), "#")
	return code
}

// Bounded is the same person by a token that may do this alone.
func (in *Installation) Bounded(c *api.Client, permissions ...mezu.Permission) *api.Client {
	in.T.Helper()
	out := Call[api.TokenCreated](in.T, c, api.OpCreateToken, map[string]any{"permissions": permissions})
	return in.Client(in.Secret(out.Secret), nil)
}

// Call invokes an operation that must succeed.
func Call[Out any](t *testing.T, c *api.Client, op api.Operation, in any, params ...string) Out {
	t.Helper()
	out, err := api.Invoke[Out](t.Context(), c, op, in, params...)
	if err != nil {
		t.Fatalf("%s: %v", op.ID, err)
	}
	return out
}

// Refused invokes an operation that must fail with a code.
func Refused(t *testing.T, code mezu.Code, c *api.Client, op api.Operation, in any, params ...string) *mezu.Error {
	t.Helper()
	_, err := api.Invoke[any](t.Context(), c, op, in, params...)
	var e *mezu.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("%s: got %v, want %s", op.ID, err, code)
	}
	return e
}

// Raw sends a request as it is and gives status and body.
func (in *Installation) Raw(method, path, token, contentType, body string, header ...string) (int, http.Header, string) {
	in.T.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: in.Roots, Time: in.TLSTime}, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(in.T.Context(), method, "https://"+in.Plane.Addr()+path, strings.NewReader(body))
	if err != nil {
		in.T.Fatal(err)
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
		in.T.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		in.T.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(data)
}

// Eventually waits for a condition that nothing but a busy machine delays.
func Eventually(t *testing.T, what string, met func() bool) {
	t.Helper()
	EventuallyWithin(t, time.Minute, what, met)
}

// EventuallyWithin waits for a condition, so long at most.
func EventuallyWithin(t *testing.T, limit time.Duration, what string, met func() bool) {
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

// InstallWithStore is Install on a store that the test can write to, with settings.
func InstallWithStore(t *testing.T, settings ...func(*Installation)) *Installation {
	t.Helper()
	in := New(t)
	for _, set := range settings {
		set(in)
	}
	dir := in.state(state.Config{})
	if err := dir.OpenDriver(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	in.Driver = dir.Driver()
	in.Start()
	t.Cleanup(func() { in.Stop() })
	return in
}

// AtOnce runs something several times at the same time and counts what became of it
// by code; the empty code is success.
func AtOnce(n int, do func(i int) error) map[mezu.Code]int {
	var mu sync.Mutex
	out := map[mezu.Code]int{}
	var all sync.WaitGroup
	begin := make(chan struct{})
	for i := range n {
		all.Go(func() {
			<-begin
			err := do(i)
			code := mezu.CodeOf(err)
			var known *mezu.Error
			if err != nil && !errors.As(err, &known) {
				code = mezu.Code(err.Error())
			}
			mu.Lock()
			defer mu.Unlock()
			out[code]++
		})
	}
	close(begin)
	all.Wait()
	return out
}

// CopyKey gives an installation another's seal key, as an operator does.
func (in *Installation) CopyKey(from *Installation) {
	in.T.Helper()
	key, err := os.ReadFile(filepath.Join(from.Dir, "seal.key"))
	if err == nil {
		err = errors.Join(os.MkdirAll(in.Dir, 0o700), os.WriteFile(filepath.Join(in.Dir, "seal.key"), key, 0o600))
	}
	if err != nil {
		in.T.Fatal(err)
	}
}

// Token makes a token as the body says, and a client that has it.
func (in *Installation) Token(c *api.Client, body map[string]any) (api.TokenCreated, *api.Client) {
	in.T.Helper()
	out := Call[api.TokenCreated](in.T, c, api.OpCreateToken, body)
	return out, in.Client(in.Secret(out.Secret), nil)
}
