package keyfile_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/keyfile"
)

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	f, err := keyfile.Reserve(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keyfile.Reserve(path); mezu.CodeOf(err) != mezu.CodeConflict {
		t.Errorf("a file that is reserved already: %v", err)
	}
	if kept, err := f.Keep("secret"); !kept || err != nil {
		t.Fatal(kept, err)
	}
	f.Discard()
	data, err := os.ReadFile(path)
	if err != nil || string(data) != "secret\n" {
		t.Errorf("%q, %v", data, err)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if _, err := keyfile.Reserve(path); mezu.CodeOf(err) != mezu.CodeConflict {
		t.Errorf("a file that is there: %v", err)
	}
}

func TestKeyFile_Discarded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	f, err := keyfile.Reserve(path)
	if err != nil {
		t.Fatal(err)
	}
	f.Discard()
	f.Discard()
	if _, err := os.Stat(path); err == nil {
		t.Error("a file without a secret is left")
	}
	if _, err := keyfile.Reserve(filepath.Join(path, "no", "folder")); mezu.CodeOf(err) != mezu.CodeInvalid {
		t.Error(err)
	}
	none, err := keyfile.Reserve("")
	if none != nil || err != nil {
		t.Error(none, err)
	}
	if kept, err := none.Keep("secret"); kept || err != nil {
		t.Error(kept, err)
	}
	none.Discard()
}
