package cli

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu/cli/argv"
	"github.com/mezusphere/mezu/cli/environments"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/orgs"
	"github.com/mezusphere/mezu/cli/projects"
	"github.com/mezusphere/mezu/cli/terminal"
)

// completeCommand is what the completion scripts call: it takes the words typed
// so far, the last one unfinished or empty, and prints candidates, one a line.
// The flag library's own mechanism would read the arguments of the process, and doesn't
// work after "--".
const completeCommand = "__complete"

// emptyWord stands for a word of which nothing is typed yet: Windows PowerShell leaves empty
// arguments out.
const emptyWord = "__empty"

// completionTimeout bounds the look-up when somebody presses the tab key. No candidates are
// better than a shell that hangs.
const completionTimeout = 2 * time.Second

// completionCommand is "mezu completion".
func completionCommand(inv *invocation.Invocation) *cli.Command {
	return &cli.Command{
		Name: "completion", Usage: "Print the completion script for a shell", ArgsUsage: "SHELL", Category: "program",
		Description: "SHELL is one of " + strings.Join(shells(), ", ") + ". For bash, for example:\n\n   source <(mezu completion bash)",
		BashComplete: invocation.Complete(func(context.Context) ([]string, error) {
			return shells(), nil
		}),
		Before: inv.Is(invocation.Text),
		Action: func(c *cli.Context) error {
			args, err := invocation.Arguments(c, "SHELL")
			if err != nil {
				return err
			}
			script, ok := scripts()[args[0]]
			if !ok {
				return exit.Usagef("there is a completion script for %s, not for %q", strings.Join(shells(), ", "), args[0])
			}
			return inv.Printf("%s", script)
		},
	}
}

// complete prints the candidates for the last of the words.
func complete(ctx context.Context, inv *invocation.Invocation, root *cli.Command, words []string) {
	if len(words) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, completionTimeout)
	defer cancel()
	before, word := words[:len(words)-1], words[len(words)-1]
	if word == emptyWord {
		word = ""
	}
	if slices.Contains(before, "--") {
		return
	}
	prefix := ""
	var candidates []string
	switch name, value, joined := strings.Cut(word, "="); {
	case joined && strings.HasPrefix(name, "-"):
		prefix, word = name+"=", value
		candidates = flagValues(ctx, inv, root, before, name)
	case len(before) > 0 && wantsValue(root, before):
		candidates = flagValues(ctx, inv, root, before[:len(before)-1], before[len(before)-1])
	case strings.HasPrefix(word, "-"):
		candidates = flagNames(root, before)
	default:
		candidates = arguments(ctx, inv, root, before)
	}
	for _, c := range candidates {
		if c != "" && strings.HasPrefix(c, word) {
			fmt.Fprintln(inv.Out, terminal.Clean(prefix+c))
		}
	}
}

// wantsValue reports whether the word typed last is a flag whose value comes next.
func wantsValue(root *cli.Command, words []string) bool {
	last := words[len(words)-1]
	if !strings.HasPrefix(last, "-") || strings.Contains(last, "=") {
		return false
	}
	_, alone := argv.Read(root, words)
	_, valued := argv.Read(root, append(slices.Clone(words), "0")) // as good for a number and a span as for a name
	return alone != nil && valued == nil
}

// read reads the words so far and moves the global flags among them into the
// invocation, so that look-ups go to the right place.
func read(inv *invocation.Invocation, root *cli.Command, words []string) (*argv.Line, bool) {
	line, err := argv.Read(root, words)
	if err != nil {
		return nil, false
	}
	inv.Flags = invocation.Flags{
		Output: terminal.Table, Organization: line.Global("org"), Project: line.Global("project"), Environment: line.Global("environment"),
		API: line.Global("api"), CAFile: line.Global("ca-file"), Profile: line.Global("profile"), Timeout: completionTimeout,
	}
	return line, true
}

