// Package dev is "mezu dev" as it is typed: flags, defaults and what they mean.
//
// What may not live here: running anything. The services are packages that cli may not
// import, so cmd/mezu hands a Runner in. It imports the
// domain, manifest and the packages of cli that every command uses; cli and cmd/mezu
// import it.
package dev

import (
	"cmp"
	"context"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/profile"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/manifest"
)

// Addresses on which mezu dev listens unless told otherwise: this machine only.
const (
	DefaultHTTPSAddr = "127.0.0.1:8443"
	DefaultAPIAddr   = "127.0.0.1:7443"
)

// MaxMaxConns is the highest --max-conns: as many connections as one Warpgate may have at
// one edge.
const MaxMaxConns = 16_384

// Names that are used unless flags, environment variables or mezu.yaml set others. The
// project has the name of the working directory.
const (
	DefaultOrganization = "dev"
	DefaultEnvironment  = "development"
	fallbackProject     = "app"
)

// Category is the heading under which help lists commands that run until interrupted.
const Category = "development"

// Profile is the name of the profile that mezu dev writes.
const Profile = "dev"

// Options are the options of one run, checked and complete.
type Options struct {
	*invocation.Invocation
	// Target is the workload; if zero, a built-in demo. TargetText is it as it was typed.
	Target     mezu.Upstream
	TargetText string
	// State is the folder for everything that is kept; if empty, the default one.
	State string
	// Ephemeral keeps everything in a new folder that is removed at the end.
	Ephemeral bool
	// HTTPSAddr and APIAddr are where public HTTPS and the REST API listen.
	HTTPSAddr, APIAddr string
	// AnyHTTPS and AnyAPI say that another port does as well, if that one is taken.
	AnyHTTPS, AnyAPI bool
	// MaxConns is how many requests there may be at once; if zero, as many as memory and
	// descriptors allow.
	MaxConns int
	// File is applied at the start and whenever it changes; if nil, none is.
	File *manifest.File
	// FilePath is the path of File.
	FilePath string
	// JSON asks for events as JSON, one a line.
	JSON bool
	// Chosen says that the environment was named for this run. One that is not there is then made,
	// unless its name looks like a slip for another one.
	Chosen                             bool
	Organization, Project, Environment string
}

// Runner runs mezu dev with the options until ctx ends.
type Runner func(ctx context.Context, o Options) error

// Command is "mezu dev".
func Command(inv *invocation.Invocation, run Runner) *cli.Command {
	return &cli.Command{
		Name: "dev", Usage: "Run control plane, edge and Warpgate on this machine, with a tunnel to a workload", ArgsUsage: "[PORT|URL]", Category: Category,
		Description: "Serves the workload on PORT, or at URL (host:port, http://, https://, h2c:// or unix:/path), at\n" +
			"https://NAME.localhost:8443. Without an argument a built-in demo answers. Writes the profile " + Profile + ",\n" +
			"so that other commands work against it.",
		Flags: []cli.Flag{
			&cli.PathFlag{Name: "file", Aliases: []string{"f"}, Usage: "apply `FILE` (mezu.yaml) now and whenever it changes; its routes may name upstreams on this machine and elsewhere"},
			&cli.PathFlag{Name: "state", Usage: "keep everything in `DIR` (default: dev in the state folder of the user)"},
			&cli.BoolFlag{Name: "ephemeral", Usage: "keep nothing: use a temporary folder, free ports and a profile of its own, and remove both at the end", DisableDefaultText: true},
			&cli.StringFlag{Name: "https-addr", Usage: "serve public HTTPS on `ADDR`", Value: DefaultHTTPSAddr},
			&cli.StringFlag{Name: "api-addr", Usage: "serve the REST API on `ADDR`", Value: DefaultAPIAddr},
			&cli.IntFlag{Name: "max-conns", Usage: "serve `N` requests at once", DefaultText: "what memory and descriptors carry"},
			&cli.BoolFlag{Name: "json", Usage: "print events as JSON, one a line", DisableDefaultText: true},
		},
		Before: inv.Is(invocation.Events),
		Action: func(c *cli.Context) error {
			o, err := parse(c, inv)
			if err != nil {
				return err
			}
			return run(c.Context, o)
		},
	}
}

