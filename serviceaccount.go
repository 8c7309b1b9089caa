package mezu

import (
	"crypto/rand"
	"hash/crc32"
	"slices"
	"strings"
	"time"
)

// ServiceAccount is a machine credential of one project: a key and explicit
// permissions. The key itself is returned once and never stored.
type ServiceAccount struct {
	Meta
	// Name is unique in the project: lower-case letters, digits and hyphens. It is fixed at
	// creation.
	Name string `json:"name"`
	// Project is the name of the one that it is in.
	Project string `json:"project,omitempty"`
	// Permissions are what it may do in its project, at least one. Those about members,
	// organizations, service accounts, tokens, operators, keys and the installation it can't have.
	Permissions []Permission `json:"permissions"`
	// Environment is the one that a Warpgate with this key serves unless it
	// names another; if empty, EnvironmentProduction.
	Environment string `json:"environment,omitempty"`
	// KeyPrefix is the start of the key, by which readers tell keys apart.
	KeyPrefix string `json:"key_prefix,omitempty"`
	// PreviousKeyPrefix is the start of the key before the last rotation, while that is valid.
	PreviousKeyPrefix string `json:"previous_key_prefix,omitempty"`
	// PreviousKeyUntil is until when the key before is valid.
	PreviousKeyUntil time.Time `json:"previous_key_until,omitzero"`
	// LastUsedAt is when a key of it was last used.
	LastUsedAt time.Time `json:"last_used_at,omitzero"`
}

// How long a key stays valid after it was rotated.
const (
	DefaultKeyOverlap = Duration(24 * time.Hour)
	// MaxKeyOverlap is a week. A key that nobody has replaced by then is in use where
	// nobody knows of it.
	MaxKeyOverlap = Duration(7 * 24 * time.Hour)
)

// Permission is one verb on one kind of record.
type Permission string

// Permissions of service accounts and of bearer tokens.
const (
	PermWarpgateRegister     Permission = "warpgate.register"
	PermOrganizationsRead    Permission = "organizations.read"
	PermOrganizationsWrite   Permission = "organizations.write"
	PermOrganizationsDelete  Permission = "organizations.delete"
	PermMembersRead          Permission = "members.read"
	PermMembersWrite         Permission = "members.write"
	PermProjectsRead         Permission = "projects.read"
	PermProjectsWrite        Permission = "projects.write"
	PermEnvironmentsRead     Permission = "environments.read"
	PermEnvironmentsWrite    Permission = "environments.write"
	PermRoutesRead           Permission = "routes.read"
	PermRoutesWrite          Permission = "routes.write"
	PermWebhooksRead         Permission = "webhooks.read"
	PermWebhooksWrite        Permission = "webhooks.write"
	PermServiceAccountsRead  Permission = "service_accounts.read"
	PermServiceAccountsWrite Permission = "service_accounts.write"
	PermWarpgatesRead        Permission = "warpgates.read"
	PermWarpgatesWrite       Permission = "warpgates.write"
	PermDirectoriesRead      Permission = "directories.read"
	PermDirectoriesWrite     Permission = "directories.write"
	PermUsersRead            Permission = "users.read"
	PermUsersWrite           Permission = "users.write"
	PermEdgesRead            Permission = "edges.read"
	PermEdgesWrite           Permission = "edges.write"
	PermAuditRead            Permission = "audit.read"
	PermOperatorsRead        Permission = "operators.read"
	PermOperatorsWrite       Permission = "operators.write"
	PermTokensRead           Permission = "tokens.read"
	PermTokensWrite          Permission = "tokens.write"
	PermKeysRead             Permission = "keys.read"
	PermKeysWrite            Permission = "keys.write"
	PermBackup               Permission = "backup"
)

