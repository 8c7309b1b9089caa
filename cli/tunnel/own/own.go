// Package own finds, or makes, the environment that a tunnel serves: somebody's own one unless
// another is named, and what visitors need to enter it.
//
// What may not live here: the local daemon, and what is printed but questions. It imports the
// domain, api, cli/exit, cli/invocation, cli/terminal and cli/tunnel/memory; only cli/tunnel
// imports it.
package own

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/cli/tunnel/memory"
)

const (
	// fallbackProject is the project of a folder whose name can't be one's.
	fallbackProject = "app"
	// maxOwner bounds the part of a name that says whose an environment is, so that the
	// tunnel's name has room behind it.
	maxOwner = 20
	// maxSuffix is how many environments of the same name are tried.
	maxSuffix = 9
)

// Wish is what a tunnel asks of its environment.
type Wish struct {
	// Name is that of the tunnel, or empty.
	Name string
	// Environment is one that was named, or empty for the caller's own.
	Environment string
	Access      Access
}

// Site is the environment of a tunnel.
type Site struct {
	mezu.Environment
	Organization, Project string
	// Made says that this run made the environment, and MadeProject the project.
	Made, MadeProject bool
	// Fresh says that this machine has never served it, whatever it may have had under its name.
	Fresh bool
	// Mine says that it is the caller's own.
	Mine bool
	// Others are the connected Warpgates that are not this machine's.
	Others []mezu.Warpgate
	// Kept are what a run would have changed but may not, a sentence each.
	Kept []string
	// Closed are the control plane's remarks about routes that stay closed.
	Closed []string

	routes []mezu.Route
	// revision is that of the routes as they were read.
	revision uint64
	// state is who runs the routes, as far as it is known of the present ones.
	state *api.RoutesState
	// admitted says that this run made the only route, as it asks of visitors.
	admitted bool
}

// Text is organization/project/environment.
func (p *Site) Text() string { return p.Organization + "/" + p.Project + "/" + p.Name }

// Position is that of the configuration as it was read last, zero if it has changed since.
func (p *Site) Position() mezu.Position {
	if p.state == nil {
		return mezu.Position{}
	}
	return p.state.Position
}

// Owner works at the control plane for whoever opens tunnels.
type Owner struct {
	inv      *invocation.Invocation
	settings invocation.Settings
	client   *api.Client
	kept     memory.Store

	once   sync.Mutex
	self   *api.Self
	naming sync.Mutex
	base   string // of the names of own environments, once known
}

// New makes an owner. It asks nothing.
func New(inv *invocation.Invocation, s invocation.Settings, client *api.Client) *Owner {
	return &Owner{inv: inv, settings: s, client: client, kept: memory.Store{Dir: inv.State}}
}

// Self is who calls.
func (o *Owner) Self(ctx context.Context) (api.Self, error) {
	o.once.Lock()
	defer o.once.Unlock()
	if o.self != nil {
		return *o.self, nil
	}
	self, err := api.Invoke[api.Self](ctx, o.client, api.OpSelf, nil)
	if err == nil {
		o.self = &self
	}
	return self, err
}

// Locate fills in the organization and the project: flags, variables, mezu.yaml and profile
// come first, then what a service account belongs to or a person's only organization, and
// then the name of the working directory.
func (o *Owner) Locate(ctx context.Context) (organization, project string, err error) {
	organization, project = o.settings.Organization, o.settings.Project
	if organization == "" || project == "" {
		self, err := o.Self(ctx)
		if err != nil {
			return "", "", err
		}
		organization, project = cmp.Or(organization, self.OrganizationName), cmp.Or(project, self.ProjectName)
		if organization == "" && len(self.Organizations) == 1 {
			organization = self.Organizations[0].Organization
		}
		if organization == "" && len(self.Organizations) > 1 {
			names := make([]string, len(self.Organizations))
			for i, m := range self.Organizations {
				names[i] = terminal.Clean(m.Organization)
			}
			e := exit.Usagef("no organization is named; yours are %s", strings.Join(names, ", "))
			e.Hint = "--org " + names[0] + ", or mezu use ORG/PROJECT/ENVIRONMENT"
			return "", "", e
		}
	}
	project = cmp.Or(project, mezu.NameFrom(filepath.Base(o.inv.Dir), fallbackProject))
	o.settings.Organization, o.settings.Project = organization, project
	if _, err := o.settings.RequireOrganization(); err != nil {
		return "", "", err
	}
	_, err = o.settings.RequireProject()
	return organization, project, err
}

