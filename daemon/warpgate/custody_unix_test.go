//go:build unix

package warpgate_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/state"
)

// Issue 7, row 13: a Warpgate uses no directory that others can write and no key that
// they can read; a statement or a pinned root that they could have written is not
// believed.
func TestRow13WarpgateState(t *testing.T) {
	w := newWorld(t, 1)
	dir, _ := registered(t, w)
	for _, at := range []struct {
		name   string
		mode   os.FileMode
		remedy string // empty: it is only not believed
	}{{"", 0o777, "chmod go-w "}, {"identity.key", 0o644, "chmod 600 "}, {"trust-root.pem", 0o666, ""}} {
		path := filepath.Join(dir, at.name)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, at.mode); err != nil {
			t.Fatal(err)
		}
		s, err := state.Open(dir, w.real.Now, slog.New(slog.DiscardHandler))
		var refused *mezu.Error
		switch {
		case err == nil && (at.remedy != "" || s.Anchor() != nil):
			t.Errorf("%s of mode %v is used", at.name, at.mode)
		case err != nil && (at.remedy == "" || !errors.As(err, &refused) || !strings.Contains(refused.Detail, path) || !strings.Contains(refused.Hint, at.remedy+path)):
			t.Errorf("%s of mode %v: %v", at.name, at.mode, err)
		}
		if err == nil {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(path, info.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
}
