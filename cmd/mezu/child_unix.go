//go:build unix

package main

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// passedOn are the signals that a program gets from this one.
func passedOn() []os.Signal {
	return []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT}
}

// controlled reports whether this process is in front at its terminal, whose signals then reach
// all of its programs. Who signals this process alone is not told apart from that: then only
// SIGTERM is sure to end the program, as it is below a shell.
func controlled() bool {
	f, err := os.OpenFile("/dev/tty", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	front, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCGPGRP)
	return err == nil && front == unix.Getpgrp()
}

func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }

// bySignal is the exit code of a program that a signal ended; zero if none did.
func bySignal(state *os.ProcessState) int {
	if s, ok := state.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		return 128 + int(s.Signal())
	}
	return 0
}
