package update_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/mezusphere/mezu/testkit"
)

// TestInstallPage runs the commands of docs/install.md as they are written there, one after the
// other: in a checkout whose Go is a script, from a release that is served, and an update of it.
func TestInstallPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/install.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(blocks) != 5 {
		t.Fatalf("the page has %d blocks of commands", len(blocks))
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	r := testkit.NewRelease(t, "v1.2.0", program)
	s, p := newSite(t, r)
	if err := os.RemoveAll(p.path(".local")); err != nil {
		t.Fatal(err)
	}
	// A checkout, with a Go that builds a script in a moment.
	text, err := os.ReadFile(script)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := os.ReadFile(r.Signers)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"checkout/install.sh": string(text), "checkout/go.mod": "module github.com/mezusphere/mezu\n", "checkout/allowed_signers": string(keys),
		"checkout/docs/man/mezu.1": ".\n", "checkout/docs/completions/_mezu": "#compdef mezu\n",
		"tmp/bin/go": "#!/bin/sh\nfor last; do :; done\nwhile [ \"$1\" != -o ]; do shift; done\nprintf '#!/bin/sh\\necho mezu devel\\n' >\"$2\"\ntest \"$last\" = ./cmd/mezu\n",
	} {
		path := p.path(name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	p.env = append(p.env, "PATH="+p.path("tmp/bin")+":"+filepath.Dir(p.program())+":"+os.Getenv("PATH"))
	run := func(i int) string {
		t.Helper()
		commands := strings.ReplaceAll(blocks[i][1], "https://downloads.example.com/mezu", s.URL)
		out, code := p.run("sh", "-e", "-c", "cd checkout\n"+commands)
		if code != 0 {
			t.Fatalf("code %d, %s\n%s", code, out, commands)
		}
		return out
	}
	run(0)
	p.says("devel")
	run(1)
	p.says("v1.2.0")
	run(2)
	for _, name := range []string{"mezu.bash", "_mezu", "mezu.fish", "mezu.ps1"} {
		if text, err := os.ReadFile(p.path("checkout/" + name)); err != nil || !strings.Contains(string(text), "__complete") {
			t.Errorf("%s: %v", name, err)
		}
	}
	r.Fill(t, "v1.3.0", nil)
	if out := run(3); !strings.HasSuffix(out, "mezu 1.3.0\n") {
		t.Error(out)
	}
	run(4)
	if _, err := os.Stat(p.path(".local")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("not all is removed: %v, %q", err, p.files())
	}
}
