// Command warpgate is the sidecar: the Warpgate alone, for servers, containers
// and pods. It has no database, no dashboard and no configuration file.
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
	"strconv"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/home"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/cli/variable"
	"github.com/mezusphere/mezu/cmd/process"
	"github.com/mezusphere/mezu/daemon/sidecar"
	"github.com/mezusphere/mezu/daemon/warpgate"
)

// version is set by the linker.
var version = "devel"

const usage = `warpgate - connect a workload that opens no port to its edge

Usage:
   warpgate --api URL --token-file FILE --upstream TARGET [FLAGS]
   warpgate install [--name NAME] [--user] --api URL --token-file FILE
      --upstream TARGET [FLAGS]
   warpgate uninstall [--name NAME] [--user]

install has the system run it from now on: a unit of systemd, a daemon of
launchd or a service of Windows, with the token in a file for it alone. It may
be repeated, with other flags too; the token is needed once. uninstall removes
what install wrote.

Where it connects:
   --api URL,…          the control planes of the installation, or one
                        (MEZU_API)
   --token-file FILE    the service account key or enrolment token in FILE;
                        needed once, then the certificate in the state folder
                        serves
   --token TOKEN        the same as an argument, which process lists show
                        (MEZU_TOKEN)
   --environment NAME   the environment to serve (MEZU_ENVIRONMENT); else the
                        service account's, else production
   --ca-file FILE       trust the certificates in FILE instead of the system's
                        (MEZU_CA_FILE)

The workload:
   --upstream TARGET    the workload: host:port, http://, https://, h2c:// or
                        unix:/path
   --allow-target TARGET
                        another target that routes may name (repeatable)
   --max-conns N        requests at once, from all edges together; else what
                        memory and descriptors carry

This process:
   --state DIR          keep certificate and configuration in DIR
   --health-addr ADDR   serve /livez, /readyz and /metrics on ADDR
   --json               print events to stdout as JSON, one a line
   --log-format FORMAT  text or json
   --log-level LEVEL    debug, info, warn or error
   --log-file FILE      write the log to FILE, and that of before to FILE.1
                        (5 MiB each)
   -v, --version        print the version
   -h, --help           print this

install and uninstall:
   --name NAME          the service, of several on this machine
   --user               a service of yours, without root

Example:
   warpgate --api https://control.example.com --token-file key --upstream 8080

SIGTERM, SIGINT and SIGHUP let requests end, a second SIGTERM or SIGINT cuts
them. HTTPS_PROXY and NO_PROXY are honoured.

Exit codes: 0 done, 1 failed, 2 usage, 3 not allowed, 4 not found,
6 unreachable, 7 timed out.
`

// options are what command line and environment say, not yet checked.
type options struct {
	api, tokenFile, token, upstream string
	allow                           []string
	environment, state, health, ca  string
	json, version                   bool
	logFormat, logLevel, logFile    string
	tokenIsArgument                 bool
	maxConns                        int
}

// flags are those of a Warpgate, which set the options.
func flags(getenv func(string) string) (*options, *flag.FlagSet) {
	o := &options{api: getenv("MEZU_API"), token: getenv("MEZU_TOKEN"), environment: getenv("MEZU_ENVIRONMENT"), ca: getenv("MEZU_CA_FILE")}
	f := flag.NewFlagSet("warpgate", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&o.api, "api", o.api, "")
	f.StringVar(&o.tokenFile, "token-file", "", "")
	f.Func("token", "", func(v string) error { o.token, o.tokenIsArgument = v, true; return nil })
	f.StringVar(&o.upstream, "upstream", "", "")
	f.Func("allow-target", "", func(v string) error { o.allow = append(o.allow, v); return nil })
	f.StringVar(&o.environment, "environment", o.environment, "")
	f.StringVar(&o.state, "state", "", "")
	f.StringVar(&o.health, "health-addr", "", "")
	f.Func("max-conns", "", func(v string) (err error) {
		if o.maxConns, err = strconv.Atoi(v); err != nil { // IntVar reads 010 as 8
			err = fmt.Errorf("%q is not a number", v)
		}
		return err
	})
	f.StringVar(&o.ca, "ca-file", o.ca, "")
	f.BoolVar(&o.json, "json", false, "")
	o.versionFlags(f)
	f.StringVar(&o.logFormat, "log-format", "text", "")
	f.StringVar(&o.logLevel, "log-level", "info", "")
	f.StringVar(&o.logFile, "log-file", "", "")
	return o, f
}

func (o *options) versionFlags(f *flag.FlagSet) {
	f.BoolVar(&o.version, "version", false, "")
	f.BoolVar(&o.version, "v", false, "")
}

