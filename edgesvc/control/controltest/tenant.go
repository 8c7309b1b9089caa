package controltest

import (
	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// Tenant is an organization with a project and an environment.
type Tenant struct {
	In          *Installation
	Owner       *api.Client
	Org, Prj    string
	Environment mezu.Environment
}

// Tenant makes an organization of that name, with the project shop and its production.
func (in *Installation) Tenant(owner *api.Client, org string) *Tenant {
	in.T.Helper()
	Call[mezu.Organization](in.T, owner, api.OpCreateOrganization, map[string]any{"name": org})
	Call[mezu.Project](in.T, owner, api.OpCreateProject, map[string]any{"name": "shop"}, org)
	env := Call[mezu.Environment](in.T, owner, api.OpCreateEnvironment, map[string]any{"name": "production"}, org, "shop")
	return &Tenant{in, owner, org, "shop", env}
}

// Pixel is a PNG of one grey pixel, for a logo.
const Pixel = "\x89PNG\x0d\x0a\x1a\x0a\x00\x00\x00\x0dIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x00\x00\x00\x00:~\x9bU\x00\x00\x00\x0aIDATx\x9cch\x00\x00\x00\x82\x00\x81w\xcdr\xb6\x00\x00\x00\x00IEND\xaeB`\x82"

// Account makes a service account and gives its key.
func (x *Tenant) Account(name string, permissions ...mezu.Permission) (mezu.ServiceAccount, string) {
	x.In.T.Helper()
	out := Call[api.ServiceAccountCreated](x.In.T, x.Owner, api.OpCreateServiceAccount, map[string]any{"name": name, "permissions": permissions}, x.Org, x.Prj)
	return out.ServiceAccount, x.In.Secret(out.Key)
}

// Path names the environment, or something in it.
func (x *Tenant) Path(more ...string) []string {
	return append([]string{x.Org, x.Prj, x.Environment.Name}, more...)
}

// Rotate gives a service account a new key.
func (x *Tenant) Rotate(name string, body map[string]any) api.ServiceAccountCreated {
	x.In.T.Helper()
	out := Call[api.ServiceAccountCreated](x.In.T, x.Owner, api.OpRotateServiceAccount, body, x.Org, x.Prj, name)
	x.In.Secret(out.Key)
	return out
}

// Pool is a tenant with roles, a directory of its project and one of its
// organization, both named customers.
type Pool struct {
	*Tenant
	Op *api.Client
}

// Pool makes a tenant with its directories.
func (in *Installation) Pool(op *api.Client) Pool {
	in.T.Helper()
	x := in.Tenant(op, "acme")
	roles := map[string]any{"staff": map[string]any{"permissions": []string{"orders.read"}}, "guest": map[string]any{"permissions": []string{}}}
	Call[any](in.T, op, api.OpUpdateProject, map[string]any{"roles": roles}, x.Org, x.Prj)
	Call[any](in.T, op, api.OpCreateProject, map[string]any{"name": "blog", "roles": map[string]any{"editor": map[string]any{"permissions": []string{}}}}, x.Org)
	Call[any](in.T, op, api.OpCreateDirectory, map[string]any{"name": "customers"}, x.Org, x.Prj)
	Call[any](in.T, op, api.OpCreateOrganizationDirectory, map[string]any{"name": "customers"}, x.Org)
	return Pool{x, op}
}

// InProject is the path of the project's directory.
func (p Pool) InProject(more ...string) []string {
	return append([]string{p.Org, p.Prj, "customers"}, more...)
}

// Wide is the path of the organization's directory.
func (p Pool) Wide(more ...string) []string { return append([]string{p.Org, "customers"}, more...) }

// UserBody is the body of a new user.
func UserBody(email string, roles ...string) map[string]any {
	return map[string]any{"profile": map[string]any{"email": email}, "roles": append([]string{}, roles...)}
}
