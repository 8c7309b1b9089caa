package pages

import "testing"

// TestOperationsPage: from nothing to a Warpgate on a second machine that serves.
func TestOperationsPage(t *testing.T) {
	play(t, "docs/operations.md", world{
		machines: []string{"control", "web", "edge-2", "plane-1", "plane-2", "plane-3"},
		names: map[string]string{
			"control.example.com": "10.0.0.1", "edge.example.com": "10.0.0.1", "*.edge.example.com": "10.0.0.1", "edge-2.example.com": "10.0.0.3",
			"plane-1": "10.0.0.11", "plane-2": "10.0.0.12", "plane-3": "10.0.0.13",
		},
		before: func(t *testing.T, all map[string]*machine) {
			all["web"].serves(8080, "hello")
			all["control"].enter("mkdir", "-p", "/media/safe", "/backup")
		},
	})
}
