package cli

import (
	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/manual"
)

// Tree is the tree of commands as help shows it.
func Tree() *cli.Command {
	app := newApp(&invocation.Invocation{Getenv: func(string) string { return "" }}, Config{})
	return &cli.Command{Name: app.Name, Usage: app.Usage, Flags: app.Flags, Subcommands: app.Commands}
}

// Topics are those that the program's page has.
func Topics() []manual.Topic {
	return []manual.Topic{{Title: "Exit codes", Text: exitCodesTopic}, {Title: "Environment", Text: environmentTopic}, {Title: "Scripting", Text: scriptingTopic}}
}

// CompletionScripts are the scripts by shell.
func CompletionScripts() map[string]string { return scripts() }
