package cli_test

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mezusphere/mezu/cli"
	"github.com/mezusphere/mezu/cli/manual"
	"github.com/mezusphere/mezu/testkit"
)

// What is committed of the reference, the manual and the completions is what the tree of commands
// says.
func TestReference(t *testing.T) {
	root := manual.Of(cli.Tree())
	testkit.Written(t, "../docs/reference", `mezu[.\-]*md`, manual.Markdown(root, cli.Topics()))
	testkit.Written(t, "../docs/man", `mezu[.\-]*1`, manual.Man(root, cli.Topics()))
	names := map[string]string{"bash": "mezu.bash", "zsh": "_mezu", "fish": "mezu.fish", "powershell": "mezu.ps1"}
	scripts := map[string]string{}
	for shell, script := range maps.All(cli.CompletionScripts()) {
		scripts[names[shell]] = script
	}
	testkit.Written(t, "../docs/completions", "*mezu*", scripts)
}

// Whoever reads the manual has another program for it than we: nothing in it is left to chance.
func TestManual_Lint(t *testing.T) {
	testkit.Programs(t, "mandoc")
	pages, err := filepath.Glob("../docs/man/*.1")
	if err != nil || len(pages) < 20 {
		t.Fatalf("found %d pages, %v", len(pages), err)
	}
	hostile := filepath.Join(t.TempDir(), "hostile.1")
	page := manual.Man(manual.Command{Name: "x", Usage: ".TH 'is' a request \\fB and <this> ~ \"too\"", Flags: []manual.Flag{{Names: "--.x 'Y'", Usage: ".SH"}}},
		[]manual.Topic{{Title: "T", Text: ".so /etc/passwd\n\n  .indented\n  'so\n\n  …\n\nlast"}})["x.1"]
	if err := os.WriteFile(hostile, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mandoc", append([]string{"-T", "lint", hostile}, pages...)...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
	text, err := exec.Command("mandoc", "-T", "ascii", hostile).Output()
	if err != nil || !strings.Contains(string(text), ".so /etc/passwd") || !strings.Contains(string(text), `\fB and <this> ~`) || !strings.Contains(string(text), "'so") {
		t.Errorf("%v\n%s", err, text)
	}
}
