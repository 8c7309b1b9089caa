package process

import (
	"os"
	"runtime/debug"
)

const (
	// limitVariable is where the runtime reads its limit of memory from.
	limitVariable = "GOMEMLIMIT"
	// usable is how much of the memory, of a hundred, the runtime may take: the rest is for
	// what it doesn't count, such as the kernel's buffers of sockets.
	usable, hundred = 90, 100
)

// LimitMemory tells the runtime how much memory there is, unless GOMEMLIMIT does: by itself
// it lets the heap grow to twice what is in use, and a control group ends the process then.
func LimitMemory() {
	if all, ok := memory(); ok && os.Getenv(limitVariable) == "" {
		debug.SetMemoryLimit(int64(all / hundred * usable))
	}
}
