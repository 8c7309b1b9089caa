// Command mezusphere is the hosted services: the control plane, the edge, or both
// in one process.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/cli/variable"
	"github.com/mezusphere/mezu/cmd/process"
)

// version is set by the linker.
var version = "devel"

const usage = `mezusphere - the control plane and the edge of an installation

Usage:
   mezusphere control [FLAGS]            run the control plane
   mezusphere edge [FLAGS]               run an edge
   mezusphere all [FLAGS]                run both in one process
   mezusphere check [ROLE] --config FILE judge a configuration and exit
   mezusphere join-token create [FLAGS]  make a token with which one edge enrols
   mezusphere audit verify [FLAGS] DIR   check an archive of audit records
   mezusphere keys COMMAND [FLAGS]       show and rotate the keys of an installation
   mezusphere backup FILE [FLAGS]        write a backup of a running installation, encrypted
   mezusphere restore FILE [FLAGS]       put it into the empty store of a control plane that is stopped
   mezusphere version

mezusphere COMMAND --help shows the flags. Every key of --config FILE is also a flag, and an
environment variable: api_addr is --api-addr and MEZUSPHERE_API_ADDR. Flags win over the
environment, the environment over the file.

SIGTERM, SIGINT and SIGHUP let requests end, a second SIGTERM or SIGINT cuts them.
Exit codes: 0 done, 1 failed, 2 usage, 3 not allowed, 4 not found, 5 conflict, 6 unreachable, 7 timed out.
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
		s.Report("mezusphere", err)
	}
	return code
}

// dispatch runs the command that was named. Commands that serve have a rule of their own
// for the exit code.
func (p *program) dispatch(ctx context.Context, args []string) (int, error) {
	name := ""
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	var err error
	switch name {
	case roleControl, roleEdge, roleAll:
		return p.serve(ctx, name, args)
	case "check":
		err = p.check(ctx, args)
	case "join-token":
		err = p.joinToken(ctx, args)
	case "audit":
		err = p.auditVerify(args)
	case "backup":
		err = p.backup(ctx, args)
	case roleRestore:
		err = p.restore(ctx, args)
	case "keys":
		err = p.keys(ctx, args)
	case "version", "--version":
		err = p.Printf("mezusphere %s\n", version)
	case "", "help", "--help", "-h":
		err = p.Printf("%s", usage)
	default:
		err = wrong("mezusphere has no command %q", name)
	}
	return exit.Of(err), err
}

func wrong(format string, args ...any) error {
	e := exit.Usagef(format, args...)
	e.Hint = "mezusphere --help"
	return e
}

// flags reads the flags of a role. All are strings here; they are checked with the rest of
// the configuration.
func (p *program) flags(role string, args []string) (file string, flags []given, rest []string, err error) {
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
	err = f.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return "", nil, nil, errors.Join(p.roleHelp(role), err)
	}
	if err != nil {
		e := exit.Usagef("%v", err)
		e.Hint = "mezusphere " + role + " --help"
		return "", nil, nil, e
	}
	return file, flags, f.Args(), nil
}

// roleHelp prints the flags of a role.
func (p *program) roleHelp(role string) error {
	w := tabwriter.NewWriter(p.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "Usage:\n   mezusphere %s [FLAGS]\n\nFlags:\n   --config FILE\tread settings from a YAML file (MEZUSPHERE_CONFIG)\n", role)
	for _, k := range defaults().keys() {
		if strings.Contains(" "+k.roles+" ", " "+role+" ") {
			value, what, _ := strings.Cut(k.usage, " ")
			fmt.Fprintf(w, "   --%s %s\t%s\n", k.flag(), value, what)
		}
	}
	return w.Flush()
}

// check checks a configuration as a start would, and starts nothing.
func (p *program) check(ctx context.Context, args []string) error {
	role := ""
	if len(args) > 0 && (args[0] == roleControl || args[0] == roleEdge || args[0] == roleAll) {
		role, args = args[0], args[1:]
	}
	file, flags, rest, err := p.flags(cmp.Or(role, "check"), args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return wrong("check takes control, edge or all, not %q", rest[0])
	}
	c, err := load(ctx, role, file, flags, p.getenv)
	if err != nil {
		return err
	}
	if err := c.checkFiles(ctx); err != nil {
		return err
	}
	p.Sayf("the configuration is good")
	return nil
}
