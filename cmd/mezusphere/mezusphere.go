// Command mezusphere is the hosted services: the control plane, the edge, or both
// in one process.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/keyfile"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/cli/variable"
	"github.com/mezusphere/mezu/cmd/process"
)

// version is set by the linker.
var version = "devel"

const usage = `mezusphere - the control plane and the edge of an installation

Usage:
   mezusphere COMMAND [FLAGS]

Commands:
   control              run the control plane
   edge                 run an edge
   all                  run both in one process
   check [ROLE]         judge a configuration and exit
   join-token create    make a token with which one edge enrols
   operator reset       make a new bootstrap link, beside a running control
                        plane or not
   audit verify DIR     check an archive of audit records
   keys COMMAND         show and rotate the keys of an installation
   backup FILE          write a backup of a running installation, encrypted
   restore FILE         put it into the empty store of a control plane that is
                        stopped
   version              print the version, as -v and --version do

mezusphere COMMAND --help shows the flags. Every key of --config FILE is also a
flag, and an environment variable: api_addr is --api-addr and
MEZUSPHERE_API_ADDR. Flags win over the environment, the environment over the
file.

SIGTERM, SIGINT and SIGHUP let requests end, a second SIGTERM or SIGINT cuts
them.

Exit codes: 0 done, 1 failed, 2 usage, 3 not allowed, 4 not found, 5 conflict,
6 unreachable, 7 timed out.

Example:
   mezusphere all --state state --domain apps.example.com
`

// program is what every command is given.
type program struct {
	terminal.Streams
	getenv  func(string) string
	outlets *process.Outlets
}

// run is the program.
func run(ctx context.Context, args []string, getenv func(string) string, s terminal.Streams) int {
	process.SilenceLibraries()
	outlets := process.NewOutlets(&s)
	defer outlets.Close()
	p := &program{s, variable.Read(getenv), outlets}
	code, err := p.dispatch(ctx, args)
	if errors.Is(err, flag.ErrHelp) {
		return exit.Done
	}
	if err != nil {
		s.ReportAs(asked(args), "mezusphere", err)
	}
	return code
}

// asked is the format of errors that a command line asks for: that of results.
func asked(args []string) terminal.Format {
	if end := slices.Index(args, "--"); end >= 0 {
		args = args[:end]
	}
	if slices.Contains(args, "--json") || slices.Contains(args, "-json") {
		return terminal.JSON
	}
	return terminal.Table
}

// dispatch runs the command that was named. Commands that serve have a rule of their own
// for the exit code.
func (p *program) dispatch(ctx context.Context, args []string) (int, error) {
	name := ""
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	if len(args) > 0 && wantsVersion(args[0]) {
		name = "version"
	}
	var err error
	switch name {
	case roleControl, roleEdge, roleAll:
		return p.serve(ctx, name, args)
	case "check":
		err = p.check(ctx, args)
	case "join-token":
		err = p.joinToken(ctx, args)
	case "operator":
		err = p.operator(ctx, args)
	case "audit":
		err = p.auditVerify(args)
	case "backup":
		err = p.backup(ctx, args)
	case roleRestore:
		err = p.restore(ctx, args)
	case "keys":
		err = p.keys(ctx, args)
	case "version", "--version", "-v":
		err = p.Printf("mezusphere %s\n", version)
	case "", "help", "--help", "-h":
		err = p.help(usage)
	default:
		e := exit.Usagef("mezusphere has no command %q", name)
		e.Hint = process.Meant("mezusphere ", name, commands(), helpCommand)
		err = e
	}
	return exit.Of(err), err
}

// commands are the names of all, as the usage has them.
func commands() []string {
	return append(roles(), "check", "join-token", "operator", "audit", "backup", roleRestore, "keys", "version")
}

func wantsVersion(arg string) bool { return arg == "--version" || arg == "-v" }

