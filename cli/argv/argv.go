// Package argv reads a command line against a tree of commands before the flag
// library does. That library silently takes every flag after an argument for another
// argument. Here flags may be anywhere before "--".
//
// What may not live here: what flags mean, and any command. It imports
// urfave/cli, the domain and cli/exit only; cli imports it.
package argv

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/exit"
)

// OptionalFlag is a flag that may stand alone, or have a value.
type OptionalFlag struct {
	*cli.GenericFlag
	// Alone is the value of one that stands alone.
	Alone string
	// Takes reports whether the word behind the flag is its value.
	Takes func(word string) bool
}

// Line is a command line that was read.
type Line struct {
	// Path is the commands from the root on, the root included.
	Path []*cli.Command
	// Args are the arguments of the last command. What followed "--" is in it unchanged,
	// after the "--" itself.
	Args []string
	// flags are those of each command of Path as --name=value.
	flags [][]string
	// values are the values of flags, by the flag's first name; the last one wins.
	values []map[string]string
	// written are the flags that were given a value, by the same name, as they were typed.
	written map[string]string
}

// Arranged is the line in the order that the flag library understands: each command's flags,
// then a "--", then its arguments.
func (l *Line) Arranged() []string {
	var out []string
	for i, c := range l.Path {
		out = append(append(out, c.Name), l.flags[i]...)
	}
	return append(append(out, "--"), l.Args...)
}

// Command is the last command of the line.
func (l *Line) Command() *cli.Command { return l.Path[len(l.Path)-1] }

// Global is the value of a global flag, by its first name; "" if it was not given. A command
// may have a flag of its own with that name: a route has a --timeout, too.
func (l *Line) Global(flag string) string { return l.values[0][flag] }

// WantsHelp reports whether the help of any command of the line is asked for.
func (l *Line) WantsHelp() bool {
	for _, level := range l.values {
		if level["help"] != "" {
			return true
		}
	}
	return false
}

// Read reads the arguments that follow the program's name. A flag belongs to the
// nearest command on the path that has it. A value may follow its flag as the
// next word, after "=" or, for a single letter, at once (-ojson); letters without
// a value may be joined (-qh). "help" before a command's name is "--help" after it;
// each command has a flag of that name of its own. Before a topic it is a command.
func Read(root *cli.Command, args []string) (*Line, error) {
	l := &Line{Path: []*cli.Command{root}, flags: make([][]string, 1), values: []map[string]string{{}}, written: map[string]string{}}
	wantHelp := false
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		switch {
		case word == "--":
			l.Args = append(append(l.Args, word), args...)
			args = nil
		case strings.HasPrefix(word, "--"):
			n, err := l.long(word, args)
			if err != nil {
				return nil, err
			}
			args = args[n:]
		case strings.HasPrefix(word, "-") && word != "-":
			n, err := l.short(word, args)
			if err != nil {
				return nil, err
			}
			args = args[n:]
		case len(l.Args) > 0 || len(l.Command().Subcommands) == 0:
			l.Args = append(l.Args, word)
		case word == "help" && !namesTopic(l.Command(), args):
			wantHelp = true
		case l.takesArguments() && l.Command().Command(word) == nil:
			l.Args = append(l.Args, word)
		default:
			if err := l.descend(word); err != nil {
				return nil, err
			}
		}
	}
	if wantHelp {
		l.add(len(l.Path)-1, "help", "true")
	}
	if l.WantsHelp() {
		l.Args = nil // the flag library would take an argument for a topic of help
	}
	return l, nil
}

// takesArguments reports whether the last command has arguments of its own beside subcommands.
func (l *Line) takesArguments() bool {
	c := l.Command()
	return c.Action != nil && c.ArgsUsage != ""
}

// namesTopic reports whether "help" is to be taken for the command of that name: a topic follows.
func namesTopic(c *cli.Command, args []string) bool {
	help := c.Command("help")
	return help != nil && len(args) > 0 && help.Command(args[0]) != nil
}

// descend goes to the subcommand that word names.
func (l *Line) descend(word string) error {
	c := l.Command()
	next := c.Command(word)
	if next == nil {
		names := make([]string, 0, len(c.Subcommands))
		for _, s := range c.Subcommands {
			if !s.Hidden {
				names = append(names, s.Names()...)
			}
		}
		e := exit.Usagef("%s has no command %q", l.name(), word)
		e.Hint = l.name() + " --help"
		if near := mezu.Nearest(word, names); near != "" {
			e.Hint = "did you mean: " + l.name() + " " + c.Command(near).Name // not another name of it
		}
		return e
	}
	l.Path = append(l.Path, next)
	l.flags = append(l.flags, nil)
	l.values = append(l.values, map[string]string{})
	return nil
}

