package ca_test

import (
	"encoding/json"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/ca"
)

// An authority from before there was a purpose goes on without its key and gets it with the
// next rotation.
func TestAuthorityWithoutLaterKeys(t *testing.T) {
	for _, purpose := range []mezu.Purpose{mezu.PurposeAudit, mezu.PurposeAssertions, mezu.PurposeEdgePart} {
		t.Run(string(purpose), func(t *testing.T) { authorityWithout(t, purpose) })
	}
}

func authorityWithout(t *testing.T, purpose mezu.Purpose) {
	i := created(t)
	i.vault.alter(func(data []byte) []byte {
		var record map[string]any
		if err := json.Unmarshal(data, &record); err != nil {
			t.Fatal(err)
		}
		var kept []any
		for _, k := range record["keys"].([]any) {
			if k.(map[string]any)["purpose"] != string(purpose) {
				kept = append(kept, k)
			}
		}
		record["keys"] = kept
		out, err := json.Marshal(record)
		if err != nil {
			t.Fatal(err)
		}
		return out
	})
	a, err := ca.Open(t.Context(), i.vault, i.now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Sign(purpose, struct{}{}); err == nil || a.Signs(purpose) {
		t.Error("it signs without a key")
	}
	if _, err := a.Sign(mezu.PurposeEdges, struct{}{}); err != nil {
		t.Error(err)
	}
	i.change(rotate(api.RotateSigning))
	i.advance(ca.ActivationDelay)
	if err := a.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Sign(purpose, struct{}{}); err != nil || !a.Signs(purpose) {
		t.Error(err)
	}
}