// help prints a page of help, as wide as the terminal has room for.
func (p *program) help(page string) error {
	return p.Printf("%s", terminal.Page(page, p.PageFor()))
}

// helpCommand shows the commands.
const helpCommand = "mezusphere --help"

func wrong(format string, args ...any) error {
	e := exit.Usagef(format, args...)
	e.Hint = helpCommand
	return e
}

// flags reads the flags of a role, and more that are no settings. All are strings here; they are
// checked with the rest of the configuration.
func (p *program) flags(role string, args []string, more ...func(*flag.FlagSet)) (file string, flags []given, rest []string, err error) {
	f := flag.NewFlagSet(role, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&file, "config", "", "")
	for _, k := range defaults().keys() {
		if strings.Contains(" "+k.roles+" ", " "+role+" ") {
			name := k.flag()
			f.Func(name, "", func(v string) error {
				flags = append(flags, given{name, v})
				return nil
			})
		}
	}
	for _, add := range more {
		add(f)
	}
	err = f.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return "", nil, nil, errors.Join(p.roleHelp(role), err)
	}
	if err != nil {
		return "", nil, nil, process.FlagError(f, err, "mezusphere "+typed(role)+" --help")
	}
	return file, flags, f.Args(), nil
}

// purpose is what a role is for, and an example of it.
func purpose(role string) (what, arguments, example string) {
	switch role {
	case roleControl:
		return "run the control plane", "", "mezusphere control --state state --domain apps.example.com"
	case roleEdge:
		return "run an edge", "", "mezusphere edge --config edge.yaml --join-token-file token"
	case roleAll:
		return "run control plane and edge in one process", "", "mezusphere all --state state --domain apps.example.com"
	case roleRestore:
		return "put a backup into an empty store", " FILE", "mezusphere restore backup.mezu --state state"
	case roleReset:
		return "make a new bootstrap link, for an operator who is locked out", "", "mezusphere operator reset --state state"
	}
	return "judge a configuration and exit", " [control|edge|all]", "mezusphere check control --config control.yaml"
}

// typed is a role as it is typed.
func typed(role string) string { return strings.ReplaceAll(role, "-", " ") }

// roleHelp prints the flags of a role.
func (p *program) roleHelp(role string) error {
	what, arguments, example := purpose(role)
	page := fmt.Sprintf("mezusphere %s - %s\n\nUsage:\n   mezusphere %s%s [FLAGS]\n", typed(role), what, typed(role), arguments)
	groups := []string{"Flags"}
	rows := map[string][][2]string{"Flags": {{"--config FILE", "read settings from a YAML file (MEZUSPHERE_CONFIG)"}}}
	switch role {
	case "check":
		page += "\nThe flags of what is named are flags of check, too.\n"
	case roleRestore:
		page += restoreUsage
		rows["Flags"] = append(rows["Flags"], [2]string{keepLive, "put back what went on too"})
	case roleReset:
		page += resetUsage
		rows["Flags"] = append(rows["Flags"], [2]string{"--operator EMAIL|ID", "the operator to let in; else who became operator first"},
			[2]string{"--revoke", "end all tokens, logins and sessions of that operator, and the password"},
			[2]string{"--" + keyfile.FlagName + " FILE", "write the link to FILE, which must not be there, instead of printing it"},
			[2]string{"--json", "print the link and what it is for as JSON"})
	}
	for _, k := range defaults().keys() {
		if !strings.Contains(" "+k.roles+" ", " "+role+" ") {
			continue
		}
		value, what, _ := strings.Cut(k.usage, " ")
		in := k.group()
		if rows[in] = append(rows[in], [2]string{"--" + k.flag() + " " + value, what}); !slices.Contains(groups, in) {
			groups = append(groups, in)
		}
	}
	for _, in := range groups {
		page += "\n" + in + ":\n" + strings.Join(terminal.Rows(rows[in], p.PageFor()), "\n") + "\n"
	}
	return p.help(page + "\nExample:\n   " + example + "\n")
}
