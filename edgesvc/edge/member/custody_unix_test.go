//go:build unix

package member_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/edge/member"
)

// Issue 7, row 13: an edge uses no directory that others can write and no key that they
// can read.
func TestRow13EdgeState(t *testing.T) {
	c := newControl(t)
	env := newEnvironment()
	c.bundle(env, "shop-acme", "/")
	dir := t.TempDir()
	e := c.startEdge(dir)
	e.stop()
	bundle := filepath.Join("bundles", env+".json")
	for _, at := range []struct {
		path   string
		mode   os.FileMode
		remedy string // empty: it is only not believed
	}{{"", 0o777, "chmod go-w "}, {"bundles", 0o777, "chmod go-w "}, {"certs", 0o733, "chmod go-w "}, {"identity.json", 0o640, "chmod 600 "}, {bundle, 0o666, ""}} {
		path := filepath.Join(dir, at.path)
		info, err := os.Stat(path)
		must(t, err)
		must(t, os.Chmod(path, at.mode))
		again, err := member.Open(e.cfg)
		if err == nil {
			if at.remedy != "" || again.Host("shop-acme."+again.Domain()) != nil {
				t.Errorf("%s of mode %v is used", at.path, at.mode)
			}
			must(t, again.Close())
			continue
		}
		var refused *mezu.Error
		if !errors.As(err, &refused) || at.remedy == "" || !strings.Contains(refused.Detail, path) || !strings.Contains(refused.Hint, at.remedy+path) {
			t.Errorf("%s of mode %v: %v", at.path, at.mode, err)
		}
		must(t, os.Chmod(path, info.Mode().Perm()))
	}
}
