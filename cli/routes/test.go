package routes

import (
	"context"
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/collection"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/cli/users"
	"github.com/mezusphere/mezu/policy"
)

type testOptions struct {
	*invocation.Invocation
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

func newTest(inv *invocation.Invocation, run func(context.Context, *testOptions) error) *cli.Command {
	return &cli.Command{
		Name: "test", Usage: "Say what the routes make of a request, without sending one", ArgsUsage: "METHOD URL",
		Description: "URL is the address of the environment with a path, or a path alone. Without --as and --role nobody is\n" +
			"logged in; --role \"\" is a user without roles. The routes are judged as edges and Warpgates do.",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "header", Usage: "the request has the header `NAME=VALUE` (repeatable)"},
			&cli.StringFlag{Name: "ip", Usage: "the client's address is `ADDR`", Value: "192.0.2.1"},
			&cli.StringFlag{Name: "as", Usage: "the `USER` of the environment's directory, by mail or id, is logged in"},
			&cli.StringSliceFlag{Name: "role", Usage: "a user with the role `NAME` is logged in (repeatable)"},
		},
		Action: func(c *cli.Context) error {
			args, err := invocation.Arguments(c, "METHOD", "URL")
			if err != nil {
				return err
			}
			o := &testOptions{Invocation: inv, Method: args[0], Header: map[string][]string{}, User: c.IsSet("role"), As: c.String("as")}
			if err := o.parse(c, args[1]); err != nil {
				return err
			}
			return run(c.Context, o)
		},
	}
}

func (o *testOptions) parse(c *cli.Context, target string) (err error) {
	if err := mezu.ValidateMethod(o.Method); err != nil {
		return exit.Usagef("METHOD: %v", err)
	}
	if o.URL, err = url.Parse(target); err != nil || !strings.HasPrefix(o.URL.EscapedPath(), "/") && o.URL.Path != "" || o.URL.Host == "" && o.URL.Path == "" {
		return exit.Usagef("URL is an address or a path that starts with '/', not %q", target)
	}
	if o.Client, err = netip.ParseAddr(c.String("ip")); err != nil {
		return exit.Usagef("--ip is an IP address, not %q", c.String("ip"))
	}
	for _, h := range c.StringSlice("header") {
		name, value, ok := strings.Cut(h, "=")
		if !ok || !mezu.ValidHeaderName(name) {
			return exit.Usagef("--header is NAME=VALUE, not %q", h)
		}
		name = strings.ToLower(name)
		o.Header[name] = append(o.Header[name], value)
	}
	if o.As != "" && o.User {
		return exit.Usagef("--as is a user with the roles that they have; --role has no meaning beside it")
	}
	for _, r := range c.StringSlice("role") {
		if r != "" {
			o.Roles = append(o.Roles, r)
		}
	}
	return nil
}

// verdict is the result of a test.
type verdict struct {
	Allowed bool `json:"allowed"`
	// Status is the status of an answer by the edge itself; zero if the workload answers.
	Status int       `json:"status,omitempty"`
	Code   mezu.Code `json:"code,omitempty"`
	Detail string    `json:"detail,omitempty"`
	// Missing is what the user lacks, if that is why the request is refused.
	Missing *policy.Missing `json:"missing,omitempty"`
	// Route is the route that was chosen, if one was.
	Route    *mezu.Route   `json:"route,omitempty"`
	Allow    []string      `json:"allow,omitempty"`
	Steps    []policy.Step `json:"steps,omitempty"`
	Position mezu.Position `json:"position"`
}

func runTest(ctx context.Context, o *testOptions) error {
	p, err := collection.InEnvironment(o.Invocation)
	if err != nil {
		return err
	}
	s, err := state(ctx, p)
	if err != nil {
		return err
	}
	env, err := api.Invoke[mezu.Environment](ctx, p.Client, api.OpGetEnvironment, nil, p.Params...)
	if err != nil {
		return err
	}
	prj, err := api.Invoke[mezu.Project](ctx, p.Client, api.OpGetProject, nil, p.Params[:2]...)
	if err != nil {
		return err
	}
	if at, err := url.Parse(env.URL); o.URL.Host != "" && (err != nil || !strings.EqualFold(at.Hostname(), o.URL.Hostname())) {
		return exit.Usagef("%s is not an address of %s, which is at %s", terminal.Clean(o.URL.Host), p.Text, terminal.Clean(env.URL))
	}
	if err := o.logIn(ctx, p, env, prj); err != nil {
		return err
	}
	factor, err := o.secondFactor(ctx, p, env)
	if err != nil {
		return err
	}
	v, err := o.judge(s, env, prj, factor)
	if err != nil {
		return err
	}
	if o.Flags.Output != terminal.Table {
		return o.WriteValue(o.Flags.Output, v)
	}
	return o.write(v)
}

