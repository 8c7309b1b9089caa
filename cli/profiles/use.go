package profiles

import (
	"context"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
)

type useOptions struct {
	*invocation.Invocation
	// Names are those that were given, of an environment at least: the environment last.
	Names []string
}

func newUse(inv *invocation.Invocation, run func(context.Context, *useOptions) error) *cli.Command {
	return &cli.Command{
		Name: "use", Usage: "Choose the environment that commands work in by default", ArgsUsage: "[[ORG/]PROJECT/]ENVIRONMENT", Category: category,
		Description:  "What is left out is that of the context. The profile remembers it; flags, variables and mezu.yaml go first.",
		BashComplete: invocation.Complete(func(ctx context.Context) ([]string, error) { return candidates(ctx, inv) }),
		Before:       inv.Is(invocation.Silent),
		Action: func(c *cli.Context) error {
			args, err := invocation.Arguments(c, "ENVIRONMENT")
			if err != nil {
				return err
			}
			o := &useOptions{inv, strings.Split(args[0], "/")}
			if len(o.Names) > 3 {
				return exit.Usagef("%q is no [[ORG/]PROJECT/]ENVIRONMENT", terminal.Clean(args[0]))
			}
			kinds := []string{"organization", "project", "environment"}
			for i, name := range o.Names {
				if err := mezu.ValidateName(kinds[len(kinds)-len(o.Names)+i], name); err != nil {
					return err
				}
			}
			return run(c.Context, o)
		},
	}
}

func runUse(ctx context.Context, o *useOptions) error {
	s, err := o.Settings()
	if err != nil {
		return err
	}
	client, err := o.Client(s)
	if err != nil {
		return err
	}
	defer client.CloseIdle()
	if s.Profile == "" {
		return &mezu.Error{Code: mezu.CodeInvalid, Field: "profile", Detail: "there is no profile of " + s.API + " that could remember it", Hint: "mezu login --api " + s.API}
	}
	s.Environment = o.Names[len(o.Names)-1]
	if len(o.Names) > 1 {
		s.Project = o.Names[len(o.Names)-2]
	}
	if len(o.Names) > 2 {
		s.Organization = o.Names[0]
	}
	names := make([]string, 0, 3)
	for _, require := range []func() (string, error){s.RequireOrganization, s.RequireProject, s.RequireEnvironment} {
		name, err := require()
		if err != nil {
			return err
		}
		names = append(names, name)
	}
	if _, err := api.Invoke[mezu.Environment](ctx, client, api.OpGetEnvironment, nil, names...); err != nil {
		return err
	}
	return o.remember(ctx, s)
}

// remember writes the names into the profile, and tells what goes before them.
func (o *useOptions) remember(ctx context.Context, s invocation.Settings) error {
	// A login of this profile at the same time may not be undone.
	lock, err := o.Profiles.LockCredential(ctx, s.Profile)
	if err != nil {
		return err
	}
	defer lock.Close()
	p, err := o.Profiles.Load(s.Profile)
	if err != nil {
		return err
	}
	p.Organization, p.Project, p.Environment = s.Organization, s.Project, s.Environment
	if err := o.Profiles.SaveProfile(s.Profile, *p); err != nil {
		return err
	}
	chosen := contextOf(s.Organization, s.Project, s.Environment)
	o.Signf(terminal.Good, "commands work in %s from now on, by profile %s", chosen, s.Profile)
	next := *o.Invocation
	next.Flags.Organization, next.Flags.Project, next.Flags.Environment = "", "", ""
	if now, err := next.Settings(); err == nil {
		if is := contextOf(now.Organization, now.Project, now.Environment); is != chosen {
			o.Signf(terminal.Caution, "but in %s here: variables (MEZU_ORG, MEZU_PROJECT, MEZU_ENVIRONMENT) and mezu.yaml go first", is)
		}
	}
	return nil
}

// maxCandidates bounds the projects whose environments are proposed: there are two seconds.
const maxCandidates = 10

// candidates are the environments of the project of the context by their names, and all of the
// organization with their projects.
func candidates(ctx context.Context, inv *invocation.Invocation) ([]string, error) {
	s, err := inv.Settings()
	if err != nil {
		return nil, err
	}
	client, err := inv.Client(s)
	if err != nil || s.Organization == "" {
		return nil, err
	}
	defer client.CloseIdle()
	projects, err := api.Invoke[api.List[mezu.Project]](ctx, client, api.OpListProjects, nil, s.Organization)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, p := range projects.Items[:min(len(projects.Items), maxCandidates)] {
		all, err := api.Invoke[api.List[mezu.Environment]](ctx, client, api.OpListEnvironments, nil, s.Organization, p.Name)
		if err != nil {
			return out, nil // as far as it went
		}
		for _, e := range all.Items {
			if p.Name == s.Project {
				out = append(out, e.Name)
			}
			out = append(out, p.Name+"/"+e.Name)
		}
	}
	return out, nil
}
