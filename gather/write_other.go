//go:build !unix

package gather

import "errors"

// canTry is false: a call that doesn't wait would go past Go's poller.
const canTry = false

func write(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }
