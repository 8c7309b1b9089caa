package mezu

import (
	"errors"
	"fmt"
	"strings"
)

// Code is a member of the closed set of error codes. The first group belongs to
// the REST API, the second to answers that the edge makes itself; both are part
// of the public contract and never change their meaning.
type Code string

// Codes of the REST API.
const (
	CodeInvalid            Code = "invalid"
	CodeUnauthenticated    Code = "unauthenticated"
	CodeForbidden          Code = "forbidden"
	CodeNotFound           Code = "not_found"
	CodeConflict           Code = "conflict"
	CodePreconditionFailed Code = "precondition_failed"
	CodeRateLimited        Code = "rate_limited"
	CodeUnavailable        Code = "unavailable"
	CodeInternal           Code = "internal"
)

// Codes of answers made at the edge (or by a Warpgate, and rendered at the
// edge). CodeUnauthenticated, CodeForbidden, CodeRateLimited and CodeInternal
// are shared with the API.
const (
	CodeNotCanonical        Code = "not_canonical"
	CodeRefusedByWarpgate   Code = "refused_by_warpgate"
	CodeUnknownHost         Code = "unknown_host"
	CodeNoRoute             Code = "no_route"
	CodeMethodNotAllowed    Code = "method_not_allowed"
	CodeRequestTimeout      Code = "request_timeout"
	CodeBodyTooLarge        Code = "body_too_large"
	CodeURITooLong          Code = "uri_too_long"
	CodeWrongHost           Code = "wrong_host"
	CodeHeaderTooLarge      Code = "header_too_large"
	CodeNotImplemented      Code = "not_implemented"
	CodeWorkloadRefused     Code = "workload_refused"
	CodeWorkloadReset       Code = "workload_reset"
	CodeWorkloadBadResponse Code = "workload_bad_response"
	CodeUpstreamNotAllowed  Code = "upstream_not_allowed"
	CodeNoWarpgate          Code = "no_warpgate"
	CodeEnvironmentDisabled Code = "environment_disabled"
	CodeRouteUnavailable    Code = "route_unavailable"
	CodeOverloaded          Code = "overloaded"
	CodeMaintenance         Code = "maintenance"
	CodeWorkloadTimeout     Code = "workload_timeout"
)

// statuses is the one table between codes and HTTP statuses, used by both ends
// of the REST API and by the edge.
var statuses = map[Code]int{
	CodeInvalid:            400,
	CodeUnauthenticated:    401,
	CodeForbidden:          403,
	CodeNotFound:           404,
	CodeConflict:           409,
	CodePreconditionFailed: 412,
	CodeRateLimited:        429,
	CodeInternal:           500,
	CodeUnavailable:        503,

	CodeNotCanonical:        400,
	CodeRefusedByWarpgate:   403,
	CodeUnknownHost:         404,
	CodeNoRoute:             404,
	CodeMethodNotAllowed:    405,
	CodeRequestTimeout:      408,
	CodeBodyTooLarge:        413,
	CodeURITooLong:          414,
	CodeWrongHost:           421,
	CodeHeaderTooLarge:      431,
	CodeNotImplemented:      501,
	CodeWorkloadRefused:     502,
	CodeWorkloadReset:       502,
	CodeWorkloadBadResponse: 502,
	CodeUpstreamNotAllowed:  502,
	CodeNoWarpgate:          503,
	CodeEnvironmentDisabled: 503,
	CodeRouteUnavailable:    503,
	CodeOverloaded:          503,
	CodeMaintenance:         503,
	CodeWorkloadTimeout:     504,
}

// Known reports whether c belongs to the closed set.
func (c Code) Known() bool { _, ok := statuses[c]; return ok }

// Status is the HTTP status that goes with the code; 500 for a code outside the
// closed set.
func (c Code) Status() int {
	if s, ok := statuses[c]; ok {
		return s
	}
	return 500
}

// Error is a refusal that a person or a script is meant to read.
type Error struct {
	Code Code `json:"code"`
	// Detail says what happened, in one sentence without internals.
	Detail string `json:"detail,omitempty"`
	// Field names the offending field of the input, in the input's own
	// notation (routes[2].prefix), or is empty.
	Field string `json:"field,omitempty"`
	// Hint is the next thing to try, usually a command. It may be empty.
	Hint string `json:"hint,omitempty"`
	// Cause is for logs only and never leaves the process.
	Cause error `json:"-"`
}

// Lasts reports whether the same call would be refused again if it were made soon: nothing but
// another call, or somebody's change, helps.
func (e *Error) Lasts() bool {
	switch e.Code {
	case CodeInvalid, CodeUnauthenticated, CodeForbidden, CodeNotFound:
		return true
	}
	return false
}

// Error gives field, detail and hint in one line.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Field != "" {
		b.WriteString(e.Field)
		b.WriteString(": ")
	}
	if e.Detail != "" {
		b.WriteString(e.Detail)
	} else {
		b.WriteString(string(e.Code))
	}
	if e.Hint != "" {
		b.WriteString(" (")
		b.WriteString(e.Hint)
		b.WriteString(")")
	}
	return b.String()
}

// Unwrap gives the cause to errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.Cause }

// Errorf makes an Error with a formatted detail.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// Invalid makes a CodeInvalid error that names the offending field.
func Invalid(field, format string, args ...any) *Error {
	return &Error{Code: CodeInvalid, Field: field, Detail: fmt.Sprintf(format, args...)}
}

// CodeOf is the code of the first Error in err's chain, CodeInternal for any
// other error, and empty for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}

// at returns err with its field put below parent: at("routes[2]", «prefix: …»)
// speaks of routes[2].prefix. Errors other than *Error pass unchanged.
func at(parent string, err error) error {
	if err == nil {
		return nil
	}
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	c := *e
	switch {
	case c.Field == "":
		c.Field = parent
	case strings.HasPrefix(c.Field, "["):
		c.Field = parent + c.Field
	default:
		c.Field = parent + "." + c.Field
	}
	return &c
}

// Below returns err with its field put below parent, as an entity's rules have it:
// Below("environments.production", «routes[2].prefix: …») speaks of
// environments.production.routes[2].prefix. Errors other than *Error, and nil, pass
// unchanged.
func Below(parent string, err error) error { return at(parent, err) }
