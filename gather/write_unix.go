//go:build unix

package gather

import "syscall"

// canTry says that a socket can be written to without waiting: those of Go never block.
const canTry = true

// write makes one system call. It takes nothing if the socket has no room.
func write(fd uintptr, p []byte) (int, error) {
	for {
		n, err := syscall.Write(int(fd), p)
		switch err {
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, nil
		default:
			return max(n, 0), err
		}
	}
}
