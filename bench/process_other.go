//go:build !linux

package main

import "syscall"

// dieWithParent is for Linux, where alone /proc gives the figures.
func dieWithParent() *syscall.SysProcAttr { return nil }
