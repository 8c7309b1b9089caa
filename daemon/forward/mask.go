package forward

import (
	"strings"
	"unicode/utf8"

	"github.com/mezusphere/mezu/daemon/mask"
)

// maxShownQuery bounds the query in an event: a screen shows less of it.
const maxShownQuery = 1 << 10

// maskQuery gives a query as others may see it: without the values of parameters that may
// hold a secret, by their names or by what they look like, and not longer than is shown.
func maskQuery(query string) string {
	out, _ := mask.Query(query)
	if len(out) <= maxShownQuery {
		return strings.TrimSuffix(out, "?") // one that is empty
	}
	out = out[:maxShownQuery]
	for !utf8.ValidString(out) && len(out) > maxShownQuery-utf8.UTFMax {
		out = out[:len(out)-1]
	}
	return out + "…"
}
