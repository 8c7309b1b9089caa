package testkit

import (
	"os"
	"os/exec"
	"testing"
)

// toolsVariable says that all tools of tests are here. "make test" sets it when it has
// installed them, so that no test is left out there unnoticed.
const toolsVariable = "MEZU_TEST_TOOLS"

// Programs ends a test that needs programs which are not here, as Missing does.
func Programs(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			Missing(t, name)
		}
	}
}

// Missing ends a test for which a tool is missing that "make test" installs. It is skipped,
// but fails under "make test" itself.
func Missing(t testing.TB, tool string) {
	t.Helper()
	if os.Getenv(toolsVariable) != "" {
		t.Fatalf("%s is not here, although make test installs it", tool)
	}
	t.Skipf("needs %s, which make test installs", tool)
}
