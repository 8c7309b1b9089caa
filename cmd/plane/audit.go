package plane

import (
	"context"
	"net/url"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/tui/log"
	"github.com/mezusphere/mezu/tui/screen"
)

const (
	// auditSpan is how far back the log is read, maxAudit how many records at most.
	auditSpan = 24 * time.Hour
	maxAudit  = 1000
	// maxNews is how many records may come before all are listed anew: far more than people
	// write while somebody looks, and what a stream without end costs at most.
	maxNews = 4 * maxAudit
	// maxNames bounds the members and accounts that are looked up to say who did what.
	maxNames = 1000
)

// Audit is the audit log of an organization.
type Audit struct{ *Plane }

// Follow gives the records of the last day, newest first, and again whenever one was written.
func (p Audit) Follow(ctx context.Context, scope screen.Scope, see func(log.Records)) error {
	c, err := p.client(scope)
	if err != nil {
		return err
	}
	if scope.Organization == "" {
		return &mezu.Error{Code: mezu.CodeInvalid, Detail: "no organization is chosen", Hint: "mezu use ORG/PROJECT/ENVIRONMENT"}
	}
	names := p.names(ctx, c, scope)
	records, err := p.list(ctx, c, scope)
	if err != nil {
		return p.explain(ctx, scope, mezu.PermAuditRead, err)
	}
	all := make(log.Records, 0, len(records))
	for _, r := range records {
		all = append(all, named(r, names))
	}
	see(all)
	last := ""
	if len(all) > 0 {
		last = all[0].ID
	}
	w, err := c.WatchAudit(ctx, api.Call{Operation: api.OpWatchAudit, Params: []string{scope.Organization}}, last)
	if err != nil {
		return p.explain(ctx, scope, mezu.PermAuditRead, err)
	}
	defer w.Close()
	var came held
	for {
		r, err := w.Next()
		if err != nil {
			return err
		}
		if !came.has(r) || came.records > maxNews {
			return endless(api.OpWatchAudit) // it is listed anew
		}
		if len(all) > 0 && r.ID <= all[0].ID {
			continue // records near the last one may come twice
		}
		all = append(log.Records{named(r, names)}, all[:min(len(all), maxAudit-1)]...)
		see(all)
	}
}

// list are the records of the last day, newest first.
func (p Audit) list(ctx context.Context, c *api.Client, scope screen.Scope) ([]mezu.AuditRecord, error) {
	query := url.Values{"since": {p.inv.Clock().Add(-auditSpan).UTC().Format(time.RFC3339)}}
	records, _, err := collect[mezu.AuditRecord](ctx, c, api.OpListAudit, query, maxAudit, scope.Organization)
	return records, err
}

// names are those of members and service accounts by their ids, as far as they may be seen.
func (p Audit) names(ctx context.Context, c *api.Client, scope screen.Scope) map[string]string {
	names := map[string]string{}
	members, _, _ := collect[mezu.Member](ctx, c, api.OpListMembers, nil, maxNames, scope.Organization)
	for _, m := range members {
		names[m.ID], names[m.Person] = m.Email, m.Email
	}
	if scope.Project != "" {
		accounts, _, _ := collect[mezu.ServiceAccount](ctx, c, api.OpListServiceAccounts, nil, maxNames, scope.Organization, scope.Project)
		for _, a := range accounts {
			names[a.ID] = a.Name + " (service account)"
		}
	}
	return names
}

// named is a record with the name of who did it.
func named(r mezu.AuditRecord, names map[string]string) log.Record {
	who := names[r.Actor.ID]
	if who == "" {
		who = words(r.Actor.Kind, r.Actor.ID)
	}
	return log.Record{AuditRecord: r, Who: who}
}
