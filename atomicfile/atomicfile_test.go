package atomicfile_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/mezusphere/mezu/atomicfile"
	"go.uber.org/goleak"
)

// testOnlyHold makes the test binary a process that locks the directory it names.
const testOnlyHold = "MEZU_TEST_ONLY_HOLD"

// testOnlyCheck makes the test binary a process that judges the paths which it names.
const testOnlyCheck = "MEZU_TEST_ONLY_CHECK"

// check prints a line for each path: a directory's EnsureOwnDir, a file's ReadKey.
func check(paths string) {
	for _, path := range filepath.SplitList(paths) {
		info, err := os.Stat(path)
		switch {
		case err != nil:
		case info.IsDir():
			err = atomicfile.EnsureOwnDir(path)
		default:
			_, err = atomicfile.ReadKey(path, 100)
		}
		fmt.Println(filepath.Base(path), err)
	}
}

func TestMain(m *testing.M) {
	if dir := os.Getenv(testOnlyHold); dir != "" {
		hold(dir)
		return
	}
	if paths := os.Getenv(testOnlyCheck); paths != "" {
		check(paths)
		return
	}
	goleak.VerifyTestMain(m)
}

// hold locks dir, says so, and waits for its standard input to end.
func hold(dir string) {
	l, err := atomicfile.Lock(dir)
	if err != nil {
		os.Stdout.WriteString(err.Error() + "\n")
		return
	}
	defer l.Close()
	os.Stdout.WriteString("held\n")
	bufio.NewReader(os.Stdin).ReadByte()
}

