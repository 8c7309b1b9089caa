package access

import (
	"maps"
	"slices"

	"github.com/mezusphere/mezu"
)

// losses counts how often the holder of a membership or a service account lost each
// verb. What the holder gives out, such as an invitation or an enrolment token, remembers
// the counts of the verbs that it depends on. When a count has changed it is void, so that
// it doesn't become valid again when the holder gets the verb back.
type losses map[mezu.Permission]uint64

// After counts the verbs that are lost when the holder's verbs change.
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

// of is the count of some verbs together. It changes when any of them is lost.
func (l losses) of(verbs ...mezu.Permission) uint64 {
	var n uint64
	for _, p := range verbs {
		n += l[p]
	}
	return n
}

// Inviting is the count of the verbs that an invitation with a role depends on: that to
// invite, and all that the role has.
func (l losses) Inviting(role mezu.Role) uint64 {
	verbs := rolePermissions[role]
	if !slices.Contains(verbs, mezu.PermMembersWrite) {
		verbs = append(slices.Clone(verbs), mezu.PermMembersWrite)
	}
	return l.of(verbs...)
}
