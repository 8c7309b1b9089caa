package relay

import (
	"strings"

	"github.com/mezusphere/mezu"
)

// notInTrailers are names and, with a '*', families of fields that mean something before
// the body only (RFC 9110, 6.5.1). A recipient that puts trailers beside the fields of
// the head would be told of them when all is judged already.
var notInTrailers = [...]string{
	// Who asks.
	"authorization", "proxy-*", "www-authenticate", "cookie*", "set-cookie*", "x-api-key", "x-auth-*", "x-csrf-*", "x-xsrf-*",
	// Routing and what modifies a request. Range and the conditional fields are of these.
	"host", "origin", "referer", "max-forwards", "via", "range", "if-*", "expect*", "early-data", "priority", "destination", "sec-*",
	// Framing and the connection; kindOf knows these, too.
	"transfer-encoding", "te", "trailer", "upgrade*", "connection", "keep-alive", "http2-settings",
	// How content is understood. Digests are made for trailers (RFC 9530).
	"content-*",
	// Control of a response and of caches.
	"age", "cache-control", "expires", "date", "location", "retry-after", "vary", "warning", "pragma", "refresh", "accept-ranges", "allow", "alt-svc", "cdn-cache-control", "surrogate-*", "clear-site-data",
	"access-control-*", "cross-origin-*", "strict-transport-security", "referrer-policy", "permissions-policy", "x-frame-options", "x-content-type-options", "x-xss-protection", "x-accel-*", "x-sendfile*",
}

// inTrailers are those of the families that may stand there.
var inTrailers = [...]string{"content-digest", "proxy-authentication-info"}

// trailerNames and trailerFamilies are notInTrailers to look up.
var trailerNames, trailerFamilies = func() (names map[string]bool, families []string) {
	names = map[string]bool{}
	for _, n := range notInTrailers {
		if family, ok := strings.CutSuffix(n, "*"); ok {
			families = append(families, family)
		} else {
			names[n] = true
		}
	}
	return names, families
}()

// maxTrailRule is the longest of all these names: a longer name can only be of a family.
const maxTrailRule = 32

// mayTrail reports whether a field may stand in a trailer section: none of this
// connection, none that is reserved or passes for that, and none of notInTrailers.
func mayTrail(name []byte) bool {
	if !mezu.ValidHeaderName(name) || kindOf(name) != fieldOther {
		return false
	}
	for _, may := range inTrailers {
		if equalFold(name, may) {
			return true
		}
	}
	// What a server makes variables of is judged as it will be read.
	var buf [maxTrailRule]byte
	read := buf[:min(len(name), len(buf))]
	for i := range read {
		read[i] = loosely(name[i])
	}
	for _, family := range trailerFamilies {
		if len(read) >= len(family) && string(read[:len(family)]) == family {
			return false
		}
	}
	return len(name) > len(read) || !trailerNames[string(read)]
}
