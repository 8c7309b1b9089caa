// Package requests is "mezu requests": the requests that came through the tunnels of this
// machine, as the inspector of the local daemon keeps them, and what can be done with one.
//
// What lives here: flags, and how a request is shown. What may not: what is kept, filtered,
// masked or sent, which is the daemon's business. It imports local, the packages of cli that
// every command uses and draft; cli imports it.
package requests

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/local"
)

// Config is what the commands get from the program around them. What is nil can't be done.
type Config struct {
	// Category is the heading in help under which commands stand that run until interrupted.
	Category string
	// Running gives a client of the daemon of the profile in use, if it runs.
	Running func(context.Context, invocation.Settings) (*local.Client, error)
	// Open opens an address in the browser.
	Open func(address string) error
	// Exec runs a program with variables beside those of this process, and gives its exit code.
	Exec func(ctx context.Context, argv, variables []string) (int, error)
}

// command is one run of a command.
type command struct {
	*invocation.Invocation
	Config
}

// Command is "mezu requests".
func Command(inv *invocation.Invocation, cfg Config) *cli.Command {
	c := &command{inv, cfg}
	return &cli.Command{
		Name: "requests", Aliases: []string{"request"}, Usage: "See the requests of the tunnels of this machine, and send them again", Category: "operation",
		Description: "The local daemon keeps the last requests of its tunnels in memory, and loses them when it ends.\n" +
			"ID is the beginning of a request's id, the X-Request-Id of the workload's log, latest for the\n" +
			"newest one, or @2 for the one before. docs/inspector.md goes through all of it.",
		Subcommands: []*cli.Command{
			c.list(), c.show(), c.diff(), c.replay(), c.edit(), c.curl(), c.har(), c.pin(), c.clear(), c.web(),
		},
	}
}

// flag is a flag without a value.
func flag(name, usage string, aliases ...string) cli.Flag {
	return &cli.BoolFlag{Name: name, Aliases: aliases, Usage: usage, DisableDefaultText: true}
}

func unmaskFlag() cli.Flag { return flag("unmask", "show secrets too") }

func filterFlag() cli.Flag {
	return &cli.StringFlag{Name: "filter", Usage: "those that fit the `WORDS`: status:5xx path:/hooks/* method:POST dur:>500ms is:ws text:refund …"}
}

// client asks for the daemon. The caller closes it.
func (o *command) client(ctx context.Context) (*local.Client, error) {
	s, err := o.Settings()
	if err != nil {
		return nil, err
	}
	c, err := o.Running(ctx, s)
	if errors.Is(err, local.ErrNotRunning) && s.Socket == "" {
		return nil, &mezu.Error{Code: mezu.CodeUnavailable, Detail: "no daemon is running, so no requests are kept", Hint: "mezu tunnel PORT, or mezu tunnel --capture-only", Cause: err}
	}
	return c, err
}

// newestMark begins an id that counts from the newest request on.
const newestMark = "@"

// counts reads an id that counts from the newest request on; zero is another one.
func counts(id string) (nth int, err error) {
	switch {
	case id == "":
		return 0, exit.Usagef("ID is empty")
	case id == "latest":
		return 1, nil
	case !strings.HasPrefix(id, newestMark):
		return 0, nil
	}
	if nth, err = strconv.Atoi(id[len(newestMark):]); err != nil || nth < 1 || nth > local.MaxPage {
		return 0, exit.Usagef("%s is @1 for the newest request, and @%d at most", id, local.MaxPage)
	}
	return nth, nil
}

func checkID(id string) error {
	_, err := counts(id)
	return err
}

// find gives the id by which the daemon knows the request that somebody means.
func find(ctx context.Context, c *local.Client, id string) (string, error) {
	nth, err := counts(id)
	if nth == 0 || err != nil {
		return id, err
	}
	page, err := c.Requests(ctx, local.RequestsQuery{PageSize: nth})
	if err != nil {
		return "", err
	}
	if len(page.Items) < nth {
		return "", &mezu.Error{Code: mezu.CodeNotFound, Detail: "only " + counted(len(page.Items), "request is", "requests are") + " kept", Hint: "mezu requests list"}
	}
	return page.Items[nth-1].ID, nil
}

// action does something about the request with an id.
type action func(ctx context.Context, c *local.Client, id string) error

// one is a command about one request. parse reads its flags, before the daemon is asked.
func (o *command) one(name, usage string, flags []cli.Flag, parse func(line *cli.Context) (action, error)) *cli.Command {
	return &cli.Command{
		Name: name, Usage: usage, ArgsUsage: "ID", Flags: flags, BashComplete: o.complete(),
		Action: func(line *cli.Context) error {
			args, err := invocation.Arguments(line, "ID")
			if err != nil {
				return err
			}
			act, err := parse(line)
			if err != nil {
				return err
			}
			return o.about(line.Context, args[0], act)
		},
	}
}