// flagValues are the values that a flag, as written, can have.
func flagValues(ctx context.Context, inv *invocation.Invocation, root *cli.Command, words []string, flag string) []string {
	line, ok := read(inv, root, words)
	if !ok {
		return nil
	}
	if usage := usageOf(line, strings.TrimLeft(flag, "-")); usage != "" {
		if listed := listedValues(usage); len(listed) > 0 {
			return listed
		}
		switch {
		case strings.Contains(usage, "`TUNNEL`"):
			return named(ctx, root, "tunnel", "show")
		case strings.Contains(usage, "`DIRECTORY`"), strings.Contains(usage, "the directory `NAME`"):
			return named(ctx, root, "directories", "show")
		}
	}
	switch strings.TrimLeft(flag, "-") {
	case "output", "o":
		return terminal.Formats()
	case "profile":
		names, _ := inv.Profiles.Names() // if the folder can't be read, nothing is proposed
		return names
	case "org":
		names, _ := orgs.Names(ctx, inv)
		return names
	case "project", "p":
		names, _ := projects.Names(ctx, inv)
		return names
	case "environment", "e":
		names, _ := environments.Names(ctx, inv)
		return names
	}
	return nil
}

// usageOf is what the nearest command on a line that has a flag says of it.
func usageOf(line *argv.Line, name string) string {
	for _, c := range slices.Backward(line.Path) {
		for _, f := range c.Flags {
			if shown, ok := f.(cli.DocGenerationFlag); ok && slices.Contains(f.Names(), name) {
				return shown.GetUsage()
			}
		}
	}
	return ""
}

// valueList is the end of a usage that lists all values that there are: "MODE is off, detect or
// block", "whether upgrades pass: true or false". One in capitals stands for many.
var valueList = regexp.MustCompile(`^((?:[a-z0-9_]+, )*[a-z0-9_]+(?: or |, )[a-z0-9_:]+[A-Z]*)(?:$| \()`)

// listedValues are the values that the usage of a flag lists.
func listedValues(usage string) []string {
	list, listed := "", false
	for _, before := range []string{"` is ", "COLOURS` ", ": "} {
		if _, list, listed = strings.Cut(usage, before); listed {
			break
		}
	}
	m := valueList.FindStringSubmatch(strings.ReplaceAll(list, "`", "")) // a value may be the placeholder
	if m == nil {
		return nil
	}
	var out []string
	for v := range strings.SplitSeq(strings.ReplaceAll(m[1], " or ", ", "), ", ") {
		if strings.ToLower(v) == v {
			out = append(out, v)
		}
	}
	return out
}

// named are the candidates of a command for its argument.
func named(ctx context.Context, root *cli.Command, path ...string) []string {
	c := root
	for _, name := range path {
		if c = c.Command(name); c == nil {
			return nil
		}
	}
	return candidates(ctx, c)
}

func candidates(ctx context.Context, c *cli.Command) []string {
	if c.BashComplete == nil {
		return nil
	}
	var out bytes.Buffer
	cc := cli.NewContext(&cli.App{Writer: &out}, flag.NewFlagSet(c.Name, flag.ContinueOnError), nil)
	cc.Context = ctx
	c.BashComplete(cc)
	return strings.Split(out.String(), "\n")
}

// flagNames are the long flags of all commands on the path.
func flagNames(root *cli.Command, words []string) []string {
	line, err := argv.Read(root, words)
	if err != nil {
		return nil
	}
	var names []string
	for _, c := range line.Path {
		for _, f := range c.Flags {
			names = append(names, "--"+f.Names()[0])
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// arguments are the subcommands, or the candidates of the last command for its argument.
func arguments(ctx context.Context, inv *invocation.Invocation, root *cli.Command, words []string) []string {
	line, ok := read(inv, root, words)
	if !ok {
		return nil
	}
	c := line.Command()
	if len(c.Subcommands) > 0 {
		var names []string
		if len(words) > 0 && words[len(words)-1] == "help" && len(line.Path) == 1 {
			for _, t := range topics() {
				names = append(names, t.name)
			}
		}
		for _, s := range c.Subcommands {
			if !s.Hidden {
				names = append(names, s.Name)
			}
		}
		return names
	}
	if takes := strings.Fields(c.ArgsUsage); len(line.Args) >= len(takes) && !strings.Contains(c.ArgsUsage, "…") {
		return nil
	}
	return candidates(ctx, c)
}
