//go:build race

package browser

// raceFlag builds the program under test with the race detector when the tests themselves
// are.
var raceFlag = []string{"-race"}
