package collection

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
)

const (
	// waitForce is how long edges and Warpgates may take, unless --timeout says otherwise. They
	// take milliseconds; one that does not answer counts as connected for some seconds.
	waitForce = time.Minute
	// forcePoll lies between two looks at them.
	forcePoll = 200 * time.Millisecond
	// waitFlag is the flag of commands that can wait.
	waitFlag = "wait"
)

// WaitFlag is the flag by which a command waits until what it wrote is in force.
func WaitFlag() cli.Flag {
	return &cli.BoolFlag{Name: waitFlag, Usage: "return when every edge and Warpgate runs it, within 1m (mezu --timeout TIME …); else exit 7", DisableDefaultText: true}
}

// Waits reports whether a command is to wait.
func Waits(c *cli.Context) bool { return c.Bool(waitFlag) }

// InForce waits until all edges that are connected, and all Warpgates of these environments, run
// what the environments are told now. edges is a position to which the edges have to come in any
// case, such as that of the removal of another environment; zero is none. What is waited for was
// written, whatever becomes of the wait: every error says so. While the control plane can't be
// asked, it is asked again.
func InForce(ctx context.Context, inv *invocation.Invocation, edges mezu.Position, environments ...Path) error {
	limit := cmp.Or(inv.Flags.Timeout, waitForce)
	waiting, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	begun := time.Now()
	waits := make([]*force, len(environments))
	for i, p := range environments {
		waits[i] = &force{Path: p, edges: edges, unseen: errors.New("nobody was asked")}
	}
	for {
		left := 0
		for _, f := range waits {
			if err := f.look(waiting); err != nil && waiting.Err() == nil {
				if refused, ok := errors.AsType[*mezu.Error](err); ok && refused.Lasts() {
					return unseen(refused)
				}
				f.unseen = err
			}
			if !f.holds {
				left++
			}
		}
		if left == 0 {
			for _, f := range waits {
				inv.Signf(terminal.Good, "%s is in force: %s (%s)", f.Text, f.everywhere, terminal.Span(time.Since(begun)))
			}
			return nil
		}
		if invocation.Pause(waiting, forcePoll) == nil {
			continue
		}
		if errors.Is(ctx.Err(), context.Canceled) {
			inv.Warnf("it was written; whether it is in force everywhere is unknown")
			return ctx.Err()
		}
		var lag []string
		said := "it was written, and is not in force everywhere after %s: %s"
		for _, f := range waits {
			if f.unseen != nil {
				said = "it was written, and whether it is in force everywhere is unknown after %s: %s"
				f.lag, _ = terminal.Explain(f.unseen)
			}
			if !f.holds {
				lag = append(lag, terminal.Clean(f.lag)+" ("+f.Text+")")
			}
		}
		return &mezu.Error{Code: mezu.CodeRequestTimeout, Detail: fmt.Sprintf(said, terminal.Span(limit), strings.Join(lag, "; ")),
			Hint: "mezu status, or more time: mezu --timeout 5m …, before the name of the command"}
	}
}

// unseen is the error of a look that would be refused again.
func unseen(refused *mezu.Error) error {
	out := *refused
	out.Detail, out.Cause = "it was written, and whether it is in force everywhere is unknown: "+refused.Detail, refused
	return &out
}

// force is how far an environment is.
type force struct {
	Path
	// target is where everybody has to come; later positions are others' changes.
	target, edges mezu.Position
	holds         bool
	// unseen is why nothing is known now.
	unseen error
	// everywhere counts those who run it, and lag says who doesn't.
	everywhere, lag string
}

// look asks who runs what, unless everybody has come.
func (f *force) look(ctx context.Context) error {
	if f.holds {
		return nil
	}
	s, err := api.Invoke[api.RoutesState](ctx, f.Client, api.OpListRoutes, nil, f.Params...)
	if err != nil {
		return err
	}
	f.unseen = nil
	if f.target.IsZero() {
		f.target = s.Position
	}
	edges, warpgates := 0, 0
	var late []string
	for i, who := range api.Whose(s.Applied) {
		a := s.Applied[i]
		behind := a.Position.Compare(f.target) < 0
		if strings.HasPrefix(a.ID, mezu.PrefixEdge) {
			edges++
			behind = behind || a.Position.Compare(f.edges) < 0
		} else {
			warpgates++
		}
		if behind {
			late = append(late, terminal.Clean(who)+" is "+a.Lag().Text(time.Now()))
		}
	}
	switch {
	case edges == 0:
		f.lag = "no edge is connected"
	case len(late) > maxNamed:
		f.lag = strings.Join(late[:maxNamed], ", ") + fmt.Sprintf(" and %d more", len(late)-maxNamed)
	case len(late) > 0:
		f.lag = and(late)
	default:
		f.holds = true
	}
	f.everywhere = plural(edges, "edge") + ", " + plural(warpgates, "Warpgate")
	return nil
}

func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