// logIn finds the user who is to be logged in, and their roles in the project.
func (o *testOptions) logIn(ctx context.Context, p collection.Path, env mezu.Environment, prj mezu.Project) error {
	if o.As == "" {
		return nil
	}
	if env.DirectoryID == "" {
		return exit.Usagef("%s has no directory, so that nobody can log in", p.Text)
	}
	u, err := users.Of(ctx, p.Client, p.Params[0], p.Params[1], env.DirectoryID, o.As)
	if err != nil {
		return err
	}
	if u.Status != mezu.UserActive {
		o.Warnf("%s is %s and can't log in", terminal.Clean(u.Profile.Email), u.Status)
		return nil
	}
	o.User = true
	for _, grant := range u.Roles {
		if project, role, err := mezu.SplitGrant("roles", grant); err == nil && project == prj.Name {
			o.Roles = append(o.Roles, role)
		}
	}
	return nil
}

// secondFactor reports whether the environment's directory asks for one. Who may not see the
// directory is told so, and that it was not taken into account.
func (o *testOptions) secondFactor(ctx context.Context, p collection.Path, env mezu.Environment) (bool, error) {
	if env.DirectoryID == "" {
		return false, nil
	}
	dir, err := api.Invoke[mezu.Directory](ctx, p.Client, api.OpGetDirectory, nil, p.Params[0], p.Params[1], env.DirectoryID)
	if mezu.CodeOf(err) == mezu.CodeNotFound {
		dir, err = api.Invoke[mezu.Directory](ctx, p.Client, api.OpGetOrganizationDirectory, nil, p.Params[0], env.DirectoryID)
	}
	switch mezu.CodeOf(err) {
	case mezu.CodeNotFound, mezu.CodeForbidden:
		o.Warnf("directory %s can't be seen with this token; whether it asks for a second factor is left out", terminal.Clean(env.Directory))
		return false, nil
	}
	return dir.MFA == mezu.MFARequired, err
}

// judge compiles the environment's routes as edges do, and lets them decide.
func (o *testOptions) judge(s api.RoutesState, env mezu.Environment, prj mezu.Project, factor bool) (verdict, error) {
	table, err := policy.Compile(&mezu.Bundle{
		Position: mezu.Position{Epoch: max(1, s.Position.Epoch), Revision: max(1, s.Position.Revision)}, Environment: env.ID, Endpoint: env.Endpoint,
		Enabled: env.IsEnabled(), Directory: env.DirectoryID, MFARequired: factor, WAF: env.WAF, Routes: s.Routes, Roles: prj.Roles, Issued: time.Time{},
	})
	if err != nil {
		return verdict{}, err
	}
	v := verdict{Position: s.Position}
	raw := o.URL.EscapedPath()
	if raw == "" {
		raw = "/"
	}
	path, err := mezu.CanonicalPath(raw)
	if err != nil {
		return v.refused(err), nil
	}
	request := &policy.Request{Method: o.Method, Path: path, Client: o.Client, Carries: func(name, value string) bool {
		lines := o.Header[name]
		return len(lines) > 0 && !slices.ContainsFunc(lines, func(line string) bool { return line != value })
	}}
	if o.User {
		request.Grant = &mezu.Grant{Environment: env.ID, Directory: env.DirectoryID, Roles: o.Roles}
	}
	d, steps := table.Explain(request)
	v.Allowed, v.Code, v.Detail, v.Missing, v.Allow, v.Steps = d.Allowed(), d.Code, d.Detail, d.Missing, d.Allow, steps
	switch {
	case d.Answer != nil:
		v.Status = d.Answer.Status
	case !v.Allowed:
		v.Status = d.Code.Status()
	}
	if d.Route != nil {
		v.Route = d.Route.Route
	}
	return v, nil
}

// refused is the verdict on a request that is refused before any route is asked.
func (v verdict) refused(err error) verdict {
	v.Code, v.Detail = mezu.CodeOf(err), err.Error()
	var e *mezu.Error
	if errors.As(err, &e) {
		v.Detail = e.Detail
	}
	v.Status = v.Code.Status()
	return v
}

// write shows a verdict as lines, and says in messages which routes were passed over and why.
func (o *testOptions) write(v verdict) error {
	err := terminal.WriteRecord(o.Streams, terminal.Table, v, []terminal.Column[verdict]{
		{Head: "VERDICT", Value: func(v verdict) string {
			if v.Allowed {
				return "allowed: the workload answers"
			}
			return "refused: the answer is " + strconv.Itoa(v.Status)
		}},
		{Head: "CODE", Value: func(v verdict) string { return string(v.Code) }},
		{Head: "REASON", Value: func(v verdict) string { return v.Detail }},
		{Head: "MISSING", Value: func(v verdict) string { return v.Missing.String() }},
		{Head: "ALLOW", Value: func(v verdict) string { return strings.Join(v.Allow, ",") }},
		{Head: "ROUTE", Value: func(v verdict) string {
			if v.Route == nil {
				return ""
			}
			return v.Route.Label()
		}},
	})
	for _, s := range v.Steps[:max(0, len(v.Steps)-1)] { // the last step is the verdict itself
		o.Sayf("passed over %s: %s", terminal.Clean(s.Route), terminal.Clean(s.Result))
	}
	return err
}
