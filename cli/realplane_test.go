package cli_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/edgesvc/control"
	"github.com/mezusphere/mezu/trust"
)

// startRealPlane runs the control plane itself in this process, on a store of its own.
func startRealPlane(t *testing.T) endpoint {
	plane, err := control.New(control.Config{StateDir: filepath.Join(t.TempDir(), "state"), APIAddr: "127.0.0.1:0", Domain: "localhost", PublicPort: 8443, Version: "test",
		CallRate: 100_000}) // all scripts are one operator's, at once
	if err != nil {
		t.Fatal(err)
	}
	if err := plane.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- plane.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	e := endpoint{url: "https://" + plane.Addr(), caFile: plane.CAFile(), token: firstToken(t, plane)}
	e.reset = func() (string, error) {
		made, err := plane.ResetOperator(context.Background(), control.ResetRequest{})
		return made.Link, err
	}
	client, err := e.client(e.token)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdle)
	var made atomic.Int32
	e.organization = func(st testscript.T) string {
		name := fmt.Sprintf("org-%d", made.Add(1))
		if _, err := api.Invoke[mezu.Organization](context.Background(), client, api.OpCreateOrganization, mezu.Organization{Name: name}); err != nil {
			st.Fatal(err)
		}
		return name
	}
	return e
}

// firstToken is that of the first operator.
func firstToken(t *testing.T, plane *control.Control) string {
	t.Helper()
	code, err := plane.BootstrapCode(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	client, err := endpoint{url: "https://" + plane.Addr(), caFile: plane.CAFile()}.client("")
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdle()
	out, err := api.Invoke[api.TokenResponse](t.Context(), client, api.OpBootstrap, api.BootstrapRequest{Code: code})
	if err != nil {
		t.Fatal(err)
	}
	return out.Token
}

// client calls the endpoint with a token of one's choice.
func (e endpoint) client(token string) (*api.Client, error) {
	roots, err := invocation.Roots(e.caFile)
	if err != nil {
		return nil, err
	}
	return api.NewClient(api.ClientConfig{BaseURL: e.url, TLS: &tls.Config{RootCAs: roots}, Token: func() (string, error) { return token, nil }})
}

// resetOperator keeps a new bootstrap link for the first operator in a variable.
func (e endpoint) resetOperator(ts *testscript.TestScript, _ bool, args []string) {
	link, err := e.reset()
	ts.Check(err)
	ts.Setenv(args[0], link)
}

// connect has an edge tell of a Warpgate that it registers by a key, and keeps its id in the variable
// WARPGATE. The Warpgate says to what it forwards, unless no upstream is named: the first is that of
// routes that name none, - is none.
func (e endpoint) connect(ts *testscript.TestScript, _ bool, args []string) {
	ctx := context.Background()
	operator, err := e.client(e.token)
	ts.Check(err)
	defer operator.CloseIdle()
	join, err := api.Invoke[api.JoinTokenResponse](ctx, operator, api.OpCreateJoinToken, nil)
	ts.Check(err)
	var edge, gate *api.Client
	var is api.RegisterResponse
	for token, take := range map[string]func(csr string, c *api.Client) (string, **api.Client, error){
		join.Token: func(csr string, c *api.Client) (string, **api.Client, error) {
			name := strings.ToLower(mezu.NewID("edge", time.Now()))
			out, err := api.Invoke[api.EnrolResponse](ctx, c, api.OpEnrolEdge, api.EnrolRequest{CSR: csr, Name: "e-" + name[len(name)-8:], TunnelAddress: "tunnels.example.com:443"})
			return out.Certificates, &edge, err
		},
		args[0]: func(csr string, c *api.Client) (string, **api.Client, error) {
			is, err = api.Invoke[api.RegisterResponse](ctx, c, api.OpRegisterWarpgate, api.RegisterRequest{CSR: csr, Version: "1.2.3"})
			return is.Certificates, &gate, err
		},
	} {
		c, err := e.client(token)
		ts.Check(err)
		key, text, err := trust.NewKey()
		ts.Check(err)
		csr, err := trust.CSR(key)
		ts.Check(err)
		chain, to, err := take(csr, c)
		c.CloseIdle()
		ts.Check(err)
		cert, err := trust.KeyPair([]byte(chain), text)
		ts.Check(err)
		roots, err := invocation.Roots(e.caFile)
		ts.Check(err)
		*to, err = api.NewClient(api.ClientConfig{BaseURL: e.url, TLS: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{*cert}}})
		ts.Check(err)
		defer (*to).CloseIdle()
	}
	env, err := api.Invoke[mezu.Environment](ctx, operator, api.OpGetEnvironment, nil, is.Organization, is.Project, is.Environment)
	ts.Check(err)
	ts.Check(edge.Do(ctx, api.Call{Operation: api.OpEdgeReport, Body: api.EdgeReport{Full: true, Presence: []mezu.Presence{
		{Warpgate: is.Warpgate, Environment: env.ID, Connected: true, Version: "1.2.3", Since: time.Now()}}}}, nil))
	if says := args[1:]; len(says) > 0 {
		t := mezu.WarpgateTargets{Upstream: says[0], Allow: says[1:]}
		if t.Upstream == "-" {
			t.Upstream = ""
		}
		ts.Check(gate.Do(ctx, api.Call{Operation: api.OpWarpgateTargets, Body: api.WarpgateTargetsRequest{WarpgateTargets: t, Version: "1.2.3"}}, nil))
	}
	ts.Setenv("WARPGATE", is.Warpgate)
}

// enrol enrols an edge by its name.
func (e endpoint) enrol(ts *testscript.TestScript, neg bool, args []string) {
	client, err := e.client(e.token)
	ts.Check(err)
	defer client.CloseIdle()
	join, err := api.Invoke[api.JoinTokenResponse](context.Background(), client, api.OpCreateJoinToken, nil)
	ts.Check(err)
	joiner, err := e.client(join.Token)
	ts.Check(err)
	defer joiner.CloseIdle()
	key, _, err := trust.NewKey()
	ts.Check(err)
	csr, err := trust.CSR(key)
	ts.Check(err)
	body := api.EnrolRequest{CSR: csr, Name: args[0], TunnelAddress: "tunnels.example.com:443", PublicAddress: args[0] + ".example.com:443", Version: "1.2.3"}
	if _, err = api.Invoke[api.EnrolResponse](context.Background(), joiner, api.OpEnrolEdge, body); (err == nil) == neg {
		ts.Fatalf("enrolling: %v", err)
	}
}

// register registers a Warpgate by a key, of a machine that may have a name, and keeps its id in the
// variable WARPGATE.
func (e endpoint) register(ts *testscript.TestScript, neg bool, args []string) {
	client, err := e.client(args[0])
	ts.Check(err)
	defer client.CloseIdle()
	key, _, err := trust.NewKey()
	ts.Check(err)
	csr, err := trust.CSR(key)
	ts.Check(err)
	is := api.RegisterRequest{CSR: csr, Version: "1.2.3"}
	if len(args) > 1 {
		is.Name = args[1]
	}
	out, err := api.Invoke[api.RegisterResponse](context.Background(), client, api.OpRegisterWarpgate, is)
	if (err == nil) == neg {
		ts.Fatalf("registering: %v", err)
	}
	ts.Setenv("WARPGATE", out.Warpgate)
}
