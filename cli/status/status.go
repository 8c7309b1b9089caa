// Package status is "mezu status": whether requests come from a visitor over the edge and a
// Warpgate to the workload, and where they stop if they don't.
//
// What may not live here: what is wrong beyond that way (package doctor), and starting a
// daemon. It imports the domain, api, local, listening, and the packages of cli that every
// command uses; cli imports it.
package status

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/probe"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/local"
)

const (
	// waitFor is how long --wait waits if --timeout says nothing else.
	waitFor = time.Minute
	// pauseBetween is the pause between two looks. Both probes of a look count towards the ten a
	// second that an edge answers.
	pauseBetween = 500 * time.Millisecond
	// lookTimeout bounds one look, so that one that hangs does not hold the command.
	lookTimeout = 20 * time.Second
)

// Running connects to the daemon of the settings that runs. If there is none, the error is
// local.ErrNotRunning: a look at how things are starts nothing.
type Running func(context.Context, invocation.Settings) (*local.Client, error)

type options struct {
	*invocation.Invocation
	Running Running
	Name    string
	Wait    bool
}

// Command is "mezu status".
func Command(inv *invocation.Invocation, running Running) *cli.Command {
	return newStatus(inv, running, run)
}

func newStatus(inv *invocation.Invocation, running Running, run func(context.Context, *options) error) *cli.Command {
	return &cli.Command{
		Name: "status", Usage: "Say whether requests come through, hop by hop", ArgsUsage: "[NAME]", Category: "program",
		Description: "NAME is a tunnel of this machine (PROJECT/ENVIRONMENT) or an environment. Without it the only tunnel\n" +
			"here is meant, or else the environment of the context. The exit code is 0 if requests come through,\n" +
			"else 6 or, for what does not answer in time, 7.",
		Flags:  []cli.Flag{&cli.BoolFlag{Name: "wait", Usage: "wait until requests come through, for 1m or --timeout", DisableDefaultText: true}},
		Before: inv.Is(invocation.Shows),
		Action: func(c *cli.Context) error {
			o := &options{Invocation: inv, Running: running, Wait: c.Bool("wait")}
			if c.NArg() > 0 {
				args, err := invocation.Arguments(c, "NAME")
				if err != nil {
					return err
				}
				o.Name = args[0]
			}
			return run(c.Context, o)
		},
	}
}

func run(ctx context.Context, o *options) error {
	t, err := o.choose(ctx)
	if err != nil {
		return err
	}
	defer func() { t.close() }()
	if !o.Wait {
		r := t.look(ctx)
		if ctx.Err() != nil && !r.Flows {
			return ctx.Err()
		}
		return o.show(r)
	}
	allowed := cmp.Or(o.Flags.Timeout, waitFor)
	waiting, cancel := context.WithTimeout(ctx, allowed)
	defer cancel()
	var r Report
	for {
		seen := t.look(waiting)
		if waiting.Err() == nil || seen.Flows || r.URL == "" {
			r = seen // one that the end cut off knows less than the one before
		}
		if r.Flows || invocation.Pause(waiting, pauseBetween) != nil {
			break
		}
		if t.unasked != nil { // the daemon may answer by now
			if again, err := o.choose(waiting); err == nil {
				t.close()
				t = again
			}
		}
	}
	switch {
	case r.Flows:
		return o.show(r)
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	}
	if o.Flags.Output != terminal.Table {
		if err := o.WriteValue(o.Flags.Output, r); err != nil {
			return err
		}
	}
	return &mezu.Error{Code: mezu.CodeInternal, Detail: fmt.Sprintf("%s does not answer yet: %s (%s)", r.URL, cmp.Or(r.stage, r.Detail), terminal.Span(allowed)), Hint: "mezu doctor", Cause: context.DeadlineExceeded}
}

// show writes a report, and gives the error whose code is that of the command.
func (o *options) show(r Report) error {
	var err error
	if o.Flags.Output != terminal.Table {
		err = o.WriteValue(o.Flags.Output, r)
	} else {
		err = o.Printf("%s", r.draw(o.Streams))
		if !r.ControlAway.IsZero() {
			o.Signf(terminal.Caution, "the control plane could not be reached for %s; the tunnel goes on without it", terminal.Span(o.Clock().Sub(r.ControlAway)))
		}
	}
	if err != nil || r.Flows {
		return err
	}
	fmt.Fprintln(o.Err, terminal.Clean(r.Detail))
	if r.Hint != "" {
		o.Try(r.Hint)
	}
	code := mezu.CodeUnavailable
	if exit.Of(mezu.Errorf(r.Code, "")) == exit.TimedOut {
		code = r.Code
	}
	return &exit.Shown{Err: mezu.Errorf(code, "%s", r.Detail)}
}

// Report is how requests come to a workload. It is what -o json writes.
type Report struct {
	Organization string `json:"organization"`
	Project      string `json:"project"`
	Environment  string `json:"environment"`
	URL          string `json:"url"`
	// Tunnel is the tunnel of this machine; empty if other machines serve alone.
	Tunnel string `json:"tunnel,omitempty"`
	// ControlAway is since when that tunnel could not reach the control plane, zero if it could
	// at the last try. Requests don't need it.
	ControlAway time.Time `json:"control_away_since,omitzero"`
	Flows       bool      `json:"flows"`
	Hops        []Hop     `json:"hops"`
	// Code, Detail and Hint say what is in the way.
	Code   mezu.Code `json:"code,omitempty"`
	Detail string    `json:"detail,omitempty"`
	Hint   string    `json:"hint,omitempty"`
	// stage says how far a probe came that did not come through.
	stage string
}

// State is how a hop is.
type State string

// States of hops.
const (
	OK      State = "ok"
	Failed  State = "fail"
	Unknown State = "unknown" // it can't be seen from here
)

// Hop is one place on the way.
type Hop struct {
	// Hop is you, edge, warpgate or workload.
	Hop string `json:"hop"`
	// Name is which of them it is, if that is known.
	Name  string `json:"name,omitempty"`
	State State  `json:"state"`
	// Detail is a word on why it is not ok.
	Detail string `json:"detail,omitempty"`
	// MS is how long the way from the hop before takes, in milliseconds.
	MS float64 `json:"ms,omitempty"`
}

// fail keeps what is in the way. What is nearest to the visitor counts.
func (r *Report) fail(code mezu.Code, detail, hint string) {
	if r.Code == "" {
		r.Code, r.Detail, r.Hint = code, detail, hint
	}
}

// flows reports whether requests come through: nothing is known to be in the way, the edge and a
// Warpgate answer, and so does the workload of a tunnel of this machine. That of another one can't
// be seen from here.
func (r *Report) flows() bool {
	return r.Code == "" && r.Hops[1].State == OK && r.Hops[2].State == OK && (r.Hops[3].State == OK || r.Tunnel == "")
}

// stageOf keeps how far a probe came that did not come through.
func (r *Report) stageOf(err error) {
	if err != nil {
		r.stage = probe.Stage(err)
	}
}

// Look goes the way of a request to the environment of the context once.
func Look(ctx context.Context, inv *invocation.Invocation, running Running) (Report, error) {
	o := &options{Invocation: inv, Running: running}
	t, err := o.choose(ctx)
	if err != nil {
		return Report{}, err
	}
	defer t.close()
	return t.look(ctx), nil
}
