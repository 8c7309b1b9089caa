package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// toolsVariable says that all tools of tests are here: "make test" sets it.
const toolsVariable = "MEZU_TEST_TOOLS"

// soakVariable asks for what takes minutes and needs a mirror of Debian: "make soak" sets it.
const soakVariable = "MEZU_SOAK"

const (
	// testEpoch is the time of what tests release, and testVersion its version.
	testEpoch   = "1700000000"
	testVersion = "1.2.3"
	// testPlatforms are one of each system, and a second architecture for images.
	testPlatforms = "linux/amd64,linux/arm64,darwin/arm64,windows/amd64"
)

// testTime is testEpoch.
var testTime = time.Unix(1700000000, 0).UTC()

// release makes the one that tests share, once, and gives its dist.
var release func() (string, error)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "mezu-release-test-")
	if err != nil {
		panic(err)
	}
	release = sync.OnceValues(func() (string, error) { return makeRelease(dir) })
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// madeRelease gives the dist of a release of small programs by the project's own
// goreleaser.yaml and Dockerfiles.
func madeRelease(t *testing.T) string {
	t.Helper()
	dist, err := release()
	if err != nil {
		t.Fatal(err)
	}
	return dist
}

// makeRelease makes one in a project of its own below a folder.
func makeRelease(dir string) (string, error) {
	root, key := filepath.Join(dir, "project"), filepath.Join(dir, "key")
	if err := newProject(root); err != nil {
		return "", err
	}
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "thrown away", "-f", key).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return filepath.Join(root, "dist"), releaseOf(root, "snapshot", "-version", testVersion, "-platform", testPlatforms, "-key", key)
}

// releaseOf runs the command in a project.
func releaseOf(root string, args ...string) error {
	var stderr bytes.Buffer
	getenv := func(name string) string { return map[string]string{epochVariable: testEpoch}[name] }
	args = slices.Insert(slices.Clone(args), 1, "-root", root)
	if code := run(context.Background(), args, getenv, &stderr); code != exitDone {
		return fmt.Errorf("code %d: %s", code, stderr.String())
	}
	return nil
}

// program is what the programs of a test are. It links a module of others.
const program = `package main

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

var version = "devel"

func main() {
	var v string
	if err := yaml.Unmarshal([]byte(version), &v); err != nil {
		panic(err)
	}
	fmt.Println("NAME", v)
}
`

// looking is one that says what it sees of the machine, where it can be run. What it links of
// the standard library would have to be compiled for each platform.
const looking = `package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

var version = "devel"

func main() {
	pool, err := x509.SystemCertPool()
	denied := os.WriteFile("/x", nil, 0o600)
	fmt.Printf("NAME %s, user %d, CA roots %v, state %v, root denied %v\n", version, os.Getuid(), err == nil && !pool.Equal(x509.NewCertPool()),
		os.WriteFile("/var/lib/NAME/state", nil, 0o600), errors.Is(denied, fs.ErrPermission))
}
`

// newProject makes a module with three small programs of the names of ours, and with all
// else that goreleaser.yaml names.
func newProject(root string) error {
	sum, err := os.ReadFile("go.sum")
	if err != nil {
		return err
	}
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		return err
	}
	module := "module example.com/project\n\ngo 1.26.0\n\n"
	for line := range strings.Lines(string(mod)) {
		if line := strings.TrimSpace(line); strings.HasPrefix(line, "go.yaml.in/yaml/v3 ") {
			module += "require " + line + "\n"
		}
	}
	files := map[string][]byte{"go.mod": []byte(module), "go.sum": sum}
	for name, text := range map[string]string{
		"mezu/main": program, "mezusphere/main": program,
		"warpgate/main_linux_" + runtime.GOARCH: looking, "warpgate/main": "//go:build !(linux && " + runtime.GOARCH + ")\n\n" + program,
	} {
		files["cmd/"+name+".go"] = []byte(strings.ReplaceAll(text, "NAME", path.Dir(name)))
	}
	for name, data := range files {
		if err := writeFile(filepath.Join(root, name), data); err != nil {
			return err
		}
	}
	for _, name := range []string{configName, "LICENSE", "README.md", "SECURITY.md", "docs/man", "docs/completions", "deploy/systemd", "release/image", signersPath} {
		if err := copyTree(filepath.Join("..", name), filepath.Join(root, name)); err != nil {
			return err
		}
	}
	return nil
}

// copyTree copies a file, or a folder with all in it, if it is there.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(p string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil || e.IsDir():
			return err
		}
		rel, err := filepath.Rel(from, p)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		return writeFile(filepath.Join(to, rel), data)
	})
}

// tools ends a test that needs programs which are not here: it is skipped, but fails where
// "make test" has installed them.
func tools(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			missing(t, name)
		}
	}
}

func missing(t *testing.T, tool string) {
	t.Helper()
	if os.Getenv(toolsVariable) != "" {
		t.Fatalf("%s is not here, although make test installs it", tool)
	}
	t.Skipf("needs %s, which make test installs", tool)
}

// runTool runs a program and gives what it said.
func runTool(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}
