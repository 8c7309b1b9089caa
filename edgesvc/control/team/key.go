package team

import "strings"

// Keys of teams.
const (
	keyOffer         = "meta/bootstrap"
	keyDeveloper     = "meta/developer" // an operator's id, written by earlier builds
	prefixInvitation = "invitation/"
	prefixAddress    = "address/"
)

func membershipsOf(person string) string { return "membership/" + person + "/" }
func invitationsOf(org string) string    { return prefixInvitation + org + "/" }
func keyInvite(hash string) string       { return "invite/" + hash }

// EndsWithRestore reports whether a record belongs to an invitation, which a restore leaves
// out.
func EndsWithRestore(key string) bool {
	return strings.HasPrefix(key, "invite/") || strings.HasPrefix(key, prefixInvitation)
}
