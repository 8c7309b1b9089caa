package testkit

import (
	"os"
	"os/signal"
	"syscall"
	"testing"
)

// Hangups makes SIGHUP reach this process, and those that it starts, until the test ends.
// It may have been ignored before: nohup does that, and processes inherit it.
func Hangups(t *testing.T) {
	seen := make(chan os.Signal, 1)
	signal.Notify(seen, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(seen) })
}
