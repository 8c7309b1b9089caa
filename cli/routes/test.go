package routes

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/collection"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/routes/trial"
	"github.com/mezusphere/mezu/cli/terminal"
)

type testOptions struct {
	*invocation.Invocation
	Question trial.Question
}

func newTest(inv *invocation.Invocation, run func(context.Context, *testOptions) error) *cli.Command {
	return &cli.Command{
		Name: "test", Usage: "Say what the routes make of a request, without sending one", ArgsUsage: "METHOD URL",
		Description: "URL is the address of the environment with a path, or a path alone. Without --as and --role nobody is\n" +
			"logged in; --role \"\" is a user without roles. The routes are judged as edges and Warpgates do, step by\n" +
			"step: what depends on more than one request is not judged here.",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "header", Usage: "the request has the header `NAME=VALUE` (repeatable)"},
			&cli.StringFlag{Name: "origin", Usage: "a page of `ORIGIN` sends the request; with OPTIONS and --header Access-Control-Request-Method=NAME it is a preflight"},
			&cli.StringFlag{Name: "ip", Usage: "the client's address is `ADDR`", Value: "192.0.2.1"},
			&cli.StringFlag{Name: "as", Usage: "the `USER` of the environment's directory, by mail or id, is logged in"},
			&cli.StringSliceFlag{Name: "role", Usage: "a user with the role `NAME` is logged in (repeatable)"},
		},
		Before: inv.Is(invocation.Shows),
		Action: func(c *cli.Context) error {
			args, err := invocation.Arguments(c, "METHOD", "URL")
			if err != nil {
				return err
			}
			o := &testOptions{Invocation: inv, Question: trial.Question{Method: args[0], Header: map[string][]string{}, User: c.IsSet("role"), As: c.String("as")}}
			if err := o.parse(c, args[1]); err != nil {
				return err
			}
			return run(c.Context, o)
		},
	}
}

func (o *testOptions) parse(c *cli.Context, target string) (err error) {
	if err := mezu.ValidateMethod(o.Question.Method); err != nil {
		return exit.Usagef("METHOD: %v", err)
	}
	if o.Question.URL, err = url.Parse(target); err != nil || !strings.HasPrefix(o.Question.URL.EscapedPath(), "/") && o.Question.URL.Path != "" || o.Question.URL.Host == "" && o.Question.URL.Path == "" {
		return exit.Usagef("URL is an address or a path that starts with '/', not %q", target)
	}
	if o.Question.Client, err = netip.ParseAddr(c.String("ip")); err != nil {
		return exit.Usagef("--ip is an IP address, not %q", c.String("ip"))
	}
	for _, h := range c.StringSlice("header") {
		name, value, ok := strings.Cut(h, "=")
		if !ok || !mezu.ValidHeaderName(name) {
			return exit.Usagef("--header is NAME=VALUE, not %q", h)
		}
		name = strings.ToLower(name)
		o.Question.Header[name] = append(o.Question.Header[name], value)
	}
	if origin := c.String("origin"); origin != "" {
		o.Question.Header["origin"] = append(o.Question.Header["origin"], origin)
	}
	if o.Question.As != "" && o.Question.User {
		return exit.Usagef("--as is a user with the roles that they have; --role has no meaning beside it")
	}
	for _, r := range c.StringSlice("role") {
		if r != "" {
			o.Question.Roles = append(o.Question.Roles, r)
		}
	}
	return nil
}

func runTest(ctx context.Context, o *testOptions) error {
	p, err := collection.InEnvironment(o.Invocation)
	if err != nil {
		return err
	}
	v, err := trial.Judge(ctx, p.Client, p.Params[0], p.Params[1], p.Params[2], o.Question)
	if err != nil {
		return err
	}
	for _, note := range append(v.Notes, v.Unsure()) {
		if note == "" {
			continue
		}
		o.Warnf("%s", terminal.Clean(note))
	}
	if o.Flags.Output != terminal.Table {
		return o.WriteValue(o.Flags.Output, v)
	}
	return o.write(v)
}

// write shows a verdict as lines, and says in messages which routes were passed over and why.
func (o *testOptions) write(v trial.Verdict) error {
	err := terminal.WriteRecord(o.Streams, terminal.Table, v, []terminal.Column[trial.Verdict]{
		{Head: "VERDICT", Value: func(v trial.Verdict) string {
			switch {
			case v.Forwards == trial.ForwardsUnknown:
				return "allowed by the routes: the workload answers if its Warpgate may forward to " + v.Route.Upstream
			case v.Forwards == trial.ForwardsSome:
				return "allowed by the routes: the workload answers, unless a Warpgate gets it that may not forward there"
			case v.Allowed && v.Status != 0:
				return "answered by the edge: " + strconv.Itoa(v.Status)
			case v.Allowed:
				return "allowed: the workload answers"
			}
			return "refused: the answer is " + strconv.Itoa(v.Status)
		}},
		{Head: "CODE", Value: func(v trial.Verdict) string { return string(v.Code) }},
		{Head: "REASON", Value: func(v trial.Verdict) string { return v.Detail }},
		{Head: "MISSING", Value: func(v trial.Verdict) string { return v.Missing.String() }},
		{Head: "ALLOW", Value: func(v trial.Verdict) string { return strings.Join(v.Allow, ",") }},
		{Head: "ROUTE", Value: func(v trial.Verdict) string {
			if v.Route == nil {
				return ""
			}
			return v.Route.Label()
		}},
	})
	for _, s := range v.Steps[:max(0, len(v.Steps)-1)] { // the last step is the verdict itself
		o.Sayf("passed over %s: %s", terminal.Clean(s.Route), terminal.Clean(s.Result))
	}
	for _, j := range v.Order {
		line := fmt.Sprintf("%-13s  %s", j.Step, j.Result)
		if j.Detail != "" {
			line += ": " + terminal.Clean(j.Detail)
		}
		o.Sayf("%s", line)
	}
	return err
}
