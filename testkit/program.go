package testkit

import (
	"os"
	"syscall"
	"testing"
)

// WriteProgram writes a file that is run at once. No process is started while it is open for writing: one
// that is about to become another program has it open too, and until then nobody can run it ("text file
// busy").
func WriteProgram(t testing.TB, path string, text []byte) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, text, 0o755); err != nil {
		t.Fatal(err)
	}
}
