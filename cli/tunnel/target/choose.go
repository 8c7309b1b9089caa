package target

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/listening"
)

// maxChoices is how many ports somebody is shown. More scroll away.
const maxChoices = 20

// Choose has somebody choose among what listens here. Nothing is ever chosen for them: where
// nobody can be asked, the error says what there is.
func Choose(ctx context.Context, inv *invocation.Invocation) (Target, error) {
	all, err := listening.List(ctx)
	if err != nil {
		all = nil // the answer is then typed
	}
	all = slices.DeleteFunc(all, func(l listening.Listener) bool { return !l.Local() })
	return choose(ctx, inv, all[:min(len(all), maxChoices)])
}

func choose(ctx context.Context, inv *invocation.Invocation, all []listening.Listener) (Target, error) {
	if !inv.CanPrompt() {
		return Target{}, missing(all)
	}
	if len(all) > 0 {
		fmt.Fprintln(inv.Err, "What answers on this machine (yours, listening):")
	}
	for i, l := range all {
		fmt.Fprintf(inv.Err, "  %2d  %s\n", i+1, terminal.Clean(l.String()))
	}
	question := "A port, an address or a folder:"
	if len(all) > 0 {
		question = "Its number here, or a port, an address or a folder:"
	}
	answer, err := inv.Ask(ctx, question)
	if err != nil {
		return Target{}, err
	}
	if answer == "" {
		return Target{}, missing(all)
	}
	// A number of the list is meant before a port, unless that port listens.
	if n, err := strconv.Atoi(answer); err == nil && n >= 1 && n <= len(all) {
		answer = strconv.Itoa(all[n-1].Port)
	}
	return Parse(inv.Dir, answer)
}

// Listening says by its port what program of this person listens: "Vite". Ports of which nothing
// is known are missing.
func Listening(ctx context.Context) map[int]string {
	all, err := listening.List(ctx)
	if err != nil {
		return nil
	}
	out := map[int]string{}
	for _, l := range all {
		if l.Local() && l.Command != "" {
			out[l.Port] = Called(l.Command)
		}
	}
	return out
}

// Called is how lines call a program: Vite is vite's name. What somebody typed stays.
func Called(command string) string {
	if command == "" || strings.ContainsAny(command, "./ ") {
		return command
	}
	return strings.ToUpper(command[:1]) + command[1:]
}

// Program is what listens at a target by Listening's answer, or empty.
func (t *Target) Program(programs map[int]string) string {
	u, err := mezu.ParseUpstream(t.Target)
	if err != nil {
		return ""
	}
	return programs[u.LocalPort()]
}

// missing is the error about a target that nobody named.
func missing(all []listening.Listener) error {
	if len(all) == 0 {
		e := exit.Usagef("mezu tunnel needs a target, and nothing of yours listens here")
		e.Hint = "mezu tunnel PORT"
		return e
	}
	names := make([]string, len(all))
	for i, l := range all {
		names[i] = terminal.Clean(l.String())
	}
	e := exit.Usagef("mezu tunnel needs a target; listening here: %s", strings.Join(names, ", "))
	e.Hint = "mezu tunnel " + strconv.Itoa(all[0].Port)
	return e
}
