package plane

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/tui/manage"
	"github.com/mezusphere/mezu/tui/screen"
)

// maxOffered bounds each kind of records that the palette offers.
const maxOffered = 200

// Manage is what the palette does.
type Manage struct{ *Plane }

// collection is one of those that the palette offers.
type collection struct {
	kind        manage.Kind
	watch, list api.Operation
	params      []string
}

// collections are those of a place.
func collections(scope screen.Scope) []collection {
	if scope.Organization == "" {
		return nil
	}
	organization, project := []string{scope.Organization}, []string{scope.Organization, scope.Project}
	all := []collection{{manage.Project, api.OpWatchProjects, api.OpListProjects, organization},
		{manage.Environ, api.OpWatchEnvironments, api.OpListEnvironments, project}, {manage.Account, api.OpWatchServiceAccounts, api.OpListServiceAccounts, project}}
	if scope.Project == "" {
		return all[:1]
	}
	return all
}

// record is what is offered of one.
type record struct {
	Name    string `json:"name"`
	Enabled *bool  `json:"enabled"` // of an environment; nil is on
}

// records are those of a collection.
type records struct {
	kind manage.Kind
	all  []record
}

// Follow gives what there is, at first and whenever it has changed. What may not be seen is left
// out.
func (p Manage) Follow(ctx context.Context, scope screen.Scope, see func(manage.State)) error {
	c, err := p.client(scope)
	if err != nil {
		see(manage.State{Profiles: p.profiles()})
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	each := collections(scope)
	news, ended := make(chan records), make(chan error, len(each))
	var following sync.WaitGroup
	defer following.Wait()
	defer cancel()
	for _, of := range each {
		following.Go(func() {
			ended <- of.follow(ctx, c, func(all []record) {
				select {
				case news <- records{of.kind, all}:
				case <-ctx.Done():
				}
			})
		})
	}
	look := time.NewTicker(lookEvery) // profiles are files, of which nobody tells
	defer look.Stop()
	known := map[manage.Kind][]record{}
	for {
		if len(known) == len(each) { // else what is there would seem to be gone
			see(p.state(known))
		}
		select {
		case one := <-news:
			known[one.kind] = one.all
		case <-look.C:
		case err := <-ended:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// state is what the palette is told.
func (p Manage) state(known map[manage.Kind][]record) manage.State {
	state := manage.State{Profiles: p.profiles()}
	for _, one := range known[manage.Project] {
		state.Projects = append(state.Projects, one.Name)
	}
	for _, one := range known[manage.Environ] {
		state.Environments = append(state.Environments, manage.Environment{Name: one.Name, Enabled: one.Enabled == nil || *one.Enabled})
	}
	for _, one := range known[manage.Account] {
		state.Accounts = append(state.Accounts, one.Name)
	}
	return state
}

// follow calls see with at most maxOffered records, at first and after each change. Whether one may
// see them meanwhile, and what there is if that is too much to be watched, is asked now and then.
func (o collection) follow(ctx context.Context, c *api.Client, see func([]record)) error {
	again := time.NewTicker(lookEvery)
	defer again.Stop()
	large := false
	for {
		var err error
		if !large {
			err = watch(ctx, c, o.watch, func(r record) string { return r.Name }, func(all []record) { see(all[:min(len(all), maxOffered)]) }, o.params...)
			large = errors.Is(err, errEndless)
		}
		if large {
			var some []record
			if some, _, err = collect[record](ctx, c, o.list, nil, maxOffered, o.params...); err == nil {
				see(some)
			}
		}
		switch code := mezu.CodeOf(err); {
		case code == mezu.CodeForbidden || code == mezu.CodeNotFound:
			see(nil)
		case err != nil:
			return err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// profiles are those of this machine.
func (p Manage) profiles() []manage.Profile {
	names, err := p.inv.Profiles.Names()
	if err != nil {
		return nil
	}
	var out []manage.Profile
	for _, name := range names[:min(len(names), maxOffered)] {
		kept, err := p.inv.Profiles.Load(name)
		if err != nil {
			continue
		}
		out = append(out, manage.Profile{Name: name, Scope: screen.Scope{Profile: name, Organization: kept.Organization, Project: kept.Project, Environment: kept.Environment}})
	}
	return out
}

// Make makes a project, an environment or an account.
func (p Manage) Make(ctx context.Context, scope screen.Scope, kind manage.Kind, v map[string]string) (string, error) {
	c, err := p.client(scope)
	if err != nil {
		return "", err
	}
	switch kind {
	case manage.Project:
		in := mezu.Project{Name: v["name"], DisplayName: v["display_name"]}
		if err := in.Validate(); err != nil {
			return "", err
		}
		_, err = api.Invoke[mezu.Project](ctx, c, api.OpCreateProject, in, scope.Organization)
		return "", p.explain(ctx, scope, mezu.PermProjectsWrite, err)
	case manage.Environ:
		in := mezu.Environment{Name: v["name"], Directory: v["directory"]}
		if err := in.Validate(); err != nil {
			return "", err
		}
		_, err = api.Invoke[mezu.Environment](ctx, c, api.OpCreateEnvironment, in, scope.Organization, scope.Project)
		return "", p.explain(ctx, scope, mezu.PermEnvironmentsWrite, err)
	}
	in := mezu.ServiceAccount{Name: v["name"], Environment: v["environment"]}
	for _, name := range strings.FieldsFunc(v["permissions"], func(r rune) bool { return r == ' ' || r == ',' }) {
		in.Permissions = append(in.Permissions, mezu.Permission(name))
	}
	if err := in.Validate(); err != nil {
		return "", err
	}
	made, err := api.Invoke[api.ServiceAccountCreated](ctx, c, api.OpCreateServiceAccount, in, scope.Organization, scope.Project)
	p.inv.Mask(made.Key)
	return made.Key, p.explain(ctx, scope, mezu.PermServiceAccountsWrite, err)
}

// Remove removes one.
func (p Manage) Remove(ctx context.Context, scope screen.Scope, kind manage.Kind, name string) error {
	c, err := p.client(scope)
	if err != nil {
		return err
	}
	op, params, right := api.OpDeleteServiceAccount, []string{scope.Organization, scope.Project, name}, mezu.PermServiceAccountsWrite
	switch kind {
	case manage.Project:
		op, params, right = api.OpDeleteProject, []string{scope.Organization, name}, mezu.PermProjectsWrite
	case manage.Environ:
		op, right = api.OpDeleteEnvironment, mezu.PermEnvironmentsWrite
	}
	return p.explain(ctx, scope, right, c.Do(ctx, api.Call{Operation: op, Params: params}, nil))
}

// Enable switches an environment on or off.
func (p Manage) Enable(ctx context.Context, scope screen.Scope, environment string, on bool) error {
	c, err := p.client(scope)
	if err != nil {
		return err
	}
	_, err = api.Invoke[mezu.Environment](ctx, c, api.OpUpdateEnvironment, map[string]any{"enabled": on}, scope.Organization, scope.Project, environment)
	return p.explain(ctx, scope, mezu.PermEnvironmentsWrite, err)
}

// Rotate gives an account another key.
func (p Manage) Rotate(ctx context.Context, scope screen.Scope, account string) (string, error) {
	c, err := p.client(scope)
	if err != nil {
		return "", err
	}
	made, err := api.Invoke[api.ServiceAccountCreated](ctx, c, api.OpRotateServiceAccount, api.RotateRequest{}, scope.Organization, scope.Project, account)
	p.inv.Mask(made.Key)
	return made.Key, p.explain(ctx, scope, mezu.PermServiceAccountsWrite, err)
}

// Use makes a place the one of the commands of the profile.
func (p Manage) Use(ctx context.Context, scope screen.Scope) error {
	if scope.Profile == "" {
		return nil // the context is of flags or variables, and theirs to change
	}
	// A login of this profile at the same time may not be undone.
	lock, err := p.inv.Profiles.LockCredential(ctx, scope.Profile)
	if err != nil {
		return err
	}
	defer lock.Close()
	kept, err := p.inv.Profiles.Load(scope.Profile)
	if err != nil {
		return err
	}
	next := *kept
	next.Organization, next.Project, next.Environment = scope.Organization, scope.Project, scope.Environment
	return p.inv.Profiles.SaveProfile(scope.Profile, next)
}
