// Package trial judges a request by the routes of an environment as edges and Warpgates do,
// without sending one.
//
// What may not live here: flags and what is printed. It imports the domain, api, policy and the
// look for a user; cli/routes imports it, and cmd/plane for the dashboard.
package trial

import (
	"context"
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/users"
	"github.com/mezusphere/mezu/policy"
)

// Question is a request.
type Question struct {
	Method string
	URL    *url.URL
	Header map[string][]string // by name in lower case
	Client netip.Addr
	// As is the mail or id of the user who is logged in. If it is empty, User says whether
	// anybody is, and Roles with which roles.
	As    string
	User  bool
	Roles []string
}

// Verdict is what the routes make of it.
type Verdict struct {
	Allowed bool `json:"allowed"`
	// Status is the status of an answer by the edge itself; zero if the workload answers.
	Status int       `json:"status,omitempty"`
	Code   mezu.Code `json:"code,omitempty"`
	Detail string    `json:"detail,omitempty"`
	// Missing is what the user lacks, if that is why the request is refused.
	Missing *policy.Missing `json:"missing,omitempty"`
	// Route is the route that was chosen, if one was.
	Route *mezu.Route `json:"route,omitempty"`
	Allow []string    `json:"allow,omitempty"`
	// Steps are the routes that were passed over, and the verdict.
	Steps []policy.Candidate `json:"steps,omitempty"`
	// Order is what each step makes of the request, up to the one that refuses or answers it.
	Order []Judged `json:"order,omitempty"`
	// Forwards is what the connected Warpgates make of a request that the routes allow: yes, no,
	// some, or unknown. It is empty if nothing can go wrong there, as far as is known.
	Forwards string `json:"forwards,omitempty"`
	// Refusing are the ids of the Warpgates that would refuse it, since they were started without
	// its upstream.
	Refusing []string      `json:"refusing,omitempty"`
	Position mezu.Position `json:"position"`

	// Canonical is the path as it is matched; empty if it is not canonical.
	Canonical string `json:"-"`
	// Roles are those that the user has here.
	Roles []string `json:"-"`
	// Notes say what could not be taken into account.
	Notes []string `json:"-"`
}

// Judge asks for the routes of an environment and lets them decide.
func Judge(ctx context.Context, c *api.Client, organization, project, environment string, q Question) (Verdict, error) {
	at := []string{organization, project, environment}
	state, err := api.Invoke[api.RoutesState](ctx, c, api.OpListRoutes, nil, at...)
	if err != nil {
		return Verdict{}, err
	}
	env, err := api.Invoke[mezu.Environment](ctx, c, api.OpGetEnvironment, nil, at...)
	if err != nil {
		return Verdict{}, err
	}
	prj, err := api.Invoke[mezu.Project](ctx, c, api.OpGetProject, nil, at[:2]...)
	if err != nil {
		return Verdict{}, err
	}
	if own, err := url.Parse(env.URL); q.URL.Host != "" && (err != nil || !strings.EqualFold(own.Hostname(), q.URL.Hostname())) {
		return Verdict{}, exit.Usagef("%s is not an address of %s, which is at %s", q.URL.Host, strings.Join(at, "/"), env.URL)
	}
	t := trial{q: q, env: env, prj: prj}
	if err := t.logIn(ctx, c, at); err != nil {
		return Verdict{}, err
	}
	factor, err := t.secondFactor(ctx, c, at)
	if err != nil {
		return Verdict{}, err
	}
	v, route, err := t.judge(state, factor)
	if err != nil || route == nil {
		return v, err
	}
	return v, v.forward(ctx, c, at, route)
}

// trial is one question, and what it is judged with.
type trial struct {
	q     Question
	env   mezu.Environment
	prj   mezu.Project
	notes []string
}

// logIn finds the user who is to be logged in, and their roles in the project.
func (t *trial) logIn(ctx context.Context, c *api.Client, at []string) error {
	if t.q.As == "" {
		return nil
	}
	if t.env.DirectoryID == "" {
		return exit.Usagef("%s has no directory, so that nobody can log in", strings.Join(at, "/"))
	}
	u, err := users.Of(ctx, c, at[0], at[1], t.env.DirectoryID, t.q.As)
	if err != nil {
		return err
	}
	if u.Status != mezu.UserActive {
		t.notes = append(t.notes, u.Profile.Email+" is "+string(u.Status)+" and can't log in")
		return nil
	}
	t.q.User = true
	for _, grant := range u.Roles {
		if project, role, err := mezu.SplitGrant("roles", grant); err == nil && project == t.prj.Name {
			t.q.Roles = append(t.q.Roles, role)
		}
	}
	return nil
}

