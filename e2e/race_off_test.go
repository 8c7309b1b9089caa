//go:build !race

package e2e

// raceEnabled says whether the tests and programs run under the race detector,
// which takes many times the memory and the time.
const raceEnabled = false

var raceFlag []string
