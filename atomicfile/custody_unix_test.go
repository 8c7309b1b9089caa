//go:build unix

package atomicfile_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/mezusphere/mezu/atomicfile"
)

// stranger and strangers are a user and a group that no process of these tests is.
const (
	stranger  = 54321
	strangers = 54322
)

// asRoot skips what only root can set up.
func asRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file to another user")
	}
}

// makeDir makes a directory with a mode whatever the umask.
func makeDir(t *testing.T, path string, mode fs.FileMode) string {
	t.Helper()
	if err := errors.Join(os.MkdirAll(path, 0o700), os.Chmod(path, mode)); err != nil {
		t.Fatal(err)
	}
	return path
}

func makeFile(t *testing.T, path string, mode fs.FileMode) string {
	t.Helper()
	if err := errors.Join(os.WriteFile(path, []byte("content"), 0o600), os.Chmod(path, mode)); err != nil {
		t.Fatal(err)
	}
	return path
}

func give(t *testing.T, path string, uid, gid int) {
	t.Helper()
	if err := os.Lchown(path, uid, gid); err != nil {
		t.Fatal(err)
	}
}

// refused checks that err names path, says why and what to type.
func refused(t *testing.T, what string, err error, path, problem, remedy string) {
	t.Helper()
	var exposed *atomicfile.ExposedError
	if !errors.As(err, &exposed) {
		t.Errorf("%s: %v", what, err)
		return
	}
	if exposed.Path != path || !strings.Contains(exposed.Problem, problem) || !strings.Contains(atomicfile.Remedy(err), remedy) || !strings.Contains(err.Error(), path) {
		t.Errorf("%s: %v; remedy: %s", what, err, exposed.Remedy)
	}
}

// Issue 7, row 13: a directory that others can write, or that is another's, or lies
// below such a one, is refused with its path and what to type.
func TestRow13DirectoryOfOthers(t *testing.T) {
	for _, c := range []struct {
		name         string
		above, mode  fs.FileMode
		culpritAbove bool
		refused      bool
	}{
		{"own", 0o755, 0o700, false, false},
		{"readable", 0o755, 0o755, false, false},
		{"everyone", 0o755, 0o777, false, true},
		{"everyone, sticky", 0o755, 0o777 | fs.ModeSticky, false, true},
		{"below everyone's", 0o777, 0o700, true, true},
		{"below a sticky one", 0o777 | fs.ModeSticky, 0o700, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			above := makeDir(t, filepath.Join(t.TempDir(), "above"), c.above)
			dir := makeDir(t, filepath.Join(above, "state"), c.mode)
			culprit := dir
			if c.culpritAbove {
				culprit = above
			}
			for what, err := range map[string]error{"CheckDir": atomicfile.CheckDir(dir), "EnsureOwnDir": atomicfile.EnsureOwnDir(dir)} {
				if c.refused {
					refused(t, what, err, culprit, "can be written by everyone", "chmod go-w "+culprit)
				} else if err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
			if err := atomicfile.EnsureDir(dir); err != nil {
				t.Errorf("a shared directory: %v", err)
			}
		})
	}
}

// The same of users and groups.
func TestRow13DirectoryOfStrangers(t *testing.T) {
	asRoot(t)
	base := t.TempDir()
	foreign := makeDir(t, filepath.Join(base, "foreign"), 0o755)
	give(t, foreign, stranger, -1)
	refused(t, "another's", atomicfile.CheckDir(foreign), foreign, fmt.Sprint("user ", stranger), "chown")
	below := makeDir(t, filepath.Join(foreign, "below"), 0o700)
	refused(t, "below another's", atomicfile.CheckDir(below), foreign, fmt.Sprint("user ", stranger), "chown")

	group := makeDir(t, filepath.Join(base, "group"), 0o775)
	if err := atomicfile.CheckDir(group); err != nil {
		t.Errorf("the user's own group: %v", err)
	}
	give(t, group, -1, strangers)
	refused(t, "a group's", atomicfile.CheckDir(group), group, fmt.Sprint("group ", strangers), "chmod go-w")

	// What another has planted in a directory that is closed by now.
	closed := makeDir(t, filepath.Join(base, "closed"), 0o700)
	planted := makeFile(t, filepath.Join(closed, "planted.key"), 0o600)
	give(t, planted, stranger, -1)
	refused(t, "a planted file", atomicfile.CheckDir(closed), planted, fmt.Sprint("user ", stranger), "rm")

	// A link of another's leads where he likes, also to what is ours.
	sticky := makeDir(t, filepath.Join(base, "sticky"), 0o777|fs.ModeSticky)
	own := makeDir(t, filepath.Join(base, "own"), 0o700)
	link := filepath.Join(sticky, "state")
	if err := os.Symlink(own, link); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.CheckDir(link); err != nil {
		t.Errorf("an own link: %v", err)
	}
	give(t, link, stranger, -1)
	refused(t, "a planted link", atomicfile.CheckDir(link), link, "symbolic link", "remove it")
}

