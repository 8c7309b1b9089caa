package mezu

import (
	"context"
	"slices"
	"time"
)

// Bundle is the shared part of what one environment needs: for the edges that
// serve it and for its Warpgates alike. It holds no secret.
//
// A build that gets a field which it doesn't know can't tell what that field would
// have forbidden, so it closes what the field may be about: in a route, at any
// depth, that route; elsewhere, all of them (Unknown, package policy). So that an
// installation can be upgraded, a new field is left out of the JSON as long as
// nobody has set it, and edges and Warpgates are upgraded before it is used.
type Bundle struct {
	Position     Position `json:"position"`
	Organization string   `json:"organization"` // id
	Project      string   `json:"project"`      // id
	Environment  string   `json:"environment"`  // id
	// ProjectName and EnvironmentName are for logs and pages.
	ProjectName     string `json:"project_name"`
	EnvironmentName string `json:"environment_name"`
	// Endpoint is the DNS label under the edge domain.
	Endpoint string `json:"endpoint"`
	Enabled  bool   `json:"enabled"`
	// Removed says that the environment is gone: the statement takes it off
	// the edges and stays as the last word.
	Removed bool `json:"removed,omitempty"`
	// Draining are the ids of Warpgates to which edges send nothing new.
	Draining []string `json:"draining,omitempty"`
	// Directory is the id of the directory whose users may pass, empty if there
	// is none.
	Directory string `json:"directory,omitempty"`
	// DirectoryMissing says that the environment names a directory that does not
	// exist: routes that ask for a login are closed.
	DirectoryMissing bool `json:"directory_missing,omitempty"`
	// WAF is the default of routes that name no mode.
	WAF    WAFMode                `json:"waf,omitempty"`
	Routes []Route                `json:"routes,omitempty"`
	Roles  map[string]ProjectRole `json:"roles,omitempty"`
	Issued time.Time              `json:"issued"`

	unknown   string         // a field of the bundle itself that this build doesn't know
	unknownOf map[int]string // the same by route
}

// Unknown names a field that this build does not know and that may be about the
// route of this index; it is empty where there is none. It is set by decoding
// only.
func (b *Bundle) Unknown(route int) string {
	if b.unknown != "" {
		return b.unknown
	}
	return b.unknownOf[route]
}

// Validate checks that the bundle is whole. A bundle that fails is rejected as
// such and the last good one keeps serving. What of its routes may not be written any
// more is no reason: it was when the bundle was signed. What is whole can be compiled
// (package policy).
func (b *Bundle) Validate(ctx context.Context) error {
	if err := b.ValidateHead(); err != nil || b.Removed {
		return err
	}
	return validateSet(ctx, "routes", b.Routes, (*Route).validateShape, newCompiler(false))
}

// ValidateHead is Validate of all but the routes. It is enough where those have passed
// ValidateRoutes, which asks for more.
func (b *Bundle) ValidateHead() error {
	if err := ValidateID("environment", PrefixEnvironment, b.Environment); err != nil {
		return err
	}
	if b.Position.IsZero() {
		return Invalid("position", "a bundle has a position")
	}
	if b.Removed {
		return nil
	}
	if !EndpointFits(b.Endpoint) {
		return Invalid("endpoint", "%q is not an endpoint", b.Endpoint)
	}
	if b.Directory != "" {
		if err := ValidateID("directory", PrefixDirectory, b.Directory); err != nil {
			return err
		}
	}
	if len(b.Draining) > MaxDraining {
		return Invalid("draining", "at most %d Warpgates", MaxDraining)
	}
	if err := b.WAF.validate("waf"); err != nil {
		return err
	}
	return ValidateRoles("roles", b.Roles)
}

// PermissionsOf is the sum of the permissions of these roles. Unknown roles add
// nothing.
func (b *Bundle) PermissionsOf(roles []string) []string {
	var out []string
	for _, r := range roles {
		for _, p := range b.Roles[r].Permissions {
			if !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
	}
	return out
}

// RevocationKind is what a revocation ends.
type RevocationKind string

// Kinds of revocations.
const (
	RevokeSession     RevocationKind = "session"     // subject: session id
	RevokeUser        RevocationKind = "user"        // subject: user id; grants issued before NotBefore
	RevokeCertificate RevocationKind = "certificate" // subject: serial in hexadecimal
	RevokeToken       RevocationKind = "token"       // subject: SHA-256 of the token in hexadecimal
	// RevokeDirectory stands for all that was said of users of a directory before
	// NotBefore: subject: directory id; grants issued before then are void.
	RevokeDirectory RevocationKind = "directory"
)

// Revocation ends something before its time. It is kept for as long as the
// longest life that it can affect. Of one kind and subject the latest counts: it
// says at least what those before it said.
type Revocation struct {
	Position Position       `json:"position"`
	Kind     RevocationKind `json:"kind"`
	Subject  string         `json:"subject"`
	// Scope is the id of the environment or directory that it is about: only their
	// Warpgates get it. It is empty where all must have it: of an edge's certificate.
	Scope string `json:"scope,omitempty"`
	// NotBefore: of a user or directory, grants issued before this moment are void.
	NotBefore time.Time `json:"not_before,omitzero"`
	// Until is when the record may be forgotten.
	Until time.Time `json:"until"`
}

// ForEveryone reports whether every Warpgate must have it. A control plane of the
// version before names no scope: what it says of certificates may be about an edge.
// It says nothing of sessions that a Warpgate of this version could have seen.
func (r *Revocation) ForEveryone() bool { return r.Scope == "" && r.Kind == RevokeCertificate }

// Told is how far a peer was told of revocations: of all up to a position that concern
// its environment, this directory (empty where there is none) or everyone.
type Told struct {
	Directory string   `json:"directory,omitempty"`
	Position  Position `json:"position"`
}

// Grant is the control plane's signed statement of a session.
type Grant struct {
	Session     string    `json:"session"`
	User        string    `json:"user"`
	Directory   string    `json:"directory"`
	Environment string    `json:"environment"`
	Email       string    `json:"email,omitempty"`
	Name        string    `json:"name,omitempty"`
	Roles       []string  `json:"roles,omitempty"`
	AuthTime    time.Time `json:"auth_time"`
	IssuedAt    time.Time `json:"issued_at"`
	// SecretHash is SHA-256 of the session secret.
	SecretHash []byte    `json:"secret_hash"`
	NotAfter   time.Time `json:"not_after"`
}

// MaxGrantLife is the longest life of a session, and so how long the revocation of a
// user is kept. NIST SP 800-63B-4 asks for a new login after 30 days at its lowest
// level.
const MaxGrantLife = 30 * 24 * time.Hour

// MaxGrant bounds a signed grant, which lives in a cookie.
const MaxGrant = 2 << 10

// Assertion is the claims of the short-lived statement that a workload receives
// about the user (a JWT, RFC 7519, signed with EdDSA).
type Assertion struct {
	Issuer    string   `json:"iss"` // the Warpgate's id
	Subject   string   `json:"sub"` // the user's id
	Audience  string   `json:"aud"` // the environment's id
	IssuedAt  int64    `json:"iat"`
	NotBefore int64    `json:"nbf"`
	Expires   int64    `json:"exp"`
	ID        string   `json:"jti"`
	Email     string   `json:"email,omitempty"`
	Name      string   `json:"name,omitempty"`
	Roles     []string `json:"roles,omitempty"`
}

// AssertionLife bounds an assertion.
const AssertionLife = 5 * time.Minute
