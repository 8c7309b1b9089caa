// Package manual writes what people read of a program beside its help, from the same tree of
// commands: pages in Markdown and pages for man(1).
//
// What may not live here: words about a single command, which are its help's. It imports the
// flag library alone; only tests import it, which keep docs/reference, docs/man and
// docs/completions as the programs have them.
package manual

import (
	"strings"

	"github.com/urfave/cli/v2"
)

// Command is a command as its help shows it, with those below it.
type Command struct {
	// Name is the path as it is typed, with the program's name.
	Name    string
	Aliases []string
	// Usage is one line without a full stop.
	Usage, Arguments, Description, Example string
	Flags                                  []Flag
	Commands                               []Command
}

// Flag is a flag as a help page shows it: "--output FORMAT, -o FORMAT", and what it does.
type Flag struct{ Names, Usage string }

// Topic is a section of the program's own page, with text that is shown as it stands.
type Topic struct{ Title, Text string }

// Of reads a tree of commands. Hidden commands and flags are left out.
func Of(root *cli.Command) Command { return of("", root) }

func of(above string, c *cli.Command) Command {
	out := Command{
		Name: strings.TrimSpace(above + " " + c.Name), Aliases: c.Aliases,
		Usage: c.Usage, Arguments: c.ArgsUsage, Description: strings.TrimSpace(c.Description), Example: c.UsageText,
	}
	if !out.runs() && len(c.Subcommands) > 0 {
		out.Example = "" // that of its first command
	}
	for _, f := range c.Flags {
		if shown, ok := f.(cli.VisibleFlag); ok && !shown.IsVisible() || f.Names()[0] == "help" {
			continue
		}
		out.Flags = append(out.Flags, flag(f))
	}
	for _, s := range c.Subcommands {
		if !s.Hidden {
			out.Commands = append(out.Commands, of(out.Name, s))
		}
	}
	return out
}

// flag reads what a flag shows of itself: its names, a tab, and its usage. One that may be given
// several times shows its name again in brackets, as its usage says in words.
func flag(f cli.Flag) Flag {
	names, usage, _ := strings.Cut(f.String(), "\t")
	if before, _, repeatable := strings.Cut(names, " [ "); repeatable {
		names = before
	}
	usage = strings.TrimSpace(strings.ReplaceAll(usage, "(default:  )", ""))
	return Flag{Names: strings.TrimSpace(names), Usage: usage}
}

// synopsis is how a command is typed.
func (c Command) synopsis() string {
	out := c.Name
	if len(c.Commands) > 0 {
		out += " COMMAND"
	}
	if c.Arguments != "" {
		out += " " + c.Arguments
	}
	return out + " [FLAGS]"
}

// all are a command and those below it, in order.
func (c Command) all() []Command {
	out := []Command{c}
	for _, s := range c.Commands {
		out = append(out, s.all()...)
	}
	return out
}

// runs reports whether the command does something itself.
func (c Command) runs() bool { return len(c.Commands) == 0 || c.Arguments != "" }

// page is the name of the page that a command has: those below the program have one each, with
// their own commands in it.
func page(name string) string {
	words := strings.Fields(name)
	return strings.Join(words[:min(len(words), 2)], "-")
}

// paragraphs splits a text at its empty lines, and says of each part whether it is shown as it
// stands because it is indented.
func paragraphs(text string) []paragraph {
	var out []paragraph
	for part := range strings.SplitSeq(strings.Trim(text, "\n"), "\n\n") {
		part = strings.Trim(part, "\n")
		if part == "" {
			continue
		}
		as := strings.HasPrefix(part, " ") || strings.Contains(part, "\n  ")
		if n := len(out); n > 0 && as && out[n-1].verbatim {
			out[n-1].text += "\n\n" + part
			continue
		}
		out = append(out, paragraph{text: part, verbatim: as})
	}
	return out
}

type paragraph struct {
	text     string
	verbatim bool
}
