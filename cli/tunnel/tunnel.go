// Package tunnel is "mezu tunnel": an address for what runs on this machine. It finds out what to
// open and which environment to serve, has the local daemon open it, and shows what happens.
//
// What lives here: flags and the order of things. What may not: the daemon itself, and what the
// packages below do, each for one noun: target, own (the environment), session and show. cli
// imports it.
package tunnel

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/dashboard"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/cli/tunnel/own"
	"github.com/mezusphere/mezu/cli/tunnel/target"
	"github.com/mezusphere/mezu/local"
)

// waitFor is how long to wait for the first request to get through unless --timeout says
// otherwise.
const waitFor = time.Minute

// Config is what the command gets from the program around it. What is nil can't be done.
type Config struct {
	// Category is the heading in help under which commands stand that run until interrupted.
	Category string
	// Connect gives a client of the daemon of the profile in use, which is started if need be;
	// Running one of a daemon that runs.
	Connect, Running func(context.Context, invocation.Settings) (*local.Client, error)
	// Stopped reports whether somebody has stopped the daemon since then.
	Stopped func(since time.Time) bool
	// Open opens an address in the browser.
	Open func(address string) error
	// Copy puts a text into the clipboard of the system.
	Copy func(text string) error
	// Exec runs a program with variables beside those of this process, and gives its exit
	// code. Signals of the terminal are the program's meanwhile, and no end of this command.
	Exec func(ctx context.Context, argv, variables []string) (int, error)
	// Again runs another command of this program.
	Again func(ctx context.Context, args ...string) error
	// Renew enrols what needs a login among the tunnels that there are.
	Renew func(context.Context, invocation.Settings, *api.Client)
	// Untrusted gives what to type where the certificate of an address is of a private CA that
	// this machine does not trust; else "".
	Untrusted func(ctx context.Context, s invocation.Settings, address string) string
	// Dashboard shows what was opened on the whole terminal.
	Dashboard dashboard.Runner
	// Serving is called when the command begins to serve.
	Serving func()
	// Cut ends when somebody doesn't want to wait for requests in flight.
	Cut context.Context
}

// options are those of one run.
type options struct {
	*invocation.Invocation
	Config

	Targets []target.Target
	// Allow are the values of --allow-target.
	Allow []string
	Name  string
	// Settings of all targets. What is empty stays as mezu.yaml has it.
	HostHeader, UpstreamCA string
	Insecure, Listing, SPA bool
	Access                 own.Access
	User                   string // of --basic-auth
	// Capture is the answer of --capture-only, nil without it.
	Capture *mezu.TunnelCapture
	// Uninspected says that the inspector is to keep nothing of these tunnels; if nil, nobody
	// said so, and what is there stays as it is.
	Uninspected *bool

	Join, Detach, Wait, JSON, Plain, Browse, Clip, QR, Remove bool
	EnvFile                                                   string
	Look                                                      dashboard.Options
	// Command is what --exec runs.
	Command []string
}

// Command is "mezu tunnel".
func Command(inv *invocation.Invocation, cfg Config) *cli.Command {
	return newTunnel(inv, cfg, run)
}

// Headings under which help has the flags.
const (
	groupUntil    = "Until when"
	groupShown    = "What is shown"
	groupWorkload = "The workload"
	groupAccess   = "Who gets in"
)