// personPermissions are those that a service account can't have: they reach beyond one
// project, or would let a key give its permissions to others and so outlive its revocation.
var personPermissions = []Permission{
	PermOrganizationsRead, PermOrganizationsWrite, PermOrganizationsDelete, PermMembersRead, PermMembersWrite, PermProjectsWrite,
	PermServiceAccountsRead, PermServiceAccountsWrite, PermEdgesRead, PermEdgesWrite, PermOperatorsRead, PermOperatorsWrite,
	PermTokensRead, PermTokensWrite, PermKeysRead, PermKeysWrite, PermBackup,
}

// servicePermissions are those that make sense inside one project.
var servicePermissions = []Permission{
	PermWarpgateRegister, PermProjectsRead, PermEnvironmentsRead, PermEnvironmentsWrite, PermRoutesRead,
	PermRoutesWrite, PermWebhooksRead, PermWebhooksWrite, PermWarpgatesRead, PermWarpgatesWrite, PermDirectoriesRead, PermDirectoriesWrite, PermUsersRead,
	PermUsersWrite,
	PermAuditRead,
}

// Validate checks what a client may set.
func (s *ServiceAccount) Validate() error {
	if err := ValidateName("name", s.Name); err != nil {
		return err
	}
	if s.Environment != "" {
		if err := ValidateName("environment", s.Environment); err != nil {
			return err
		}
	}
	if len(s.Permissions) == 0 {
		return Invalid("permissions", "at least one is needed, for a Warpgate %q", PermWarpgateRegister)
	}
	return validatePermissions("permissions", s.Permissions, servicePermissions)
}

// validatePermissions checks that each permission is a known one and none is given twice.
func validatePermissions(field string, list, known []Permission) error {
	for i, p := range list {
		if !slices.Contains(known, p) {
			names := make([]string, len(known))
			for i, q := range known {
				names[i] = string(q)
			}
			return Invalid(field, "%q is none of %s", p, strings.Join(names, ", "))
		}
		if slices.Contains(list[:i], p) {
			return Invalid(field, "names %q twice", p)
		}
	}
	return nil
}

// Form of an API key: base62, the last KeyChecksumLength characters a checksum
// of those before, so that scanners can tell a key from noise and a truncated
// key is refused without a look-up.
const (
	KeyLength         = 50
	KeyChecksumLength = 6
	KeyPrefixLength   = 6
	base62            = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// NewKey makes an API key of 44 random base62 characters (262 bits) and their
// checksum.
func NewKey() string {
	out := make([]byte, 0, KeyLength)
	var raw [64]byte
	for len(out) < KeyLength-KeyChecksumLength {
		rand.Read(raw[:])
		for _, b := range raw {
			// 248 is a multiple of 62. Higher bytes would make some characters likelier.
			if b < 248 && len(out) < KeyLength-KeyChecksumLength {
				out = append(out, base62[b%62])
			}
		}
	}
	return string(append(out, keyChecksum(string(out))...))
}

// ValidateKey checks form and checksum of an API key. It says nothing about
// whether the key opens anything.
func ValidateKey(key string) error {
	switch {
	case strings.HasPrefix(key, TokenBearer):
		return &Error{Code: CodeUnauthenticated, Field: "key", Detail: "this is the token of a person, and not the key of a service account", Hint: "mezu service-accounts create NAME --permission warpgate.register makes a key"}
	case len(key) != KeyLength:
		return &Error{Code: CodeUnauthenticated, Field: "key", Detail: "a service account key has 50 characters", Hint: "copy the whole key; it is shown once, at creation"}
	case strings.Trim(key, base62) != "" || keyChecksum(key[:KeyLength-KeyChecksumLength]) != key[KeyLength-KeyChecksumLength:]:
		return &Error{Code: CodeUnauthenticated, Field: "key", Detail: "the service account key is mistyped: its checksum does not match", Hint: "copy the whole key; it is shown once, at creation"}
	}
	return nil
}

// keyChecksum is the CRC-32 (IEEE) of s as six base62 digits.
func keyChecksum(s string) string {
	sum := crc32.ChecksumIEEE([]byte(s))
	var out [KeyChecksumLength]byte
	for i := len(out) - 1; i >= 0; i-- {
		out[i] = base62[sum%62]
		sum /= 62
	}
	return string(out[:])
}
