//go:build unix

package terminal

import (
	"os"

	"golang.org/x/sys/unix"
)

// size is how many columns and rows a terminal has; zero if it does not tell.
func size(f *os.File) (columns, rows int) {
	is, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0
	}
	return int(is.Col), int(is.Row)
}
