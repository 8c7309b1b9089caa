package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/cmd/process"
	"github.com/mezusphere/mezu/cmd/warpgate/service"
	"github.com/mezusphere/mezu/daemon/sidecar"
	"github.com/mezusphere/mezu/daemon/warpgate"
	"github.com/mezusphere/mezu/namedfile"
	"github.com/mezusphere/mezu/trust"
)

// What is said after the program to have the system run it.
const (
	installVerb   = "install"
	uninstallVerb = "uninstall"
	versionVerb   = "version"
)

// installation is what the command line of install or uninstall says.
type installation struct {
	*options
	name string
	user bool
}

// manage installs or removes the service.
func manage(ctx context.Context, verb string, args []string, getenv func(string) string, s terminal.Streams) int {
	host := service.Host{OS: runtime.GOOS, Home: getenv("HOME"), Root: "/", Account: getenv("SUDO_USER"), Say: s.Sayf}
	if host.Account == "" {
		host.Account = "nobody"
	}
	var err error
	if host.Program, err = os.Executable(); err == nil {
		host.Program, err = filepath.EvalSymlinks(host.Program)
	}
	if err == nil {
		err = managed(ctx, host, verb, args, getenv, s)
	}
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(s.Out, terminal.Page(usage, s.PageFor()))
		return exit.Done
	}
	if err != nil {
		s.Report("warpgate", err)
	}
	return exit.Of(err)
}

func managed(ctx context.Context, host service.Host, verb string, args []string, getenv func(string) string, s terminal.Streams) error {
	i, err := parseInstallation(verb, args, getenv)
	if err != nil {
		return err
	}
	if i.version {
		return s.Printf("warpgate %s\n", version)
	}
	host.User = i.user
	switch {
	case i.user && host.Home == "":
		return mezu.Invalid("user", "there is no home directory: set HOME")
	case !i.user && runtime.GOOS != "windows" && host.Root == "/" && os.Geteuid() != 0:
		return &mezu.Error{Code: mezu.CodeForbidden, Detail: "a service of the system is root's to " + verb, Hint: "sudo warpgate " + verb + " …, or --user for a service of yours"}
	}
	if verb == uninstallVerb {
		return host.Uninstall(ctx, i.name)
	}
	spec, err := i.spec(ctx, getenv, s)
	if err != nil {
		return err
	}
	for _, name := range leftOut(getenv) {
		host.Say("warning: %s has a password and is not written down: add it to the service yourself", name)
	}
	return host.Install(ctx, spec)
}

// parseInstallation reads arguments and environment. A token among the arguments is refused: they
// are shown to everybody on this machine, and kept in the shell's history.
func parseInstallation(verb string, args []string, getenv func(string) string) (*installation, error) {
	i := &installation{}
	var f *flag.FlagSet
	if verb == uninstallVerb {
		i.options, f = &options{}, flag.NewFlagSet("warpgate", flag.ContinueOnError)
		f.SetOutput(io.Discard)
		i.versionFlags(f)
	} else {
		i.options, f = flags(getenv)
	}
	f.StringVar(&i.name, "name", "", "")
	f.BoolVar(&i.user, "user", false, "")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil, err
		}
		return nil, process.FlagError(f, err, helpCommand)
	}
	switch {
	case f.NArg() > 0:
		return nil, wrong("no argument is expected, not %q", f.Arg(0))
	case i.tokenIsArgument:
		e := exit.Usagef("a token is not taken as an argument, which everybody on this machine can read")
		e.Hint = "--token-file FILE, --token-file - for standard input, or MEZU_TOKEN; and replace this token"
		return nil, e
	case i.state != "" || i.logFile != "":
		return nil, wrong("state and log are where the system has those of services, and no flags of install")
	}
	if i.name != "" {
		if err := mezu.ValidateName("name", i.name); err != nil {
			return nil, err
		}
	}
	return i, nil
}

// maxCA bounds the CA file, as trust.LoadRoots does.
const maxCA = 1 << 20

