//go:build unix

package main

import (
	"os"
	"syscall"
)

// passedOn are the signals that a program gets from this one.
func passedOn() []os.Signal {
	return []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT}
}

// controlled reports whether this process has a terminal, whose signals reach all of its
// programs.
func controlled() bool {
	f, err := os.OpenFile("/dev/tty", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	f.Close()
	return true
}

func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }

// bySignal is the exit code of a program that a signal ended; zero if none did.
func bySignal(state *os.ProcessState) int {
	if s, ok := state.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		return 128 + int(s.Signal())
	}
	return 0
}
