package main

import (
	"syscall"

	"golang.org/x/sys/windows"
)

// detached is a process without a console, and in a group of its own, which Ctrl-C in the
// console of this one does not reach.
func detached() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: windows.DETACHED_PROCESS | windows.CREATE_NEW_PROCESS_GROUP}
}

// closeInherited has nothing to do: Go lets a process inherit its three streams only.
func closeInherited() error { return nil }
