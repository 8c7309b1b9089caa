package replica

import (
	"testing"
	"time"

	"github.com/mezusphere/mezu"
)

// Keys are listed until their end, and in the same slice as long as they are the same, so that
// whoever encodes them can tell.
func TestListedAt(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	k := &keys{list: &mezu.AssertionKeys{Keys: []mezu.AssertionKey{
		{Warpgate: "stays"}, {Warpgate: "late", Until: now.Add(2 * time.Hour)}, {Warpgate: "early", Until: now.Add(time.Hour)}, {Warpgate: "gone", Until: now.Add(-1)},
	}}}
	for at, want := range []int{3, 2, 1} {
		now := now.Add(time.Duration(at)*time.Hour + time.Duration(at))
		first, again := k.listedAt(now), k.listedAt(now)
		if len(first) != want || &first[0] != &again[0] {
			t.Errorf("after %d hours %v, %v", at, first, again)
		}
	}
}
