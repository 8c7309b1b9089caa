// Package cli is the mezu command. Folders mirror what the user types: a noun is
// a folder, its verbs are its files. Beside the nouns are the packages that all
// of them use: argv, collection, exit, home, invocation, profile, terminal, variable.
//
// What may not live here: the hosted services, the daemon and the dashboard, which
// cmd/mezu hands in; what an operation means, which is the control plane's
// business. Only cmd/mezu imports it.
package cli

import (
	"context"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/argv"
	"github.com/mezusphere/mezu/cli/audit"
	"github.com/mezusphere/mezu/cli/daemon"
	"github.com/mezusphere/mezu/cli/dashboard"
	"github.com/mezusphere/mezu/cli/declare"
	"github.com/mezusphere/mezu/cli/dev"
	"github.com/mezusphere/mezu/cli/directories"
	"github.com/mezusphere/mezu/cli/doctor"
	"github.com/mezusphere/mezu/cli/edges"
	"github.com/mezusphere/mezu/cli/environments"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/jq"
	"github.com/mezusphere/mezu/cli/login"
	"github.com/mezusphere/mezu/cli/members"
	"github.com/mezusphere/mezu/cli/near"
	"github.com/mezusphere/mezu/cli/operators"
	"github.com/mezusphere/mezu/cli/orgs"
	"github.com/mezusphere/mezu/cli/profiles"
	"github.com/mezusphere/mezu/cli/projects"
	"github.com/mezusphere/mezu/cli/requests"
	"github.com/mezusphere/mezu/cli/routes"
	"github.com/mezusphere/mezu/cli/serviceaccounts"
	"github.com/mezusphere/mezu/cli/status"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/cli/tokens"
	"github.com/mezusphere/mezu/cli/trust"
	"github.com/mezusphere/mezu/cli/tunnel"
	"github.com/mezusphere/mezu/cli/tunnel/enrol"
	"github.com/mezusphere/mezu/cli/update"
	"github.com/mezusphere/mezu/cli/users"
	"github.com/mezusphere/mezu/cli/variable"
	"github.com/mezusphere/mezu/cli/warpgates"
	"github.com/mezusphere/mezu/cli/webhooks"
)

// serving is the category of commands that run until they are interrupted.
const serving = dev.Category

// Config is what the command gets from the program around it.
type Config struct {
	Version string
	// Dev runs "mezu dev".
	Dev dev.Runner
	// Daemon starts and runs the local daemon.
	Daemon daemon.Program
	// Open opens an address in the browser; if nil, none is opened.
	Open login.Opener
	// Dashboard shows the dashboard; if nil, there is none.
	Dashboard dashboard.Runner
	// Tunnel is what "mezu tunnel" needs of the process.
	Tunnel tunnel.Config
}

// Main runs the command with the arguments after the program's name and gives
// its exit code. It writes to the streams of inv only, reads the environment
// through inv only, and returns when ctx ends.
func Main(ctx context.Context, args []string, inv invocation.Invocation, cfg Config) int {
	inv.Version, inv.Getenv, inv.Present = cfg.Version, variable.Read(inv.Getenv), inv.Clock
	app := newApp(&inv, cfg)
	root := rootOf(app)
	if len(args) > 0 && args[0] == completeCommand {
		complete(ctx, &inv, root, args[1:])
		return exit.Done
	}
	err := run(ctx, &inv, app, args)
	if login := inv.Login(); login != nil && err == nil {
		// What needs a login gets it by the way.
		enrol.Again(ctx, &inv, login.Settings, login.Client, daemon.New(&inv, nil).Running)
		login.Client.CloseIdle()
	}
	if text := inv.EndNotice(); text != "" {
		inv.Warnf("%s", text)
	}
	if err != nil && !exit.Said(err) {
		if login := inv.Login(); login != nil {
			err = near.Offer(ctx, login.Client, err)
			login.Client.CloseIdle()
		}
		inv.ReportAs(asked(&inv, args), "mezu", err)
	}
	return exit.Of(err)
}

// asked is the format of results that a command line asks for. If it could not be read to its
// end, because something is wrong with it, it is looked for in the words.
func asked(inv *invocation.Invocation, args []string) terminal.Format {
	if inv.Flags.Output != "" {
		return inv.Flags.Output
	}
	for i, word := range args {
		if word == "--" {
			break
		}
		value := ""
		for _, flag := range []string{"--output", "-o"} {
			joined, found := strings.CutPrefix(word, flag)
			switch {
			case word == flag && i+1 < len(args):
				value = args[i+1]
			case found:
				value = strings.TrimPrefix(joined, "=")
			}
		}
		if f, err := terminal.ParseFormat(value); err == nil {
			return f
		}
	}
	return terminal.Table
}

// rootOf is the program as the command above all others.
func rootOf(app *cli.App) *cli.Command {
	return &cli.Command{Name: app.Name, Usage: app.Usage, Flags: app.Flags, Subcommands: app.Commands}
}

