package mezu_test

import (
	"slices"
	"testing"

	"github.com/mezusphere/mezu"
)

// Every code has a cause of the closed set.
func TestCause_OfEachCode(t *testing.T) {
	for code, want := range map[mezu.Code]mezu.Cause{
		mezu.CodeNotCanonical: mezu.CauseClientMalformed, mezu.CodeNoRoute: mezu.CauseRefused, mezu.CodeRefusedByWarpgate: mezu.CauseRefused,
		mezu.CodeWorkloadBadResponse: mezu.CauseWorkloadMalformed, mezu.CodeWorkloadTimeout: mezu.CauseTimeout, mezu.CodeNoWarpgate: mezu.CauseWarpgateGone,
		mezu.CodeBodyTooLarge: mezu.CauseOverrun, mezu.CodeRequestTimeout: mezu.CauseClientSlow, mezu.CodeOverloaded: mezu.CauseOverloaded, "coffee": mezu.CauseInternal,
	} {
		got := code.Cause()
		if got != want || !slices.Contains(mezu.Causes(), got) {
			t.Errorf("%s has the cause %q, want %q", code, got, want)
		}
	}
	seen := map[mezu.Cause]bool{}
	for _, c := range mezu.Causes() {
		if seen[c] || c == "" {
			t.Errorf("%q stands twice in the list", c)
		}
		seen[c] = true
	}
}
