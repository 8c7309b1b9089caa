package declare

import (
	"context"
	"errors"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/collection"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/manifest"
)

type exportOptions struct {
	*invocation.Invocation
}

func newExport(inv *invocation.Invocation, run func(context.Context, *exportOptions) error) *cli.Command {
	return &cli.Command{
		Name: "export", Usage: "Write a project as a file that mezu apply reads", Category: category,
		Description: "Applied to the project that it is of, the file changes nothing.",
		Action: func(c *cli.Context) error {
			if _, err := invocation.Arguments(c); err != nil {
				return err
			}
			return run(c.Context, &exportOptions{inv})
		},
	}
}

func runExport(ctx context.Context, o *exportOptions) error {
	p, err := collection.InProject(o.Invocation)
	if err != nil {
		return err
	}
	m, err := api.Invoke[mezu.Manifest](ctx, p.Client, api.OpExportProject, nil, p.Params...)
	if err != nil {
		return err
	}
	format := o.Flags.Output
	if format == terminal.Table {
		format = terminal.YAML
	}
	return o.WriteValue(format, m)
}

type validateOptions struct {
	*invocation.Invocation
	File string
}

func newValidate(inv *invocation.Invocation, run func(context.Context, *validateOptions) error) *cli.Command {
	return &cli.Command{
		Name: "validate", Usage: "Judge a file without asking a control plane", Category: category,
		Flags: []cli.Flag{fileFlag()},
		Action: func(c *cli.Context) error {
			if _, err := invocation.Arguments(c); err != nil {
				return err
			}
			return run(c.Context, &validateOptions{inv, c.Path("file")})
		},
	}
}

func runValidate(ctx context.Context, o *validateOptions) error {
	f, err := readFile(ctx, o.Invocation, o.File)
	if err != nil {
		return o.invalid(err)
	}
	for _, w := range f.Warnings {
		o.Warnf("%s", terminal.Clean(w))
	}
	if o.Flags.Output != terminal.Table {
		return o.WriteValue(o.Flags.Output, verdict{true, []terminal.Problem{}, append([]string{}, f.Warnings...)})
	}
	o.Sayf("%s is valid", f.Name)
	return nil
}

// verdict is what validate says of a file to scripts.
type verdict struct {
	Valid    bool               `json:"valid"`
	Errors   []terminal.Problem `json:"errors"`
	Warnings []string           `json:"warnings"`
}

// invalid shows all errors of a file, which are the result for who reads JSON. Of a file that
// could not be read at all there is no verdict.
func (o *validateOptions) invalid(err error) error {
	if _, read := errors.AsType[*manifest.Error](err); !read || o.Flags.Output == terminal.Table {
		return err
	}
	p := terminal.ProblemOf(err)
	if len(p.Errors) == 0 {
		p.Exit = 0
		p.Errors = []terminal.Problem{p}
	}
	if failed := o.WriteValue(o.Flags.Output, verdict{false, p.Errors, []string{}}); failed != nil {
		return failed
	}
	return &exit.Shown{Err: err}
}
