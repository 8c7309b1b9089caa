package service

import (
	"encoding/json"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/audit"
)

// Kinds of targets beside those that the served entities have a word for.
const (
	kindOrganization   = "organization"
	kindProject        = "project"
	kindEnvironment    = "environment"
	kindDirectory      = "directory"
	kindUser           = "user"
	kindRoute          = "route"
	kindRoutes         = "routes"
	kindServiceAccount = "service_account"
	kindWarpgate       = "warpgate"
	kindEdge           = "edge"
	kindMember         = "member"
	kindInvitation     = "invitation"
	kindOperator       = "operator"
	kindToken          = "token"
	kindJoinToken      = "join_token"
	kindEnrolmentToken = "enrolment_token"
	kindKeys           = "keys"
	kindCertificate    = "certificate"
	kindBootstrapCode  = "bootstrap_code"
	kindBackup         = "backup"
)

// author is on whose behalf a change is made: a caller's, in an operation, which
// leaves exactly one audit record, or the control plane's own, which leaves none. The
// zero value may change nothing.
type author struct {
	actor     mezu.AuditActor
	requestID string
	operation string
	// credential tells this caller's repetitions of a creation from another's; it is no
	// secret.
	credential string
	// line is the caller's own where changes queue; empty of the control plane's.
	line string
	own  bool
}

// internal is the control plane itself: sweeps, presence, notes of last use, what an
// audited change owes, and bringing records up to date at a start.
func internal() author { return author{own: true} }

// target is what a change is about, and in which organization and project, by ids.
// Without an organization it is the installation's.
type target struct {
	mezu.AuditTarget
	organization, project string
}

// about names a target that belongs to no organization.
func about(kind, id, name string) target {
	return target{AuditTarget: mezu.AuditTarget{Kind: kind, ID: id, Name: name}}
}

// deed is what a change's audit record tells beside who and when.
type deed struct {
	target        target
	before, after any
}

// audit says what a change does: the served entity before, nil for something new, and
// after, nil for something removed. Records that only the store has, which may hold a
// hash or a key, are never handed in. Every change by a caller says so once.
func (c *change) audit(t target, before, after any) {
	c.deeds = append(c.deeds, deed{t, before, after})
}

// auditAlone is audit instead of all that was said before.
func (c *change) auditAlone(t target, before, after any) {
	c.deeds = nil
	c.audit(t, before, after)
}

// book adds the audit record to a change by a caller. A change that writes and does
// not tell what it does is a mistake of ours, and refused.
func (s *Records) book(ch *change, a author) error {
	if a.own {
		return nil
	}
	if a.operation == "" || len(ch.deeds) != 1 {
		return mezu.Errorf(mezu.CodeInternal, "the change of operation %q has %d audit records instead of one", a.operation, len(ch.deeds))
	}
	d := ch.deeds[0]
	rec := s.beginAudit(a)
	rec.Outcome, rec.Organization, rec.Project, rec.Target = mezu.AuditDone, d.target.organization, d.target.project, d.target.AuditTarget
	if mezu.ValidateEmail("", rec.Target.Name) == nil {
		rec.Target.Name = s.audit.Mask(rec.Target.Name)
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
	ch.create(audit.Key(rec), rec)
	return nil
}

// beginAudit begins a record of what an author does now.
func (s *Records) beginAudit(a author) mezu.AuditRecord {
	rec := s.audit.Begin(a.actor, a.operation)
	rec.RequestID = a.requestID
	return rec
}

// auditSide encodes one side of a change.
func (s *Records) auditSide(v any) (data json.RawMessage, cut bool, err error) {
	data, cut, err = s.audit.Side(v)
	part, ok := v.(interface{ Incomplete() bool })
	return data, cut || ok && part.Incomplete(), err
}
