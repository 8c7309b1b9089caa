package service

// Keys of the store. Parents are named by id, children by what is unique under
// them; "id/" finds a record of any kind by its id.
const (
	keyEpoch    = "meta/epoch"
	keyRevision = "meta/revision"
	keyOffer    = "meta/bootstrap"
	// keyGone is the place of the newest last word that was swept.
	keyGone = "gone"

	prefixOrganization = "org/"
	prefixEdge         = "edge/"
	prefixToken        = "token/"
	prefixTokens       = "tokens/" // by person
	prefixOperator     = "operator/"
	prefixStream       = "stream/"
	prefixRevocation   = "stream/revocation/"
	prefixBundle       = "stream/bundle/"
	prefixLive         = "live/"
	prefixSilent       = "silent/"
	prefixHeld         = "held/"
	prefixTask         = "pending/"
	prefixIdempotency  = "idempotency/"
	prefixEndpoint     = "endpoint/"
	prefixPerson       = "person/"
	prefixRoutes       = "routes/"
	prefixWarpgate     = "wgt/"
	prefixAccount      = "sva/"
	prefixInvitation   = "invitation/"
	prefixOutbox       = "outbox/"
	prefixAddress      = "address/"
	// PrefixAuthority is where the certificate authority's records lie.
	PrefixAuthority = "ca/"

	keyKeyset = "stream/keyset"
	keyEdges  = "stream/edges"
)

func keyID(id string) string                  { return "id/" + id }
func keyOrganization(name string) string      { return prefixOrganization + name }
func projectsOf(org string) string            { return "prj/" + org + "/" }
func environmentsOf(project string) string    { return "env/" + project + "/" }
func directoriesOf(owner string) string       { return "dir/" + owner + "/" }
func accountsOf(project string) string        { return prefixAccount + project + "/" }
func warpgatesOf(environment string) string   { return prefixWarpgate + environment + "/" }
func keyRoutes(environment string) string     { return prefixRoutes + environment }
func keyDraining(environment string) string   { return "draining/" + environment }
func keyBundle(environment string) string     { return prefixBundle + environment }
func keyApplied(project string) string        { return "applied/" + project }
func keyChildren(parent string) string        { return "children/" + parent }
func membersOf(org string) string             { return "member/" + org + "/" }
func keyMember(org, person string) string     { return membersOf(org) + person }
func membershipsOf(person string) string      { return "membership/" + person + "/" }
func invitationsOf(org string) string         { return prefixInvitation + org + "/" }
func keyInvite(hash string) string            { return "invite/" + hash }
func keyOutbox(id string) string              { return prefixOutbox + id }
func keyPerson(id string) string              { return prefixPerson + id }
func keyOperator(person string) string        { return prefixOperator + person }
func tokensOf(person string) string           { return prefixTokens + person + "/" }
func keyToken(hash string) string             { return prefixToken + hash }
func keyKey(hash string) string               { return "key/" + hash }
func keyUsed(account string) string           { return "used/" + account }
func keyEdge(name string) string              { return prefixEdge + name }
func keyEndpoint(label string) string         { return prefixEndpoint + label }
func keyLive(edge string) string              { return prefixLive + edge }
func keySilent(edge string) string            { return prefixSilent + edge }
func presenceOf(edge string) string           { return "presence/" + edge + "/" }
func heldBy(warpgate string) string           { return prefixHeld + warpgate + "/" }
func keyTask(kind taskKind, id string) string { return prefixTask + string(kind) + "/" + id }