func newTunnel(inv *invocation.Invocation, cfg Config, run func(context.Context, *options) error) *cli.Command {
	flag := func(name, group, usage string) cli.Flag {
		return &cli.BoolFlag{Name: name, Category: group, Usage: usage, DisableDefaultText: true}
	}
	return &cli.Command{
		Name: "tunnel", Aliases: []string{"tunnels"}, Usage: "Give what runs on this machine an address", ArgsUsage: "[[NAME=]TARGET…]", Category: cfg.Category,
		Description: "TARGET is a port, host:port, http://, https://, h2c://, unix:/path or a folder.\n" +
			"Without one the tunnels: of mezu.yaml are opened, or what listens here is shown\n" +
			"to choose from. The environment is one of your own (dev-YOU, or dev-YOU-NAME),\n" +
			"made if it doesn't exist, and its address stays the same.",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "name", Usage: "serve an environment of its own, dev-YOU-`NAME`"},
			flag("join", "", "serve beside the Warpgates that the environment has"),
			flag("detach", groupUntil, "leave it open in the daemon and return"),
			flag("wait", groupUntil, "with --detach: return when requests get through and the workload connects, 60s at most unless --timeout says otherwise"),
			flag("json", groupShown, "print events as JSON, one a line"),
			flag("plain", groupShown, "print lines, instead of the dashboard"),
			flag("open", groupShown, "open the address in the browser"),
			flag("copy", groupShown, "copy the address to the clipboard"),
			flag("qr", groupShown, "show the address as a QR code"),
			&cli.StringFlag{Name: "host-header", Category: groupWorkload, Usage: "send the `HOST` to the workload: keep, target, or a name", Value: mezu.HostKeep},
			&cli.PathFlag{Name: "upstream-ca", Category: groupWorkload, Usage: "trust the certificates in `FILE` for an https target"},
			flag("insecure-upstream", groupWorkload, "do not check the certificate of an https target"),
			flag("capture-only", groupWorkload, "open a tunnel without a workload: all requests are kept for mezu requests, and answered alike"),
			&cli.StringFlag{Name: "answer", Category: groupWorkload, Usage: "with --capture-only: answer with `STATUS[:FILE]`, the file as the body (200, and no body)"},
			&cli.StringFlag{Name: "inspect", Category: groupWorkload, Usage: "keep requests for mezu requests: on or `off`", Value: inspectOn},
			flag("listing", groupWorkload, "show what is in a folder that has no index.html"),
			flag("spa", groupWorkload, "answer with a folder's index.html where there is no such file"),
			&cli.StringSliceFlag{Name: "allow-target", Category: groupWorkload, Usage: "let routes, and mezu.yaml, lead to `TARGET` too (repeatable)"},
			&cli.StringSliceFlag{Name: "allow-cidr", Category: groupAccess, Usage: "let only clients at `RANGE` in (repeatable)"},
			&cli.StringFlag{Name: "auth", Category: groupAccess, Usage: "let only users of the `DIRECTORY` in, who log in"},
			&cli.StringFlag{Name: "basic-auth", Category: groupAccess, Usage: "let only in who knows the password of `USER`: MEZU_BASIC_AUTH, else one that is made and shown"},
			flag("public", groupAccess, "open what asked for more until now"),
			&cli.PathFlag{Name: "env-file", Category: groupShown, Usage: "append MEZU_URL=… to `FILE`"},
			flag("rm", groupUntil, "delete the environment at the end, if this run made it"),
			flag("exec", groupUntil, "run the program after -- once requests get through, close, and exit with its code"),
		}, dashboard.Flags()...),
		Subcommands: named(inv, cfg),
		Before:      inv.Is(invocation.Events),
		Action: func(c *cli.Context) error {
			o, err := parse(c, inv, cfg)
			if err != nil {
				return err
			}
			if o.asksOnDashboard(c) {
				o.Look.Dialog = true
				return o.Dashboard(c.Context, inv, o.Look)
			}
			return run(c.Context, o)
		},
	}
}

// asksOnDashboard reports whether the dashboard asks what to open: nothing is named, by the command
// line or by mezu.yaml, and there is a control plane to open it at. What is wrong with these is
// said where it is said else.
func (o *options) asksOnDashboard(c *cli.Context) bool {
	for _, name := range c.LocalFlagNames() {
		if name != "theme" && name != "no-mouse" {
			return false
		}
	}
	if c.NArg() > 0 || o.Dashboard == nil || o.Quiet || !dashboard.Shows(o.Invocation) {
		return false
	}
	if file, err := target.Read(c.Context, o.Dir); err != nil || len(file.Targets) > 0 {
		return false
	}
	s, err := o.Settings()
	return err == nil && s.API != ""
}

