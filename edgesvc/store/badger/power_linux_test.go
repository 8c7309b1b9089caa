package badger_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mezusphere/mezu/testkit"
)

// machine has a file system in an image. What is in the image is what a power failure
// would leave on the disk: what the kernel keeps in memory is not there.
type machine struct {
	t          *testing.T
	image, dir string
}

// imageSize has room for the store, its ballast and the file system's journal.
const imageSize = 256 << 20

func newMachine(t *testing.T) *machine {
	t.Helper()
	dir := t.TempDir()
	m := &machine{t: t, image: filepath.Join(dir, "image"), dir: filepath.Join(dir, "disk")}
	if err := errors.Join(os.Mkdir(m.dir, 0o700), os.WriteFile(m.image, nil, 0o600), os.Truncate(m.image, imageSize)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", m.image).CombinedOutput(); err != nil {
		t.Skipf("needs mkfs.ext4: %v: %s", err, out)
	}
	if err := m.boot(); err != nil {
		t.Skipf("needs the right to mount an image: %v", err)
	}
	t.Cleanup(m.halt)
	return m
}

// boot mounts the image, of which the file system first repairs what was cut. The
// kernel's own writing is left to chance as little as can be.
func (m *machine) boot() error {
	if out, err := exec.Command("mount", "-o", "loop,commit=300", m.image, m.dir).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func (m *machine) halt() {
	if err := unix.Unmount(m.dir, 0); err != nil {
		m.t.Errorf("unmounting: %v", err)
	}
}

// fail takes the image as it is at a moment at which no thread of the process runs,
// then kills the process.
func (m *machine) fail(p *os.Process) error {
	if err := p.Signal(unix.SIGSTOP); err != nil {
		return err
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); !stopped(p.Pid); <-tick.C {
		if time.Now().After(deadline) {
			return errors.New("the process does not stop")
		}
	}
	testkit.CopyFile(m.t, m.image, m.image+".left")
	return p.Kill()
}

// restart goes on with what the failure left.
func (m *machine) restart() {
	m.t.Helper()
	m.halt()
	if err := errors.Join(os.Rename(m.image+".left", m.image), m.boot()); err != nil {
		m.t.Fatal(err)
	}
}

// stopped reports whether no thread runs.
func stopped(pid int) bool {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, path := range tasks {
		data, err := os.ReadFile(path)
		if err != nil {
			return false
		}
		if _, after, ok := strings.Cut(string(data), ") "); !ok || after[0] != 'T' {
			return false
		}
	}
	return len(tasks) > 0
}

// S2: the power fails at any moment. What was not synced is gone, with the names of
// files that were not; every acknowledged write is there, no half one, no deleted
// record again, and a history that leads from before to after.
func TestS2PowerLoss(t *testing.T) {
	t.Parallel()
	failures := 5
	if os.Getenv(soakEnv) != "" {
		failures = 200
	}
	m := newMachine(t)
	random := rand.New(rand.NewPCG(3, 4))
	var after aftermath
	for range failures {
		acked := writeAndKill(t, filepath.Join(m.dir, "store"), random.IntN(1000), m.fail)
		m.restart()
		after.check(t, filepath.Join(m.dir, "store"), acked)
		if t.Failed() {
			return
		}
	}
}

// What the other test rests on: a file that was not synced does not outlive a
// failure, and one that was does.
func TestMachine(t *testing.T) {
	m := newMachine(t)
	idle := exec.Command("sleep", "1000")
	if err := idle.Start(); err != nil {
		t.Fatal(err)
	}
	synced, err := os.Create(filepath.Join(m.dir, "synced"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = synced.WriteString("synced")
	err = errors.Join(err, synced.Sync(), synced.Close(), os.WriteFile(filepath.Join(m.dir, "lost"), []byte("lost"), 0o600), m.fail(idle.Process))
	if err != nil {
		t.Fatal(err)
	}
	idle.Wait()
	m.restart()
	entries, err := os.ReadDir(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); got != "lost+found synced" {
		t.Errorf("left of the disk: %s", got)
	}
}
