//go:build unix

package terminal

import (
	"os"

	"golang.org/x/sys/unix"
)

// columns is how wide a terminal is; zero if it does not tell.
func columns(f *os.File) int {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Col)
}
