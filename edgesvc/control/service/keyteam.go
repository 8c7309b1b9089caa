package service

// Keys of teams.
const (
	keyOffer         = "meta/bootstrap"
	prefixInvitation = "invitation/"
	prefixAddress    = "address/"
)

func membershipsOf(person string) string { return "membership/" + person + "/" }
func invitationsOf(org string) string    { return prefixInvitation + org + "/" }
func keyInvite(hash string) string       { return "invite/" + hash }