// Find finds the environment of a tunnel, or makes it. One that is there is only read: Admit
// changes it. An error may come with an environment that was made.
func (o *Owner) Find(ctx context.Context, w Wish) (*Site, error) {
	org, prj, err := o.Locate(ctx)
	if err != nil {
		return nil, err
	}
	p, err := o.find(ctx, org, prj, w)
	if err != nil {
		return p, err
	}
	before := o.kept.Load().Environments[o.key(p)]
	p.Fresh = p.Made || before.ID != "" && before.ID != p.ID
	p.Others = slices.DeleteFunc(p.Others, func(w mezu.Warpgate) bool { return w.ID == before.Warpgate })
	return p, nil
}

func (o *Owner) find(ctx context.Context, org, prj string, w Wish) (*Site, error) {
	if w.Environment != "" {
		if err := mezu.ValidateName("environment", w.Environment); err != nil {
			return nil, err
		}
		p, err := o.look(ctx, org, prj, w.Environment)
		if mezu.CodeOf(err) == mezu.CodeNotFound {
			return nil, &mezu.Error{Code: mezu.CodeNotFound, Detail: fmt.Sprintf("there is no environment %q in %s/%s", w.Environment, org, prj),
				Hint: "mezu environments create " + w.Environment + ", or leave -e out for one of your own", Cause: err}
		}
		return p, err
	}
	base, err := o.Base(ctx)
	if err != nil {
		return nil, err
	}
	if w.Name != "" {
		base += "-" + w.Name
	}
	for n := 1; n <= maxSuffix; n++ {
		name := base
		if n > 1 {
			name += fmt.Sprintf("-%d", n)
		}
		if err := mezu.ValidateName("name", name); err != nil {
			return nil, mezu.Below("environment "+name, err)
		}
		p, err := o.look(ctx, org, prj, name)
		if mezu.CodeOf(err) == mezu.CodeNotFound {
			made, err2 := o.make(ctx, org, prj, name, w.Access)
			if mezu.CodeOf(err2) != mezu.CodeConflict {
				return made, err2
			}
			p, err = o.look(ctx, org, prj, name) // another run was quicker, which may be the caller's
		}
		if err != nil {
			return nil, err
		}
		if p.Mine {
			return p, nil
		}
	}
	return nil, &mezu.Error{Code: mezu.CodeConflict, Detail: fmt.Sprintf("the environments %s to %s-%d are others'", base, base, maxSuffix), Hint: "--name NAME for another one"}
}

// look reads an environment with its routes and Warpgates, all at once.
func (o *Owner) look(ctx context.Context, org, prj, name string) (*Site, error) {
	p := &Site{Organization: org, Project: prj}
	var routes api.RoutesState
	var self api.Self
	errs := make([]error, 4)
	var all sync.WaitGroup
	all.Go(func() {
		p.Environment, errs[0] = api.Invoke[mezu.Environment](ctx, o.client, api.OpGetEnvironment, nil, org, prj, name)
	})
	all.Go(func() {
		routes, errs[1] = api.Invoke[api.RoutesState](ctx, o.client, api.OpListRoutes, nil, org, prj, name)
	})
	all.Go(func() { p.Others, errs[2] = o.warpgates(ctx, org, prj, name) })
	all.Go(func() { self, errs[3] = o.Self(ctx) })
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	p.routes, p.revision, p.state = routes.Routes, routes.Revision, &routes
	p.Closed = closed(routes.Warnings)
	known := o.kept.Load().Environments[o.key(p)]
	p.Mine = p.CreatedBy != "" && p.CreatedBy == self.ID || p.CreatedBy == "" && known.Mine && known.ID == p.ID
	return p, nil
}

