//go:build unix

package main

import (
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// detached is a session of its own: no terminal, and none of the signals that it sends.
func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// firstInherited is the first descriptor after the three streams.
const firstInherited = 3

// closeInherited closes the descriptors that this process was given beside its streams. Those
// that Go itself has opened are closed on exec, and are known by that. A pipe that a daemon
// holds open would keep its reader waiting for ever.
func closeInherited() error {
	entries, err := os.ReadDir("/dev/fd")
	if err != nil {
		return fmt.Errorf("looking for inherited descriptors: %w", err)
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd < firstInherited {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			_ = unix.Close(fd) // what can't be closed is not open
		}
	}
	return nil
}
