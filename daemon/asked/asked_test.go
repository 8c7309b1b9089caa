package asked_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/asked"
)

func open(t *testing.T, path string) *asked.Dir {
	t.Helper()
	d, err := asked.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// records are those of some tunnels.
func records(n int) []asked.Record {
	out := make([]asked.Record, n)
	for i := range out {
		out[i] = asked.Record{ID: mezu.NewID(mezu.PrefixTunnel, time.Now()), CreatedAt: time.Unix(1700000000, 0).UTC(),
			TunnelSpec: mezu.TunnelSpec{Profile: "acme", API: "https://127.0.0.1:7443", Organization: "acme", Project: "shop", Environment: fmt.Sprintf("dev-%d", i),
				TunnelTarget: mezu.TunnelTarget{Target: "localhost:3000"}, Detached: true}}
	}
	return out
}

func ids(all []asked.Record) []string {
	out := make([]string, len(all))
	for i, r := range all {
		out[i] = r.ID
	}
	return out
}

// copies are the damaged files that were kept.
func copies(t *testing.T, dir string) [][]byte {
	t.Helper()
	names, _ := filepath.Glob(filepath.Join(dir, "tunnels.json.damaged-*"))
	var out [][]byte
	for _, n := range names {
		text, err := os.ReadFile(n)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, text)
	}
	return out
}

// TestD8_RecordsCutAtEveryByte: what was written before the cut is there, and that something is
// missing is said.
func TestD8_RecordsCutAtEveryByte(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	want := records(4)
	if err := d.Save(want); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "tunnels.json")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	for cut := range len(text) - 1 { // the last line feed is no part of a record
		if err := os.WriteFile(file, text[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		got, damaged, err := d.Load()
		left, end := 0, 0
		for i, l := range lines {
			if end += len(l); l != "" && end-1 <= cut && i > 0 {
				left++
			}
		}
		if err != nil || !slices.Equal(ids(got), ids(want[:left])) || len(damaged) == 0 {
			t.Fatalf("cut at %d of %d: %d records of %d, damaged %q, %v", cut, len(text), len(got), left, damaged, err)
		}
	}
	if err := d.Save(want[:1]); err != nil {
		t.Fatal(err)
	}
	if kept := copies(t, dir); len(kept) != 1 || string(kept[0]) != string(text[:len(text)-2]) {
		t.Errorf("copies %q", kept)
	}
	if got, damaged, err := d.Load(); err != nil || len(got) != 1 || damaged != nil {
		t.Errorf("after it was written anew: %d records, damaged %q, %v", len(got), damaged, err)
	}
}

// TestD8_RecordsFlippedAtEveryByte: a record costs no other one.
func TestD8_RecordsFlippedAtEveryByte(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	want := records(3)
	if err := d.Save(want); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "tunnels.json")
	text, _ := os.ReadFile(file)
	for at := range text {
		for _, bit := range []int{at % 8} {
			bad := slices.Clone(text)
			bad[at] ^= 1 << bit
			if err := os.WriteFile(file, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			got, damaged, err := d.Load()
			touched := strings.Count(string(text[:at]), "\n") - 1 // -1 is the head
			left := ids(want)
			if touched >= 0 && text[at] != '\n' {
				left = slices.Delete(left, touched, touched+1)
			}
			if err != nil || !slices.Equal(ids(got), left) {
				t.Fatalf("bit %d of byte %d: %d records, damaged %q, %v", bit, at, len(got), damaged, err)
			}
			if len(got) < len(want) && len(damaged) == 0 {
				t.Fatalf("bit %d of byte %d: nothing is said", bit, at)
			}
			if name := fmt.Sprintf("shop/dev-%d", touched); touched >= 0 && at%97 == 0 && text[at] != '\n' && !slices.Contains(damaged, name) && !strings.Contains(damaged[0], "tun_") && !strings.Contains(damaged[0], "record") {
				t.Errorf("bit %d of byte %d: damaged %q, not %s", bit, at, damaged, name)
			}
		}
	}
}

// TestRecordOfALaterVersion: what this version does not know is not dropped from the disk.
func TestRecordOfALaterVersion(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	file := filepath.Join(dir, "tunnels.json")
	text, err := asked.FrameOf(map[string]any{"id": records(1)[0].ID, "guard": "something new"})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, damaged, err := d.Load(); err != nil || len(got) != 0 || len(damaged) != 1 {
		t.Errorf("%d records, damaged %q, %v", len(got), damaged, err)
	}
	if err := d.Save(nil); err != nil {
		t.Fatal(err)
	}
	if kept := copies(t, dir); len(kept) != 1 || string(kept[0]) != string(text) {
		t.Errorf("copies %q", kept)
	}
}

func TestFolders(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	if _, err := asked.Open(dir); !errors.Is(err, asked.ErrLocked) {
		t.Errorf("a second one: %v", err)
	}
	of := asked.Of{API: "https://a.example,https://b.example", Organization: "acme", Project: "shop", Environment: "dev"}
	id := mezu.NewID(mezu.PrefixTunnel, time.Now())
	if err := d.Make(id, of); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(d.Folder(id), "identity.key")
	if err := os.WriteFile(key, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	free := func(string) bool { return false }
	for _, c := range []struct {
		of   asked.Of
		want bool
	}{
		{of, true},
		{asked.Of{API: "https://b.example", Organization: "acme", Project: "shop", Environment: "dev"}, true},
		{asked.Of{API: "https://c.example", Organization: "acme", Project: "shop", Environment: "dev"}, false},
		{asked.Of{API: of.API, Organization: "other", Project: "shop", Environment: "dev"}, false},
		{asked.Of{API: of.API, Organization: "acme", Project: "shop", Environment: "staging"}, false},
	} {
		if got := d.Kept(free, c.of.Same) == id; got != c.want {
			t.Errorf("%+v: found %v", c.of, got)
		}
	}
	if got := d.Kept(func(used string) bool { return used == id }, of.Same); got != "" {
		t.Errorf("a folder in use: %s", got)
	}
	if err := d.SetAside(id, of); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(key); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the key of a revoked certificate: %v", err)
	}
	if text, err := os.ReadFile(d.Folder(id) + ".revoked/identity.key"); err != nil || string(text) != "secret" {
		t.Errorf("what was set aside: %q, %v", text, err)
	}
	if got := d.Kept(free, of.Same); got != id {
		t.Errorf("after that: %q", got)
	}
	if err := d.Remove(id); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "tunnels")); err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

// TestRecordsAreBounded: what could not be read again is not written.
func TestRecordsAreBounded(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	all := records(60)
	if err := d.Save(all); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{300 << 10, 600 << 10} { // the sum, and each one
		big := slices.Clone(all)
		for i := range big {
			big[i].Target = "/" + strings.Repeat("a", size)
		}
		if err := d.Save(big); mezu.CodeOf(err) != mezu.CodeInvalid {
			t.Errorf("%d bytes each: %v", size, err)
		}
	}
	if got, damaged, err := d.Load(); err != nil || len(got) != len(all) || damaged != nil {
		t.Errorf("%d records, damaged %q, %v", len(got), damaged, err)
	}
}
