package fleet

import (
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// Keys of edges and Warpgates.
const (
	prefixEdge     = "edge/"
	prefixLive     = "live/"
	prefixSilent   = "silent/"
	prefixHeld     = "held/"
	prefixWarpgate = "wgt/"
	prefixMark     = "assertions/" // of environments whose keys are to be published
	// KeyGone is the position of the newest tombstone that was swept.
	KeyGone = "gone"
	// KeySealing is where the edges' keys for what is encrypted to them lie.
	KeySealing = "sealing/edges"
)

func WarpgatesOf(environment string) string { return prefixWarpgate + environment + "/" }
func KeyDraining(environment string) string { return "draining/" + environment }
func keyMark(environment string) string     { return prefixMark + environment }
func keyEdge(name string) string            { return prefixEdge + name }
func keyLive(edge string) string            { return prefixLive + edge }
func keySilent(edge string) string          { return prefixSilent + edge }
func presenceOf(edge string) string         { return "presence/" + edge + "/" }
func heldBy(warpgate string) string         { return prefixHeld + warpgate + "/" }

// Revocations of edges' certificates have a prefix of their own.
const (
	ofEdges         = "edges"
	prefixEndedEdge = record.PrefixRevocation + string(mezu.RevokeCertificate) + "/" + ofEdges + "/"
)

// Leased reports whether a record says that an edge is connected.
func Leased(key string) bool { return strings.HasPrefix(key, prefixLive) }

// EndsWithRestore reports whether a record tells who is connected, which a restore leaves out.
func EndsWithRestore(key string) bool {
	return strings.HasPrefix(key, "presence/") || strings.HasPrefix(key, prefixHeld) || strings.HasPrefix(key, prefixSilent)
}
