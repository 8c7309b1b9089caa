package record

import (
	"encoding/json"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/audit"
)

// Kinds of targets beside those that the served entities have a word for.
const (
	KindOrganization   = "organization"
	KindProject        = "project"
	KindEnvironment    = "environment"
	KindDirectory      = "directory"
	KindUser           = "user"
	KindRoute          = "route"
	KindRoutes         = "routes"
	KindServiceAccount = "service_account"
	KindWebhook        = "webhook"
	KindWarpgate       = "warpgate"
	KindEdge           = "edge"
	KindMember         = "member"
	KindInvitation     = "invitation"
	KindOperator       = "operator"
	KindPerson         = "person"
	KindToken          = "token"
	KindJoinToken      = "join_token"
	KindEnrolmentToken = "enrolment_token"
	KindKeys           = "keys"
	KindCertificate    = "certificate"
	KindBootstrapCode  = "bootstrap_code"
	KindBackup         = "backup"
)

// Kinds are all of them.
func Kinds() []string {
	return []string{
		KindOrganization, KindProject, KindEnvironment, KindDirectory, KindUser, KindRoute, KindRoutes, KindServiceAccount, KindWebhook, KindWarpgate, KindEdge, KindMember,
		KindInvitation, KindOperator, KindPerson, KindToken, KindJoinToken, KindEnrolmentToken, KindKeys, KindCertificate, KindBootstrapCode, KindBackup,
	}
}

// Author is on whose behalf a change is made: a caller's, in an operation, which
// leaves exactly one audit record, or the control plane's own, which leaves none. The
// zero value may change nothing.
type Author struct {
	Actor     mezu.AuditActor
	RequestID string
	Operation string
	// Credential tells this caller's repetitions of a creation from another's; it is no
	// secret.
	Credential string
	// Line is the caller's own where changes queue; empty of the control plane's.
	Line string
	own  bool
}

// Internal is the control plane itself: sweeps, presence, notes of last use, tasks of
// audited changes, and bringing records up to date at a start.
func Internal() Author { return Author{own: true} }

// Target is what a change is about, and in which organization and project, by ids.
// Without an organization it is the installation's.
type Target struct {
	mezu.AuditTarget
	Organization, Project string
}

// About names a target that belongs to no organization.
func About(kind, id, name string) Target {
	return Target{AuditTarget: mezu.AuditTarget{Kind: kind, ID: id, Name: name}}
}

// auditEntry is what a change's audit record tells beside who and when.
type auditEntry struct {
	target        Target
	before, after any
}

// Audit says what a change does: the served entity before, nil for something new, and
// after, nil for something removed. Records that only the store has, which may hold a
// hash or a key, are never handed in. Every change by a caller says so once.
func (c *Change) Audit(t Target, before, after any) {
	c.audited = append(c.audited, auditEntry{t, before, after})
}

// AuditAlone is audit instead of all that was said before.
func (c *Change) AuditAlone(t Target, before, after any) {
	c.audited = nil
	c.Audit(t, before, after)
}

// appendAudit adds the audit record to a change by a caller. A change that writes and does
// not tell what it does is a mistake of ours, and refused.
func (s *Records) appendAudit(ch *Change) error {
	a := ch.author
	if a.own {
		return nil
	}
	if a.Operation == "" || len(ch.audited) != 1 {
		return mezu.Errorf(mezu.CodeInternal, "the change of operation %q has %d audit records instead of one", a.Operation, len(ch.audited))
	}
	d := ch.audited[0]
	rec := s.BeginAudit(a)
	rec.Outcome, rec.Organization, rec.Project, rec.Target = mezu.AuditDone, d.target.Organization, d.target.Project, d.target.AuditTarget
	if mezu.ValidateEmail("", rec.Target.Name) == nil {
		rec.Target.Name = s.Audit.Mask(rec.Target.Name)
	}
	var cutBefore, cutAfter bool
	var err error
	if rec.Before, cutBefore, err = s.auditSide(d.before); err != nil {
		return err
	}
	if rec.After, cutAfter, err = s.auditSide(d.after); err != nil {
		return err
	}
	rec.Truncated = cutBefore || cutAfter
	ch.Create(audit.Key(rec), rec)
	return nil
}

// BeginAudit begins a record of what an author does now.
func (s *Records) BeginAudit(a Author) mezu.AuditRecord {
	rec := s.Audit.Begin(a.Actor, a.Operation)
	rec.RequestID = a.RequestID
	return rec
}

// auditSide encodes one side of a change.
func (s *Records) auditSide(v any) (data json.RawMessage, cut bool, err error) {
	data, cut, err = s.Audit.Side(v)
	part, ok := v.(interface{ Incomplete() bool })
	return data, cut || ok && part.Incomplete(), err
}