// long reads --name, --name=value or --name value, and says how many of the
// following words it took.
func (l *Line) long(word string, rest []string) (int, error) {
	name, value, joined := strings.Cut(word[2:], "=")
	level, flag := l.find(name)
	if flag == nil || len(name) < 2 {
		return 0, l.unknown("--"+name, name)
	}
	if joined {
		return 0, l.give(level, flag, "--"+name, value)
	}
	return l.take(level, flag, "--"+name, rest)
}

// short reads a word of single letters.
func (l *Line) short(word string, rest []string) (int, error) {
	for letters := word[1:]; letters != ""; {
		_, size := utf8.DecodeRuneInString(letters)
		name := letters[:size]
		letters = letters[size:]
		level, flag := l.find(name)
		if flag == nil {
			return 0, l.unknown("-"+name, strings.TrimLeft(word, "-"))
		}
		value, joined := strings.CutPrefix(letters, "=")
		if !joined && !takesValue(flag) {
			l.add(level, flag.Names()[0], "true")
			continue
		}
		if value != "" || joined {
			return 0, l.give(level, flag, "-"+name, value)
		}
		return l.take(level, flag, "-"+name, rest)
	}
	return 0, nil
}

// take gives a flag its value from the following word, if it needs one. "--" is not taken as
// a value; whoever means it writes --flag=--.
func (l *Line) take(level int, flag cli.Flag, written string, rest []string) (int, error) {
	if !takesValue(flag) {
		l.add(level, flag.Names()[0], "true")
		return 0, nil
	}
	if o, ok := flag.(OptionalFlag); ok && (len(rest) == 0 || !o.Takes(rest[0])) {
		return 0, l.give(level, flag, written, o.Alone)
	}
	if len(rest) == 0 || rest[0] == "--" {
		e := exit.Usagef("%s needs a value", written)
		e.Hint = l.name() + " --help"
		return 0, e
	}
	return 1, l.give(level, flag, written, rest[0])
}

// give sets a flag to a value that was typed, if it is one for that flag. The flag library would
// say of another one that it is a parse error.
func (l *Line) give(level int, flag cli.Flag, written, value string) error {
	wrong := ""
	switch f := flag.(type) {
	case *cli.BoolFlag:
		if _, err := strconv.ParseBool(value); err != nil {
			wrong = fmt.Sprintf("is true or false, not %q", value)
		}
	case *cli.IntFlag, *cli.Uint64Flag:
		// In ten digits: the library takes 010 for 8.
		if n, err := strconv.ParseInt(value, 10, strconv.IntSize); err != nil {
			wrong = fmt.Sprintf("is a number, not %q", value)
		} else {
			value = strconv.FormatInt(n, 10)
		}
	case OptionalFlag:
		if err := f.Value.Set(value); err != nil {
			wrong = err.Error()
		}
	case *cli.GenericFlag:
		if err := f.Value.Set(value); err != nil {
			wrong = err.Error()
		}
	}
	if wrong != "" {
		e := exit.Usagef("%s %s", written, wrong)
		e.Hint = l.name() + " --help"
		return e
	}
	l.written[flag.Names()[0]] = written
	l.add(level, flag.Names()[0], value)
	return nil
}

func (l *Line) add(level int, name, value string) {
	dashes := "--"
	if len(name) == 1 {
		dashes = "-"
	}
	l.flags[level] = append(l.flags[level], dashes+name+"="+value)
	l.values[level][name] = value
}

// find looks for a flag from the last command up.
func (l *Line) find(name string) (level int, flag cli.Flag) {
	for i := len(l.Path) - 1; i >= 0; i-- {
		for _, f := range l.Path[i].Flags {
			for _, n := range f.Names() {
				if n == name {
					return i, f
				}
			}
		}
	}
	return 0, nil
}

// unknown is the error for a flag that no command of the path has. It suggests the long flag
// whose name is most like the one given.
func (l *Line) unknown(written, like string) error {
	var names []string
	for _, c := range l.Path {
		for _, f := range c.Flags {
			for _, n := range f.Names() {
				if len(n) > 1 {
					names = append(names, n)
				}
			}
		}
	}
	e := exit.Usagef("%s has no flag %s", l.name(), written)
	e.Hint = l.name() + " --help"
	if near := mezu.Nearest(like, names); near != "" {
		e.Hint = "did you mean: --" + near
	} else if len(l.Command().Subcommands) > 0 {
		e.Hint = "flags of a command stand after its name; " + e.Hint
	}
	return e
}

// name is the path as typed.
func (l *Line) name() string {
	names := make([]string, len(l.Path))
	for i, c := range l.Path {
		names[i] = c.Name
	}
	return strings.Join(names, " ")
}

func takesValue(f cli.Flag) bool {
	d, ok := f.(cli.DocGenerationFlag)
	return ok && d.TakesValue()
}
