package service

import (
	"testing"
	"time"

	"github.com/mezusphere/mezu"
)

// A certificate counts for as long as it may be alive.
func TestCertificatesOfAWeek(t *testing.T) {
	p := newPool(t, Quotas{"certificates": 8})
	issue := func() error {
		_, err := p.records.commit(t.Context(), internal(), func(ch *change) error { return p.countCertificate(t.Context(), ch, "org_a") })
		return err
	}
	for day := range 30 { // one a day is eight at a time
		if err := issue(); err != nil {
			t.Fatalf("day %d: %v", day, err)
		}
		p.now = p.now.Add(24 * time.Hour)
	}
	if err := issue(); err != nil {
		t.Fatal(err)
	}
	if err := issue(); mezu.CodeOf(err) != mezu.CodeConflict {
		t.Errorf("a ninth within eight days: %v", err)
	}
}
