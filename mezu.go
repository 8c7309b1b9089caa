// Package mezu is the domain of Mezusphere: inverted ingress, in which a
// workload opens no port and a Warpgate beside it dials out to the edge.
//
// Every entity is a struct here, one noun a file, and the same struct is the
// body of the REST API, the record in the store, an entry of mezu.yaml and the
// output of "--output json". All rules about an entity are in its Validate: whoever
// accepts an entity from outside calls it, and nobody repeats its rules.
//
// What may live here: entities, their rules, names, ids, error codes and the
// signed statements (bundle, keyset, grant, revocation). What may
// not: HTTP, SQL, flags, terminals, goroutines, files. Secret material is never
// a field of a struct in this package. It imports the standard library only and
// everything else may import it.
package mezu

import "time"

// Meta is what every stored record of the API carries. All of its fields are
// set by the server; a client that sends one is refused.
type Meta struct {
	// ID is opaque, begins with what it is of (prj_…, env_…) and is unique in an installation for
	// ever.
	ID string `json:"id,omitempty"`
	// Revision rises by at least one with each write of the record; it is the value of
	// If-Match.
	Revision uint64 `json:"revision,omitempty"`
	// CreatedAt is when the record was made.
	CreatedAt time.Time `json:"created_at,omitzero"`
	// UpdatedAt is when it was last written.
	UpdatedAt time.Time `json:"updated_at,omitzero"`
}

// SetRevision sets the revision to that under which the store keeps the record. The
// number written inside the record differs from it after a restore.
func (m *Meta) SetRevision(revision uint64) { m.Revision = revision }

// serverFields lists, per kind of record, the JSON fields that only the server
// sets, beside those of Meta. Sent by a client they are CodeInvalid, never
// ignored: a caller who believes that a field took effect must not be misled.
var serverFields = map[string][]string{
	"organization":    {},
	"project":         {"organization"},
	"environment":     {"organization", "project", "endpoint", "url", "directory_id", "created_by"},
	"route":           {},
	"webhook":         {"secrets"},
	"service_account": {"key", "key_prefix", "previous_key_prefix", "previous_key_until", "project", "last_used_at"},
	"warpgate":        {"environment", "status", "address", "version", "draining", "edges", "bundle", "last_seen_at", "registered_by", "serial"},
	"edge":            {"serial", "version"},
	"member":          {"organization", "person", "email"},
	"token":           {},
	"invitation":      {"organization", "invited_by", "expires_at"},
	"directory":       {"organization", "project"},
	"brand":           {"logo"}, // of a directory
	"user":            {"directory", "last_login_at"},
}

// metaFields are the fields of Meta by their JSON names.
var metaFields = []string{"id", "revision", "created_at", "updated_at"}

// ServerField reports whether the JSON field name of a record of this kind is
// set by the server alone.
func ServerField(kind, name string) bool {
	for _, f := range metaFields {
		if f == name {
			return true
		}
	}
	for _, f := range serverFields[kind] {
		if f == name {
			return true
		}
	}
	return false
}
