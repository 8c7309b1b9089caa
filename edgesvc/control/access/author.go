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

// What the control plane's own process does at its start that lets somebody in, as the
// audit log names it. No operation of the API has one of these names.
const (
	StartBootstrapCode = "start-bootstrap-code"
	StartJoinToken     = "start-join-token"
)

// startOperations are the names that a log may have: the last three are in those of
// `mezu dev` before it set itself up through the API.
var startOperations = []string{StartBootstrapCode, StartJoinToken, "start-developer", "start-developer-token", "start-developer-key"}

// ByProcess is the process in one of startOperations.
func ByProcess(operation string) record.Author {
	return By(Caller{Kind: process}, operation)
}
