package home_test

import (
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/mezusphere/mezu/cli/home"
	"github.com/mezusphere/mezu/local"
)

func TestOf(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the paths are those of Unix")
	}
	run := t.TempDir()
	for _, c := range []struct {
		env                   map[string]string
		config, state, socket string
	}{
		{map[string]string{"HOME": "/u"}, "/u/.config/mezu", "/u/.local/state/mezu", "/u/.local/state/mezu/daemon/daemon.sock"},
		{map[string]string{"HOME": "/u", "XDG_RUNTIME_DIR": run + "/missing"}, "/u/.config/mezu", "/u/.local/state/mezu", "/u/.local/state/mezu/daemon/daemon.sock"},
		{map[string]string{"HOME": "/u", "XDG_RUNTIME_DIR": run}, "/u/.config/mezu", "/u/.local/state/mezu", run + "/mezu/daemon.sock"},
		{map[string]string{"HOME": "/u", "XDG_CONFIG_HOME": "/c", "XDG_STATE_HOME": "/s"}, "/c/mezu", "/s/mezu", "/s/mezu/daemon/daemon.sock"},
		{map[string]string{"HOME": "/u", "XDG_CONFIG_HOME": "relative", "XDG_RUNTIME_DIR": "relative"}, "/u/.config/mezu", "/u/.local/state/mezu", "/u/.local/state/mezu/daemon/daemon.sock"},
		{map[string]string{"HOME": "/u", "XDG_CONFIG_HOME": "/c", "XDG_RUNTIME_DIR": run, "MEZU_HOME": "/m"}, "/m/config", "/m/state", "/m/run/daemon.sock"},
		{map[string]string{"XDG_CONFIG_HOME": "/c", "XDG_STATE_HOME": "/s"}, "/c/mezu", "/s/mezu", "/s/mezu/daemon/daemon.sock"},
	} {
		got, err := home.Of(func(k string) string { return c.env[k] })
		if err != nil || got.Config != filepath.FromSlash(c.config) || got.State != filepath.FromSlash(c.state) || got.Socket != filepath.FromSlash(c.socket) {
			t.Errorf("%v: %+v, %v", c.env, got, err)
		}
	}
	if _, err := home.Of(func(string) string { return "" }); err == nil {
		t.Error("a home without any variable")
	}
}

// TestSocketIsShort: a path that no system takes becomes a short one, always the same and
// another one for each.
func TestSocketIsShort(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("it names a pipe")
	}
	long := "/" + strings.Repeat("long/", 30)
	a, again, b := home.Socket(long+"a/daemon.sock"), home.Socket(long+"a/daemon.sock"), home.Socket(long+"b/daemon.sock")
	if len(a) > local.MaxSocketPath || a != again || a == b || !strings.HasPrefix(a, "/tmp/mezu-") {
		t.Errorf("%s, %s, %s", a, again, b)
	}
	if short := "/run/user/1000/mezu/daemon.sock"; home.Socket(short) != short {
		t.Errorf("%s became %s", short, home.Socket(short))
	}
}
