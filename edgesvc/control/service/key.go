package service

// Keys of the store. Parents are named by id, children by what is unique under
// them; "id/" finds a record of any kind by its id.
const (
	keyEpoch    = "meta/epoch"
	keyRevision = "meta/revision"

	prefixStream      = "stream/"
	prefixRevocation  = "stream/revocation/"
	prefixBundle      = "stream/bundle/"
	prefixTask        = "pending/"
	prefixIdempotency = "idempotency/"
	prefixOutbox      = "outbox/"
	// PrefixAuthority is where the certificate authority's records lie.
	PrefixAuthority = "ca/"

	keyKeyset = "stream/keyset"
	keyEdges  = "stream/edges"
)

func keyID(id string) string                  { return "id/" + id }
func keyBundle(environment string) string     { return prefixBundle + environment }
func keyChildren(parent string) string        { return "children/" + parent }
func keyTask(kind taskKind, id string) string { return prefixTask + string(kind) + "/" + id }
