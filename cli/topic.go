package cli

import (
	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
)

// topicsCommand is "mezu help TOPIC". "mezu help COMMAND" is read before any command is
// (package argv).
func topicsCommand(inv *invocation.Invocation) *cli.Command {
	out := &cli.Command{Name: "help", Usage: "Show the help of a command, or about exit-codes, environment, scripting", ArgsUsage: "[COMMAND|TOPIC]", Category: "program"}
	for _, t := range topics() {
		out.Subcommands = append(out.Subcommands, &cli.Command{
			Name: t.name, Usage: t.usage,
			Before: inv.Is(invocation.Text),
			Action: func(c *cli.Context) error {
				if _, err := invocation.Arguments(c); err != nil {
					return err
				}
				return inv.Printf("%s", terminal.Page(t.text, inv.PageFor()))
			},
		})
	}
	return out
}

// topic is what is true of all commands.
type topic struct{ name, usage, text string }

func topics() []topic {
	return []topic{
		{"exit-codes", "What the exit code of a command says", exitCodesTopic},
		{"environment", "Which environment variables commands read", environmentTopic},
		{"scripting", "What scripts may rely on", scriptingTopic},
	}
}

const exitCodesTopic = `Exit codes of all commands:

     0  done
     1  failed, in a way that has no code of its own; of mezu doctor: there is a problem
     2  usage: the command line, mezu.yaml or a value is wrong
     3  not logged in, or not allowed
     4  not found, or hidden from you
     5  conflict: it exists already, or has changed meanwhile
     6  unreachable: no connection, or the service can't answer now; of mezu status: requests don't come through
     7  timed out: a deadline passed
     8  differs: of mezu diff and mezu requests diff; of mezu update --check: there is a newer release
   130  interrupted by Ctrl-C

mezu tunnel --exec -- COMMAND exits with the code of COMMAND once it has run. Why a command failed is said on
standard error: one sentence, and "try:" with what to type.
`

const environmentTopic = `A flag goes before a variable, a variable before mezu.yaml, and that before the profile. An empty variable
counts as not set. A line end after a value is dropped.

   MEZU_API            address of the control plane (--api); several, with commas between
   MEZU_CA_FILE        certificates that are trusted instead of the system's, in PEM (--ca-file)
   MEZU_TOKEN          token or key to call with; it goes before any login and is never stored
   MEZU_ORG            organization (--org)
   MEZU_PROJECT        project (--project)
   MEZU_ENVIRONMENT    environment (--environment)
   MEZU_PROFILE        profile (--profile)
   MEZU_HOME           folder for profiles, credentials, state and socket, instead of those below
   MEZU_NO_KEYRING     if set, logins are kept in files, and the keyring of the system is left alone
   MEZU_BASIC_AUTH     password of mezu tunnel --basic-auth; if not set, one is made and shown
   MEZU_ASCII          1: the dashboard is drawn in ASCII alone
   MEZU_DOWNLOAD       where mezu update and install.sh get a release: an https address or a folder
   MEZU_RELEASE_KEY    file with the keys that may sign it, as ssh-keygen has it under ALLOWED SIGNERS

   XDG_CONFIG_HOME     profiles and credentials are in mezu/ below it; else ~/.config
   XDG_STATE_HOME      state and logs are in mezu/ below it; else ~/.local/state
   XDG_DATA_HOME       manual, completions, and what install.sh has noted; else ~/.local/share
   XDG_RUNTIME_DIR     the socket of the local daemon is in mezu/ below it
   HTTPS_PROXY         proxy for calls and tunnels, by CONNECT; NO_PROXY names what goes straight
   BROWSER             what opens addresses; DISPLAY, WAYLAND_DISPLAY and SSH_CONNECTION tell whether anything can
   VISUAL, EDITOR      what mezu requests edit opens, with its arguments; else vi, on Windows notepad
   NO_COLOR, TERM      no colour, as TERM=dumb
   CI                  true: no colour, no questions
   GITHUB_ACTIONS      true: secrets are masked in the log before they are shown
   LC_ALL, LC_CTYPE, LANG   without UTF-8, signs are words: ok, warn, fail

A command that mezu tunnel --exec runs gets MEZU_URL, MEZU_HOST and MEZU_TUNNEL: the public address, its host,
and the name of the tunnel. Of several, each has MEZU_URL with its name behind an underline as well.
--env-file writes MEZU_URL into a file.
`

const scriptingTopic = `Results go to standard output, all else to standard error. Piped, tables have tabs and no head, and nothing is
coloured. Nothing is asked with --no-input, CI=true or without a terminal. What may be relied on: commands, flags,
exit codes (mezu help exit-codes), variables (mezu help environment), and the fields of JSON. Fields are added, and
none is renamed.

   -o json, -o yaml      one record, or an array of them ([] for none), with the fields of
                         the REST API; an error is one such line on standard error, with
                         "code", "message", "exit_code", and "field", "file", "line",
                         "column", "hint", "errors"
   -o name               names alone, one a line: what commands take as argument
   --jq EXPR             JSON through an expression of jq: texts raw, null as an empty line,
                         all else as JSON in a line
   --watch [SPAN]        on a pipe: a JSON document a line at each change, of a table the
                         lines that are new. What the API tells of shows at once, all else
                         after SPAN (2s, 1s at least). Ctrl-C ends it with 130
   -f -o json            of mezu requests list and mezu audit: one record a line
   --json, -o json       of mezu dev and mezu tunnel: one event a line, each with "event" and "time"
   --timeout TIME        give up after that time, with code 7
   TIME                  a span: 90s, 15m, 24h, 7d, 2w, 1d12h; of --since and --until also a
                         date such as 2026-11-28, by the clock here, or a time in RFC 3339
   --if-revision N       change a record only if nobody else has: code 5 otherwise
   --wait                of mezu apply and mezu routes: return when every edge and Warpgate
                         runs it; else code 7
   --key-file FILE       a new secret goes into FILE (0600), which must not be there, and is
                         not shown
   --yes                 delete without asking

Times are in RFC 3339 wherever they don't go to a terminal.

   mezu environments list -o name | xargs -n1 mezu warpgates list -o name -e
   mezu tunnel list --jq '.[] | select(.state == "live") | .url'

A tunnel for one command, with the exit code of the command:

   mezu tunnel 3000 --exec -- npm run test:e2e

A tunnel for a while, from the moment on at which it is reached from outside:

   mezu tunnel 3000 --detach --wait --timeout 60s --env-file .env
   mezu tunnel rm shop/ci-e2e

In CI a service account's key is in MEZU_TOKEN, from the secrets of the CI, never in an argument: other
processes can read arguments. docs/ci.md has whole jobs.
`
