package record

// Keys of the store. Parents are named by id, children by what is unique under
// them; "id/" finds a record of any kind by its id.
const (
	KeyEpoch    = "meta/epoch"
	keyRevision = "meta/revision"

	PrefixStream      = "stream/"
	PrefixRevocation  = "stream/revocation/"
	PrefixBundle      = "stream/bundle/"
	PrefixAssertions  = "stream/assertions/"
	PrefixEdgePart    = "stream/edge-part/"
	prefixTask        = "pending/"
	prefixIdempotency = "idempotency/"
	// PrefixOutbox is where mails lie that are to be sent.
	PrefixOutbox = "outbox/"
	// prefixWaiting has the mails of each directory, prefixMailbox when a mailbox was last
	// written to.
	prefixWaiting = "waiting/"
	prefixMailbox = "mailbox/"
	// prefixPretended has the last mail of each directory that nobody was to get.
	prefixPretended = "pretended/"
	// PrefixAuthority is where the certificate authority's records lie.
	PrefixAuthority = "ca/"

	KeyKeyset = "stream/keyset"
	KeyEdges  = "stream/edges"
)

func KeyID(id string) string                  { return "id/" + id }
func KeyBundle(environment string) string     { return PrefixBundle + environment }
func KeyAssertions(environment string) string { return PrefixAssertions + environment }
func KeyEdgePart(environment string) string   { return PrefixEdgePart + environment }
func KeyChildren(parent string) string        { return "children/" + parent }
func KeyTask(kind taskKind, id string) string { return prefixTask + string(kind) + "/" + id }
