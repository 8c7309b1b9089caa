// Package doctor is "mezu doctor": it looks at all that a tunnel of this machine depends on, and
// says what is wrong, why, and what to type.
//
// What may not live here: repairs, and starting anything. It imports the domain, api, local,
// atomicfile, and the packages of cli that every command uses; cli imports it.
package doctor

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/status"
	"github.com/mezusphere/mezu/cli/terminal"
)

// Stored gives the end of the log of the daemon that ran last.
type Stored func() ([]byte, error)

type options struct {
	*invocation.Invocation
	Running status.Running
	Log     Stored
	// Bundle is the file for whoever is asked for help; if empty, none is written.
	Bundle string
}

// Command is "mezu doctor".
func Command(inv *invocation.Invocation, running status.Running, log Stored) *cli.Command {
	return newDoctor(inv, running, log, run)
}

func newDoctor(inv *invocation.Invocation, running status.Running, log Stored, run func(context.Context, *options) error) *cli.Command {
	return &cli.Command{
		Name: "doctor", Usage: "Look for what is wrong with tunnels of this machine", Category: "program",
		Description: "Each check says what it found, why, and what to type. It takes ten seconds at\n" +
			"most. The exit code is 1 if there is a problem, and 0 with warnings alone.\n" +
			"--bundle writes what somebody needs who is asked for help: versions, settings,\n" +
			"results and the end of the daemon's log, without secrets.",
		Flags: []cli.Flag{&cli.PathFlag{Name: "bundle", Usage: "also write a zip for a report into `FILE`, which must not be there yet"}},
		Before: func(c *cli.Context) error {
			if c.IsSet("bundle") {
				return nil
			}
			return inv.Is(invocation.Shows)(c)
		},
		Action: func(c *cli.Context) error {
			if _, err := invocation.Arguments(c); err != nil {
				return err
			}
			return run(c.Context, &options{Invocation: inv, Running: running, Log: log, Bundle: c.Path("bundle")})
		},
	}
}

// State is how a check came out.
type State string

// States.
const (
	OK   State = "ok"
	Warn State = "warn"
	Fail State = "fail"
)

// Result is what one check says.
type Result struct {
	Check string `json:"check"`
	// Subject is which of several the check is about, such as the name of an edge.
	Subject string `json:"subject,omitempty"`
	State   State  `json:"state"`
	Detail  string `json:"detail"`
	// Cause says why, if that is more than Detail; Hint is what to type.
	Cause string `json:"cause,omitempty"`
	Hint  string `json:"hint,omitempty"`
}

// Findings are all results. It is what -o json writes.
type Findings struct {
	Results  []Result `json:"results"`
	Problems int      `json:"problems"`
	Warnings int      `json:"warnings"`
	Fine     int      `json:"fine"`
}

func run(ctx context.Context, o *options) error {
	if o.Bundle != "" {
		if _, err := os.Lstat(o.Path(o.Bundle)); err == nil {
			return there(o.Path(o.Bundle))
		}
	}
	e := newExamination(o)
	defer e.close()
	found := summarize(examine(ctx, e, checks(), checkTimeout))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if o.Bundle != "" {
		if err := writeBundle(ctx, e, found, o.Path(o.Bundle)); err != nil {
			return err
		}
	}
	if err := o.show(found); err != nil {
		return err
	}
	if o.Bundle != "" {
		o.Signf(terminal.Good, "%s has versions, settings, results and log, without secrets; look through it before you send it", terminal.Clean(o.Bundle))
	}
	if found.Problems > 0 {
		return exit.ErrFound
	}
	return nil
}

func summarize(results []Result) Findings {
	f := Findings{Results: results}
	for _, r := range results {
		switch r.State {
		case Fail:
			f.Problems++
		case Warn:
			f.Warnings++
		default:
			f.Fine++
		}
	}
	return f
}

const (
	// nameWidth is the width of the names of checks, that of an edge with a short name included;
	// widestName is how far a longer one moves all that follows.
	nameWidth, widestName = 12, 32
	// leastRoom is how wide the texts behind them have to be. Where there is less, they stand below.
	leastRoom = 30
	// manyFine is how many things that are fine are shown one by one.
	manyFine = 3
)

func (o *options) show(f Findings) error {
	if o.Flags.Output != terminal.Table {
		return o.WriteValue(o.Flags.Output, f)
	}
	signs := map[State]terminal.Sign{OK: terminal.Good, Warn: terminal.Caution, Fail: terminal.Bad}
	signWidth := 1
	if !o.Unicode {
		signWidth = len(o.Sign(terminal.Caution))
	}
	shown := shorten(f.Results)
	width := nameWidth
	for _, r := range shown {
		width = max(width, min(terminal.Wide(r.name()), widestName))
	}
	left := signWidth + 1 + width + 1
	if o.Width() > 0 && o.Width()-left < leastRoom {
		left = o.Width() // texts stand below names
	}
	var b strings.Builder
	for _, r := range shown {
		head := fmt.Sprintf("%-*s %s ", signWidth, o.Sign(signs[r.State]), r.name())
		below := b.Len()
		b.WriteString(o.Beside(head, left, terminal.Clean(r.Detail)))
		indent := left
		if strings.HasPrefix(b.String()[below:], strings.TrimRight(head, " ")+"\n") {
			indent = signWidth + 1
		}
		if r.Cause != "" {
			b.WriteString(o.Beside("", indent, terminal.Clean(r.Cause)))
		}
		if r.Hint != "" {
			b.WriteString(strings.Repeat(" ", indent) + "try: " + terminal.Clean(r.Hint) + "\n") // in one piece, to be copied
		}
	}
	b.WriteString(f.summary() + "\n")
	return o.Printf("%s", b.String())
}

// name is a check and what it is about.
func (r Result) name() string { return strings.TrimSpace(r.Check + " " + terminal.Clean(r.Subject)) }

// shorten puts many things that are fine in one line for each check. JSON has all of them.
func shorten(all []Result) (out []Result) {
	fine := func(r Result) bool { return r.State == OK && r.Subject != "" }
	many := map[string]int{}
	for _, r := range all {
		if fine(r) {
			many[r.Check]++
		}
	}
	told := map[string]bool{}
	for _, r := range all {
		if !fine(r) || many[r.Check] <= manyFine {
			out = append(out, r)
		} else if !told[r.Check] {
			told[r.Check] = true
			out = append(out, Result{Check: r.Check, State: OK, Detail: fmt.Sprintf("%d are fine", many[r.Check])})
		}
	}
	return out
}

// summary counts: "1 problem, 1 warning, 12 checks fine".
func (f Findings) summary() string {
	var parts []string
	for _, c := range []struct {
		n         int
		one, many string
	}{{f.Problems, "problem", "problems"}, {f.Warnings, "warning", "warnings"}, {f.Fine, "check fine", "checks fine"}} {
		switch {
		case c.n == 1:
			parts = append(parts, "1 "+c.one)
		case c.n > 1:
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.many))
		}
	}
	return strings.Join(parts, ", ")
}

const (
	// checkTimeout is how long one check may take. All run at once, and with it, the bundle and
	// what the checks have in common the command takes less than ten seconds.
	checkTimeout = 7 * time.Second
	// checkGrace is for a check to say itself that it was too long.
	checkGrace = 500 * time.Millisecond
	// factTimeout is how long they wait for what they have in common: who is logged in and what the
	// daemon has.
	factTimeout = 5 * time.Second
)
