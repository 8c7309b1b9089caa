//go:build !windows

package probe

import (
	"errors"
	"syscall"
)

// refused reports whether nothing listened where a connection was tried.
func refused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