// spec checks what the service is to be, as the Warpgate itself would, and reads the files that it
// gets a copy of.
func (i *installation) spec(ctx context.Context, getenv func(string) string, streams terminal.Streams) (service.Spec, error) {
	s := service.Spec{Name: i.name, Target: i.upstream, Arguments: i.arguments(), Environment: proxyEnvironment(getenv)}
	for _, need := range []struct{ flag, value string }{{"--api", i.api}, {"--upstream", i.upstream}} {
		if need.value == "" {
			return s, unsaid(need.flag)
		}
	}
	if i.maxConns < 0 {
		return s, wrong("--max-conns is a number of requests, or 0 for the default, not %d", i.maxConns)
	}
	log, err := process.Logger(streams.Err, i.logFormat, i.logLevel)
	if err != nil {
		return s, err
	}
	silent := slog.New(slog.DiscardHandler)
	_, err = sidecar.New(sidecar.Config{HealthAddr: i.health, MaxConns: max(i.maxConns, 1), Log: silent, Warpgates: []warpgate.Config{{
		API: i.api, Upstream: i.upstream, AllowTargets: i.allow, Environment: i.environment, StateDir: os.TempDir(), Log: silent, Events: func(mezu.Event) {},
	}}})
	if err != nil {
		return s, err
	}
	if i.ca != "" {
		if s.CA, err = namedfile.Read(i.ca, maxCA); err != nil {
			return s, fmt.Errorf("--ca-file: %w", err)
		}
		if _, err := trust.ParseRoots(s.CA); err != nil {
			return s, mezu.Invalid("ca-file", "%s: %v", i.ca, err)
		}
	}
	if s.Token, err = i.readToken(ctx, streams, log); err != nil {
		return s, err
	}
	if s.Token != "" && !strings.HasPrefix(s.Token, mezu.TokenEnrolment) {
		if err := mezu.ValidateKey(s.Token); err != nil {
			return s, err
		}
	}
	return s, nil
}

// maxToken bounds what is read of standard input.
const maxToken = 4 << 10

// readToken reads the token; empty if none is named.
func (i *installation) readToken(ctx context.Context, streams terminal.Streams, log *slog.Logger) (string, error) {
	switch i.tokenFile {
	case "":
		return process.SecretVariable("MEZU_TOKEN", i.token)
	case "-":
		text, err := streams.ReadAll(ctx, maxToken)
		if err != nil {
			return "", err
		}
		token, err := process.SecretVariable("token-file", string(text))
		if err == nil && token == "" {
			err = mezu.Invalid("token-file", "standard input holds no key or token")
		}
		return token, err
	}
	token, err := process.SecretFile(ctx, i.tokenFile, log)
	if err != nil {
		return "", fmt.Errorf("--token-file: %w", err)
	}
	return token, nil
}

// arguments are those with which the service runs, but for its files.
func (i *installation) arguments() []string {
	out := []string{"--api", i.api, "--upstream", i.upstream}
	for _, target := range i.allow {
		out = append(out, "--allow-target", target)
	}
	for _, one := range []struct{ flag, value, unless string }{
		{"--environment", i.environment, ""}, {"--health-addr", i.health, ""}, {"--log-format", i.logFormat, "text"}, {"--log-level", i.logLevel, "info"},
	} {
		if one.value != one.unless {
			out = append(out, one.flag, one.value)
		}
	}
	if i.maxConns > 0 {
		out = append(out, "--max-conns", strconv.Itoa(i.maxConns))
	}
	if i.json {
		out = append(out, "--json")
	}
	return out
}

// proxies are the variables by which a Warpgate finds its way out.
func proxies() []string { return []string{"HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"} }

// proxyEnvironment are the variables that the service gets. One with a password stays out: others may
// read a unit.
func proxyEnvironment(getenv func(string) string) map[string]string {
	out := map[string]string{}
	for _, name := range proxies() {
		if value := getenv(name); value != "" && !strings.Contains(value, "@") {
			out[name] = value
		}
	}
	return out
}

// leftOut are those of the variables that stay out.
func leftOut(getenv func(string) string) (out []string) {
	for _, name := range proxies() {
		if strings.Contains(getenv(name), "@") {
			out = append(out, name)
		}
	}
	return out
}
