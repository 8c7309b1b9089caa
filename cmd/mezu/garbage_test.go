package main

import "testing"

// What the inspector keeps makes no room for garbage.
func TestGarbage(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		live, kept int64
		want       int
	}{
		{0, 0, 100},
		{10 * mib, 0, 100},
		{60 * mib, 0, 100},
		{80 * mib, 64 * mib, 20},
		{128 * mib, 64 * mib, 50},
		{60 * mib, 64 * mib, 26}, // what was kept since the last collection
		{1100 * mib, 1024 * mib, 10},
	} {
		if got := garbageFor(c.live, c.kept); got != c.want {
			t.Errorf("%d MiB, of which %d are kept: %d %%, want %d", c.live/mib, c.kept/mib, got, c.want)
		}
	}
}
