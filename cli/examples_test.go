package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestExamples: the help of each command about logins has one example, and a script runs it,
// with a control plane of its own in place of the one that help names.
func TestExamples(t *testing.T) {
	var run strings.Builder
	scripts, err := filepath.Glob("testdata/*/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range scripts {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		run.WriteString("\n" + string(data))
	}
	for _, command := range []string{"login", "logout", "whoami", "use", "profiles list", "profiles delete"} {
		w := newHelp(t)
		_, page := w.run(0, append(strings.Fields(command), "--help")...)
		_, after, ok := strings.Cut(page, "Example:\n   mezu ")
		line, _, _ := strings.Cut(after, "\n")
		if !ok || !strings.HasPrefix(line, command) || strings.Contains(after, "Example") {
			t.Errorf("mezu %s --help has no example, or several: %s", command, page)
			continue
		}
		line = strings.ReplaceAll(line, "https://control.example.com", "$REAL")
		if !strings.Contains(run.String(), "\nmezu "+line) && !strings.Contains(run.String(), "\ntty - "+line) {
			t.Errorf("no script runs %q", line)
		}
	}
}

// newHelp is a terminal of somebody who has nothing but the program.
func newHelp(t *testing.T) terminalOf { return terminalOf{t: t, pipe: true} }
