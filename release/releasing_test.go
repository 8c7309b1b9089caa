package main

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// shellBlock is a block of a page that is run as it is written.
var shellBlock = regexp.MustCompile("(?ms)^( *)```sh\n(.*?)^ *```$")

// TestReleasingPage runs the commands of docs/releasing.md one after the other, in a
// repository of small programs of our names, for some platforms in the short form. Its last
// ones make a release in two folders, of which every file is the same.
func TestReleasingPage(t *testing.T) {
	t.Parallel()
	tools(t, "git", "make", "ssh-keygen")
	page, err := os.ReadFile("../docs/releasing.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	root := filepath.Join(dir, "project")
	if err := newProject(root); err != nil {
		t.Fatal(err)
	}
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(sources, "go.mod", "go.sum") {
		if !strings.HasSuffix(name, "_test.go") {
			if err := copyTree(name, filepath.Join(root, "release", name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, name := range []string{"Makefile", ".gitignore"} {
		if err := copyTree(filepath.Join("..", name), filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	platforms := "linux/amd64,windows/amd64"
	if os.Getenv(soakVariable) != "" {
		platforms = "" // all
	}
	env := append(os.Environ(), "PLATFORM="+platforms, "HOME="+dir, "GIT_CONFIG_GLOBAL="+os.DevNull, "MAKEFLAGS=", "SOURCE_DATE_EPOCH=")
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPATH"} {
		value, err := goEnv(t.Context(), ".", name)
		if err != nil {
			t.Fatal(err)
		}
		env = append(env, name+"="+value)
	}
	for _, who := range []string{"GIT_AUTHOR", "GIT_COMMITTER"} {
		env = append(env, who+"_NAME=x", who+"_EMAIL=x@example.com")
	}
	do := func(script string) {
		t.Helper()
		cmd := exec.Command("sh", "-eu", "-c", script)
		cmd.Dir, cmd.Env = root, env
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s\n%v\n%s", script, err, out)
		}
	}
	do("git init -q && git add . && git commit -q -m one")
	blocks := shellBlock.FindAllStringSubmatch(string(page), -1)
	if len(blocks) < 5 {
		t.Fatalf("the page has %d blocks of commands", len(blocks))
	}
	for _, b := range blocks {
		do(strings.ReplaceAll(b[2], "\n"+b[1], "\n"))
	}

	here, there := filesOf(t, filepath.Join(root, "dist")), filesOf(t, filepath.Join(dir, "elsewhere", "dist"))
	delete(here, "SHA256SUMS.sig") // only one was signed
	for name, sum := range here {
		if there[name] != sum {
			t.Errorf("%s differs", name)
		}
		delete(there, name)
	}
	if len(there) > 0 || len(here) < 30 {
		t.Errorf("of %d files, the second alone has %q", len(here), slices.Sorted(maps.Keys(there)))
	}
	if version, err := os.ReadFile(filepath.Join(root, "dist", versionName)); string(version) != "0.1.0\n" {
		t.Errorf("the release is %q, %v", version, err)
	}
}
