//go:build !race

package browser

var raceFlag []string
