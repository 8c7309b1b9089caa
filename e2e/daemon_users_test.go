package e2e

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/mezusphere/mezu/testkit"
)

// TestD4_AnotherUsersCommands: commands of another user that name the daemon's socket, say since
// su left the variable, neither reach that daemon nor put one in its place.
func TestD4_AnotherUsersCommands(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can be two users")
	}
	dir, err := os.MkdirTemp("", "m") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for name, mode := range map[string]os.FileMode{"": 0o755, "run": 0o755, "mine": 0o700, "theirs": 0o700} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(path, mode), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
	}
	const nobody = 65534
	if err := os.Chown(filepath.Join(dir, "theirs"), nobody, nobody); err != nil {
		t.Fatal(err)
	}
	// The programs are in a folder that only root reads.
	program := filepath.Join(dir, "program")
	testkit.CopyFile(t, filepath.Join(binaries, "mezu"), program)
	if err := os.Chmod(program, 0o755); err != nil {
		t.Fatal(err)
	}
	env := func(home string) []string {
		return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Join(dir, home), "XDG_RUNTIME_DIR=" + filepath.Join(dir, "run"), "MEZU_NO_KEYRING=1"}
	}
	mezu := func(uid uint32, home string, args ...string) (code int, talk string) {
		t.Helper()
		var out bytes.Buffer
		c := exec.Command(program, args...)
		c.Dir, c.Env, c.Stdout, c.Stderr = dir, env(home), &out, &out
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		err := c.Run()
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			return exit.ExitCode(), out.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		return 0, out.String()
	}
	if code, talk := mezu(0, "mine", "daemon", "start"); code != 0 {
		t.Fatalf("code %d, %s", code, talk)
	}
	t.Cleanup(func() { mezu(0, "mine", "daemon", "stop") })
	for _, args := range [][]string{{"daemon", "status"}, {"daemon", "stop"}, {"daemon", "start"}, {"daemon", "restart"}, {"daemon", "run"}, {"tunnel", "list"}} {
		if code, talk := mezu(nobody, "theirs", args...); code == 0 || !strings.Contains(talk, "XDG_RUNTIME_DIR") {
			t.Errorf("%v of another user: code %d, %s", args, code, talk)
		}
	}
	if code, talk := mezu(0, "mine", "daemon", "status"); code != 0 {
		t.Errorf("after that: code %d, %s", code, talk)
	}
	if code, talk := mezu(0, "mine", "daemon", "stop"); code != 0 {
		t.Errorf("stopping it: code %d, %s", code, talk)
	}
}
