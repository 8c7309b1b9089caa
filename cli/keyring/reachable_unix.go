//go:build unix && !darwin

package keyring

import (
	"os"
	"path/filepath"
	"strconv"
)

// reachable reports whether there is a session bus. Without one the library would start one,
// which outlives the command.
func reachable(getenv func(string) string) bool {
	if bus := getenv("DBUS_SESSION_BUS_ADDRESS"); bus != "" {
		return bus != "autolaunch:"
	}
	_, err := os.Stat(filepath.Join("/run/user", strconv.Itoa(os.Getuid()), "bus"))
	return err == nil
}
