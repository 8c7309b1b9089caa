package terminal

import (
	"os"

	"golang.org/x/sys/unix"
)

// isTerminal asks the driver of f. Only a terminal has line settings.
func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
