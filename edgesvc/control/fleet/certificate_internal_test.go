package fleet

import (
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/control/record/recordtest"
)

// A certificate counts for as long as it may be alive.
func TestCertificatesOfAWeek(t *testing.T) {
	now := time.Now()
	r := recordtest.Open(t, func() time.Time { return now }, record.Quotas{"certificates": 8})
	s := New(r, access.New(r), Config{Domain: "localhost"})
	issue := func() error {
		_, err := r.Commit(t.Context(), record.Internal(), func(ch *record.Change) error { return s.countCertificate(t.Context(), ch, "org_a") })
		return err
	}
	for day := range 30 { // one a day is eight at a time
		if err := issue(); err != nil {
			t.Fatalf("day %d: %v", day, err)
		}
		now = now.Add(24 * time.Hour)
	}
	if err := issue(); err != nil {
		t.Fatal(err)
	}
	if err := issue(); mezu.CodeOf(err) != mezu.CodeConflict {
		t.Errorf("a ninth within eight days: %v", err)
	}
}
