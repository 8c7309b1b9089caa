package service

import (
	"strings"

	"github.com/mezusphere/mezu"
)

// Keys of edges and Warpgates.
const (
	prefixEdge     = "edge/"
	prefixLive     = "live/"
	prefixSilent   = "silent/"
	prefixHeld     = "held/"
	prefixWarpgate = "wgt/"
	// keyGone is the place of the newest last word that was swept.
	keyGone = "gone"
)

func warpgatesOf(environment string) string { return prefixWarpgate + environment + "/" }
func keyDraining(environment string) string { return "draining/" + environment }
func keyEdge(name string) string            { return prefixEdge + name }
func keyLive(edge string) string            { return prefixLive + edge }
func keySilent(edge string) string          { return prefixSilent + edge }
func presenceOf(edge string) string         { return "presence/" + edge + "/" }
func heldBy(warpgate string) string         { return prefixHeld + warpgate + "/" }

// Certificates of edges are revoked below a word of their own.
const (
	ofEdges         = "edges"
	prefixEndedEdge = prefixRevocation + string(mezu.RevokeCertificate) + "/" + ofEdges + "/"
)

// leasedEdge reports whether a record says that an edge is connected.
func leasedEdge(key string) bool { return strings.HasPrefix(key, prefixLive) }

// presenceEnds reports whether a record is of who is connected, which ends with a restore.
func presenceEnds(key string) bool {
	return strings.HasPrefix(key, "presence/") || strings.HasPrefix(key, prefixHeld) || strings.HasPrefix(key, prefixSilent)
}