// parse reads arguments and environment. It touches nothing else.
func parse(args []string, getenv func(string) string) (*options, error) {
	o, f := flags(getenv)
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil, err
		}
		return nil, process.FlagError(f, err, helpCommand)
	}
	switch {
	case f.NArg() == 1 && f.Arg(0) == versionVerb:
		o.version = true
	case f.NArg() > 0:
		e := exit.Usagef("no argument is expected, not %q", f.Arg(0))
		e.Hint = process.Meant("warpgate ", f.Arg(0), []string{installVerb, uninstallVerb, versionVerb}, helpCommand)
		return nil, e
	}
	if o.version {
		return o, nil
	}
	if o.maxConns < 0 {
		return nil, wrong("--max-conns is a number of requests, or 0 for the default, not %d", o.maxConns)
	}
	from := "MEZU_TOKEN"
	if o.tokenIsArgument {
		from = "--token"
	}
	if o.tokenFile == "" || o.tokenIsArgument {
		var err error
		if o.token, err = process.SecretVariable(from, o.token); err != nil {
			return nil, err
		}
	}
	if o.tokenFile != "" && o.tokenIsArgument {
		return nil, wrong("--token and --token-file exclude each other")
	}
	if o.state == "" {
		folders, err := home.Of(getenv)
		if err != nil {
			return nil, wrong("%v, or name a folder with --state", err)
		}
		o.state = filepath.Join(folders.State, "warpgate")
	}
	for _, need := range []struct{ flag, value string }{{"--api", o.api}, {"--upstream", o.upstream}} {
		if need.value == "" {
			return nil, unsaid(need.flag)
		}
	}
	return o, nil
}

// unsaid is the error for a flag without which no Warpgate runs.
func unsaid(flag string) error {
	if flag == "--api" {
		return wrong("warpgate needs the control plane: --api URL, or MEZU_API")
	}
	return wrong("warpgate needs the workload: --upstream host:port, http://, https://, h2c:// or unix:/path")
}

// helpCommand shows the flags.
const helpCommand = "warpgate --help"

func wrong(format string, args ...any) error {
	e := exit.Usagef(format, args...)
	e.Hint = helpCommand
	return e
}

// run is the program.
func run(ctx context.Context, args []string, getenv func(string) string, s terminal.Streams) int {
	outlets := process.NewOutlets(&s)
	defer outlets.Close()
	getenv = variable.Read(getenv)
	if len(args) > 0 && (args[0] == installVerb || args[0] == uninstallVerb) {
		return manage(ctx, args[0], args[1:], getenv, s)
	}
	o, err := parse(args, getenv)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(s.Out, terminal.Page(usage, s.PageFor()))
		return exit.Done
	}
	if err == nil && o.version {
		fmt.Fprintln(s.Out, "warpgate", version)
		return exit.Done
	}
	var log *slog.Logger
	if err == nil && o.logFile != "" {
		var file *process.LogFile
		if file, err = process.OpenLogFile(o.logFile); err == nil {
			defer file.Close()
			s.Err = file
		}
	}
	if err == nil {
		log, err = process.Logger(s.Err, o.logFormat, o.logLevel)
	}
	if err != nil {
		s.Report("warpgate", err)
		return exit.Of(err)
	}
	code := exit.Done
	err = process.AsService(ctx, "warpgate", func(ctx context.Context) error {
		if code = serve(ctx, o, s, outlets, log); code != exit.Done {
			return &exit.ProgramError{Code: code}
		}
		return nil
	})
	if err != nil && code == exit.Done {
		s.Report("warpgate", err)
		return exit.Of(err)
	}
	return code
}

// serve runs the Warpgate until a signal or a refusal ends it.
func serve(ctx context.Context, o *options, s terminal.Streams, outlets *process.Outlets, log *slog.Logger) int {
	outlets.Serve()
	drain, cut, stop := process.Signals(ctx)
	defer stop()
	emit := func(mezu.Event) {}
	if o.json {
		emit = process.NewEvents(s, log).Write
	}
	d, err := assemble(drain, o, log, emit, outlets.Lost)
	if err == nil {
		defer context.AfterFunc(cut, d.Close)()
		err = d.Run(drain)
	}
	code := process.Finish(drain, cut, err)
	if code != exit.Done && err != nil {
		if d == nil { // else the Warpgate has sent the event
			emit(process.Fail(err))
		}
		s.Report("warpgate", err)
	}
	return code
}

// assemble checks what can be checked before anything is touched.
func assemble(ctx context.Context, o *options, log *slog.Logger, emit func(mezu.Event), lost func() uint64) (*sidecar.Process, error) {
	if err := process.CheckDescriptors(process.MinWarpgate); err != nil {
		return nil, err
	}
	if o.tokenIsArgument {
		process.WarnArgument(log, "--token")
	}
	// Before the first registration a missing file is a mistake. Later it may come and
	// go: the certificate is enough, and a registration is tried again.
	if files, _ := os.ReadDir(o.state); o.tokenFile != "" && len(files) == 0 {
		if _, err := process.SecretFile(ctx, o.tokenFile, log); err != nil {
			return nil, fmt.Errorf("--token-file: %w", err)
		}
	}
	conns, because := process.DataConns(o.maxConns, process.Divide(process.Services{Warpgate: true}).Warpgate, 0)
	log.Info("requests at once", "most", conns, "because_of", because)
	return sidecar.New(sidecar.Config{HealthAddr: o.health, MaxConns: conns, LinesLost: lost, Log: log, Warpgates: []warpgate.Config{{
		API: o.api, CAFile: o.ca, Token: o.secret(ctx, log), Upstream: o.upstream, AllowTargets: o.allow, Environment: o.environment,
		StateDir: o.state, Version: version, Log: log, Events: emit,
	}}})
}

// secret gives the key, and is nil if there is none. A file is read at each use, so that
// it can be replaced while the program runs.
func (o *options) secret(ctx context.Context, log *slog.Logger) func() (string, error) {
	switch {
	case o.tokenFile != "":
		return func() (string, error) { return process.SecretFile(ctx, o.tokenFile, log) }
	case o.token != "":
		return func() (string, error) { return o.token, nil }
	}
	return nil
}