func run(ctx context.Context, inv *invocation.Invocation, app *cli.App, args []string) error {
	root := rootOf(app)
	line, err := argv.Read(root, args)
	if err != nil {
		return err
	}
	if line.Global(versionFlag) == "true" && !line.WantsHelp() {
		version := []string{"version"}
		for _, flag := range []string{"output", "jq", "watch"} {
			if value := line.Global(flag); value != "" {
				version = append(version, "--"+flag+"="+value)
			}
		}
		if line, err = argv.Read(root, version); err != nil {
			return err
		}
	}
	if wantsPage(line) && (len(line.Path) > 1 || line.WantsHelp() || app.Action == nil) {
		return inv.Printf("%s", page(line.Path, inv.PageFor()))
	}
	// Commands that run until they are interrupted have their own meaning of --timeout.
	// --watch gives it to each look.
	if d := invocation.ParseSpan(line.Global("timeout")); d > 0 && line.Command().Category != serving && line.Global("watch") == "" {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	err = app.RunContext(ctx, line.Arranged())
	// The flag library's own errors are about flags, all others have a type.
	if err != nil && strings.HasPrefix(err.Error(), "invalid value ") && exit.Of(err) == exit.Failed {
		return exit.Usagef("%v", err)
	}
	return written(line, err)
}

// written names in an error the flag, as it was typed, instead of the field that it set.
func written(line *argv.Line, err error) error {
	e, ok := err.(*mezu.Error)
	if !ok || e.Code != mezu.CodeInvalid || line.Written(e.Field) == "" {
		return err
	}
	out := *e
	out.Field = line.Written(e.Field)
	return &out
}

// newApp assembles the tree of commands.
func newApp(inv *invocation.Invocation, cfg Config) *cli.App {
	local := daemon.New(inv, cfg.Daemon.Start)
	app := &cli.App{
		Name: "mezu", HelpName: "mezu", Usage: "put a workload without an open port behind an edge that knows its users",
		HideHelp: true, HideHelpCommand: true, HideVersion: true, DisableSliceFlagSeparator: true,
		Reader: inv.In, Writer: inv.Out, ErrWriter: inv.Err,
		Flags:          globalFlags(),
		Before:         func(c *cli.Context) error { return readGlobals(c, inv) },
		ExitErrHandler: func(*cli.Context, error) {}, // only main ends the process
		Commands: []*cli.Command{
			dev.Command(inv, cfg.Dev),
			dashboard.Command(inv, cfg.Dashboard),
			orgs.Command(inv), members.Command(inv), projects.Command(inv), environments.Command(inv), routes.Command(inv), webhooks.Command(inv),
			serviceaccounts.Command(inv), warpgates.Command(inv), directories.Command(inv), users.Command(inv), audit.Command(inv),
			operators.Command(inv), tokens.Command(inv), edges.Command(inv),
			daemon.Command(inv, local, cfg.Daemon),
			status.Command(inv, local.Running), doctor.Command(inv, local.Running, local.Log),
			trust.Command(inv),
			completionCommand(inv),
			versionCommand(inv),
			update.Command(inv, local.Running),
			topicsCommand(inv),
		},
	}
	app.Commands = append(app.Commands, declare.Commands(inv)...)
	app.Commands = append(app.Commands, login.Commands(inv, cfg.Open)...)
	app.Commands = append(app.Commands, profiles.Commands(inv)...)
	if cfg.Dashboard != nil && dashboard.Shows(inv) {
		app.Action = alone(inv, cfg.Dashboard)
	}
	opening := cfg.Tunnel
	opening.Dashboard = cfg.Dashboard
	opening.Category, opening.Connect, opening.Running, opening.Open = serving, local.Connect, local.Running, cfg.Open
	opening.Stopped = local.Stopped
	opening.Renew = func(ctx context.Context, s invocation.Settings, login *api.Client) {
		enrol.Again(ctx, inv, s, login, local.Running)
	}
	opening.Untrusted = func(ctx context.Context, s invocation.Settings, address string) string {
		if !trust.Advised(ctx, inv, s.CAFile, address) {
			return ""
		}
		return trust.Line(inv)
	}
	opening.Again = func(ctx context.Context, args ...string) error {
		again := newApp(inv, cfg)
		return run(ctx, inv, again, args)
	}
	app.Commands = append(app.Commands, tunnel.Command(inv, opening))
	app.Commands = append(app.Commands, requests.Command(inv, requests.Config{Category: serving, Running: local.Running, Open: cfg.Open, Exec: cfg.Tunnel.Exec}))
	for _, c := range app.Commands {
		tighten(c)
		repeatable(inv, c, c.Name)
	}
	exemplify(app.Commands, "", examples())
	return app
}

// alone is "mezu" without a command at a terminal.
func alone(inv *invocation.Invocation, run dashboard.Runner) cli.ActionFunc {
	return func(c *cli.Context) error {
		if _, err := invocation.Arguments(c); err != nil {
			return err
		}
		if err := refused(inv, invocation.Text, "mezu"); err != nil {
			return err
		}
		return run(c.Context, inv, dashboard.Options{Theme: dashboard.ThemeAuto})
	}
}

// tighten changes defaults of the flag library that scripts can't rely on, for every
// command: "help" is no subcommand where a command takes arguments, and a wrong flag is an
// error without a page of help on stdout. Each command gets a help flag of its own, because
// the library's is one variable for all commands in the process.
func tighten(c *cli.Command) {
	c.HideHelp, c.HideHelpCommand = true, true
	c.Flags = append(c.Flags, helpFlag())
	c.OnUsageError = func(_ *cli.Context, err error, _ bool) error { return exit.Usagef("%v", err) }
	for _, s := range c.Subcommands {
		tighten(s)
	}
}

func globalFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write results as `FORMAT`: " + strings.Join(terminal.Formats(), ", "), Value: string(terminal.Table)},
		&cli.StringFlag{Name: "jq", Usage: "apply the jq expression `EXPR` to the JSON of results"},
		watchFlag(),
		&cli.StringFlag{Name: "org", Usage: "work in the organization `NAME` (MEZU_ORG)"},
		&cli.StringFlag{Name: "project", Aliases: []string{"p"}, Usage: "work in the project `NAME` (MEZU_PROJECT)"},
		&cli.StringFlag{Name: "environment", Aliases: []string{"e"}, Usage: "work in the environment `NAME` (MEZU_ENVIRONMENT)"},
		&cli.StringFlag{Name: "api", Usage: "call the control plane at `URL` (MEZU_API)"},
		&cli.PathFlag{Name: "ca-file", Usage: "trust the certificates in `FILE` instead of the system's (MEZU_CA_FILE)"},
		&cli.StringFlag{Name: "profile", Usage: "use the profile `NAME` (MEZU_PROFILE)"},
		invocation.SpanFlag("timeout", "give up after `TIME`, such as 10s", 0, "30s a call"),
		&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "say nothing but results, warnings and errors", DisableDefaultText: true},
		&cli.BoolFlag{Name: "no-color", Usage: "decorate nothing (NO_COLOR)", DisableDefaultText: true},
		&cli.BoolFlag{Name: "no-input", Usage: "ask nothing (CI=true)", DisableDefaultText: true},
		&cli.BoolFlag{Name: versionFlag, Aliases: []string{"v"}, Usage: "print the version", DisableDefaultText: true},
		helpFlag(),
	}
}

