//go:build unix

package folder

import "syscall"

// withoutWaiting opens a pipe that nobody writes to, so that it can be refused.
const withoutWaiting = syscall.O_NONBLOCK
