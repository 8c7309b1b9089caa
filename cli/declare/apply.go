package declare

import (
	"context"
	"slices"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/collection"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/manifest"
)

type applyOptions struct {
	*invocation.Invocation
	File          string
	Prune, DryRun bool
	// Wait until all environments that the file changes are in force everywhere.
	Wait bool
}

func newApply(inv *invocation.Invocation, run func(context.Context, *applyOptions) error) *cli.Command {
	return &cli.Command{
		Name: "apply", Usage: "Bring a project to what a file says, at once or not at all", Category: category,
		Description: "What the file names is then as it says: settings that it leaves out have their defaults, but for the\n" +
			"switch \"enabled\", which stays as it is. What it doesn't name is left alone, or removed with --prune.",
		Flags: []cli.Flag{
			fileFlag(),
			&cli.BoolFlag{Name: "prune", Usage: "remove environments, directories and roles that the file does not name", DisableDefaultText: true},
			&cli.BoolFlag{Name: "dry-run", Usage: "judge the file and show the changes; change nothing", DisableDefaultText: true},
			collection.WaitFlag(),
		},
		Action: func(c *cli.Context) error {
			if _, err := invocation.Arguments(c); err != nil {
				return err
			}
			o := &applyOptions{inv, c.Path("file"), c.Bool("prune"), c.Bool("dry-run"), collection.Waits(c)}
			if o.Wait && o.DryRun {
				return exit.Usagef("--dry-run changes nothing, so there is nothing to --wait for")
			}
			return run(c.Context, o)
		},
	}
}

func runApply(ctx context.Context, o *applyOptions) error {
	f, t, err := o.read(ctx)
	if err != nil {
		return err
	}
	others, err := o.others(ctx, f, t)
	if err != nil {
		return err
	}
	out, err := o.send(ctx, f, t)
	if err != nil {
		return err
	}
	changes, kept := effective(out)
	switch {
	case changes == 0:
		o.Sayf("%s is as %s says; nothing was changed", t, f.Name)
	case o.DryRun:
		o.Sayf("%s of %s would change; nothing was changed", things(changes), t)
	default:
		o.Sayf("changed %s of %s", things(changes), t)
		if names := upstreams(&f.Manifest); names != "" {
			o.Sayf("routes name upstreams; Warpgates forward to them with --allow-target: %s", terminal.Clean(names))
		}
	}
	if kept > 0 {
		o.Sayf("%s not named by the file; --prune removes them", things(kept))
	}
	if err := show(o.Invocation, out); err != nil || !o.Wait {
		return err
	}
	var environments []collection.Path
	for _, e := range slices.Concat(out.Environments, others) {
		environments = append(environments, collection.Path{Client: t.client, Params: []string{t.organization, t.project, e.Name}, Text: t.String() + "/" + terminal.Clean(e.Name)})
	}
	if len(environments) == 0 {
		o.Sayf("%s has no environment, so there is nothing to wait for", t)
		return nil
	}
	var removal mezu.Position
	if out.Applied && o.Prune {
		removal = out.Position
	}
	return collection.InForce(ctx, o.Invocation, removal, environments...)
}

// others are the environments that are waited for though the file does not name them: what it says
// of roles and directories is in what every environment of the project runs. They are asked for
// before anything is written. If the file prunes, there will be none.
func (o *applyOptions) others(ctx context.Context, f *manifest.File, t target) (out []mezu.Environment, err error) {
	m := &f.Manifest
	if !o.Wait || o.Prune || len(m.Environments) > 0 && len(m.Roles)+len(m.Directories) == 0 {
		return nil, nil
	}
	for e, err := range api.All[mezu.Environment](ctx, t.client, api.OpListEnvironments, t.organization, t.project) {
		if mezu.CodeOf(err) == mezu.CodeNotFound {
			return nil, nil // the file makes the project
		}
		if err != nil {
			return nil, err
		}
		if _, named := m.Environments[e.Name]; !named {
			out = append(out, e)
		}
	}
	return out, nil
}

// read reads the file, and finds the project that it is for.
func (o *applyOptions) read(ctx context.Context) (*manifest.File, target, error) {
	f, err := readFile(ctx, o.Invocation, o.File)
	if err != nil {
		return nil, target{}, err
	}
	t, err := find(o.Invocation, f)
	return f, t, err
}

// send sends a file. An error about a field says where the field is in the file.
func (o *applyOptions) send(ctx context.Context, f *manifest.File, t target) (api.ApplyResponse, error) {
	body := api.ApplyRequest{Manifest: f.Manifest, Prune: o.Prune, DryRun: o.DryRun}
	out, err := api.Invoke[api.ApplyResponse](ctx, t.client, api.OpApplyProject, body, t.organization, t.project)
	return out, f.Explain(err)
}

// things is a number of things, in words.
func things(n int) string {
	if n == 1 {
		return "1 thing"
	}
	return strconv.Itoa(n) + " things"
}

func sorted(names []string) []string { return slices.Sorted(slices.Values(names)) }

type diffOptions struct {
	*invocation.Invocation
	File string
}

func newDiff(inv *invocation.Invocation, run func(context.Context, *diffOptions) error) *cli.Command {
	return &cli.Command{
		Name: "diff", Usage: "Show how a project differs from a file: exit 0 if it doesn't, 8 if it does", Category: category,
		Description: "What only the project has is shown too: an apply keeps it, or deletes it with --prune.",
		Flags:       []cli.Flag{fileFlag()},
		Before:      inv.Is(invocation.Shows),
		Action: func(c *cli.Context) error {
			if _, err := invocation.Arguments(c); err != nil {
				return err
			}
			return run(c.Context, &diffOptions{inv, c.Path("file")})
		},
	}
}

func runDiff(ctx context.Context, o *diffOptions) error {
	apply := &applyOptions{Invocation: o.Invocation, File: o.File, DryRun: true}
	f, t, err := apply.read(ctx)
	if err != nil {
		return err
	}
	out, err := apply.send(ctx, f, t)
	if err != nil {
		return err
	}
	if err := show(o.Invocation, out); err != nil {
		return err
	}
	if len(out.Changes) > 0 {
		return exit.ErrDiffers
	}
	return nil
}
