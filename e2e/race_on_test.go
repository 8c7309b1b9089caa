//go:build race

package e2e

const raceEnabled = true

// raceFlag builds the programs under test with the race detector when the tests
// themselves are.
var raceFlag = []string{"-race"}
