//go:build unix

package namedfile

import (
	"os"
	"syscall"
)

// errNoFile is what opening a socket gives.
const errNoFile = syscall.ENXIO

// open doesn't wait for the writer of a pipe, and makes no terminal this process's own.
func open(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
}
