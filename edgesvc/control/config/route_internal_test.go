package config

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// A dry run, in which new routes get no meta, refuses what takes too many bytes as an
// apply would that gives them one.
func TestEncodeRoutes_Dry(t *testing.T) {
	now := time.Now()
	r := &record.Records{Now: func() time.Time { return now }}
	s := &Configuration{records: r}
	// Half of the routes are there already. With the meta of the others all together are
	// at the limit, and then over it.
	routes := func(pad int, dry bool) []mezu.Route {
		out := make([]mezu.Route, 100)
		for i := range out {
			out[i].Exact = fmt.Sprintf("/%080000d", i)
			if i%2 == 0 || !dry {
				out[i].Meta = r.Meta(mezu.PrefixRoute)
			}
		}
		out[0].Exact += strings.Repeat("x", pad)
		return out
	}
	var size byteCount
	if err := writeRoutes(&size, routes(0, false)); err != nil {
		t.Fatal(err)
	}
	left := mezu.MaxRoutesBytes - int(size)
	if _, err := s.encodeRoutes(routes(left, true), true); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	_, dry := s.encodeRoutes(routes(left+1, true), true)
	_, apply := s.encodeRoutes(routes(left+1, false), false)
	if mezu.CodeOf(dry) != mezu.CodeInvalid || fmt.Sprint(dry) != fmt.Sprint(apply) {
		t.Errorf("over the limit a dry run says %v, and an apply %v", dry, apply)
	}
}
