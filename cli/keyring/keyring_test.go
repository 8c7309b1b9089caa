package keyring_test

import (
	"runtime"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu/cli/keyring"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Nothing is asked where somebody said so, or where there is no session bus to ask on. What it
// does where there is one is tested on a real one, in e2e.
func TestOf(t *testing.T) {
	of := func(env ...string) bool {
		return keyring.Of(func(name string) string {
			for _, e := range env {
				if value, ok := strings.CutPrefix(e, name+"="); ok {
					return value
				}
			}
			return ""
		}) != nil
	}
	if of("MEZU_NO_KEYRING=1", "DBUS_SESSION_BUS_ADDRESS=unix:path=/x") {
		t.Error("a keyring that is not to be used")
	}
	if runtime.GOOS == "linux" && (!of("DBUS_SESSION_BUS_ADDRESS=unix:path=/x") || of("DBUS_SESSION_BUS_ADDRESS=autolaunch:")) {
		t.Error("a session bus decides, and none is started for this")
	}
}

// What not all keyrings take goes to none.
func TestSet_TooLong(t *testing.T) {
	k := keyring.Of(func(name string) string { return map[string]string{"DBUS_SESSION_BUS_ADDRESS": "unix:path=/x"}[name] })
	if err := k.Set(t.Context(), "trial-0123456789abcdef", strings.Repeat("x", 2001)); err == nil || !strings.Contains(err.Error(), "2000 bytes at most") {
		t.Error(err)
	}
}
