package service

import "github.com/mezusphere/mezu"

// by is a caller in an operation.
func by(c Caller, operation string) author {
	return author{actor: mezu.AuditActor{Kind: c.actor(), ID: c.ID, Address: c.Address}, requestID: c.RequestID, operation: operation,
		credential: c.credential, line: c.key()}
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
	startBootstrapCode = "start-bootstrap-code"
	startJoinToken     = "start-join-token"
)

// startOperations are the names that a log may have: the last three are in those of
// `mezu dev` before it set itself up through the API.
var startOperations = []string{startBootstrapCode, startJoinToken, "start-developer", "start-developer-token", "start-developer-key"}

// byProcess is the process in one of startOperations.
func byProcess(operation string) author {
	return by(Caller{Kind: process}, operation)
}
