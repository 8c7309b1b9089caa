package invocation

import (
	"bytes"
	"context"
	"flag"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/terminal"
)

// Argument is one argument of a command: its name in help texts, and what it is to somebody who has
// left it out, such as "the name of a project".
type Argument struct{ Name, Is string }

// ofName are the arguments that several commands have.
func ofName(name string) Argument {
	is := map[string]string{
		"EMAIL": "a mail address", "ENVIRONMENT": "an environment, such as staging or shop/staging", "FILE": "a file", "ID": "the id of a request",
		"METHOD": "a method such as GET", "NAME": "a name", "SHELL": "a shell", "URL": "an address or a path such as /api/", "USER": "the mail address or id of a user",
	}[name]
	return Argument{name, is}
}

// Arguments gives the arguments of a command. names are their names in help texts. Another
// number of arguments is a usage error.
func Arguments(c *cli.Context, names ...string) ([]string, error) {
	all := make([]Argument, len(names))
	for i, name := range names {
		all[i] = ofName(name)
	}
	return Described(c, all...)
}

// Described is Arguments for those that have words of their own.
func Described(c *cli.Context, all ...Argument) ([]string, error) {
	args := c.Args().Slice()
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == len(all) {
		return args, nil
	}
	var e *exit.UsageError
	switch {
	case len(args) < len(all):
		var needs []string
		for _, a := range all[len(args):] {
			if a.Is == "" {
				a.Is = a.Name
			}
			needs = append(needs, a.Is)
		}
		e = exit.Usagef("%s needs %s", c.Command.HelpName, strings.Join(needs, " and "))
		if choices := choices(c); len(args) == 0 && len(needs) == 1 && choices != "" {
			e.Detail += ": " + choices
		}
	case len(all) == 0:
		e = exit.Usagef("%s takes no argument, not %q", c.Command.HelpName, args[0])
	default:
		names := make([]string, len(all))
		for i, a := range all {
			names[i] = a.Name
		}
		e = exit.Usagef("%s takes %s only, not also %q", c.Command.HelpName, strings.Join(names, " and "), args[len(all)])
	}
	e.Hint = c.Command.HelpName + " --help"
	return nil, e
}

const (
	// choicesTime bounds the look for what an argument could be. The error is said in any case.
	choicesTime = time.Second
	// maxChoices is how many an error has: more are a list, and there are commands for lists.
	maxChoices = 8
)

// choices are what the first argument of a command could be, as completion finds it; empty if
// nobody knows, or there are too many.
func choices(c *cli.Context) string {
	if c.Command.BashComplete == nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(c.Context, choicesTime)
	defer cancel()
	var out bytes.Buffer
	asked := cli.NewContext(&cli.App{Writer: &out}, flag.NewFlagSet(c.Command.Name, flag.ContinueOnError), nil)
	asked.Context = ctx
	c.Command.BashComplete(asked)
	var names []string
	for name := range strings.Lines(out.String()) {
		// The flag library's own completion, of commands without one, proposes flags.
		if name = terminal.Clean(strings.TrimSpace(name)); name != "" && !strings.HasPrefix(name, "-") {
			names = append(names, name)
		}
	}
	switch n := len(names); {
	case n == 0 || n > maxChoices:
		return ""
	case n == 1:
		return names[0]
	default:
		return strings.Join(names[:n-1], ", ") + " or " + names[n-1]
	}
}
