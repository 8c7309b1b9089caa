package edge

import "runtime/debug"

const (
	// keptShare is the part of the memory that bodies may take which are kept until filters have
	// looked at them.
	keptShare = 8
	// keptDefault is that where no limit of memory is known.
	keptDefault = 64 << 20
)

// keptBodies is how much memory kept bodies may take, by the runtime's limit.
func keptBodies() int {
	limit := debug.SetMemoryLimit(-1) // a negative limit changes nothing
	if limit == noMemoryLimit {
		return keptDefault
	}
	return int(limit / keptShare)
}

// noMemoryLimit is what the runtime has for no limit.
const noMemoryLimit = 1<<63 - 1
