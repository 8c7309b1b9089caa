package mezu

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"strings"
	"time"
)

// AuditRecord says who did what to what, from where and when. It is written in the same
// transaction as the change that it tells of: without the record there is no change. All of
// it is set by the server, and none of it is secret.
type AuditRecord struct {
	// ID sorts by time.
	ID string `json:"id"`
	// Time is when it was done.
	Time time.Time `json:"time"`
	// Operation is the id of the operation, such as "create-project".
	Operation string `json:"operation"`
	// Outcome is what became of it.
	Outcome AuditOutcome `json:"outcome"`
	// Actor is who did it.
	Actor AuditActor `json:"actor"`
	// Organization is the id of the one in which it was done; if empty, it was done to the
	// installation.
	Organization string `json:"organization,omitempty"`
	// Project is the id of the one in which it was done.
	Project string `json:"project,omitempty"`
	// Target is what it was done to.
	Target AuditTarget `json:"target,omitzero"`
	// Before is the entity as it was, or the part of it that changed. What was created has none.
	Before json.RawMessage `json:"before,omitempty"`
	// After is the entity as it is since, or the part of it that changed. What was removed has
	// none.
	After json.RawMessage `json:"after,omitempty"`
	// Truncated: Before or After was too large, and has only a part or a digest.
	Truncated bool `json:"truncated,omitempty"`
	// RequestID is that of the call.
	RequestID string `json:"request_id,omitempty"`
	// Code is why an attempt was denied.
	Code Code `json:"code,omitempty"`
	// Count is how many denied attempts the record stands for; if zero, one.
	Count int `json:"count,omitempty"`
}

// AuditOutcome is what became of an operation.
type AuditOutcome string

// Outcomes of operations. An operation that failed for another reason than a missing
// permission changed nothing and has no record.
const (
	AuditDone   AuditOutcome = "done"
	AuditDenied AuditOutcome = "denied"
)

// AuditActor is who called.
type AuditActor struct {
	// Kind is the kind of the credential, or process for what the control plane does itself:
	// at its start, or asked by the owner of its machine.
	Kind string `json:"kind"`
	// ID is the caller's, if it has one.
	ID string `json:"id,omitempty"`
	// Address is the IP address from which the call came.
	Address string `json:"address,omitempty"`
}

// AuditTarget is what an operation was done to.
type AuditTarget struct {
	// Kind is what it is, such as project or service_account.
	Kind string `json:"kind"`
	// ID is the target's.
	ID string `json:"id,omitempty"`
	// Name is the target's at that time.
	Name string `json:"name,omitempty"`
}

// PrefixAudit is the prefix of ids of audit records.
const PrefixAudit = "aud"

// NewAuditID makes an id that, unlike others, sorts by time: prefix, underscore, 56
// bits of microseconds and 72 random bits. Across control planes the order is only
// as good as their clocks.
func NewAuditID(at time.Time) string {
	var random [9]byte
	rand.Read(random[:]) // never fails: crypto/rand ends the process instead
	return auditID(at, random)
}

// AuditIDAt is the lowest id of a moment, for the ends of a range.
func AuditIDAt(at time.Time) string { return auditID(at, [9]byte{}) }

func auditID(at time.Time, random [9]byte) string {
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:8], uint64(max(0, at.UnixMicro()))<<8)
	copy(raw[7:], random[:])
	return PrefixAudit + "_" + idAlphabet.EncodeToString(raw[:])
}

// AuditIDTime is the moment in an id of NewAuditID.
func AuditIDTime(id string) (time.Time, error) {
	if err := ValidateID("", PrefixAudit, id); err != nil {
		return time.Time{}, err
	}
	raw, err := idAlphabet.DecodeString(strings.TrimPrefix(id, PrefixAudit+"_"))
	if err != nil || len(raw) != 16 {
		return time.Time{}, Invalid("", "%q is no id of an audit record", id)
	}
	return time.UnixMicro(int64(binary.BigEndian.Uint64(raw[:8]) >> 8)).UTC(), nil
}
