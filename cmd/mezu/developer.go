package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/atomicfile"
	"github.com/mezusphere/mezu/cli/invocation"
)

const (
	// tokenFile keeps the developer's token, in the folder for everything that is kept.
	tokenFile = "token"
	// maxTokenFile is room for a token and a line's end.
	maxTokenFile = 1 << 10
	// devAccount is the service account of the Warpgate that "mezu dev" runs.
	devAccount = "mezu-dev"
)

// developer is who runs "mezu dev": the first operator of their own installation. All
// that they need there is made over the API, each step so that it may be repeated: the
// process can be killed between any two.
type developer struct {
	client *api.Client
	// code asks the control plane for a bootstrap code.
	code func(context.Context) (string, error)
	// file keeps the token from one run to the next.
	file  string
	token string
	now   func() time.Time
}

// newDeveloper makes a developer who has no token yet.
func newDeveloper(url, caFile, file string, code func(context.Context) (string, error)) (*developer, error) {
	d := &developer{code: code, file: file, now: time.Now}
	roots, err := invocation.Roots(caFile)
	if err != nil {
		return nil, err
	}
	d.client, err = api.NewClient(api.ClientConfig{
		BaseURL: url, TLS: &tls.Config{RootCAs: roots}, UserAgent: "mezu/" + version,
		Token:       func() (string, error) { return d.token, nil },
		DialContext: new(net.Dialer).DialContext, // no proxy stands before this process
	})
	return d, err
}

// signIn takes the token of an earlier run, or gets one by a bootstrap code. A token that
// has lived for half its time is replaced: a run may last for weeks.
func (d *developer) signIn(ctx context.Context) error {
	kept, err := atomicfile.ReadKey(d.file, maxTokenFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &mezu.Error{Code: mezu.CodeInvalid, Field: "state", Detail: fmt.Sprintf("the developer's token can't be read: %v", err),
			Hint: cmp.Or(atomicfile.Remedy(err), "remove the file, and a new one is made"), Cause: err}
	}
	if d.token = strings.TrimSpace(string(kept)); d.token != "" {
		self, err := api.Invoke[api.Self](ctx, d.client, api.OpSelf, nil)
		if err != nil && mezu.CodeOf(err) != mezu.CodeUnauthenticated {
			return err
		}
		if err == nil && self.Operator && self.ExpiresAt.Sub(d.now()) > mezu.DefaultTokenLife/2 {
			return nil
		}
	}
	code, err := d.code(ctx)
	if err != nil {
		return err
	}
	d.token = ""
	got, err := api.Invoke[api.TokenResponse](ctx, d.client, api.OpBootstrap, api.BootstrapRequest{Code: code})
	if err != nil {
		return err
	}
	d.token = got.Token
	return atomicfile.Write(d.file, []byte(got.Token+"\n"), 0o600)
}

// setUp makes what is missing of an environment; repeated, it finds all there. A new
// environment gets one public route for everything, an old one keeps its own. The key lets
// a Warpgate register; each call gives another and ends the one before.
func (d *developer) setUp(ctx context.Context, org, prj, env string) (out mezu.Environment, key string, err error) {
	if err := d.ensure(ctx, api.OpCreateOrganization, mezu.Organization{Name: org}); err != nil {
		return out, "", err
	}
	if err := d.ensure(ctx, api.OpCreateProject, mezu.Project{Name: prj}, org); err != nil {
		return out, "", err
	}
	out, err = api.Invoke[mezu.Environment](ctx, d.client, api.OpGetEnvironment, nil, org, prj, env)
	if mezu.CodeOf(err) == mezu.CodeNotFound {
		// With its route in one change: without one it would look like an old environment.
		routes := mezu.ManifestEnvironment{Routes: []mezu.Route{{Prefix: "/"}}}
		if err := d.apply(ctx, org, prj, mezu.Manifest{Environments: map[string]mezu.ManifestEnvironment{env: routes}}); err != nil {
			return out, "", err
		}
		out, err = api.Invoke[mezu.Environment](ctx, d.client, api.OpGetEnvironment, nil, org, prj, env)
	}
	if err == nil {
		key, err = d.newKey(ctx, org, prj, env)
	}
	return out, key, err
}

// ensure creates something that may be there already.
func (d *developer) ensure(ctx context.Context, op api.Operation, in any, params ...string) error {
	_, err := api.Invoke[any](ctx, d.client, op, in, params...)
	if mezu.CodeOf(err) == mezu.CodeConflict {
		return nil
	}
	return err
}

// newKey makes the Warpgate's account, or gives it another key: nobody kept the one
// before.
func (d *developer) newKey(ctx context.Context, org, prj, env string) (string, error) {
	account := mezu.ServiceAccount{Name: devAccount, Permissions: []mezu.Permission{mezu.PermWarpgateRegister}, Environment: env}
	made, err := api.Invoke[api.ServiceAccountCreated](ctx, d.client, api.OpCreateServiceAccount, account, org, prj)
	if mezu.CodeOf(err) == mezu.CodeConflict {
		atOnce := mezu.Duration(0)
		made, err = api.Invoke[api.ServiceAccountCreated](ctx, d.client, api.OpRotateServiceAccount, api.RotateRequest{Overlap: &atOnce}, org, prj, devAccount)
	}
	return made.Key, err
}

// apply brings a project to what a manifest says.
func (d *developer) apply(ctx context.Context, org, prj string, m mezu.Manifest) error {
	_, err := api.Invoke[api.ApplyResponse](ctx, d.client, api.OpApplyProject, api.ApplyRequest{Manifest: m}, org, prj)
	return err
}

// joinToken lets an edge enrol as the only one: those of earlier runs are removed.
func (d *developer) joinToken(ctx context.Context) (string, error) {
	for e, err := range api.All[mezu.Edge](ctx, d.client, api.OpListEdges) {
		if err == nil {
			err = d.client.Do(ctx, api.Call{Operation: api.OpDeleteEdge, Params: []string{e.ID}}, nil)
		}
		if err != nil {
			return "", fmt.Errorf("removing the edge of an earlier run: %w", err)
		}
	}
	made, err := api.Invoke[api.JoinTokenResponse](ctx, d.client, api.OpCreateJoinToken, nil)
	return made.Token, err
}