func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	for _, content := range []string{"first, and the longer one", "second", ""} {
		if err := atomicfile.Write(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != content {
			t.Fatalf("got %q, %v; want %q", got, err, content)
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode is %v", info.Mode())
	}
	onlyFile(t, path)
}

// TestWriteAll: each file has its own outcome.
func TestWriteAll(t *testing.T) {
	dir := t.TempDir()
	var files []atomicfile.File
	for i := range 50 {
		files = append(files, atomicfile.File{Path: filepath.Join(dir, fmt.Sprint(i)), Data: []byte(fmt.Sprint("content ", i))})
	}
	if err := os.Mkdir(files[7].Path, 0o700); err != nil { // a directory can't be replaced by a file
		t.Fatal(err)
	}
	files[8].Path = filepath.Join(dir, "missing", "f")
	for i, err := range atomicfile.WriteAll(files, 0o600) {
		if bad := i == 7 || i == 8; bad != (err != nil) {
			t.Errorf("file %d: %v", i, err)
		} else if !bad {
			if got, err := os.ReadFile(files[i].Path); err != nil || string(got) != string(files[i].Data) {
				t.Errorf("file %d has %q, %v", i, got, err)
			}
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != len(files)-1 {
		t.Errorf("%d entries, %v", len(left), err)
	}
	if errs := atomicfile.WriteAll(nil, 0o600); len(errs) != 0 {
		t.Errorf("no files give %v", errs)
	}
}

func TestWriteRelative(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := atomicfile.Write("name", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestWriteFails: the old content stays and nothing is left beside it.
func TestWriteFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "taken")
	if err := os.Mkdir(path, 0o700); err != nil { // a directory can't be replaced by a file
		t.Fatal(err)
	}
	err := atomicfile.Write(path, []byte("x"), 0o600)
	if err == nil || !strings.Contains(err.Error(), path) {
		t.Fatalf("error %v doesn't name %s", err, path)
	}
	onlyFile(t, path)
	if err := atomicfile.Write(filepath.Join(dir, "missing", "f"), nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("writing into a missing directory: %v", err)
	}
}

// TestWriteConcurrently: writers never mix, and readers never see a part.
func TestWriteConcurrently(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	contents := [][]byte{bytes.Repeat([]byte("a"), 64<<10), bytes.Repeat([]byte("b"), 32<<10)}
	whole := func(got []byte) bool { return bytes.Equal(got, contents[0]) || bytes.Equal(got, contents[1]) }
	if err := atomicfile.Write(path, contents[0], 0o600); err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	for _, c := range contents {
		writers.Go(func() {
			for range 20 {
				if err := atomicfile.Write(path, c, 0o600); err != nil {
					t.Error(err)
				}
				if got, err := os.ReadFile(path); err != nil || !whole(got) {
					t.Errorf("read %d bytes, %v", len(got), err)
				}
			}
		})
	}
	writers.Wait()
	onlyFile(t, path)
}

func TestEnsureDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	for range 2 {
		if err := atomicfile.EnsureDir(dir); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o700 {
		t.Errorf("mode is %v", info.Mode())
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("left %v", entries)
	}
}

func TestEnsureDirRefused(t *testing.T) {
	base := t.TempDir()
	file := filepath.Join(base, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, filepath.Join(file, "below")} {
		if err := atomicfile.EnsureDir(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if os.Geteuid() == 0 {
		t.Skip("a superuser may write anywhere")
	}
	closed := filepath.Join(base, "closed")
	if err := os.Mkdir(closed, 0o500); err != nil {
		t.Fatal(err)
	}
	err := atomicfile.EnsureDir(closed)
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), closed+" is not writable") {
		t.Errorf("read-only directory: %v", err)
	}
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	first, err := atomicfile.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := atomicfile.Lock(dir); !errors.Is(err, atomicfile.ErrLocked) {
		t.Fatalf("locking twice: %v", err)
	}
	for range 2 {
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
	}
	second, err := atomicfile.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
	if _, err := atomicfile.Lock(filepath.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("locking a missing directory: %v", err)
	}
}

// TestLockAcrossProcesses: the error names the directory and another process,
// and the lock ends with a killed holder.
func TestLockAcrossProcesses(t *testing.T) {
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	holder := exec.Command(self)
	holder.Env = append(os.Environ(), testOnlyHold+"="+dir)
	if _, err := holder.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	defer holder.Process.Kill()
	if said, err := bufio.NewReader(out).ReadString('\n'); said != "held\n" {
		t.Fatalf("holder said %q, %v", said, err)
	}
	_, err = atomicfile.Lock(dir)
	if !errors.Is(err, atomicfile.ErrLocked) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "another process") {
		t.Fatalf("lock held elsewhere: %v", err)
	}
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	holder.Wait()
	l, err := atomicfile.Lock(dir)
	if err != nil {
		t.Fatalf("after the holder was killed: %v", err)
	}
	l.Close()
}

// TestLockRemovesPartial: what a killed Write left goes, anything else stays.
func TestLockRemovesPartial(t *testing.T) {
	dir := t.TempDir()
	left := filepath.Join(dir, "bundles", ".env-123.partial")
	kept := []string{filepath.Join(dir, "bundles", "env.json"), filepath.Join(dir, ".hidden"), filepath.Join(dir, "x.partial")}
	if err := os.Mkdir(filepath.Join(dir, "bundles"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, p := range append(kept, left) {
		if err := os.WriteFile(p, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l, err := atomicfile.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is still there", left)
	}
	for _, p := range kept {
		if _, err := os.Stat(p); err != nil {
			t.Error(err)
		}
	}
}

// onlyFile checks that path is alone in its directory.
func onlyFile(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 || entries[0].Name() != filepath.Base(path) {
		t.Errorf("beside %s: %v, %v", path, entries, err)
	}
}

// Several processes may begin at once: one looks whether it may write while another one, which has
// the lock, removes what killed writes left.
func TestLockBesideEnsureDir(t *testing.T) {
	dir := t.TempDir()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 200 {
				if err := atomicfile.EnsureDir(dir); err != nil {
					t.Error(err)
				}
				lock, err := atomicfile.Lock(dir)
				if errors.Is(err, atomicfile.ErrLocked) {
					continue
				}
				if err != nil {
					t.Error(err)
					continue
				}
				lock.Close()
			}
		})
	}
	all.Wait()
}
