package access

import (
	"context"
	"crypto/tls"
	"slices"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// CallerKind is what a caller has proved to be.
type CallerKind string

// Kinds of callers.
const (
	Anonymous      CallerKind = "anonymous"
	Member         CallerKind = "member" // a person, perhaps an operator too
	ServiceAccount CallerKind = "service_account"
	Joiner         CallerKind = "join_token"
	Enrolment      CallerKind = "enrolment_token"
	Warpgate       CallerKind = "warpgate"
	Edge           CallerKind = "edge"
	// Operator is a person who runs the installation, where the audit log or the caller
	// themselves read of it. A Caller who is one has the kind Member.
	Operator CallerKind = "operator"
	// process is the control plane itself. No credential gives this kind.
	process CallerKind = "process"
)

// Caller is who calls, as the credential proves. The zero value is anonymous.
type Caller struct {
	Kind CallerKind
	ID   string
	// Operator marks a person who runs the installation.
	Operator bool
	// Organization, Project and Environment are ids that the credential is
	// bound to.
	Organization, Project, Environment string
	// Permissions are all verbs of a service account. For a person they restrict what the
	// roles give; nil doesn't restrict that.
	Permissions []mezu.Permission
	ExpiresAt   time.Time
	// EndsAt is when the credential opens nothing more, whatever its holder does: that of a
	// login which is renewed while it is used is the end of the login. It is zero if that
	// is never, or unknown.
	EndsAt time.Time
	// Address is the address that the call comes from.
	Address string
	// RequestID is that of the call.
	RequestID string

	// Credential tells the credential of this call from others of the same caller. It is
	// no secret.
	Credential string
	presented  Presented            // what Authenticate was given, to judge it again during a stream
	Token      record.Record[Token] // of single-use tokens
	Serial     string               // of certificates
	Refused    error                // of anonymous callers: what was wrong with the credential
}

// Presented is what came with a call to prove who calls.
type Presented struct {
	// Bearer is the token of the Authorization header, or empty.
	Bearer string
	// TLS is the connection; its client certificate counts only when there is
	// no bearer.
	TLS       *tls.ConnectionState
	Address   string
	RequestID string
}

// Holds reports whether a person's token allows a verb that the person has.
func (c Caller) Holds(p mezu.Permission) bool {
	return c.Permissions == nil || slices.Contains(c.Permissions, p)
}

// key is the same for all calls of one caller and differs between callers. It is empty for
// the control plane itself.
func (c Caller) key() string {
	if c.ID == "" {
		return c.Address
	}
	return string(c.Kind) + " " + c.ID
}

func (c Caller) noun() string {
	switch c.Kind {
	case Member:
		return "token"
	case ServiceAccount:
		return "service account"
	case Joiner:
		return "join token"
	case Enrolment:
		return "enrolment token"
	}
	return "certificate"
}

// refusal is the answer to a caller without a valid credential.
func (c Caller) refusal() error {
	if c.Refused != nil {
		return c.Refused
	}
	return &mezu.Error{Code: mezu.CodeUnauthenticated, Detail: "a token or a key is needed", Hint: "set MEZU_TOKEN, or run `mezu dev`, whose profile has one"}
}

// Authenticate finds out who calls. With a credential that is not valid the caller is
// anonymous, and is told the reason at the first thing that needs a permission.
func (s *Access) Authenticate(ctx context.Context, p Presented) (Caller, error) {
	c, err := s.identify(ctx, p)
	if err != nil && mezu.CodeOf(err) == mezu.CodeUnauthenticated {
		c, err = Caller{Kind: Anonymous, Refused: err}, nil
	}
	c.Address, c.RequestID, c.presented = p.Address, p.RequestID, p
	return c, err
}

// identifier finds the caller who has a credential of one kind. It reports false if there is
// no credential of its kind.
type identifier func(ctx context.Context, p Presented) (c Caller, ok bool, err error)

// identify asks one identifier after the other. Without a credential a caller is
// anonymous.
func (s *Access) identify(ctx context.Context, p Presented) (Caller, error) {
	for _, by := range s.identifiers {
		if c, ok, err := by(ctx, p); ok {
			return c, err
		}
	}
	return Caller{Kind: Anonymous}, nil
}

// Unauthenticated refuses a caller of whom it is not known who it is, or not any more.
func Unauthenticated(detail, hint string) error {
	return &mezu.Error{Code: mezu.CodeUnauthenticated, Detail: detail, Hint: hint}
}
