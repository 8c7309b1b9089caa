package plane

import (
	"context"
	"strings"
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

// Follow gives what there is, at first and again every while.
func (p Manage) Follow(ctx context.Context, scope screen.Scope, see func(manage.State)) error {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		state, err := p.look(ctx, scope)
		see(state)
		if err != nil {
			return err
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// look asks for all of it. What may not be seen is left out.
func (p Manage) look(ctx context.Context, scope screen.Scope) (manage.State, error) {
	state := manage.State{Profiles: p.profiles()}
	c, err := p.client(scope)
	if err != nil || scope.Organization == "" {
		return state, err
	}
	projects, _, _ := collect[mezu.Project](ctx, c, api.OpListProjects, nil, maxOffered, scope.Organization)
	for _, one := range projects {
		state.Projects = append(state.Projects, one.Name)
	}
	if scope.Project == "" {
		return state, ctx.Err()
	}
	environments, _, _ := collect[mezu.Environment](ctx, c, api.OpListEnvironments, nil, maxOffered, scope.Organization, scope.Project)
	for _, one := range environments {
		state.Environments = append(state.Environments, manage.Environment{Name: one.Name, Enabled: one.IsEnabled()})
	}
	accounts, _, _ := collect[mezu.ServiceAccount](ctx, c, api.OpListServiceAccounts, nil, maxOffered, scope.Organization, scope.Project)
	for _, one := range accounts {
		state.Accounts = append(state.Accounts, one.Name)
	}
	return state, ctx.Err()
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
