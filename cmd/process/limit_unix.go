//go:build unix

package process

import "golang.org/x/sys/unix"

// descriptors is how many this process may have open.
func descriptors() (uint64, bool) {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return 0, false
	}
	if l.Cur < l.Max {
		// Go has raised the limit at the start, but somebody may have lowered it since.
		raised := unix.Rlimit{Cur: l.Max, Max: l.Max}
		if unix.Setrlimit(unix.RLIMIT_NOFILE, &raised) == nil {
			return l.Max, true
		}
	}
	return l.Cur, true
}
