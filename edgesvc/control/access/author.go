package access

import (
	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// By is a caller in an operation.
func By(c Caller, operation string) record.Author {
	return record.Author{Actor: mezu.AuditActor{Kind: c.actor(), ID: c.ID, Address: c.Address}, RequestID: c.RequestID, Operation: operation,
		Credential: c.Credential, Line: c.key()}
}

// actor is the caller's kind as the audit log names it.
func (c Caller) actor() string {
	switch {
	case c.Kind == "":
		return string(Anonymous)
	case c.Kind == Member && c.Operator:
		return string(Operator)
	}
	return string(c.Kind)
}

// Names in the audit log for what the control plane's own process does by itself and by
// which somebody is let in. No operation of the API has one of these names.
const (
	StartBootstrapCode = "start-bootstrap-code"
	StartJoinToken     = "start-join-token"
	// ResetOperator is not at a start, but whenever the owner of its machine asks for it.
	ResetOperator = "reset-operator"
)

// TeamPage is the name in the audit log for what persons do on the pages of their own logins.
const TeamPage = "team-page"

// otherOperations are all names that a log may have beside those of the API's operations. The
// last three were written by `mezu dev` of earlier versions.
var otherOperations = []string{StartBootstrapCode, StartJoinToken, ResetOperator, TeamPage, "start-developer", "start-developer-token", "start-developer-key"}

// ByProcess is the process itself.
func ByProcess(operation string) record.Author {
	return By(Caller{Kind: process}, operation)
}
