//go:build !faults

package relay

// Fault does nothing. In a build with the tag "faults", which only tests make, it
// panics where the request's Test-Fault field names the place, so that a test of
// real processes can see what a panic costs.
func Fault(*Request, string) {}
