package webhooks

import (
	"strings"
	"testing"
)

// With --only nothing is set, so that a webhook may have no secret afterwards.
func TestTakes(t *testing.T) {
	for secrets, want := range []string{"no secret yet", "its newest secret has signed", "and the one before"} {
		if got := takes(secrets); !strings.Contains(got, want) {
			t.Errorf("with %d: %s", secrets, got)
		}
	}
}
