package rest

import (
	"context"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
)

// auditEvents is a stream of audit records.
type auditEvents struct{ *sse }

// Record writes one record.
func (s auditEvents) Record(rec mezu.AuditRecord) error {
	return s.Event(api.AuditEvent, rec.ID, rec)
}

func (r *rest) bindAudit() {
	for _, op := range []api.Operation{api.OpListAudit, api.OpListInstallationAudit} {
		read(r, op, func(ctx context.Context, req *request) (api.AuditList, error) {
			f, err := req.auditFilter()
			if err != nil {
				return api.AuditList{}, err
			}
			page, err := req.paging()
			if err != nil {
				return api.AuditList{}, err
			}
			return r.service.ListAudit(ctx, req.caller, req.op, req.path, f, page)
		})
	}
	for _, op := range []api.Operation{api.OpWatchAudit, api.OpWatchInstallationAudit} {
		r.watch(op, func(ctx context.Context, req *request, last string, out *sse) error {
			f, err := req.auditFilter()
			if err != nil {
				return err
			}
			return r.service.WatchAudit(ctx, req.caller, req.op, req.path, f, last, auditEvents{out})
		})
	}
}

// auditFilter reads the parameters of the query.
func (req *request) auditFilter() (access.AuditFilter, error) {
	q := req.ctx.Query
	f := access.AuditFilter{Actor: q("actor"), Operation: q("operation"), Target: q("target"), Outcome: mezu.AuditOutcome(q("outcome"))}
	var err error
	if f.Since, err = req.moment("since"); err != nil {
		return f, err
	}
	if f.Until, err = req.moment("until"); err != nil {
		return f, err
	}
	switch access.AuditOrder(q("order")) {
	case "", access.NewestFirst:
	case access.OldestFirst:
		f.Oldest = true
	default:
		return f, mezu.Invalid("order", "is %s or %s", access.NewestFirst, access.OldestFirst)
	}
	return f, nil
}

// moment reads a time of the query; zero if it is not given.
func (req *request) moment(name string) (time.Time, error) {
	text := req.ctx.Query(name)
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || t.Year() < 1970 || t.Year() > 9999 {
		return t, mezu.Invalid(name, "is a time such as 2026-01-02T15:04:05Z")
	}
	return t, nil
}
