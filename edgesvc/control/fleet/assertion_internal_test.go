package fleet

import (
	"log/slog"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// More keys than a list may have are left out: those that have ended first.
func TestAssertionKeys_AreBounded(t *testing.T) {
	s := &Fleet{records: &record.Records{Log: slog.New(slog.DiscardHandler)}}
	keys := make([]mezu.AssertionKey, mezu.MaxAssertionKeys+2)
	keys[len(keys)-2].Until = time.Unix(2, 0)
	keys[len(keys)-1].Until = time.Unix(1, 0)
	if got := s.bounded("env", keys); len(got) != mezu.MaxAssertionKeys || !firstEnd(got).IsZero() {
		t.Errorf("%d keys, the first ends %v", len(got), firstEnd(got))
	}
	if got := firstEnd(keys); !got.Equal(time.Unix(1, 0)) {
		t.Error(got)
	}
}
