package tui

import (
	"os"

	"golang.org/x/sys/unix"
)

// discard drops what a terminal was sent and has not read.
func discard(f *os.File) { _ = unix.IoctlSetInt(int(f.Fd()), unix.TCFLSH, unix.TCOFLUSH) }
