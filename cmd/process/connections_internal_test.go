package process

import "testing"

// TestDivide: whatever the limit, the services of a process stay below it together, and
// what it keeps for itself is enough for health and metrics.
func TestDivide(t *testing.T) {
	for _, limit := range []int{MinWarpgate, 1100, MinServer, 65_536, 1 << 20, 1 << 30} {
		for _, s := range []Services{{API: true}, {Edge: true}, {API: true, Edge: true}, {API: true, Edge: true, Warpgate: true}, {Warpgate: true}} {
			c := divide(limit, s)
			taken := c.API + c.Edge + 2*c.Warpgate // with the connections to the workload
			if s.API && c.API < 64 || s.Edge && c.Edge < 128 || !s.API && c.API > 0 || !s.Edge && c.Edge > 0 || s.Warpgate && c.Warpgate < 128 {
				t.Errorf("%d, %+v: %+v", limit, s, c)
			}
			if left := limit - taken; left < minKept || left > max(limit/4, 2*minKept) {
				t.Errorf("%d, %+v: %+v leaves %d", limit, s, c, left)
			}
		}
	}
}
