package badger_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mezusphere/mezu/edgesvc/store/badger"
	"github.com/mezusphere/mezu/testkit"
)

// A kill between the making of a log and its first byte costs nothing, and the store opens again. A
// log that has lost its bytes is found out.
func TestS1KillAsALogIsMade(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := open(t, badger.Options{Dir: dir})
	fillStore(t, db, 0)
	want, err := digest(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	crashed := filepath.Join(t.TempDir(), "crashed")
	testkit.CopyDir(t, dir, crashed)
	closeNow(t, db)
	empty := func(name string) func(string) error {
		return func(dir string) error { return os.WriteFile(filepath.Join(dir, "badger", name), nil, 0o600) }
	}
	for _, name := range []string{"000009.vlog", "00009.mem"} {
		if got, said, code := dumpCopy(t, crashed, empty(name)); code != 0 || got != want {
			t.Errorf("with an empty %s: %q, %d, %s; want %q", name, got, code, said, want)
		}
	}
	refused := 0
	for _, name := range files(t, crashed) {
		if !strings.HasSuffix(name, ".vlog") && !strings.HasSuffix(name, ".mem") {
			continue
		}
		switch got, _, code := dumpCopy(t, crashed, empty(filepath.Base(name))); {
		case code != 0:
			refused++
		case got != want:
			t.Errorf("with %s emptied other records were served", name)
		}
	}
	if refused == 0 {
		t.Error("a log without its bytes was not noticed")
	}
	// The first opening of all: there is nothing yet but what was being made.
	first := filepath.Join(t.TempDir(), "store[1]")
	if err := os.MkdirAll(filepath.Join(first, "badger"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := empty("000001.vlog")(first); err != nil {
		t.Fatal(err)
	}
	closeNow(t, open(t, badger.Options{Dir: first}))
}
