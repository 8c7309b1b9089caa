package terminal

import (
	"os"

	"golang.org/x/sys/windows"
)

// isTerminal asks the console of f. For an output it also turns on escape sequences, which
// old consoles would show as text.
func isTerminal(f *os.File) bool {
	var mode uint32
	h := windows.Handle(f.Fd())
	if windows.GetConsoleMode(h, &mode) != nil {
		return false
	}
	if f != os.Stdin {
		windows.SetConsoleMode(h, mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING)
	}
	return true
}
