package process

import (
	"math"
	"runtime/debug"
	"testing"
)

// The runtime learns how much memory there is, unless somebody has told it.
func TestLimitMemory(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	debug.SetMemoryLimit(math.MaxInt64)
	t.Setenv(limitVariable, "off")
	if LimitMemory(); debug.SetMemoryLimit(-1) != math.MaxInt64 {
		t.Error("what the variable says is overruled")
	}
	all, ok := memory()
	if !ok {
		t.Skip("nobody says here how much memory there is")
	}
	t.Setenv(limitVariable, "")
	if LimitMemory(); debug.SetMemoryLimit(-1) != int64(all/hundred*usable) {
		t.Errorf("the limit is %d of %d", debug.SetMemoryLimit(-1), all)
	}
}