// Row 13: a key is its owner's alone; what is checked is what was opened.
func TestRow13Key(t *testing.T) {
	dir := t.TempDir()
	for mode, done := range map[fs.FileMode]string{0o600: "", 0o400: "", 0o640: "read", 0o604: "read", 0o620: "written", 0o666: "written"} {
		path := makeFile(t, filepath.Join(dir, "key"), mode)
		for what, read := range map[string]func(string, int64) ([]byte, error){"ReadFile": atomicfile.ReadFile, "ReadGivenKey": atomicfile.ReadGivenKey, "ReadKey": atomicfile.ReadKey} {
			data, err := read(path, 100)
			remedy, bad := "chmod go-w "+path, done == "written"
			if what == "ReadKey" {
				remedy, bad = "chmod 600 "+path, done != ""
			}
			if bad {
				refused(t, fmt.Sprintf("%s of mode %04o", what, mode), err, path, "can be "+done+" by others", remedy)
			} else if err != nil || string(data) != "content" {
				t.Errorf("%s of mode %04o: %q, %v", what, mode, data, err)
			}
		}
	}
	key := makeFile(t, filepath.Join(dir, "key"), 0o600)
	if _, err := atomicfile.ReadFile(key, 3); err == nil || !strings.Contains(err.Error(), "more than 3 bytes") {
		t.Errorf("a long file: %v", err)
	}
	if _, err := atomicfile.ReadKey(filepath.Join(dir, "missing"), 3); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	// A pipe in its place must not be waited for.
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := atomicfile.ReadFile(pipe, 100); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a pipe: %v", err)
	}
	// Links of links, and one that leads in a circle.
	if err := errors.Join(os.Symlink("key", filepath.Join(dir, "one")), os.Symlink(filepath.Join(dir, "..", filepath.Base(dir), "one"), filepath.Join(dir, "two")), os.Symlink("round", filepath.Join(dir, "round"))); err != nil {
		t.Fatal(err)
	}
	if data, err := atomicfile.ReadKey(filepath.Join(dir, "two"), 100); err != nil || string(data) != "content" {
		t.Errorf("a link of a link: %q, %v", data, err)
	}
	if _, err := atomicfile.ReadKey(filepath.Join(dir, "round"), 100); err == nil || !strings.Contains(err.Error(), "symbolic links") {
		t.Errorf("a link to itself: %v", err)
	}
	open := makeDir(t, filepath.Join(dir, "open"), 0o777)
	below := makeFile(t, filepath.Join(open, "key"), 0o600)
	_, err := atomicfile.ReadKey(below, 100)
	refused(t, "a key in everyone's directory", err, open, "can be written by everyone", "chmod go-w")
}

// A key file of another user's, which became the installation's key.
func TestRow13PlantedKey(t *testing.T) {
	asRoot(t)
	sticky := makeDir(t, filepath.Join(t.TempDir(), "sticky"), 0o777|fs.ModeSticky)
	key := makeFile(t, filepath.Join(sticky, "seal.key"), 0o600)
	give(t, key, stranger, -1)
	_, err := atomicfile.ReadKey(key, 100)
	refused(t, "a planted key", err, key, fmt.Sprint("user ", stranger), "see where it comes from")
}

// A service that is not root's, with what Kubernetes gives it: a volume of root's and of
// the pod's group (fsGroup), and secrets that this group may read.
func TestRow13Unprivileged(t *testing.T) {
	asRoot(t)
	base := makeDir(t, t.TempDir(), 0o755)
	for dir := base; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		makeDir(t, dir, 0o755) // others may pass
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(base, "program")
	if err := os.WriteFile(binary, program, 0o755); err != nil {
		t.Fatal(err)
	}
	const uid, gid = 54321, 54400
	want := map[string]string{}
	var paths []string
	add := func(path string, owner, group int, says string) {
		give(t, path, owner, group)
		paths, want[filepath.Base(path)] = append(paths, path), says
	}
	dir := func(name string, mode fs.FileMode) string { return makeDir(t, filepath.Join(base, name), mode) }
	file := func(name string, mode fs.FileMode) string { return makeFile(t, filepath.Join(base, name), mode) }
	add(dir("own", 0o700), uid, gid, "<nil>")
	add(dir("volume", 0o770), 0, strangers, "<nil>")
	add(dir("own-shared", 0o770), uid, strangers, "can be written by group")
	add(dir("own-private", 0o770), uid, uid, "can be written by group") // the process is not of that group
	add(dir("emptydir", 0o777), 0, 0, "can be written by everyone")
	add(file("secret", 0o440), 0, strangers, "<nil>")
	add(file("secret-writable", 0o660), 0, strangers, "can be written by others")
	add(file("secret-open", 0o644), 0, strangers, "can be read by others")
	add(file("own-group", 0o640), uid, strangers, "can be read by others")
	add(file("other", 0o600), 54399, gid, "permission denied")

	cmd := exec.Command(binary)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), testOnlyCheck+"="+strings.Join(paths, string(filepath.ListSeparator)))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid, Groups: []uint32{strangers}}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		name, says, _ := strings.Cut(strings.TrimSpace(line), " ")
		if !strings.Contains(says, want[name]) || want[name] == "" {
			t.Errorf("%s: %s; want %q", name, says, want[name])
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("nothing said of %v: %s", want, out)
	}
}
