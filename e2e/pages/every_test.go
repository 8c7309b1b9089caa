package pages

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/mezusphere/mezu/testkit"
)

// runs says which test runs the commands of a page. One that is elsewhere has what the page
// needs: a repository of small programs, a terminal, a release that is served.
func runs() map[string]string {
	return map[string]string{
		"docs/operations.md": "e2e/pages/operations_linux_test.go TestOperationsPage",
		"docs/api.md":        "e2e/openapi_test.go TestOpenAPI",
		"docs/ci.md":         "cmd/mezu/ci_test.go TestCIPage",
		"docs/daemon.md":     "e2e/pages/daemon_linux_test.go TestDaemonPage",
		"docs/dashboard.md":  "cmd/mezu/dashboard_linux_test.go TestDashboardAsLines",
		"docs/deploy.md":     "cmd/warpgate/deploypage_linux_test.go TestDeployPage",
		"docs/inspector.md":  "e2e/pages/inspector_linux_test.go TestInspectorPage",
		"docs/install.md":    "cli/update/page_test.go TestInstallPage",
		"docs/releasing.md":  "release/releasing_test.go TestReleasingPage",

		"README.md":               "e2e/pages/readme_linux_test.go TestReadme",
		"docs/cli.md":             "e2e/pages/cli_linux_test.go TestCommandsPage",
		"docs/mezu-yaml.md":       "e2e/pages/tunnel_linux_test.go TestManifestPage",
		"docs/traffic.md":         "e2e/pages/tunnel_linux_test.go TestTrafficPage",
		"docs/troubleshooting.md": "e2e/pages/tunnel_linux_test.go TestTunnelPages",
		"docs/tunnel.md":          "e2e/pages/tunnel_linux_test.go TestTunnelPages",
	}
}

// skipped counts the blocks of a page that no test can run. Each needs a sentence above it that
// says why; a new one is a decision.
func skipped() map[string]int {
	return map[string]int{"docs/performance.md": 5, "docs/deploy.md": 3, "CONTRIBUTING.md": 1}
}

// hiddenCommand is one in a block of another kind: with a prompt at the top of what it prints, or indented.
var hiddenCommand = regexp.MustCompile("(?m)^```(?:text|json|)\n\\$ .*|^\n    (?:\\$|go|make|mezu|curl|sh) .*")

func TestEveryPageIsRun(t *testing.T) {
	_, recipe, _ := strings.Cut(string(testkit.ReadData(t, "../../Makefile")), "\ndocs: tools-for-test")
	recipe, _, _ = strings.Cut(recipe, "\n\n")
	for name, by := range runs() {
		file, function, _ := strings.Cut(by, " ")
		if word := strings.TrimPrefix(function, "Test"); !strings.HasPrefix(file, "e2e/pages/") && !regexp.MustCompile(`\b(Test)?`+word+`\b`).MatchString(recipe) {
			t.Errorf("make docs does not run %s, which runs %s", function, name)
		}
	}
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(pages, "../../README.md", "../../CONTRIBUTING.md", "../../SECURITY.md", "../../tunnel/spec.md", "../../relay/spec.md") {
		name := filepath.ToSlash(strings.TrimPrefix(path, "../../"))
		if hidden := hiddenCommand.FindString(string(testkit.ReadData(t, path))); hidden != "" {
			t.Errorf("%s has a command that is neither run nor left out: %s", name, hidden)
		}
		commands, left := 0, 0
		for _, b := range readPage(t, name) {
			switch b.kind {
			case fenceCommands:
				commands++
			case fenceSkipped:
				left++
				t.Logf("%s:%d is not run:\n%s", name, b.line, b.text)
			}
		}
		if left != skipped()[name] {
			t.Errorf("%s has %d blocks that are not run, and %d are known", name, left, skipped()[name])
		}
		by, ok := runs()[name]
		if ok != (commands > 0) {
			t.Errorf("%s has %d blocks of commands, and is run by %q", name, commands, by)
		}
		if file, function, _ := strings.Cut(by, " "); function != "" {
			if _, err := os.Stat("../../" + file); err != nil || !strings.Contains(string(testkit.ReadData(t, "../../"+file)), "func "+function+"(t *testing.T)") {
				t.Errorf("%s is run by %s, which is not there", name, by)
			}
		}
	}
}
