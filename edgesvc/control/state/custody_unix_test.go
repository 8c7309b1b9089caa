//go:build unix

package state_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
)

// stranger is a user that no process of these tests is.
const stranger = 54321

// Issue 7, row 13: a control plane uses no directory that others can write and no key
// that another user may have planted.
func TestRow13ControlState(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(dir string) error
		culprit string // relative to the state directory
		remedy  string
		root    bool // only root can prepare it
	}{
		"state":       {func(dir string) error { return os.Chmod(dir, 0o777) }, "", "chmod go-w ", false},
		"store":       {func(dir string) error { return shared(filepath.Join(dir, "store")) }, "store", "chmod go-w ", false},
		"offline":     {func(dir string) error { return shared(filepath.Join(dir, "offline")) }, "offline", "chmod go-w ", false},
		"seal key":    {func(dir string) error { return plant(filepath.Join(dir, "seal.key"), 0o644, -1) }, "seal.key", "chmod 600 ", false},
		"planted key": {func(dir string) error { return plant(filepath.Join(dir, "seal.key"), 0o600, stranger) }, "seal.key", "see where it comes from", true},
	} {
		t.Run(name, func(t *testing.T) {
			if c.root && os.Geteuid() != 0 {
				t.Skip("only root can give a file away")
			}
			in := controltest.New(t)
			if err := c.prepare(in.Dir); err != nil {
				t.Fatal(err)
			}
			plane, err := in.Assemble()
			if err != nil {
				t.Fatal(err)
			}
			err = plane.Listen()
			var refused *mezu.Error
			if !errors.As(err, &refused) || refused.Code != mezu.CodeInvalid || refused.Hint == "" {
				t.Fatalf("%v", err)
			}
			culprit := filepath.Join(in.Dir, c.culprit)
			if !strings.Contains(refused.Detail, culprit) || !strings.Contains(refused.Hint, c.remedy) || !strings.Contains(refused.Hint, culprit) {
				t.Errorf("%s; hint: %s", refused.Detail, refused.Hint)
			}
		})
	}
}

// shared makes a directory that everybody may write.
func shared(path string) error { return errors.Join(os.Mkdir(path, 0o700), os.Chmod(path, 0o777)) }

// plant makes a good seal key of a mode and an owner.
func plant(path string, mode fs.FileMode, owner int) error {
	key := "mezu-seal-key-1 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
	return errors.Join(os.WriteFile(path, []byte(key), 0o600), os.Chmod(path, mode), os.Lchown(path, owner, -1))
}
