package pages

import (
	"strings"
	"testing"
)

// TestDaemonPage: the API of the local daemon, to its end.
func TestDaemonPage(t *testing.T) {
	t.Parallel()
	all := play(t, "docs/daemon.md", world{
		machines: []string{"here"},
		before: func(t *testing.T, all map[string]*machine) {
			all["here"].prepare("stay daemon 'the daemon runs' mezu daemon run")
		},
	})
	if code := strings.TrimSpace(all["here"].enter("sh", "-c", "until [ -s /page/staying/daemon.code ]; do sleep 0.05; done; cat /page/staying/daemon.code")); code != "0" {
		t.Errorf("the daemon ended with code %s", code)
	}
}
