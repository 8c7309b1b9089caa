//go:build unix

package update

import (
	"errors"
	"os"
	"syscall"
)

// replaceProgram renames: what runs goes on with the file that it has.
func replaceProgram(staged, program string) error { return os.Rename(staged, program) }

// readOnly reports whether an error says that a file system can't be written to.
func readOnly(err error) bool { return errors.Is(err, syscall.EROFS) }