func parse(c *cli.Context, inv *invocation.Invocation) (Options, error) {
	o := Options{
		Invocation: inv, State: c.Path("state"), Ephemeral: c.Bool("ephemeral"), JSON: c.Bool("json") || inv.Flags.Output == terminal.JSON,
		HTTPSAddr: c.String("https-addr"), APIAddr: c.String("api-addr"), MaxConns: c.Int("max-conns"),
	}
	if o.MaxConns < 0 || o.MaxConns > MaxMaxConns {
		return Options{}, exit.Usagef("--max-conns is between 1 and %d, or 0 for the default, not %d", MaxMaxConns, o.MaxConns)
	}
	if c.NArg() > 0 {
		args, err := invocation.Arguments(c, "PORT or URL")
		if err != nil {
			return Options{}, err
		}
		o.TargetText = args[0]
		if o.Target, err = mezu.ParseUpstream(o.TargetText); err != nil {
			e := exit.Usagef("the workload: %v", err)
			e.Hint = "mezu dev 8080"
			return Options{}, e
		}
	}
	o.AnyHTTPS, o.AnyAPI = o.Ephemeral && !c.IsSet("https-addr"), o.Ephemeral && !c.IsSet("api-addr")
	if o.Ephemeral && o.State != "" {
		return Options{}, exit.Usagef("--ephemeral keeps nothing, so --state has no meaning beside it")
	}
	for flag, addr := range map[string]string{"https-addr": o.HTTPSAddr, "api-addr": o.APIAddr} {
		if err := checkListenAddress(addr); err != nil {
			return Options{}, exit.Usagef("--%s is host:port, not %q", flag, addr)
		}
	}
	if path := c.Path("file"); path != "" {
		var err error
		o.FilePath = inv.Path(path)
		if o.File, err = manifest.Read(c.Context, o.FilePath, path); err != nil {
			return Options{}, err
		}
	}
	return o, o.names()
}

// names resolves organization, project and environment. Profiles don't count: they belong
// to another control plane, or to an earlier run of this one.
func (o *Options) names() error {
	file, err := profile.Find(o.Dir)
	if o.File != nil {
		file, err = profile.Directory{Organization: o.File.Manifest.Organization, Project: o.File.Manifest.Project}, nil
	}
	if err != nil {
		return err
	}
	if o.Environment, err = o.environment(); err != nil {
		return err
	}
	o.Organization = cmp.Or(o.Flags.Organization, o.Getenv("MEZU_ORG"), file.Organization, DefaultOrganization)
	o.Project = cmp.Or(o.Flags.Project, o.Getenv("MEZU_PROJECT"), file.Project, mezu.NameFrom(filepath.Base(o.Dir), fallbackProject))
	for _, n := range []struct{ field, name string }{{"org", o.Organization}, {"project", o.Project}, {"environment", o.Environment}} {
		if err := mezu.ValidateName(n.field, n.name); err != nil {
			return err
		}
	}
	return nil
}

// environment is the one that the Warpgate of this machine serves.
func (o *Options) environment() (string, error) {
	name := cmp.Or(o.Flags.Environment, o.Getenv("MEZU_ENVIRONMENT"))
	o.Chosen = name != ""
	if o.File == nil {
		return cmp.Or(name, DefaultEnvironment), nil
	}
	named := o.File.Manifest.Environments
	if _, ok := named[DefaultEnvironment]; name == "" && (ok || len(named) == 0) {
		name = DefaultEnvironment
	}
	if name == "" {
		all := slices.Sorted(maps.Keys(named))
		if len(all) > 1 {
			e := exit.Usagef("%s has the environments %s, and one of them is served here", o.File.Name, strings.Join(all, ", "))
			e.Hint = "choose it: -e " + all[0]
			return "", e
		}
		name = all[0]
	}
	if e := named[name]; e.Enabled != nil && !*e.Enabled {
		return "", exit.Usagef("%s switches the environment %s off, and nothing can be served there", o.File.Name, name)
	}
	return name, nil
}

// checkListenAddress accepts an address to listen on; port 0 means any.
func checkListenAddress(addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err
}
