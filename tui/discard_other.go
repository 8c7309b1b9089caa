//go:build !linux

package tui

import "os"

// discard does nothing here: a slow terminal is restored when it has read all.
func discard(*os.File) {}
