// Package exit is the one table between errors and the exit codes that scripts
// rely on, for all programs.
//
// What may not live here: printing, and ending the process, which only main
// does. It imports the domain and api only; cli and cmd import it.
package exit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// Exit codes. They are part of the public contract.
const (
	Done        = 0
	Failed      = 1
	Usage       = 2   // the command line or an input is wrong
	NotAllowed  = 3   // not logged in, or logged in and not allowed
	NotFound    = 4   // or hidden from the caller
	Conflict    = 5   // exists already, or changed meanwhile
	Unreachable = 6   // no connection, or the service cannot answer now
	TimedOut    = 7   // a deadline passed
	Differs     = 8   // a comparison found differences
	Interrupted = 130 // 128 + SIGINT, as shells report it
)

// ErrDiffers ends a comparison that found differences and has shown them.
var ErrDiffers = errors.New("there are differences")

// ErrFound ends a look for problems that found some and has shown them.
var ErrFound = errors.New("there are problems")

// Shown is an error that a command has shown in words of its own: its code alone counts.
type Shown struct{ Err error }

// Error is that of Err.
func (s *Shown) Error() string { return s.Err.Error() }

// Unwrap gives Err.
func (s *Shown) Unwrap() error { return s.Err }

// Said reports whether a command has shown all that there is to say about an error.
func Said(err error) bool {
	_, shown := errors.AsType[*Shown](err)
	if _, program := errors.AsType[*ProgramError](err); program {
		return true // it has said so itself
	}
	return shown || errors.Is(err, ErrDiffers) || errors.Is(err, ErrFound)
}

// ProgramError is the end of a program that a command ran for somebody, whose exit code is the
// command's.
type ProgramError struct{ Code int }

// Error says the code.
func (e *ProgramError) Error() string {
	return fmt.Sprintf("the program ended with exit code %d", e.Code)
}

// UsageError is a command line that cannot be run as typed.
type UsageError struct {
	Detail string
	Hint   string // the next thing to try; may be empty
}

// Error gives the detail; the hint is shown apart.
func (e *UsageError) Error() string { return e.Detail }

// Usagef makes a UsageError without a hint.
func Usagef(format string, args ...any) *UsageError {
	return &UsageError{Detail: fmt.Sprintf(format, args...)}
}

// Of is the exit code for err; Done for nil.
func Of(err error) int {
	if err == nil {
		return Done
	}
	if _, ok := errors.AsType[*UsageError](err); ok {
		return Usage
	}
	if errors.Is(err, ErrDiffers) {
		return Differs
	}
	if e, ok := errors.AsType[*ProgramError](err); ok {
		return e.Code
	}
	// An address that is taken is not a refusal by a service, whatever code the error has.
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "listen" {
		return Failed
	}
	// A refusal that a service sent decides, before transport errors that may be its
	// cause.
	if e, ok := errors.AsType[*mezu.Error](err); ok {
		if code := ofCode(e.Code); code != Failed || e.Cause == nil {
			return code
		}
	}
	switch {
	case errors.Is(err, context.Canceled):
		return Interrupted
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return TimedOut
	}
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		return TimedOut
	}
	if unreachable(err) {
		return Unreachable
	}
	return Failed
}

// unreachable reports whether a peer could not be reached. Errors of files are left out:
// they look much the same, because both come from system calls.
func unreachable(err error) bool {
	if _, ok := errors.AsType[*api.UnreachableError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*url.Error](err); ok {
		return true
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return true
	}
	_, ok := errors.AsType[*net.OpError](err)
	return ok
}

// ofCode is the exit code for a refusal with this code.
func ofCode(c mezu.Code) int {
	switch c {
	case mezu.CodeInvalid:
		return Usage
	case mezu.CodeUnauthenticated, mezu.CodeForbidden, mezu.CodeRefusedByWarpgate:
		return NotAllowed
	case mezu.CodeNotFound, mezu.CodeUnknownHost, mezu.CodeNoRoute:
		return NotFound
	case mezu.CodeConflict, mezu.CodePreconditionFailed:
		return Conflict
	case mezu.CodeUnavailable, mezu.CodeNoWarpgate, mezu.CodeEnvironmentDisabled, mezu.CodeOverloaded,
		mezu.CodeWorkloadRefused:
		return Unreachable
	case mezu.CodeWorkloadTimeout, mezu.CodeRequestTimeout:
		return TimedOut
	}
	return Failed
}
