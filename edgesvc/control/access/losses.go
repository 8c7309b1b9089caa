package access

import (
	"maps"
	"slices"

	"github.com/mezusphere/mezu"
)

// losses counts how often the holder of a membership or a service account lost each
// verb. What the holder gives out, an invitation or an enrolment token, remembers the
// count of the verbs that it rests on, and is void under any other: what ended with a
// verb does not come back with it.
type losses map[mezu.Permission]uint64

// After counts what goes when the holder's verbs change.
func (l losses) After(was, is []mezu.Permission) losses {
	out := maps.Clone(l)
	for _, p := range was {
		if slices.Contains(is, p) {
			continue
		}
		if out == nil {
			out = losses{}
		}
		out[p]++
	}
	return out
}

// of is the count of some verbs together. It stays only as long as all of them do.
func (l losses) of(verbs ...mezu.Permission) uint64 {
	var n uint64
	for _, p := range verbs {
		n += l[p]
	}
	return n
}

// Inviting is the count of the verbs that an invitation with a role rests on: to invite
// at all, and all that the role may do.
func (l losses) Inviting(role mezu.Role) uint64 {
	verbs := rolePermissions[role]
	if !slices.Contains(verbs, mezu.PermMembersWrite) {
		verbs = append(slices.Clone(verbs), mezu.PermMembersWrite)
	}
	return l.of(verbs...)
}
