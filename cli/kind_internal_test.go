package cli

import (
	"flag"
	"slices"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu/cli/invocation"
)

// Each command says itself whether it can be repeated and whether what it writes has names: all
// that list or show do, and none that changes something can be repeated.
func TestKinds(t *testing.T) {
	inv := &invocation.Invocation{Getenv: func(string) string { return "" }}
	silent := []string{"delete", "use", "login", "logout", "daemon run", "daemon start", "daemon stop", "daemon restart", "daemon install", "daemon uninstall", "tunnel stop", "tunnel rm"}
	text := []string{"completion", "dashboard", "daemon logs", "requests curl", "requests har", "help exit-codes", "help environment", "help scripting"}
	events := []string{"dev", "tunnel"}
	only := []string{"list", "show", "status", "logins", "sessions", "audit", "doctor", "whoami", "routes test", "diff"}
	app := newApp(inv, Config{})
	var look func(path string, all []*cli.Command)
	look = func(path string, all []*cli.Command) {
		for _, c := range all {
			at := path + c.Name
			look(at+" ", c.Subcommands)
			if c.Before != nil {
				if err := c.Before(cli.NewContext(app, flag.NewFlagSet(at, flag.ContinueOnError), nil)); err != nil {
					t.Errorf("%s: %v", at, err)
				}
			}
			kind := inv.TakeKind()
			listed := c.Name == "list" || c.Name == "show"
			if shows := slices.Contains(only, c.Name) && at != "requests diff" || slices.Contains(only, at); shows != (kind&invocation.Shows != 0) {
				t.Errorf("%s: it can be repeated: %v", at, !shows)
			}
			for of, all := range map[invocation.Kind][]string{invocation.Silent: silent, invocation.Text: text, invocation.Events: events} {
				if is := kind&of != 0; is != (slices.Contains(all, at) || c.Name == "delete" && of == invocation.Silent) {
					t.Errorf("%s: of kind %v: %v", at, of, is)
				}
			}
			if makes := slices.Contains([]string{"create", "update", "rotate", "replay", "edit"}, c.Name) && at != "update"; (listed || makes) && kind&invocation.Named == 0 {
				t.Errorf("%s: what it writes has no names", at)
			}
		}
	}
	look("", app.Commands)
}
