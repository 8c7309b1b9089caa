package config

import (
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/audit"
)

// Of all routes only some of the changed ones are shown.
func TestAuditOfManyRoutesIsBounded(t *testing.T) {
	var before, after []mezu.Route
	for i := range 3000 {
		r := mezu.Route{Prefix: "/" + strings.Repeat("p", 400) + string(rune('a'+i%26)) + strings.Repeat("q", i%50), Name: "r" + strings.Repeat("x", i%30)}
		before = append(before, r)
		r.Auth = mezu.AuthRequired
		after = append(after, r)
	}
	was, is, err := auditRoutes(before, after)
	if err != nil || was.Count != 3000 || !was.cut || len(is.Changed) == 0 || len(is.Changed) > maxAuditRoutes || was.SHA256 == is.SHA256 {
		t.Fatalf("%d of %d, cut %v, %v", len(is.Changed), was.Count, was.cut, err)
	}
	side, _, err := (&audit.Log{}).Side(is)
	if err != nil || !is.Incomplete() || len(side) > audit.MaxSide {
		t.Errorf("%d bytes, cut %v, %v", len(side), is.Incomplete(), err)
	}
	was, is, err = auditRoutes(before[:2], append([]mezu.Route{after[0]}, before[1]))
	if err != nil || len(was.Changed) != 1 || len(is.Changed) != 1 || is.Changed[0].Auth != mezu.AuthRequired || is.cut {
		t.Errorf("%+v %+v %v", was, is, err)
	}
}
