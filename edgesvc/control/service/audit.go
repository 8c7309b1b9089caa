package service

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/audit"
)

// maxAuditRoutes bounds the changed routes that an audit record shows of a list that was
// replaced. The digests of both lists tell the rest.
const maxAuditRoutes = 20

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
	caller    Caller
	operation string
	own       bool
}

// by is a caller in an operation.
func by(c Caller, op api.Operation) author { return author{caller: c, operation: op.ID} }

// internal is the control plane itself: sweeps, presence, notes of last use, what an
// audited change owes, and bringing records up to date at a start.
var internal = author{own: true}

// What the control plane's own process does at its start that lets somebody in, as the
// audit log names it. No operation of the API has one of these names.
const (
	startBootstrapCode = "start-bootstrap-code"
	startJoinToken     = "start-join-token"
)

// startOperations are the names that a log may have: the last three are in those of
// `mezu dev` before it set itself up through the API.
var startOperations = []string{startBootstrapCode, startJoinToken, "start-developer", "start-developer-token", "start-developer-key"}

// byProcess is the process in one of startOperations.
func byProcess(operation string) author {
	return author{caller: Caller{Kind: process}, operation: operation}
}

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

// target names something in the place of the scope.
func (sc scope) target(kind, id, name string) target {
	t := about(kind, id, name)
	t.organization, t.project = sc.organization.Value.ID, sc.project.Value.ID
	return t
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

// book adds the audit record to a change by a caller. A change that writes and does
// not tell what it does is a mistake of ours, and refused.
func (s *Service) book(ch *change, a author) error {
	if a.own {
		return nil
	}
	if a.operation == "" || len(ch.deeds) != 1 {
		return mezu.Errorf(mezu.CodeInternal, "the change of operation %q has %d audit records instead of one", a.operation, len(ch.deeds))
	}
	d := ch.deeds[0]
	rec := s.auditRecord(a.caller, a.operation)
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

// auditRecord begins a record of what a caller does now.
func (s *Service) auditRecord(c Caller, operation string) mezu.AuditRecord {
	rec := s.audit.Begin(mezu.AuditActor{Kind: c.actor(), ID: c.ID, Address: c.Address}, operation)
	rec.RequestID = c.RequestID
	return rec
}

// actor is the word for the caller's kind.
func (c Caller) actor() string {
	switch {
	case c.Kind == "":
		return string(Anonymous)
	case c.Kind == Member && c.Operator:
		return "operator"
	}
	return string(c.Kind)
}

// auditSide encodes one side of a change.
func (s *Service) auditSide(v any) (data json.RawMessage, cut bool, err error) {
	routes, _ := v.(auditedRoutes)
	data, cut, err = s.audit.Side(v)
	return data, cut || routes.cut, err
}

// auditedRoutes is one side of a change of all routes: how many they are, the digest
// of the list, and those that the other side has not, or has otherwise.
type auditedRoutes struct {
	Count   int          `json:"count"`
	SHA256  string       `json:"sha256"`
	Changed []mezu.Route `json:"changed"`
	cut     bool
}

// auditRoutes gives both sides of a change of all routes.
func auditRoutes(before, after []mezu.Route) (was, is auditedRoutes, err error) {
	if was, err = routesSide(before, after); err != nil {
		return was, is, err
	}
	is, err = routesSide(after, before)
	return was, is, err
}

func routesSide(of, other []mezu.Route) (auditedRoutes, error) {
	out := auditedRoutes{Count: len(of), Changed: []mezu.Route{}}
	var err error
	if out.SHA256, err = digestOfRoutes(of); err != nil {
		return out, err
	}
	known := byIdentity(other)
	room := audit.MaxSide - 1<<10 // for what is around them
	for i := range of {
		r := &of[i]
		if was := known[r.Identity()]; was != nil && sameRoute(was, r) {
			continue
		}
		data, err := encode(r)
		if err != nil {
			return out, fmt.Errorf("encoding a route: %w", err)
		}
		room -= len(data) + 1
		if room < 0 || len(out.Changed) == maxAuditRoutes {
			out.cut = true
			break
		}
		out.Changed = append(out.Changed, *r)
	}
	return out, nil
}

// digestOfRoutes is the digest of routes as they are encoded, one by one.
func digestOfRoutes(routes []mezu.Route) (string, error) {
	sum := sha256.New()
	if err := writeRoutes(sum, routes); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// writeRoutes writes routes as a list in JSON, one after the other: all of them encoded
// at once are held twice.
func writeRoutes(w io.Writer, routes []mezu.Route) error {
	out := json.NewEncoder(w)
	for i, separator := range []string{"[", "]"} {
		if _, err := io.WriteString(w, separator); err != nil || i == 1 {
			return err
		}
		for i := range routes {
			if i > 0 {
				if _, err := io.WriteString(w, ","); err != nil {
					return err
				}
			}
			if err := out.Encode(&routes[i]); err != nil {
				return fmt.Errorf("encoding a route: %w", err)
			}
		}
	}
	return nil
}

// auditedToken is what a record tells of a token that was issued.
type auditedToken struct {
	Environment     string    `json:"environment,omitempty"` // id
	PublicKeySHA256 string    `json:"public_key_sha256,omitempty"`
	ExpiresAt       time.Time `json:"expires_at,omitzero"`
}

// auditedCertificate is what a record tells of a server certificate that was issued; its
// serial is the target's id.
type auditedCertificate struct {
	Hosts    []string  `json:"hosts"`
	NotAfter time.Time `json:"not_after"`
}

func (t tokenRecord) audited() auditedToken {
	return auditedToken{t.Environment, t.PublicKeySHA256, t.ExpiresAt}
}
