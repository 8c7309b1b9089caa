package daemon

import (
	"strconv"
	"strings"
)

// older reports whether the first of two versions comes before the second. Those of builds
// that are no releases can't be told apart.
func older(a, b string) bool {
	x, ok := release(a)
	y, also := release(b)
	if !ok || !also {
		return false
	}
	for i := range x {
		if x[i] != y[i] {
			return x[i] < y[i]
		}
	}
	return false
}

// release reads the three numbers of a version, such as v1.2.0 and 1.2.0-3-gabcdef.
func release(version string) (numbers [3]uint64, ok bool) {
	version, _, _ = strings.Cut(strings.TrimPrefix(version, "v"), "-")
	parts := strings.Split(version, ".")
	if len(parts) != len(numbers) {
		return numbers, false
	}
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 32)
		if err != nil {
			return numbers, false
		}
		numbers[i] = n
	}
	return numbers, true
}
