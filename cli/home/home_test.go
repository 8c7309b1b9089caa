package home_test

import (
	"path/filepath"
	"runtime"
	"testing"

	"github.com/mezusphere/mezu/cli/home"
)

func TestOf(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the paths are those of Unix")
	}
	for _, c := range []struct {
		env           map[string]string
		config, state string
	}{
		{map[string]string{"HOME": "/u"}, "/u/.config/mezu", "/u/.local/state/mezu"},
		{map[string]string{"HOME": "/u", "XDG_CONFIG_HOME": "/c", "XDG_STATE_HOME": "/s"}, "/c/mezu", "/s/mezu"},
		{map[string]string{"HOME": "/u", "XDG_CONFIG_HOME": "relative"}, "/u/.config/mezu", "/u/.local/state/mezu"},
		{map[string]string{"HOME": "/u", "XDG_CONFIG_HOME": "/c", "MEZU_HOME": "/m"}, "/m/config", "/m/state"},
		{map[string]string{"XDG_CONFIG_HOME": "/c", "XDG_STATE_HOME": "/s"}, "/c/mezu", "/s/mezu"},
	} {
		got, err := home.Of(func(k string) string { return c.env[k] })
		if err != nil || got.Config != filepath.FromSlash(c.config) || got.State != filepath.FromSlash(c.state) {
			t.Errorf("%v: %+v, %v", c.env, got, err)
		}
	}
	if _, err := home.Of(func(string) string { return "" }); err == nil {
		t.Error("a home without any variable")
	}
}