// versionFlag is the flag that is "mezu version" wherever it stands.
const versionFlag = "version"

func helpFlag() cli.Flag {
	return &cli.BoolFlag{Name: "help", Aliases: []string{"h"}, Usage: "show help", DisableDefaultText: true}
}

// readGlobals moves the global flags into the invocation.
func readGlobals(c *cli.Context, inv *invocation.Invocation) error {
	format, err := terminal.ParseFormat(c.String("output"))
	if err != nil {
		return err
	}
	inv.Flags = invocation.Flags{
		Output: format, Organization: c.String("org"), Project: c.String("project"), Environment: c.String("environment"),
		API: c.String("api"), CAFile: c.Path("ca-file"), Profile: c.String("profile"), Timeout: invocation.Span(c, "timeout"),
	}
	if err := readWatch(c, inv); err != nil {
		return err
	}
	if err := readJQ(c, inv); err != nil {
		return err
	}
	inv.Quiet = inv.Quiet || c.Bool("quiet")
	inv.ColorOff = inv.ColorOff || c.Bool("no-color")
	inv.PromptOff = inv.PromptOff || c.Bool("no-input")
	return nil
}

// readJQ has results in JSON go through the expression of --jq.
func readJQ(c *cli.Context, inv *invocation.Invocation) error {
	if !c.IsSet("jq") {
		return nil
	}
	if c.IsSet("output") && inv.Flags.Output != terminal.JSON {
		return exit.Usagef("--jq works on JSON; -o %s excludes it", inv.Flags.Output)
	}
	x, err := jq.Parse(c.String("jq"))
	if err != nil {
		return err
	}
	x.Pretty = inv.OutTerminal
	inv.Flags.Output = terminal.JSON
	ctx := c.Context
	inv.Select = func(data []byte) ([]byte, error) {
		if ctx.Err() != nil {
			// What is written after Ctrl-C, such as the last event, is seen too.
			return x.Apply(context.WithoutCancel(ctx), data)
		}
		return x.Apply(ctx, data)
	}
	return nil
}

// versionCommand is "mezu version".
func versionCommand(inv *invocation.Invocation) *cli.Command {
	return &cli.Command{
		Name: "version", Usage: "Print the version", Category: "program",
		Action: func(c *cli.Context) error {
			if _, err := invocation.Arguments(c); err != nil {
				return err
			}
			if inv.Flags.Output == terminal.Table {
				return inv.Printf("mezu %s\n", inv.Version)
			}
			return inv.WriteValue(inv.Flags.Output, map[string]string{"version": inv.Version})
		},
	}
}
