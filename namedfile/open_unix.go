//go:build unix

package namedfile

import (
	"os"
	"syscall"
)

// errNoFile is the error of opening a socket.
const errNoFile = syscall.ENXIO

// open doesn't wait for the writer of a pipe, and doesn't make a terminal the process's
// controlling terminal.
func open(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
}