// warpgates are those that are connected. Who may not list them is not kept from serving.
func (o *Owner) warpgates(ctx context.Context, org, prj, name string) ([]mezu.Warpgate, error) {
	var out []mezu.Warpgate
	for w, err := range api.All[mezu.Warpgate](ctx, o.client, api.OpListWarpgates, org, prj, name) {
		if mezu.CodeOf(err) == mezu.CodeForbidden {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if w.Status == mezu.WarpgateConnected {
			out = append(out, w)
		}
	}
	return out, nil
}

// make makes an environment with one route for everything, and the project before it if need
// be. The environment comes first: without its route it is closed. An error that comes after it
// comes with it.
func (o *Owner) make(ctx context.Context, org, prj, name string, a Access) (*Site, error) {
	p := &Site{Organization: org, Project: prj, Made: true, Mine: true}
	create := func() (err error) {
		made, err := api.Invoke[api.EnvironmentWritten](ctx, o.client, api.OpCreateEnvironment, mezu.Environment{Name: name, Directory: a.Directory}, org, prj)
		p.Environment, p.Closed = made.Environment, closed(made.Warnings)
		return err
	}
	err := create()
	if mezu.CodeOf(err) == mezu.CodeNotFound {
		_, made := api.Invoke[mezu.Project](ctx, o.client, api.OpCreateProject, mezu.Project{Name: prj}, org)
		// If it is there, another run was quicker, or it is a directory that is missing.
		if made != nil && mezu.CodeOf(made) != mezu.CodeConflict {
			return nil, made
		}
		p.MadeProject = made == nil
		err = create()
	}
	if err != nil {
		return nil, err
	}
	err = o.makeRoute(ctx, p, a)
	if mezu.CodeOf(err) == mezu.CodeConflict { // another run of the caller's found it without
		now, err := o.look(ctx, org, prj, name)
		if err != nil {
			return p, err
		}
		now.Made, now.MadeProject = true, p.MadeProject
		return now, nil
	}
	p.admitted = err == nil
	return p, err
}

// makeRoute makes the first route of an environment.
func (o *Owner) makeRoute(ctx context.Context, p *Site, a Access) error {
	route := a.first()
	made, err := api.Invoke[api.RouteWritten](ctx, o.client, api.OpCreateRoute, route, p.Organization, p.Project, p.Name)
	if err != nil {
		return err
	}
	p.Closed = append(p.Closed, closed(made.Warnings)...)
	p.routes, p.state = []mezu.Route{route}, nil
	return nil
}

// closed are those remarks that say that a route answers nobody. The others were made when it was
// written.
func closed(remarks []string) (out []string) {
	for _, r := range remarks {
		if strings.Contains(r, string(mezu.CodeRouteUnavailable)) {
			out = append(out, r)
		}
	}
	return out
}

// key is the environment's in the memory.
func (o *Owner) key(p *Site) string {
	return memory.Key(o.settings.API, p.Organization, p.Project, p.Name)
}

// Served remembers by which Warpgate this machine serves an environment.
func (o *Owner) Served(ctx context.Context, p *Site, warpgate string) error {
	return o.kept.Update(ctx, func(m *memory.Memory) {
		m.Environments[o.key(p)] = memory.Environment{ID: p.ID, Mine: p.Mine, Warpgate: warpgate}
	})
}

// Token lets one Warpgate with the key of this hash register in the environment, once.
func (o *Owner) Token(ctx context.Context, p *Site, keyHash string) (string, error) {
	return Token(ctx, o.client, p.Organization, p.Project, p.Name, keyHash)
}

// Token lets one Warpgate with the key of this hash register in an environment, once.
func Token(ctx context.Context, client *api.Client, org, prj, env, keyHash string) (string, error) {
	made, err := api.Invoke[api.TokenResponse](ctx, client, api.OpCreateEnrolmentToken, api.EnrolmentTokenRequest{PublicKeySHA256: keyHash}, org, prj, env)
	return made.Token, err
}

// Remove deletes an environment.
func (o *Owner) Remove(ctx context.Context, p *Site) error {
	err := o.client.Do(ctx, api.Call{Operation: api.OpDeleteEnvironment, Params: []string{p.Organization, p.Project, p.Name}}, nil)
	if mezu.CodeOf(err) == mezu.CodeNotFound {
		return nil
	}
	return err
}
