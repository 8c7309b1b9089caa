package argv_test

import (
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu/cli/argv"
	"github.com/mezusphere/mezu/cli/exit"
)

// seen is what an action of the tree got from the flag library.
type seen struct {
	command             string
	org, project, name  string
	port                int
	quiet, exec, really bool
	args                []string
}

// tree is a small program whose actions record what reached them.
func tree(got *seen) *cli.App {
	act := func(c *cli.Context) error {
		*got = seen{
			command: c.Command.Name, org: c.String("org"), project: c.String("project"), name: c.String("name"),
			port: c.Int("port"), quiet: c.Bool("quiet"), exec: c.Bool("exec"), really: c.Bool("yes"), args: c.Args().Slice(),
		}
		return nil
	}
	app := &cli.App{
		Name: "mezu", HideVersion: true, HideHelpCommand: true, Writer: io.Discard, ErrWriter: io.Discard,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "org"},
			&cli.StringFlag{Name: "project", Aliases: []string{"p"}},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}},
		},
		Commands: []*cli.Command{
			{Name: "projects", Aliases: []string{"project"}, HideHelpCommand: true, Subcommands: []*cli.Command{
				{Name: "show", HideHelpCommand: true, Action: act, Flags: []cli.Flag{&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}}}},
				{Name: "help-desk", HideHelpCommand: true, Action: act},
			}},
			{Name: "tunnel", HideHelpCommand: true, Action: act, Flags: []cli.Flag{
				argv.OptionalFlag{GenericFlag: &cli.GenericFlag{Name: "watch", Value: &word{}}, Alone: "2s", Takes: func(w string) bool { return strings.HasSuffix(w, "s") }},
				&cli.IntFlag{Name: "port"}, &cli.BoolFlag{Name: "exec"}, &cli.StringFlag{Name: "name", Aliases: []string{"n"}},
			}},
			{Name: "serve", ArgsUsage: "[TARGET]", HideHelpCommand: true, Action: act, Subcommands: []*cli.Command{
				{Name: "list", HideHelpCommand: true, Action: act},
			}},
		},
	}
	own(app.Commands)
	return app
}

// word is the value of a flag that may stand alone.
type word struct{ text string }

func (w *word) Set(text string) error {
	if text == "bad" {
		return errors.New("is not bad")
	}
	w.text = text
	return nil
}

func (w *word) String() string { return w.text }

func TestOptionalFlag(t *testing.T) {
	for line, want := range map[string]string{
		"tunnel --watch": "--watch=2s --", "tunnel --watch 5s x": "--watch=5s -- x", "tunnel --watch x": "--watch=2s -- x", "tunnel x --watch": "--watch=2s -- x",
		"tunnel --watch=7 x": "--watch=7 -- x", "tunnel --watch -- 5s": "--watch=2s -- -- 5s", "tunnel --watch --exec": "--watch=2s --exec=true --",
	} {
		app := tree(&seen{})
		l, err := argv.Read(&cli.Command{Name: app.Name, Flags: app.Flags, Subcommands: app.Commands}, strings.Fields(line))
		if err != nil || strings.Join(l.Arranged(), " ") != "mezu -- tunnel "+want && strings.Join(l.Arranged(), " ") != "mezu tunnel "+want {
			t.Errorf("%s: %v, %v", line, l, err)
		}
	}
	app := tree(&seen{})
	if _, err := argv.Read(&cli.Command{Name: app.Name, Flags: app.Flags, Subcommands: app.Commands}, []string{"tunnel", "--watch=bad"}); err == nil || err.Error() != "--watch is not bad" {
		t.Errorf("%v", err)
	}
}

// own gives each command a flag for help of its own.
func own(commands []*cli.Command) {
	for _, c := range commands {
		c.HideHelp = true
		c.Flags = append(c.Flags, &cli.BoolFlag{Name: "help", Aliases: []string{"h"}})
		own(c.Subcommands)
	}
}

func root(a *cli.App) *cli.Command {
	return &cli.Command{Name: a.Name, Flags: a.Flags, Subcommands: a.Commands}
}

