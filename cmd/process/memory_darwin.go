package process

import "golang.org/x/sys/unix"

// memory is the machine's.
func memory() (uint64, bool) {
	n, err := unix.SysctlUint64("hw.memsize")
	return n, err == nil
}