// secondFactor reports whether the environment's directory asks for one. Who may not see the
// directory is told so, and that it was not taken into account.
func (t *trial) secondFactor(ctx context.Context, c *api.Client, at []string) (bool, error) {
	if t.env.DirectoryID == "" {
		return false, nil
	}
	dir, err := api.Invoke[mezu.Directory](ctx, c, api.OpGetDirectory, nil, at[0], at[1], t.env.DirectoryID)
	if mezu.CodeOf(err) == mezu.CodeNotFound {
		dir, err = api.Invoke[mezu.Directory](ctx, c, api.OpGetOrganizationDirectory, nil, at[0], t.env.DirectoryID)
	}
	switch mezu.CodeOf(err) {
	case mezu.CodeNotFound, mezu.CodeForbidden:
		t.notes = append(t.notes, "directory "+t.env.Directory+" can't be seen with this token; whether it asks for a second factor is left out")
		return false, nil
	}
	return dir.MFA == mezu.MFARequired, err
}

// judge compiles the environment's routes as edges do, and lets them decide. route is that by which
// a Warpgate would forward the request, nil if none would.
func (t *trial) judge(s api.RoutesState, factor bool) (v Verdict, route *policy.Route, err error) {
	env := t.env
	table, err := policy.Compile(&mezu.Bundle{
		Position: mezu.Position{Epoch: max(1, s.Position.Epoch), Revision: max(1, s.Position.Revision)}, Environment: env.ID, Endpoint: env.Endpoint,
		Enabled: env.IsEnabled(), Directory: env.DirectoryID, MFARequired: factor, WAF: env.WAF, WAFSettings: env.WAFSettings,
		AllowIPs: env.AllowIPs, DenyIPs: env.DenyIPs, Maintenance: env.Maintenance, Routes: s.Routes, Roles: t.prj.Roles, Issued: time.Time{},
	})
	if err != nil {
		return Verdict{}, nil, err
	}
	v = Verdict{Position: s.Position, Roles: t.q.Roles, Notes: t.notes}
	raw := t.q.URL.EscapedPath()
	if raw == "" {
		raw = "/"
	}
	path, err := mezu.CanonicalPath(raw)
	if err != nil {
		return v.refused(err), nil, nil
	}
	v.Canonical = path.Path
	request := &policy.Request{Method: t.q.Method, Path: path, Client: t.q.Client, Edge: true, Preflight: t.asksFor(), Carries: func(name, value string) bool {
		lines := t.q.Header[name]
		return len(lines) > 0 && !slices.ContainsFunc(lines, func(line string) bool { return line != value })
	}}
	if t.q.User {
		request.Grant = &mezu.Grant{Environment: env.ID, Directory: env.DirectoryID, Roles: t.q.Roles}
	}
	d, candidates := table.Explain(request)
	v.Missing, v.Allow, v.Steps, v.Order = d.Missing, d.Allow, candidates, t.steps(&d, request)
	if d.Route != nil {
		for _, warning := range s.Warnings { // such as a webhook without a secret, which is not seen here
			if strings.HasPrefix(warning, d.Route.Label()+": ") {
				v.Notes = append(v.Notes, warning)
			}
		}
	}
	switch last := v.Order[len(v.Order)-1]; last.Result {
	case Refused:
		v.Code, v.Detail, v.Status = last.code, last.Detail, last.status
	case Answered:
		v.Allowed, v.Status = true, last.status
	default:
		v.Allowed = true
	}
	if d.Route != nil {
		v.Route = d.Route.Route
	}
	if v.Allowed && v.Status == 0 {
		return v, d.Route, nil
	}
	return v, nil, nil
}

// refused is the verdict on a request that is refused before any route is asked.
func (v Verdict) refused(err error) Verdict {
	v.Code, v.Detail = mezu.CodeOf(err), err.Error()
	var e *mezu.Error
	if errors.As(err, &e) {
		v.Detail = e.Detail
	}
	v.Status = v.Code.Status()
	return v
}