func parse(c *cli.Context, inv *invocation.Invocation, cfg Config) (*options, error) {
	o := &options{
		Invocation: inv, Config: cfg, Name: c.String("name"), UpstreamCA: inv.Path(c.Path("upstream-ca")),
		Insecure: c.Bool("insecure-upstream"), Listing: c.Bool("listing"), SPA: c.Bool("spa"),
		Access: own.Access{Directory: c.String("auth"), CIDRs: c.StringSlice("allow-cidr"), Password: c.IsSet("basic-auth"), Public: c.Bool("public")},
		User:   c.String("basic-auth"),
		Join:   c.Bool("join"), Detach: c.Bool("detach"), Wait: c.Bool("wait"), JSON: c.Bool("json") || inv.Flags.Output == terminal.JSON, Plain: c.Bool("plain"), Browse: c.Bool("open"), Clip: c.Bool("copy"),
		QR: c.Bool("qr"), Remove: c.Bool("rm"), EnvFile: inv.Path(c.Path("env-file")),
	}
	var err error
	if c.IsSet("inspect") {
		if o.Uninspected, err = inspecting(c.String("inspect")); err != nil {
			return nil, err
		}
	}
	if c.Bool("capture-only") {
		o.Capture, err = target.Answer(inv.Dir, c.String("answer"))
	} else if c.IsSet("answer") {
		err = exit.Usagef("--answer is for --capture-only: else the workload answers")
	}
	if err != nil {
		return nil, err
	}
	if o.Look, err = dashboard.Parse(c); err != nil {
		return nil, err
	}
	if c.IsSet("host-header") {
		o.HostHeader = c.String("host-header")
	}
	args, command, dashes := split(c.Args().Slice())
	o.Command = command
	switch {
	case c.Bool("exec") && len(command) == 0:
		e := exit.Usagef("--exec needs a program after --")
		e.Hint = "mezu tunnel 3000 --exec -- npm test"
		return nil, e
	case dashes && !c.Bool("exec"):
		e := exit.Usagef("what follows -- is for --exec")
		e.Hint = "mezu tunnel 3000 --exec -- " + strings.Join(command, " ")
		return nil, e
	case o.Detach && len(command) > 0:
		return nil, exit.Usagef("--detach leaves the tunnel open, and --exec closes it: they exclude each other")
	case o.Detach && o.Remove:
		return nil, exit.Usagef("--detach leaves the tunnel open, and --rm removes its environment: they exclude each other")
	case o.Capture != nil && len(args) > 0:
		e := exit.Usagef("--capture-only has no workload, so no TARGET")
		e.Hint = "mezu tunnel --capture-only --name NAME"
		return nil, e
	case o.Capture != nil && o.Uninspected != nil && *o.Uninspected:
		return nil, exit.Usagef("--capture-only is there to keep requests, and --inspect off keeps none: they exclude each other")
	case o.Insecure && o.UpstreamCA != "":
		return nil, exit.Usagef("--insecure-upstream checks nothing, so --upstream-ca has no meaning beside it")
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	for _, text := range args {
		t, err := target.Parse(inv.Dir, text)
		if err != nil {
			return nil, err
		}
		o.Targets = append(o.Targets, t)
	}
	o.Allow, err = target.Allowed(inv.Dir, c.StringSlice("allow-target"))
	return o, err
}

// split splits arguments at the first "--".
func split(args []string) (before, after []string, dashes bool) {
	for i, a := range args {
		if a == "--" {
			return args[:i], args[i+1:], true
		}
	}
	return args, nil, false
}

// check checks values of flags.
func (o *options) check() error {
	if o.Name != "" && o.Flags.Environment != "" {
		return exit.Usagef("--name is for an environment of your own, and --environment names one: leave one of them out")
	}
	for _, n := range []struct{ flag, value string }{{"name", o.Name}, {"auth", o.Access.Directory}} {
		if n.value == "" {
			continue
		}
		if err := mezu.ValidateName(n.flag, n.value); err != nil {
			return err
		}
	}
	for _, r := range o.Access.CIDRs {
		if _, err := mezu.ParseIPRange(r); err != nil {
			return mezu.Below("allow-cidr", err)
		}
	}
	if o.UpstreamCA != "" {
		if _, err := invocation.Roots(o.UpstreamCA); err != nil {
			if told, ok := errors.AsType[*mezu.Error](err); ok {
				return exit.Usagef("--upstream-ca: %s", told.Detail) // the rest is of the control plane's CA
			}
			return exit.Usagef("--upstream-ca: %v", err)
		}
		var err error
		if o.UpstreamCA, err = filepath.Abs(o.UpstreamCA); err != nil {
			return err
		}
	}
	return nil
}

// inspectOn and inspectOff are the values of --inspect.
const (
	inspectOn  = "on"
	inspectOff = "off"
)

// inspecting reads --inspect.
func inspecting(value string) (uninspected *bool, err error) {
	if value == inspectOn || value == inspectOff {
		off := value == inspectOff
		return &off, nil
	}
	e := exit.Usagef("--inspect is on or off, not %q", value)
	e.Hint = "mezu daemon restart --inspect N,SIZE, for how much is kept of all tunnels"
	return nil, e
}

// targets are those of the command line, of mezu.yaml, or what somebody chooses.
func (o *options) targets(ctx context.Context) error {
	if o.Capture != nil {
		o.Targets = []target.Target{target.Capturing(o.Capture)}
	}
	if len(o.Targets) == 0 {
		file, err := target.Read(ctx, o.Dir)
		if err != nil {
			return err
		}
		if err := file.Consent(ctx, o.Invocation, o.Allow); err != nil {
			return err
		}
		o.Targets = file.Targets
	}
	if len(o.Targets) == 0 {
		t, err := target.Choose(ctx, o.Invocation)
		if err != nil {
			return err
		}
		o.Targets = []target.Target{t}
	}
	if o.Name != "" {
		if len(o.Targets) > 1 {
			return exit.Usagef("--name is for one tunnel; of several, each is NAME=TARGET")
		}
		o.Targets[0].Name = o.Name
	}
	if len(o.Targets) > mezu.MaxTunnels {
		return exit.Usagef("%d tunnels are asked for, %d at most", len(o.Targets), mezu.MaxTunnels)
	}
	if len(o.Targets) > maxHeld && !o.Detach {
		e := exit.Usagef("%d tunnels are asked for, and one command holds %d at most", len(o.Targets), maxHeld)
		e.Hint = "--detach, which leaves them to the daemon"
		return e
	}
	seen := map[string]bool{}
	for i := range o.Targets {
		t := &o.Targets[i]
		if e := o.named(t.Name); e != "" {
			t.Environment = e
		}
		key := t.Environment + " " + t.Name
		if t.Environment != "" {
			key = t.Environment
		}
		if seen[key] {
			e := exit.Usagef("two tunnels would serve one environment; give each a name")
			e.Hint = "mezu tunnel web=3000 api=8080"
			return e
		}
		seen[key] = true
		if err := o.apply(t); err != nil {
			return err
		}
	}
	return nil
}

// named is the environment that the caller named for a tunnel of this name. That of a profile is
// for other commands, and a name asks for an environment of one's own.
func (o *options) named(tunnel string) string {
	if o.Flags.Environment != "" || tunnel != "" {
		return o.Flags.Environment
	}
	return o.Getenv("MEZU_ENVIRONMENT")
}

// apply adds the flags to a target.
func (o *options) apply(t *target.Target) error {
	if o.HostHeader != "" {
		t.HostHeader = o.HostHeader
	}
	if o.UpstreamCA != "" {
		t.UpstreamCA = o.UpstreamCA
	}
	t.Insecure, t.Listing, t.SPA = t.Insecure || o.Insecure, t.Listing || o.Listing, t.SPA || o.SPA
	for _, a := range o.Allow {
		if a != t.Target && !filepath.IsAbs(a) {
			t.AllowTargets = append(t.AllowTargets, a)
		}
	}
	if t.HostHeader == mezu.HostKeep {
		t.HostHeader = ""
	}
	if err := t.Validate(); err != nil {
		e := exit.Usagef("%s: %v", t.Shown, err)
		e.Hint = "mezu tunnel --help"
		return e
	}
	return nil
}
