package cli_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/edgesvc/control"
	"github.com/mezusphere/mezu/trust"
)

// startRealPlane runs the control plane itself in this process, on a store of its own.
func startRealPlane(t *testing.T) endpoint {
	plane, err := control.New(control.Config{StateDir: filepath.Join(t.TempDir(), "state"), APIAddr: "127.0.0.1:0", Domain: "localhost", PublicPort: 8443, Version: "test"})
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

// register registers a Warpgate by a key and keeps its id in the variable WARPGATE.
func (e endpoint) register(ts *testscript.TestScript, neg bool, args []string) {
	client, err := e.client(args[0])
	ts.Check(err)
	defer client.CloseIdle()
	key, _, err := trust.NewKey()
	ts.Check(err)
	csr, err := trust.CSR(key)
	ts.Check(err)
	out, err := api.Invoke[api.RegisterResponse](context.Background(), client, api.OpRegisterWarpgate, api.RegisterRequest{CSR: csr, Version: "1.2.3"})
	if (err == nil) == neg {
		ts.Fatalf("registering: %v", err)
	}
	ts.Setenv("WARPGATE", out.Warpgate)
}
