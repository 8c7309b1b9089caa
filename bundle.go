package mezu

import (
	"context"
	"slices"
	"time"
)

// Bundle is the shared part of what one environment needs: for the edges that
// serve it and for its Warpgates alike. It holds no secret.
//
// A build that gets a field which it doesn't know can't tell what the field forbids.
// Therefore it closes everything that the field may be about: one route if the field is in
// that route, at any depth; otherwise all routes (Unknown, package policy). For upgrades
// this means that a new field must be left out of the JSON while nobody has set it, and that
// edges and Warpgates are upgraded before somebody sets it.
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
	// Removed says that the environment is gone. Such a bundle is a tombstone: edges drop
	// the environment because of it, and it stays in the stream for those that are away.
	Removed bool `json:"removed,omitempty"`
	// Draining are the ids of Warpgates that get no new requests from edges.
	Draining []string `json:"draining,omitempty"`
	// Directory is the id of the directory whose users may pass, empty if there
	// is none.
	Directory string `json:"directory,omitempty"`
	// DirectoryMissing says that the environment names a directory that does not
	// exist: routes that ask for a login are closed.
	DirectoryMissing bool `json:"directory_missing,omitempty"`
	// MFARequired says that the directory asks for a second factor: while no build enforces
	// that, routes that ask for a login are closed.
	MFARequired bool `json:"mfa_required,omitempty"`
	// WAF is the default of routes that name no mode.
	WAF WAFMode `json:"waf,omitempty"`
	// WAFSettings are those of routes that have none.
	WAFSettings *WAFSettings `json:"waf_settings,omitempty"`
	// AllowIPs and DenyIPs are the environment's own address rules, which come before a route's.
	AllowIPs []string `json:"allow_ips,omitempty"`
	DenyIPs  []string `json:"deny_ips,omitempty"`
	// Maintenance closes the environment to visitors, at edges.
	Maintenance *Maintenance           `json:"maintenance,omitempty"`
	Routes      []Route                `json:"routes,omitempty"`
	Roles       map[string]ProjectRole `json:"roles,omitempty"`
	Issued      time.Time              `json:"issued"`

	unknown   string         // a field of the bundle itself that this build doesn't know
	unknownOf map[int]string // the same for each route, by its index
}

// Unknown names a field that this build does not know and that may be about the route with
// this index. It is empty if there is none. Only decoding from JSON sets it.
func (b *Bundle) Unknown(route int) string {
	if b.unknown != "" {
		return b.unknown
	}
	return b.unknownOf[route]
}

// Validate checks that the bundle can be served, which is that package policy can compile
// it. A bundle that fails is rejected, and the last good one keeps serving. Limits that apply
// when routes are written don't count here: the routes may have been written before there
// were such limits.
func (b *Bundle) Validate(ctx context.Context) error {
	if err := b.ValidateHead(); err != nil || b.Removed {
		return err
	}
	return validateSet(ctx, "routes", b.Routes, (*Route).validateShape, newCompiler(false))
}

// ValidateHead is Validate without the routes. It is enough when the routes have passed
// ValidateRoutes, which is stricter.
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
	for _, err := range []error{b.WAF.validate("waf"), b.WAFSettings.validate("waf_settings"), validateIPRanges("allow_ips", b.AllowIPs), validateIPRanges("deny_ips", b.DenyIPs), b.Maintenance.validate("maintenance")} {
		if err != nil {
			return err
		}
	}
	return ValidateRoles("roles", b.Roles)
}

// PermissionsOf gives the permissions of all these roles together. Unknown roles add
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
	RevokeSession     RevocationKind = "session"     // subject: session id; NotBefore orders it among those of its directory
	RevokeUser        RevocationKind = "user"        // subject: user id; grants issued before NotBefore
	RevokeCertificate RevocationKind = "certificate" // subject: serial in hexadecimal
	RevokeToken       RevocationKind = "token"       // subject: SHA-256 of the token in hexadecimal
	// RevokeDirectory replaces all revocations of accounts of one directory; subject:
	// directory id; grants issued before NotBefore.
	RevokeDirectory RevocationKind = "directory"
)

// OfAccount reports whether a revocation of this kind is about one account of a directory.
// One of the directory covers it: it ends as much, if it is not older.
func (k RevocationKind) OfAccount() bool { return k == RevokeUser || k == RevokeSession }

// Revocation ends something before its time. It is kept as long as anything that it ends
// could otherwise live. Of several with the same kind and subject only the latest counts: it
// ends at least what the earlier ones ended.
type Revocation struct {
	Position Position       `json:"position"`
	Kind     RevocationKind `json:"kind"`
	Subject  string         `json:"subject"`
	// Scope is the id of the environment or directory that it is about: only Warpgates of
	// these get it. It is empty if all must have it, as for an edge's certificate.
	Scope string `json:"scope,omitempty"`
	// NotBefore is for a user or directory: grants issued before this moment are void.
	NotBefore time.Time `json:"not_before,omitzero"`
	// Until is when the record may be forgotten.
	Until time.Time `json:"until"`
}

// ForEveryone reports whether every Warpgate must have it. A control plane of the version
// before this one never sets a scope. Its revocations of certificates may be about an edge,
// so they are for everyone. Its others end sessions, which it never gave to any Warpgate of
// this version.
func (r *Revocation) ForEveryone() bool { return r.Scope == "" && r.Kind == RevokeCertificate }

// Told is how far a Warpgate has been sent revocations: it has all up to the position that
// concern its environment, this directory (empty if there is none) or everyone.
type Told struct {
	Directory string   `json:"directory,omitempty"`
	Position  Position `json:"position"`
}
