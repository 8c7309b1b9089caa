package layout_test

import (
	"go/ast"
	"path"
	"slices"
	"strconv"
	"testing"
)

// outside are packages with which an update or a view could wait for something.
func outside() []string {
	return []string{"net", "net/http", "os", "os/exec", "os/signal", "syscall", "path/filepath", "crypto/tls"}
}

// effects are the files of the dashboard that reach outside, each with its reason. What they do is
// in commands, which bubbletea runs beside its loop, or before the first frame.
func effects() map[string]string {
	return map[string]string{
		"tui/effect.go":                       "commands: the clipboard, an editor, files that somebody names",
		"tui/output.go":                       "it is the terminal",
		"tui/discard_linux.go":                "as tui/output.go",
		"tui/discard_other.go":                "as tui/output.go",
		"tui/tui.go":                          "it is handed the terminal",
		"tui/background.go":                   "it asks the terminal for its colours before the first frame",
		"tui/screen/screentest/screentest.go": "golden files of tests",
	}
}

// TestDashboardWaitsForNothing: an update and a view do no I/O and have the clock from the
// dashboard. Packages of the dashboard don't even import what they could wait with.
func TestDashboardWaitsForNothing(t *testing.T) {
	for _, p := range load(t) {
		if p.dir != "tui" && !below(p.dir, "tui") {
			continue
		}
		for name, f := range p.code() {
			file := path.Join(p.dir, path.Base(name))
			if effects()[file] == "" {
				for _, i := range f.Imports {
					if what, _ := strconv.Unquote(i.Path.Value); slices.Contains(outside(), what) {
						t.Errorf("%s imports %s: what has to be done is in commands", file, what)
					}
				}
			}
			for _, n := range calls(f, "time", "Now", "Since", "Until", "Sleep") {
				if sel, ok := n.(*ast.SelectorExpr); ok && file == "tui/tui.go" && sel.Sel.Name == "Now" {
					continue // the clock that is handed to everybody
				}
				t.Errorf("%s: the time is that of the dashboard", p.at(n))
			}
		}
	}
}

// maxDashboardFile is how many lines a file of the dashboard may have.
const maxDashboardFile = 500

func TestDashboardFilesAreShort(t *testing.T) {
	for _, p := range load(t) {
		if p.dir != "tui" && !below(p.dir, "tui") {
			continue
		}
		for name, f := range p.files {
			if lines := p.fset.File(f.Pos()).LineCount(); lines > maxDashboardFile {
				t.Errorf("%s has %d lines", name, lines)
			}
		}
	}
}