func TestFlagsAnywhere(t *testing.T) {
	for line, want := range map[string]seen{
		"tunnel web --port 3000":                     {command: "tunnel", port: 3000, args: []string{"web"}},
		"tunnel --port 3000 web":                     {command: "tunnel", port: 3000, args: []string{"web"}},
		"tunnel web more --port=3000 last":           {command: "tunnel", port: 3000, args: []string{"web", "more", "last"}},
		"--org acme projects show shop":              {command: "show", org: "acme", args: []string{"shop"}},
		"projects --org acme show shop":              {command: "show", org: "acme", args: []string{"shop"}},
		"projects show shop --org acme":              {command: "show", org: "acme", args: []string{"shop"}},
		"projects show --org=acme shop -q":           {command: "show", org: "acme", quiet: true, args: []string{"shop"}},
		"projects show -p=x shop":                    {command: "show", project: "x", args: []string{"shop"}},
		"projects show -px shop":                     {command: "show", project: "x", args: []string{"shop"}},
		"projects show -p x shop":                    {command: "show", project: "x", args: []string{"shop"}},
		"projects show -qyp x shop":                  {command: "show", quiet: true, really: true, project: "x", args: []string{"shop"}},
		"projects show -qpx shop":                    {command: "show", quiet: true, project: "x", args: []string{"shop"}},
		"projects show shop -y=false":                {command: "show", args: []string{"shop"}},
		"projects show shop --quiet=true":            {command: "show", quiet: true, args: []string{"shop"}},
		"tunnel --name -x web":                       {command: "tunnel", name: "-x", args: []string{"web"}},
		"tunnel --name= web":                         {command: "tunnel", args: []string{"web"}},
		"tunnel --name=a=b web":                      {command: "tunnel", name: "a=b", args: []string{"web"}},
		"tunnel --name=-- web":                       {command: "tunnel", name: "--", args: []string{"web"}},
		"tunnel --name one web --name two":           {command: "tunnel", name: "two", args: []string{"web"}},
		"tunnel - --port 1":                          {command: "tunnel", port: 1, args: []string{"-"}},
		"tunnel projects --port 1":                   {command: "tunnel", port: 1, args: []string{"projects"}},
		"projects show h":                            {command: "show", args: []string{"h"}},
		"projects show help":                         {command: "show", args: []string{"help"}},
		"project show shop":                          {command: "show", args: []string{"shop"}},
		"tunnel 80 --exec -- curl --port 5 -q -- -x": {command: "tunnel", exec: true, args: []string{"80", "--", "curl", "--port", "5", "-q", "--", "-x"}},
		"tunnel --exec -- curl --port 5":             {command: "tunnel", exec: true, args: []string{"--", "curl", "--port", "5"}},
		"tunnel --":                                  {command: "tunnel", args: []string{"--"}},
		"serve list x":                               {command: "list", args: []string{"x"}},
		"serve a=3000 list":                          {command: "serve", args: []string{"a=3000", "list"}},
		"serve -- list":                              {command: "serve", args: []string{"--", "list"}},
		"serve":                                      {command: "serve"},
		"projects show -- --org x":                   {command: "show", args: []string{"--", "--org", "x"}},
	} {
		var got seen
		app := tree(&got)
		l, err := argv.Read(root(app), strings.Split(line, " "))
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if err := app.Run(l.Arranged()); err != nil {
			t.Errorf("%s, arranged as %q: %v", line, l.Arranged(), err)
			continue
		}
		if len(got.args) == 0 {
			got.args = nil
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s, arranged as %q:\n got %+v\nwant %+v", line, l.Arranged(), got, want)
		}
	}
}

func TestRefused(t *testing.T) {
	for line, hint := range map[string]string{
		"projects sow shop":         "did you mean: mezu projects show",
		"projectors":                "did you mean: mezu projects",
		"projecct":                  "did you mean: mezu projects",
		"sell":                      "mezu --help",
		"projects show shop --yess": "did you mean: --yes",
		"projects show -yes":        "did you mean: --yes",
		"projects show -z":          "mezu projects show --help",
		"projects show --o acme":    "mezu projects show --help",
		"projects show --projet x":  "did you mean: --project",
		"projects show --p x":       "mezu projects show --help",
		"--port 1 tunnel":           "flags of a command stand after its name; mezu --help",
		"tunnel --port":             "mezu tunnel --help",
		"tunnel --name -- x":        "mezu tunnel --help",
		"tunnel -n":                 "mezu tunnel --help",
	} {
		_, err := argv.Read(root(tree(new(seen))), strings.Split(line, " "))
		u, ok := err.(*exit.UsageError)
		if !ok {
			t.Errorf("%s: %v, want a usage error", line, err)
			continue
		}
		if u.Hint != hint {
			t.Errorf("%s: hint %q, want %q (%v)", line, u.Hint, hint, u)
		}
	}
}

func TestHelp(t *testing.T) {
	for _, line := range []string{"help projects show", "projects help show", "projects show --help", "projects show x -h"} {
		l, err := argv.Read(root(tree(new(seen))), strings.Split(line, " "))
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if !l.WantsHelp() || l.Command().Name != "show" {
			t.Errorf("%s: help %v of %s", line, l.WantsHelp(), l.Command().Name)
		}
	}
}

// FuzzRead holds that what follows "--" is passed on byte for byte, and that the
// flag library reads whatever Read accepts.
func FuzzRead(f *testing.F) {
	for _, s := range []string{"tunnel\x00web\x00--port\x003000", "projects\x00show\x00-px\x00--\x00-q", "--", "-", "tunnel\x00-n=\x00\x00--\x00--", "help", "tunnel\x00-é"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		args := strings.Split(s, "\x00")
		var got seen
		app := tree(&got)
		l, err := argv.Read(root(app), args)
		if err != nil {
			return
		}
		i := slices.Index(l.Args, "--")
		if j := slices.Index(args, "--"); i >= 0 && (len(args)-j > len(l.Args) || !slices.Equal(l.Args[i:], args[len(args)-len(l.Args[i:]):])) {
			t.Fatalf("%q: passed on %q", args, l.Args)
		}
		typed := func(a string) bool {
			name, _, _ := strings.Cut(a, "=")
			return slices.Contains([]string{"--port", "--quiet", "--exec", "--yes", "--help"}, name)
		}
		if len(l.Command().Subcommands) > 0 || slices.ContainsFunc(l.Arranged(), typed) {
			return // the flag library has its own word on help, numbers and booleans
		}
		if err := app.Run(l.Arranged()); err != nil {
			t.Fatalf("%q arranged as %q: %v", args, l.Arranged(), err)
		}
		if len(l.Args)+len(got.args) > 0 && !slices.Equal(got.args, l.Args) {
			t.Fatalf("%q arranged as %q: arguments %q", args, l.Arranged(), got.args)
		}
	})
}

// The timeout of a route is not that of the call which sets it.
func TestGlobalIsOfAllCommands(t *testing.T) {
	app := tree(new(seen))
	app.Commands[1].Flags = append(app.Commands[1].Flags, &cli.StringFlag{Name: "org"})
	for line, want := range map[string]string{"tunnel --org own": "", "--org all tunnel --org own": "all", "projects show --org all": "all"} {
		l, err := argv.Read(root(app), strings.Split(line, " "))
		if err != nil {
			t.Fatal(err)
		}
		if got := l.Global("org"); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}
