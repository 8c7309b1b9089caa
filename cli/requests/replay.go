package requests

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/requests/draft"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/local"
)

// toFlag names another tunnel, for those that send.
func toFlag() cli.Flag {
	return &cli.StringFlag{Name: "to", Usage: "send it through another `TUNNEL` of this machine, PROJECT/ENVIRONMENT"}
}

// replay is "mezu requests replay".
func (o *command) replay() *cli.Command {
	c := o.one("replay", "Send a request again", []cli.Flag{
		&cli.IntFlag{Name: "times", Usage: "send it `N` times, one after another", Value: 1},
		&cli.StringSliceFlag{Name: "set-header", Usage: "send the field `NAME: VALUE` in the place of those of that name; without a value, none (repeatable)"},
		toFlag(),
	}, func(line *cli.Context) (action, error) {
		r := local.Replay{To: line.String("to")}
		for _, text := range line.StringSlice("set-header") {
			f, err := draft.Field(text)
			if err != nil {
				return nil, exit.Usagef("--set-header: %v", err)
			}
			r.SetHeader = append(r.SetHeader, f)
		}
		times := line.Int("times")
		if times < 1 || times > local.MaxReplays {
			return nil, exit.Usagef("--times is 1 to %d, not %d", local.MaxReplays, times)
		}
		return func(ctx context.Context, c *local.Client, id string) error { return o.send(ctx, c, id, r, times) }, nil
	})
	c.Before = o.Is(invocation.Named)
	c.Description = "It goes to the target of its tunnel, or to that of --to, and nowhere else, and the Warpgate judges it as\n" +
		"before: as the same user while their session lasts, else as nobody. The answer is waited for, for 30 s."
	return c
}

// errUnsent is in the chain of the error for requests that came to no answer of the workload. They
// are kept as others are.
var errUnsent = errors.New("not sent")

// send sends a request so many times and shows what came of each.
func (o *command) send(ctx context.Context, c *local.Client, id string, r local.Replay, times int) error {
	if r.To != "" {
		var err error
		if r.To, err = tunnelOf(ctx, c, r.To); err != nil {
			return err
		}
	}
	all := []mezu.Exchange{}
	r.Wait = true
	unsent := 0
	var why mezu.Exchange
	for range times {
		got, err := c.Replay(ctx, id, r)
		if err != nil {
			return err
		}
		for _, e := range got.Items {
			if failed(e) {
				unsent, why = unsent+1, e
			}
			if o.Flags.Output != terminal.Table {
				continue
			}
			if err := o.result(e); err != nil {
				return err
			}
		}
		all = append(all, got.Items...)
	}
	if o.Flags.Output != terminal.Table {
		if err := o.WriteValue(o.Flags.Output, all); err != nil {
			return err
		}
	}
	if unsent == 0 {
		return nil
	}
	return &mezu.Error{Code: mezu.CodeInternal, Detail: fmt.Sprintf("%d of %d could not be sent: %s", unsent, len(all), strings.Join(compact(string(why.Code), string(why.Cause), why.Message), ", ")),
		Hint: "mezu requests show " + shortID(why.ID), Cause: errUnsent}
}

// failed reports whether a request did not come to an answer of the workload.
func failed(e mezu.Exchange) bool { return e.Code != "" || e.Status == 0 && !e.Open }

// result is the line of a request that was sent.
func (o *command) result(e mezu.Exchange) error {
	if o.OutTerminal {
		return o.Printf("%s\n", o.line(e, false))
	}
	return terminal.WriteList(o.Streams, terminal.Table, []mezu.Exchange{e}, columns())
}

// tunnelOf finds a tunnel by its name, its id, its environment, or what --name made of that, if it
// is the only one.
func tunnelOf(ctx context.Context, c *local.Client, name string) (string, error) {
	all, err := c.Tunnels(ctx)
	if err != nil {
		return "", err
	}
	var like, ending []mezu.Tunnel
	var known []string
	for _, t := range all {
		known = append(known, t.Name, t.Environment, t.Name[strings.LastIndexByte(t.Name, '/')+1:])
		switch {
		case t.Name == name || t.ID == name:
			return t.ID, nil
		case t.Environment == name || strings.HasSuffix(t.Name, "/"+name):
			like = append(like, t)
		case strings.HasSuffix(t.Environment, "-"+name):
			ending = append(ending, t)
		}
	}
	if len(like) == 0 {
		like = ending
	}
	switch len(like) {
	case 1:
		return like[0].ID, nil
	case 0:
		return "", &mezu.Error{Code: mezu.CodeNotFound, Detail: "there is no tunnel " + terminal.Clean(name) + " here" + terminal.Clean(mezu.DidYouMean(name, known)), Hint: "mezu tunnel list"}
	}
	return "", &mezu.Error{Code: mezu.CodeConflict, Detail: terminal.Clean(name) + " may be " + terminal.Clean(like[0].Name) + " or " + terminal.Clean(like[1].Name), Hint: "mezu tunnel list"}
}

// diff is "mezu requests diff".
func (o *command) diff() *cli.Command {
	return &cli.Command{
		Name: "diff", Usage: "Say in what two requests and their answers differ, field by field", ArgsUsage: "ID ID", BashComplete: o.complete(),
		Description: "Exit code 0 says that they don't, 8 that they do.",
		Flags:       []cli.Flag{unmaskFlag()},
		Action: func(line *cli.Context) error {
			args, err := invocation.Described(line, invocation.Argument{Name: "ID", Is: "the ids of two requests"}, invocation.Argument{Name: "ID", Is: "the id of a second request"})
			if err != nil {
				return err
			}
			return o.runDiff(line.Context, args[0], args[1], line.Bool("unmask"))
		},
	}
}

func (o *command) runDiff(ctx context.Context, first, second string, unmask bool) error {
	if err := checkID(second); err != nil {
		return err
	}
	return o.about(ctx, first, func(ctx context.Context, c *local.Client, a string) error {
		b, err := find(ctx, c, second)
		if err != nil {
			return err
		}
		d, err := c.Diff(ctx, a, b, unmask)
		if err != nil {
			return err
		}
		if o.Flags.Output != terminal.Table {
			err = o.WriteValue(o.Flags.Output, d)
		} else {
			err = o.differences(d.Items)
		}
		if err == nil && len(d.Items) > 0 {
			err = exit.ErrDiffers
		}
		return err
	})
}

// differences writes what differs, as mezu diff does.
func (o *command) differences(items []local.Differing) error {
	red, green, plain := "", "", ""
	if o.Color() {
		red, green, plain = "\x1b[31m", "\x1b[32m", "\x1b[0m"
	}
	for _, d := range items {
		if err := o.Printf("%s %s\n", terminal.Clean(d.Part), terminal.Clean(d.Name)); err != nil {
			return err
		}
		for _, side := range []struct{ sign, color, value string }{{"-", red, d.Before}, {"+", green, d.After}} {
			if side.value == "" {
				continue
			}
			if err := o.Printf("  %s%s %s%s\n", side.color, side.sign, terminal.Clean(side.value), plain); err != nil {
				return err
			}
		}
	}
	return nil
}
