// Package unasked keeps bubbletea from asking the terminal for its background before main begins.
// Its version 1 does so in an init, of whichever command, and waits up to five seconds for a
// terminal that doesn't say.
//
// What lives here: the variable of the environment by which it is kept from that, for as long as
// packages are initialized. What may not: imports other than of the standard library. Packages
// are initialized in the order of their paths as soon as what they import is (Go specification,
// Program initialization), so this one comes before those that import golang.org/x/sys, as
// bubbletea does. cmd/mezu imports it.
package unasked

import "os"

// variable makes a library of bubbletea take what it writes to for no terminal.
const variable = "CI"

var before, was = withhold()

func withhold() (value string, set bool) {
	value, set = os.LookupEnv(variable)
	_ = os.Setenv(variable, "true") // of a good name it doesn't fail
	return value, set
}

// Restore makes the environment what it was. Programs call it before all else.
func Restore() {
	if was {
		_ = os.Setenv(variable, before)
		return
	}
	_ = os.Unsetenv(variable)
}