// about does something about the request that somebody means.
func (o *command) about(ctx context.Context, id string, act action) error {
	if err := checkID(id); err != nil {
		return err
	}
	c, err := o.client(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if id, err = find(ctx, c, id); err != nil {
		return err
	}
	return act(ctx, c, id)
}

// complete proposes the ids of the newest requests.
func (o *command) complete() cli.BashCompleteFunc {
	return invocation.CompleteLocal(func(ctx context.Context) ([]string, error) { return IDs(ctx, o.Invocation, o.Config) })
}

// proposed is how many ids are proposed: more than that is no choice.
const proposed = 50

// IDs are those of the newest requests, for completion.
func IDs(ctx context.Context, inv *invocation.Invocation, cfg Config) ([]string, error) {
	c, err := (&command{inv, cfg}).client(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	page, err := c.Requests(ctx, local.RequestsQuery{PageSize: proposed})
	ids := make([]string, len(page.Items))
	for i, e := range page.Items {
		ids[i] = e.ID
	}
	return ids, err
}

// counted is a number with its noun.
func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// maskedNote says on stderr that values are masked.
func (o *command) maskedNote(n int) {
	if n > 0 {
		o.Sayf("%s masked; --unmask shows what is behind", counted(n, "value is", "values are"))
	}
}

// pin is "mezu requests pin".
func (o *command) pin() *cli.Command {
	c := o.one("pin", "Keep a request when others make room for newer ones", []cli.Flag{flag("undo", "keep it no longer")},
		func(line *cli.Context) (action, error) {
			undo := line.Bool("undo")
			return func(ctx context.Context, c *local.Client, id string) error {
				e, err := c.Pin(ctx, id, !undo)
				if err != nil {
					return err
				}
				return o.pinned(e)
			}, nil
		})
	c.Before = o.Is(invocation.Named)
	return c
}

func (o *command) pinned(e mezu.Exchange) error {
	if o.Flags.Output != terminal.Table {
		return o.WriteValue(o.Flags.Output, e)
	}
	what := "pinned"
	if !e.Pinned {
		what = "not pinned any more:"
	}
	o.Signf(terminal.Good, "%s %s %s %s", what, shortID(e.ID), terminal.Clean(e.Method), terminal.Clean(e.Path+e.Query))
	return nil
}

// clear is "mezu requests clear".
func (o *command) clear() *cli.Command {
	return &cli.Command{
		Name: "clear", Usage: "Remove the requests that are kept, but no pinned ones",
		Flags: []cli.Flag{filterFlag(), flag("yes", "do not ask", "y")},
		Action: func(line *cli.Context) error {
			if _, err := invocation.Arguments(line); err != nil {
				return err
			}
			return o.runClear(line.Context, line.String("filter"), line.Bool("yes"))
		},
	}
}

func (o *command) runClear(ctx context.Context, filter string, yes bool) error {
	what := "all requests that are kept"
	if filter != "" {
		what = "the requests that fit " + terminal.Clean(filter)
	}
	if !yes {
		if err := o.Confirmable("removing " + what); err != nil {
			return err
		}
	}
	c, err := o.client(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if !yes {
		if err := o.confirmClear(ctx, c, filter); err != nil {
			return err
		}
	}
	cleared, err := c.Clear(ctx, filter)
	if err != nil {
		return err
	}
	if o.Flags.Output != terminal.Table {
		return o.WriteValue(o.Flags.Output, cleared)
	}
	o.Signf(terminal.Good, "removed %s", counted(cleared.Removed, "request", "requests"))
	return nil
}

// confirmClear asks whether so many requests are to go; if there are none, nothing.
func (o *command) confirmClear(ctx context.Context, c *local.Client, filter string) error {
	items, _, err := page(ctx, c, local.RequestsQuery{Filter: filter}, mezu.MaxExchanges)
	if err != nil {
		return err
	}
	items = slices.DeleteFunc(items, func(e mezu.Exchange) bool { return e.Pinned })
	if len(items) == 0 {
		return nil
	}
	what := counted(len(items), "request", "requests")
	if filter != "" {
		what += " (" + terminal.Clean(filter) + ")"
	}
	return o.Confirm(ctx, "Remove "+what+", but no pinned ones?", "removed")
}

// web is "mezu requests web".
func (o *command) web() *cli.Command {
	return &cli.Command{
		Name: "web", Usage: "Show the requests in the browser, on a page that the daemon serves to this machine alone",
		Description: "The page is read-only. The address has a secret in it, and opens it once.",
		Action: func(line *cli.Context) error {
			if _, err := invocation.Arguments(line); err != nil {
				return err
			}
			return o.runWeb(line.Context)
		},
	}
}

func (o *command) runWeb(ctx context.Context) error {
	c, err := o.client(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	page, err := c.Inspect(ctx)
	if err != nil {
		return err
	}
	o.Mask(page.URL)
	if u, err := url.Parse(page.URL); err != nil || u.Scheme != "http" || u.Hostname() != "127.0.0.1" {
		return mezu.Errorf(mezu.CodeInternal, "the daemon names a page that is not of this machine: %s", terminal.Clean(page.URL))
	}
	if o.Flags.Output != terminal.Table {
		return o.WriteValue(o.Flags.Output, page)
	}
	// The address comes first: a launcher may report success and open nothing.
	if err := o.Printf("%s\n", terminal.Clean(page.URL)); err != nil {
		return err
	}
	o.Sayf("  read-only, on this machine alone, until 10 minutes after somebody looked at it last")
	if o.Config.Open == nil || !o.CanPrompt() {
		return nil
	}
	if err := o.Config.Open(page.URL); err != nil {
		o.Signf(terminal.Caution, "no browser could be opened: %v", cmp.Or(terminal.Clean(err.Error()), "unknown"))
	}
	return nil
}
