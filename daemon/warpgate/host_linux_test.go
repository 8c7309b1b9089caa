package warpgate_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/testkit"
)

// TestHostOfAFullDisk: nothing is half done, what runs goes on, and what ends a tunnel ends it.
func TestHostOfAFullDisk(t *testing.T) {
	w := newWorld(t, 1)
	dir := filepath.Join(t.TempDir(), "daemon")
	testkit.Disk(t, dir, 2<<20)
	h := w.hostTunnels(dir)
	o := h.open(detached(w.spec("dev-ada")))
	h.becomes(o.ID, mezu.TunnelLive)
	filler := testkit.Fill(t, dir, 0)

	_, err := h.Open(t.Context(), detached(w.spec("dev-bob")))
	refusal(t, err, mezu.CodeUnavailable, "no room", "make room")
	to := mezu.TunnelTarget{Target: "localhost:4000"}
	_, err = h.Patch(t.Context(), o.ID, local.TunnelPatch{Target: &to})
	refusal(t, err, mezu.CodeUnavailable, "no room", "make room")
	if all := h.List(); len(all) != 1 || all[0].State != mezu.TunnelLive || all[0].Target != "127.0.0.1:9" {
		t.Errorf("%+v", all)
	}
	if folders, err := os.ReadDir(filepath.Join(dir, "tunnels")); err != nil || len(folders) != 1 {
		t.Errorf("folders %v, %v", folders, err)
	}
	is, err := h.Stop(t.Context(), o.ID, 0)
	refusal(t, err, mezu.CodeUnavailable, "shop/dev-ada is stopped, but", "make room")
	if is.State != mezu.TunnelStopped {
		t.Errorf("%+v", is)
	}
	before, err := os.ReadFile(filepath.Join(dir, "tunnels.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is written", func() bool {
		after, err := os.ReadFile(filepath.Join(dir, "tunnels.json"))
		return err == nil && string(after) != string(before)
	})
	h.kill()
	h = w.hostTunnels(dir)
	if is := h.becomes(o.ID, mezu.TunnelStopped); !is.Stopped {
		t.Errorf("%+v", is)
	}
	eventually(t, "what its folder says", func() bool { is, _ := h.Get(o.ID); return is.URL != "" && is.PublicKeySHA256 != "" })
	h.end()
}
