//go:build race

package e2e

// raceFlag builds the programs under test with the race detector when the tests
// themselves are.
var raceFlag = []string{"-race"}
