package tui

import (
	"testing"

	"go.uber.org/goleak"
)

// After a panic bubbletea closes its reader without waking it. The process ends then.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/charmbracelet/bubbletea.(*Program).readLoop"))
}
