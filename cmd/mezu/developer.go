package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strings"
	"sync"
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
	// usersDirectory has the users of an environment for which nobody named a directory.
	usersDirectory = "users"
)

// developer is who runs "mezu dev": the first operator of their own installation. All
// that they need there is made over the API, each step so that it may be repeated: the
// process can be killed between any two.
type developer struct {
	client *api.Client
	// code asks the control plane for a bootstrap code.
	code func(context.Context) (string, error)
	// file keeps the token from one run to the next.
	file string
	now  func() time.Time
	// renewed is told of each new token, if somebody needs to know.
	renewed func(token string)
	// users says that an environment without a directory gets one.
	users bool
	// near are names of environments for which a new one may be a slip, beside those that are there.
	// If it is nil, a new one is made whatever its name.
	near []string

	signing sync.Mutex // held by the one who signs in
	mu      sync.Mutex
	token   string
	ends    time.Time // of the token
}

// current is the token with which the developer calls.
func (d *developer) current() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.token
}

func (d *developer) use(token string, ends time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.token, d.ends = token, ends
}

// old reports whether the token has lived for half its time.
func (d *developer) old() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ends.Sub(d.now()) <= mezu.DefaultTokenLife/2
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
		Token:       func() (string, error) { return d.current(), nil },
		DialContext: new(net.Dialer).DialContext, // no proxy stands before this process
	})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// signIn takes the token of an earlier run, or gets one by a bootstrap code. A token that
// has lived for half its time is replaced: a run may last for weeks.
func (d *developer) signIn(ctx context.Context) error {
	d.signing.Lock()
	defer d.signing.Unlock()
	kept, err := d.kept()
	if err != nil {
		return err
	}
	if kept != "" {
		d.use(kept, time.Time{})
		self, err := api.Invoke[api.Self](ctx, d.client, api.OpSelf, nil)
		if err != nil && mezu.CodeOf(err) != mezu.CodeUnauthenticated {
			return err
		}
		if err == nil && self.Operator {
			if d.use(kept, self.ExpiresAt); !d.old() {
				return nil
			}
		}
	}
	code, err := d.code(ctx)
	if err != nil {
		return err
	}
	d.use("", time.Time{})
	got, err := api.Invoke[api.TokenResponse](ctx, d.client, api.OpBootstrap, api.BootstrapRequest{Code: code})
	if err != nil {
		return err
	}
	d.use(got.Token, got.ExpiresAt)
	if d.renewed != nil {
		d.renewed(got.Token)
	}
	return atomicfile.Write(d.file, []byte(got.Token+"\n"), 0o600)
}

// kept is the token in the file, or "" if there is none, or something else in its place.
func (d *developer) kept() (string, error) {
	text, err := atomicfile.ReadKey(d.file, maxTokenFile)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", &mezu.Error{Code: mezu.CodeInvalid, Field: "state", Detail: fmt.Sprintf("the developer's token can't be read: %v", err),
			Hint: cmp.Or(atomicfile.Remedy(err), "remove the file, and a new one is made"), Cause: err}
	}
	token, err := mezu.ParseSecret(string(text))
	if err != nil || !strings.HasPrefix(token, mezu.TokenBearer) {
		return "", nil // damaged, and a new one does as well
	}
	return token, nil
}

// signedIn does something that may be repeated. If the token opens nothing any more, it
// signs in anew and repeats it once: a token may end or be revoked during a run.
func (d *developer) signedIn(ctx context.Context, do func() error) error {
	err := do()
	if mezu.CodeOf(err) != mezu.CodeUnauthenticated {
		return err
	}
	if err := d.signIn(ctx); err != nil {
		return fmt.Errorf("issuing a token: %w", err)
	}
	return do()
}

// renewPoll is how often to look whether the token is old: often enough for one that
// lives for a month.
const renewPoll = time.Hour

// keep renews the token whenever it has lived for half its time, until ctx ends. One that
// can't be renewed is tried again at the next look; failed is told why.
func (d *developer) keep(ctx context.Context, failed func(error)) {
	tick := time.NewTicker(renewPoll)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if err := d.renew(ctx); err != nil && ctx.Err() == nil {
			failed(err)
		}
	}
}

func (d *developer) renew(ctx context.Context) error {
	if !d.old() {
		return nil
	}
	return d.signIn(ctx)
}

// setUp makes what is missing of an environment; repeated, it finds all there. A new
// environment gets one public route for everything, and users who may sign up; an old one
// keeps its own. The key lets
// a Warpgate register; each call gives another and ends the one before.
func (d *developer) setUp(ctx context.Context, org, prj, env string) (mezu.Environment, string, error) {
	out, key, err := d.makeAll(ctx, org, prj, env)
	if code := mezu.CodeOf(err); (code == mezu.CodeForbidden || code == mezu.CodeNotFound) && !errors.Is(err, errMisspelt) {
		err = d.powerless(ctx, org, err)
	}
	return out, key, err
}

