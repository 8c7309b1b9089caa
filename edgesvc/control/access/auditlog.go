package access

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/audit"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// maxAuditFilter bounds the texts of a filter of the audit log. Ids and names are shorter.
const maxAuditFilter = 128

// AuditFilter selects records of an audit log. Empty fields match all.
type AuditFilter struct {
	// Actor is an id or a kind, Target an id, a name or a kind.
	Actor, Operation, Target string
	Outcome                  mezu.AuditOutcome
	// Since is the first moment that counts, Until the first one that doesn't any more.
	Since, Until time.Time
	// Oldest asks for the oldest first.
	Oldest bool
}

// AuditOrder is which records of a list come first.
type AuditOrder string

// Orders of records.
const (
	NewestFirst AuditOrder = "newest"
	OldestFirst AuditOrder = "oldest"
)

// Validate checks what a client may ask.
func (f *AuditFilter) Validate() error {
	for field, value := range map[string]string{"actor": f.Actor, "target": f.Target} {
		if len(value) > maxAuditFilter {
			return mezu.Invalid(field, "at most %d characters", maxAuditFilter)
		}
	}
	known := slices.Contains(otherOperations, f.Operation) || slices.ContainsFunc(api.Operations(), func(o api.Operation) bool { return o.ID == f.Operation })
	if f.Operation != "" && !known {
		return mezu.Invalid("operation", "there is no operation %q; see /openapi.json", f.Operation)
	}
	if f.Outcome != "" && f.Outcome != mezu.AuditDone && f.Outcome != mezu.AuditDenied {
		return mezu.Invalid("outcome", "is %s or %s", mezu.AuditDone, mezu.AuditDenied)
	}
	if !f.Since.IsZero() && !f.Until.IsZero() && !f.Since.Before(f.Until) {
		return mezu.Invalid("until", "is after since")
	}
	return nil
}

// auditQuery admits the caller to an audit log and narrows the filter to what the caller may
// read. Of an organization's log, owner and admin may read all, and a service account what
// is about its project. The installation's log, of what belongs to no organization, is for
// operators.
func (s *Access) auditQuery(ctx context.Context, c Caller, op api.Operation, p Path, f AuditFilter) (audit.Query, error) {
	q := audit.Query{Scope: audit.Installation, Actor: f.Actor, Operation: f.Operation, Target: f.Target, Outcome: f.Outcome,
		Since: f.Since, Until: f.Until, Oldest: f.Oldest}
	if op.ID == api.OpListInstallationAudit.ID || op.ID == api.OpWatchInstallationAudit.ID {
		_, err := Admit(op, c)
		return q, err
	}
	sc, err := s.InOrganization(ctx, c, op, p)
	if err != nil {
		return q, err
	}
	q.Scope = sc.Organization.Value.ID
	if c.Kind == ServiceAccount {
		q.Project = c.Project
	}
	return q, nil
}

// ListAudit reads a page of the audit log of an organization, or of the installation.
func (s *Access) ListAudit(ctx context.Context, c Caller, op api.Operation, p Path, f AuditFilter, page record.Paging) (api.AuditList, error) {
	out := api.AuditList{Items: []mezu.AuditRecord{}}
	q, err := s.auditQuery(ctx, c, op, p, f)
	if err != nil {
		return out, err
	}
	if err := f.Validate(); err != nil {
		return out, err
	}
	size, err := page.Limit()
	if err != nil {
		return out, err
	}
	text, err := json.Marshal(q)
	if err != nil {
		return out, fmt.Errorf("encoding a query: %w", err)
	}
	// A page token is valid for one log and one filter only.
	asked := mezu.HashSecret(string(text))[:16]
	after := ""
	if page.Token != "" {
		raw, err := base64.RawURLEncoding.DecodeString(page.Token)
		rest, ok := strings.CutPrefix(string(raw), asked)
		if err != nil || !ok || mezu.ValidateID("", mezu.PrefixAudit, rest) != nil {
			return out, mezu.Invalid("page_token", "is not the next_page_token of this query")
		}
		after = rest
	}
	got, err := s.records.Audit.Read(ctx, q, after, size)
	if err != nil {
		return out, err
	}
	out.Items = append(out.Items, got.Records...)
	for _, d := range got.Damaged {
		s.records.Log.Error("reading the audit archive", "error", d)
		out.Damaged = append(out.Damaged, d.Error())
	}
	if got.Next != "" {
		out.NextPageToken = base64.RawURLEncoding.EncodeToString([]byte(asked + got.Next))
	}
	return out, nil
}

