package testkit

import (
	"os"
	"os/signal"
	"syscall"
	"testing"
)

// Hangups has SIGHUP reach this process and those that it starts until the test ends.
// Whoever runs the tests may have had it ignored, as nohup does, and that is inherited.
func Hangups(t *testing.T) {
	seen := make(chan os.Signal, 1)
	signal.Notify(seen, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(seen) })
}
