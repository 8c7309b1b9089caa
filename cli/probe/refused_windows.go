package probe

import (
	"errors"

	"golang.org/x/sys/windows"
)

// refused reports whether nothing listened where a connection was tried.
func refused(err error) bool { return errors.Is(err, windows.WSAECONNREFUSED) }