// AuditSink takes the records of one watch.
type AuditSink interface {
	Record(mezu.AuditRecord) error
	KeepAlive() error
	record.Ender
}

// WatchAudit sends records as they are written, until ctx ends, the sink fails or the
// caller may not read them any more. If it is to go on after the id of a record, it begins
// with the records since then, and may repeat some near it (see audit.Overlap).
func (s *Access) WatchAudit(ctx context.Context, c Caller, op api.Operation, p Path, f AuditFilter, after string, sink AuditSink) error {
	q, err := s.auditQuery(ctx, c, op, p, f)
	if err != nil {
		return err
	}
	if err := f.Validate(); err != nil {
		return err
	}
	if after != "" && mezu.ValidateID("", mezu.PrefixAudit, after) != nil {
		return mezu.Invalid("Last-Event-ID", "is the id of an event of this stream")
	}
	allowed := func(ctx context.Context) error {
		now, err := s.identify(ctx, c.presented)
		if err != nil {
			return err
		}
		same, err := s.auditQuery(ctx, now, op, p, f)
		if err == nil && same != q {
			err = s.noOrganization()
		}
		return err
	}
	return record.Guarded(ctx, sink, allowed, func(ctx context.Context) error {
		return s.records.Audit.Follow(ctx, q, after, audit.Follower{Send: sink.Record, KeepAlive: sink.KeepAlive, Allowed: allowed})
	})
}

// errHidden is the cause of a refusal of something that exists but is reported as not found.
var errHidden = errors.New("it is another tenant's")

// hidden adds errHidden to the cause of an error. What else is known of what is absent stays: the
// answer must be the same as where nothing is.
func hidden(err error) error {
	var e *mezu.Error
	if errors.As(err, &e) {
		e.Cause = errors.Join(errHidden, e.Cause)
	}
	return err
}

// DenialWindow is how often FlushDenials is to be called.
const DenialWindow = audit.DenialWindow

// denialTime bounds the writing of a denial.
const denialTime = 2 * time.Second

// Denied records that an authenticated caller was refused: something that the caller may
// not do, or something of another tenant. Other errors have nothing to do with permissions,
// and attempts of anonymous callers are only counted, by metrics.
func (s *Access) Denied(ctx context.Context, op api.Operation, c Caller, p Path, cause error) {
	if c.Kind == Anonymous || c.Kind == "" || mezu.CodeOf(cause) != mezu.CodeForbidden && !errors.Is(cause, errHidden) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), denialTime)
	defer cancel()
	rec := s.records.BeginAudit(By(c, op.ID))
	rec.Code = mezu.CodeOf(cause)
	if err := s.records.Audit.Denied(ctx, rec, func(rec *mezu.AuditRecord) error { return s.locate(ctx, c, p, rec) }); err != nil {
		s.records.Log.Error("writing down a denied attempt", "operation", op.ID, "caller", c.ID, "error", err)
	}
}

// locate finds the log for a denial. It is that of the credential's organization, or of the
// organization that was asked for if the person belongs to it. Otherwise it is the
// installation's, without what was asked for.
func (s *Access) locate(ctx context.Context, c Caller, p Path, rec *mezu.AuditRecord) error {
	if c.Organization != "" {
		rec.Organization, rec.Project = c.Organization, c.Project
		return nil
	}
	if c.Kind != Member || p.Organization == "" {
		return nil
	}
	org, err := record.Child[mezu.Organization](ctx, s.records, PrefixOrganization, p.Organization, "organization", "")
	if err == nil {
		_, err = record.Get[mezu.Member](ctx, s.records, KeyMember(org.Value.ID, c.ID))
	}
	if mezu.CodeOf(err) == mezu.CodeNotFound || errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	rec.Organization = org.Value.ID
	if p.Project == "" {
		return nil
	}
	prj, err := record.Child[mezu.Project](ctx, s.records, ProjectsOf(org.Value.ID), p.Project, "project", "")
	if mezu.CodeOf(err) == mezu.CodeNotFound {
		return nil
	}
	rec.Project = prj.Value.ID
	rec.Target = mezu.AuditTarget{Kind: record.KindProject, ID: prj.Value.ID, Name: prj.Value.Name}
	return err
}

// FlushDenials writes the counts of denied attempts that are due, or all of them.
func (s *Access) FlushDenials(ctx context.Context, all bool) error {
	return s.records.Audit.FlushDenials(ctx, all)
}
