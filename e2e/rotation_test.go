package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// operate runs a command of mezusphere as the operator and gives what it printed.
func (w *world) operate(code int, args ...string) (out, log string) {
	w.t.Helper()
	p := startWith(w.t, strings.Join(args[:min(2, len(args))], " "), []string{"MEZU_API=https://" + w.api, "MEZU_TOKEN=" + w.token, "MEZU_CA_FILE=" + w.caFile()},
		filepath.Join(binaries, "mezusphere"), args...)
	if got := p.exit(); got != code {
		w.t.Fatalf("mezusphere %s: exit code %d, want %d: %s", strings.Join(args, " "), got, code, p.log.String())
	}
	return p.out.String(), p.log.String()
}

// keysetIn is the version of the keyset that an edge or a Warpgate keeps.
func keysetIn(dir string) (version uint64, err error) {
	found := fmt.Errorf("no keyset in %s", dir)
	err = filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil || filepath.Base(path) != "keyset.json" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if bytes.HasPrefix(text, []byte("mezu-state-1 ")) { // a Warpgate's has a line with a checksum
			text = text[bytes.IndexByte(text, '\n')+1:]
		}
		var signed mezu.Signed
		var k mezu.Keyset
		if err := json.Unmarshal(text, &signed); err != nil {
			return err
		}
		found, version = json.Unmarshal(signed.Payload, &k), k.Version
		return found
	})
	if err == nil {
		err = found
	}
	return version, err
}

// TestK10_RotationUnderLoad rotates the signing keys, the CA root and the seal keys
// with real programs while requests flow: none fails, edges and Warpgates take over each
// keyset, and all of them restart on it.
func TestK10_RotationUnderLoad(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, open)
	gates := w.addStationGates(2)
	offline := filepath.Join(w.dir, "safe place")
	if err := os.Rename(filepath.Join(w.dir, "control", "offline"), offline); err != nil {
		t.Fatal(err)
	}
	if _, log := w.operate(2, "keys", "rotate", "--what", "signing", "--offline", filepath.Join(w.dir, "elsewhere")); !strings.Contains(log, "--offline DIR") {
		t.Errorf("without the offline folder: %s", log)
	}
	l := startLoad(w)
	l.flows("the start", time.Now())
	for i, what := range []api.Rotation{api.RotateSigning, api.RotateRoot} {
		over := l.fault("rotation of "+string(what), nothing)
		w.operate(0, "keys", "rotate", "--what", string(what), "--offline", offline)
		over(time.Now())
		dirs := []string{w.edges[0].dir, w.edges[1].dir}
		for _, g := range gates {
			dirs = append(dirs, filepath.Join(w.dir, g.name))
		}
		for _, dir := range dirs {
			eventually(t, fmt.Sprintf("keyset %d in %s", i+2, filepath.Base(dir)), func() error {
				v, err := keysetIn(dir)
				if err == nil && v != uint64(i+2) {
					err = fmt.Errorf("it is %d", v)
				}
				return err
			})
		}
		w.changeArrives()
	}
	w.operate(0, "keys", "add-seal-key", filepath.Join(w.dir, "control", "seal.key"))
	out, _ := w.operate(0, "keys", "rotate", "--what", "seal", "--json")
	var rotated api.KeyStatus
	if err := json.Unmarshal([]byte(out), &rotated); err != nil || len(rotated.Seal.WrappedBy) != 1 {
		t.Errorf("%s: %v", out, err)
	}
	eventually(t, "the old data key to go", func() error {
		out, _ := w.operate(0, "keys", "show", "--json")
		if !strings.Contains(out, `"old_keys":0`) {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	over := l.fault("a restart of the control plane", nothing)
	w.control.down(true)
	w.startControl()
	over(time.Now())
	w.changeArrives()
	for _, e := range w.edges {
		over := l.fault("restart of "+e.name, broken(e, false))
		over(e.restart(false).Add(slower(edgeRecovers)))
		healthy(t, e.admin)
	}
	w.inStep()
	l.judge()
	if ca, err := os.ReadFile(w.caFile()); err != nil || bytes.Count(ca, []byte("BEGIN CERTIFICATE")) != 2 {
		t.Errorf("the CA file has not both roots: %v", err)
	}
}
