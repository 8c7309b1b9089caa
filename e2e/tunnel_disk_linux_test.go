package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/testkit"
)

// TestTunnelDiskFull: on a disk without room a tunnel goes on serving and comes back with its
// daemon. One that is new is refused, with a word about the room, until there is some.
func TestTunnelDiskFull(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, open)
	e := w.edges[0]
	p := w.newTunneller()
	state := filepath.Join(p.home, "state")
	testkit.Disk(t, state, 8<<20)
	wl := newWorkload(t, false)
	p.do("tunnel", wl.addr(), "--detach", "--wait")
	before := p.tunnel()
	filler := testkit.Fill(t, state, 0)
	w.good(e, "/full")
	p.env = append(p.env, "MEZU_ENVIRONMENT=")
	code, out, talk := p.mezu("", "tunnel", wl.addr(), "--name", "more", "--detach")
	if code != 6 || !strings.Contains(talk, "no room") || !strings.Contains(talk, "try: make room") {
		t.Errorf("one more: code %d, %s%s", code, out, talk)
	}
	if err := syscall.Kill(p.status().PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if code, _, talk := p.mezu("", "daemon", "start"); code != 0 {
		t.Errorf("starting on a full disk: code %d, %s", code, talk)
	}
	w.good(e, "/again")
	if now := p.tunnel(); now.ID != before.ID || now.Warpgate != before.Warpgate || now.URL != before.URL || now.State != mezu.TunnelLive {
		t.Errorf("%+v, was %+v", now, before)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	p.do("tunnel", wl.addr(), "--name", "more", "--detach", "--wait")
}
