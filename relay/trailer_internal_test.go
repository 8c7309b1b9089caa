package relay

import "testing"

// A name that is no longer than the longest rule is looked up as a whole.
func TestTrailRules(t *testing.T) {
	for _, n := range notInTrailers {
		if len(n) > maxTrailRule {
			t.Errorf("%s is longer than maxTrailRule", n)
		}
	}
	names := [][]byte{[]byte("Grpc-Status"), []byte("Set_Cookie"), []byte("Content-Digest"), []byte("Grpc-Status-Details-Bin")}
	if n := testing.AllocsPerRun(100, func() {
		for _, name := range names {
			mayTrail(name)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
