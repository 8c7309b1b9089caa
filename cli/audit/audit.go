// Package audit is "mezu audit": who did what in an organization, or to the installation, on
// the command line.
//
// What may not live here: other nouns. It imports the domain, api and the packages of cli
// that every command uses; cli imports it.
package audit

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/backoff"
	"github.com/mezusphere/mezu/cli/collection"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
)

// defaultLimit is how many records are shown unless --limit says otherwise.
const defaultLimit = 100

type options struct {
	*invocation.Invocation
	// Installation selects the log of everything that belongs to no organization.
	Installation, Follow bool
	Query                url.Values
	Limit                int
}

// Command is "mezu audit".
func Command(inv *invocation.Invocation) *cli.Command { return newAudit(inv, run) }

// filters are the flags that select records, each a parameter of the same name.
func filters() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "actor", Usage: "by `WHO`: an id, or member, operator, service_account, …"},
		&cli.StringFlag{Name: "operation", Usage: "of the operation `NAME`, such as apply-project"},
		&cli.StringFlag{Name: "target", Usage: "done to `WHAT`: an id, a name or a kind"},
		&cli.StringFlag{Name: "outcome", Usage: "`OUTCOME` is done or denied"},
		&cli.StringFlag{Name: "since", Usage: "from `TIME` on: 7d for the last seven days, 2026-11-28, or 2026-11-28T15:04:05Z"},
		&cli.StringFlag{Name: "until", Usage: "before `TIME`, in the same notation"},
	}
}

func newAudit(inv *invocation.Invocation, run func(context.Context, *options) error) *cli.Command {
	return &cli.Command{
		Name: "audit", Usage: "Show who did what, newest first", Category: "operation",
		Flags: append(filters(),
			&cli.BoolFlag{Name: "installation", Usage: "what was done to the installation, for operators", DisableDefaultText: true},
			&cli.IntFlag{Name: "limit", Usage: "show at most `N` records", Value: defaultLimit},
			&cli.BoolFlag{Name: "follow", Aliases: []string{"f"}, Usage: "show what is done from now on, oldest first, until interrupted", DisableDefaultText: true},
		),
		Before: inv.Is(invocation.Shows),
		Action: func(c *cli.Context) error {
			if _, err := invocation.Arguments(c); err != nil {
				return err
			}
			o := &options{Invocation: inv, Installation: c.Bool("installation"), Follow: c.Bool("follow"), Limit: c.Int("limit"), Query: url.Values{}}
			if o.Limit < 1 {
				return exit.Usagef("--limit is 1 or more")
			}
			for _, f := range filters() {
				name := f.Names()[0]
				value := c.String(name)
				if value == "" {
					continue
				}
				if name == "since" || name == "until" {
					at, err := invocation.Moment(name, value, inv.Clock())
					if err != nil {
						return err
					}
					value = at.UTC().Format(time.RFC3339)
				}
				o.Query.Set(name, value)
			}
			return run(c.Context, o)
		},
	}
}

func run(ctx context.Context, o *options) error {
	in, list, watch := collection.InOrganization, api.OpListAudit, api.OpWatchAudit
	if o.Installation {
		in, list, watch = collection.AtTop, api.OpListInstallationAudit, api.OpWatchInstallationAudit
	}
	p, err := in(o.Invocation)
	if err != nil {
		return err
	}
	if o.Follow {
		return o.follow(ctx, p, api.Call{Operation: watch, Params: p.Params, Query: o.Query})
	}
	return o.list(ctx, p, list)
}

// list shows the newest records.
func (o *options) list(ctx context.Context, p collection.Path, op api.Operation) error {
	records := []mezu.AuditRecord{}
	o.Query.Set("page_size", strconv.Itoa(min(o.Limit, api.MaxPageSize)))
	for {
		var page api.AuditList
		if err := p.Client.Do(ctx, api.Call{Operation: op, Params: p.Params, Query: o.Query}, &page); err != nil {
			return err
		}
		for _, segment := range page.Damaged {
			o.Warnf("the archive's segment %s is missing or damaged; its records are not shown", terminal.Clean(segment))
		}
		records = append(records, page.Items...)
		if page.NextPageToken == "" || len(records) >= o.Limit {
			break
		}
		o.Query.Set("page_token", page.NextPageToken)
	}
	if len(records) == 0 {
		o.Sayf("%s has no such records", p.Text)
		if o.Flags.Output == terminal.Table {
			return nil
		}
	}
	return terminal.WriteList(o.Streams, o.Flags.Output, records[:min(len(records), o.Limit)], columns())
}

// follow shows records as they are written. When the connection is lost, it connects again
// and goes on after the last record.
func (o *options) follow(ctx context.Context, p collection.Path, call api.Call) error {
	last, said := "", ""
	retry := backoff.Backoff{}
	arrived := func() {
		retry.Reset()
		said = ""
	}
	for {
		err := o.stream(ctx, p, call, &last, arrived)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var lost *api.UnreachableError
		if !errors.As(err, &lost) && mezu.CodeOf(err) != mezu.CodeUnavailable {
			return err
		}
		if text := terminal.Clean(err.Error()); text != said {
			o.Warnf("%s; trying again", text)
			said = text
		}
		retry.Because(err)
		if err := retry.Wait(ctx); err != nil {
			return err
		}
	}
}

func (o *options) stream(ctx context.Context, p collection.Path, call api.Call, last *string, arrived func()) error {
	s, err := p.Client.WatchAudit(ctx, call, *last)
	if err != nil {
		return err
	}
	defer s.Close()
	for {
		rec, err := s.Next()
		if err != nil {
			return err
		}
		arrived()
		if rec.ID == *last {
			continue // records near the last one may come twice
		}
		*last = rec.ID
		if err := o.show(rec); err != nil {
			return err
		}
	}
}

// show writes one record: as a row of the table, or as a line of JSON in other formats.
func (o *options) show(rec mezu.AuditRecord) error {
	if o.Flags.Output != terminal.Table {
		return o.WriteLine(rec)
	}
	one := o.Streams
	one.OutTerminal = false // a line among others, which are not there yet
	return terminal.WriteList(one, o.Flags.Output, []mezu.AuditRecord{rec}, columns())
}

func columns() []terminal.Column[mezu.AuditRecord] {
	return []terminal.Column[mezu.AuditRecord]{
		{Head: "TIME", At: func(r mezu.AuditRecord) time.Time { return r.Time }},
		{Head: "ACTOR", Value: func(r mezu.AuditRecord) string { return strings.TrimSpace(r.Actor.Kind + " " + r.Actor.ID) }},
		{Head: "FROM", Rank: terminal.Detail, Value: func(r mezu.AuditRecord) string { return r.Actor.Address }},
		{Head: "OPERATION", Value: func(r mezu.AuditRecord) string { return r.Operation }},
		{Head: "OUTCOME", Value: outcome},
		{Head: "TARGET", Value: target},
	}
}

func outcome(r mezu.AuditRecord) string {
	if r.Count > 1 {
		data, err := json.Marshal(r.Count)
		if err == nil {
			return string(r.Outcome) + " ×" + string(data)
		}
	}
	return string(r.Outcome)
}

func target(r mezu.AuditRecord) string {
	name := r.Target.Name
	if name == "" {
		name = r.Target.ID
	}
	return strings.TrimSpace(r.Target.Kind + " " + name)
}
