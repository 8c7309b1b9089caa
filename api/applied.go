package api

import (
	"strings"

	"github.com/mezusphere/mezu"
)

// Who names an edge or a Warpgate to people: by its name, or by its id if it has none.
func (a Applied) Who() string {
	what := "Warpgate "
	if strings.HasPrefix(a.ID, mezu.PrefixEdge) {
		what = "edge "
	}
	if a.Name == "" {
		return what + a.ID
	}
	return what + a.Name
}

// Lag is how far it is behind.
func (a Applied) Lag() mezu.Lag { return mezu.Lag{Changes: a.Behind, Since: a.Since} }

// Whose names each of several. Those that have one name have their ids behind it.
func Whose(all []Applied) []string {
	out, count := make([]string, len(all)), map[string]int{}
	for i, a := range all {
		out[i] = a.Who()
		count[out[i]]++
	}
	for i, a := range all {
		if count[out[i]] > 1 {
			out[i] += " (" + a.ID + ")"
		}
	}
	return out
}