// powerless explains what somebody lacks who is operator, but has no part in an
// organization that others made.
func (d *developer) powerless(ctx context.Context, org string, cause error) error {
	self, err := api.Invoke[api.Self](ctx, d.client, api.OpSelf, nil)
	if err != nil {
		return cause
	}
	return &mezu.Error{Code: mezu.CodeForbidden, Detail: fmt.Sprintf("operator %s, whom mezu dev acts for, may not do this in organization %s: %v", self.ID, org, cause),
		Hint: "an owner of the organization has to give them the role admin or owner there; or name another organization with --org", Cause: cause}
}

func (d *developer) makeAll(ctx context.Context, org, prj, env string) (out mezu.Environment, key string, err error) {
	if err := d.ensure(ctx, api.OpCreateOrganization, mezu.Organization{Name: org}); err != nil {
		return out, "", err
	}
	if err := d.ensure(ctx, api.OpCreateProject, mezu.Project{Name: prj}, org); err != nil {
		return out, "", err
	}
	directory := ""
	if d.users {
		directory = usersDirectory
	}
	out, err = api.Invoke[mezu.Environment](ctx, d.client, api.OpGetEnvironment, nil, org, prj, env)
	missing := mezu.CodeOf(err) == mezu.CodeNotFound
	if missing && d.near != nil {
		if err := d.misspelt(ctx, org, prj, env); err != nil {
			return out, "", err
		}
	}
	if directory != "" && (missing || err == nil && out.Directory == "") {
		// One that is there keeps its settings.
		if err := d.ensure(ctx, api.OpCreateDirectory, mezu.Directory{Name: directory, Signup: mezu.SignupOpen}, org, prj); err != nil {
			return out, "", err
		}
	}
	switch {
	case missing:
		// With its route in one change: without one it would look like an old environment.
		first := mezu.ManifestEnvironment{Directory: directory, Routes: []mezu.Route{{Prefix: "/"}}}
		if err := d.apply(ctx, org, prj, mezu.Manifest{Environments: map[string]mezu.ManifestEnvironment{env: first}}); err != nil {
			return out, "", err
		}
		out, err = api.Invoke[mezu.Environment](ctx, d.client, api.OpGetEnvironment, nil, org, prj, env)
	case err == nil && out.Directory == "" && directory != "":
		out, err = api.Invoke[mezu.Environment](ctx, d.client, api.OpUpdateEnvironment, map[string]any{"directory": directory}, org, prj, env)
	}
	if err == nil {
		key, err = d.newKey(ctx, org, prj, env)
	}
	return out, key, err
}

// errMisspelt is in the chain of the error about a name that looks like a slip.
var errMisspelt = errors.New("a slip for another name")

// misspelt refuses a name that looks like a slip for that of another environment.
func (d *developer) misspelt(ctx context.Context, org, prj, env string) error {
	names := d.near
	for e, err := range api.All[mezu.Environment](ctx, d.client, api.OpListEnvironments, org, prj) {
		if err != nil {
			return err
		}
		names = append(names, e.Name)
	}
	// Numbers are chosen, not mistyped: dev1 beside dev2.
	numbered := func(name string) string { return strings.TrimRight(name, "0123456789") }
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == env || numbered(name) == numbered(env) })
	near := mezu.Nearest(env, names)
	if near == "" {
		return nil
	}
	return &mezu.Error{Code: mezu.CodeNotFound, Cause: errMisspelt, Detail: fmt.Sprintf("there is no environment %q in %s/%s; did you mean %s?", env, org, prj, near),
		Hint: fmt.Sprintf("mezu dev -e %s; or, to have both, mezu environments create %s while mezu dev runs", near, env)}
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
	return d.signedIn(ctx, func() error {
		_, err := api.Invoke[api.ApplyResponse](ctx, d.client, api.OpApplyProject, api.ApplyRequest{Manifest: m}, org, prj)
		return err
	})
}

// joinToken lets an edge enrol as the only one: those of earlier runs are removed.
func (d *developer) joinToken(ctx context.Context) (token string, err error) {
	err = d.signedIn(ctx, func() error {
		token, err = d.makeJoinToken(ctx)
		return err
	})
	return token, err
}

func (d *developer) makeJoinToken(ctx context.Context) (string, error) {
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

// loginLink is a link by which the developer logs in at the control plane by a browser, once.
func (d *developer) loginLink(ctx context.Context) (link string, err error) {
	err = d.signedIn(ctx, func() error {
		made, err := api.Invoke[api.LoginLink](ctx, d.client, api.OpCreateLoginLink, nil)
		link = made.Link
		return err
	})
	return link, err
}
