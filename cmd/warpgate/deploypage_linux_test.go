package main

import (
	"encoding/pem"
	"errors"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/testkit"
)

// TestDeployPage runs the commands of docs/deploy.md as they are written there, but for the one that
// makes a key, which cmd/mezu runs. The folders of the system are below one of the test, sudo makes
// nobody else, and of the manager of services only what it writes is real.
func TestDeployPage(t *testing.T) {
	testkit.Programs(t, "systemctl", "systemd-sysusers")
	found := func(program string) string {
		t.Helper()
		path, err := exec.LookPath(program)
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(testkit.ReadData(t, "../../docs/deploy.md")), -1)
	if len(blocks) != 4 {
		t.Fatalf("the page has %d blocks of commands", len(blocks))
	}
	dir, root, home, bin := t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir()
	key := mezu.NewKey()
	authority := httptest.NewTLSServer(nil)
	authority.Close()
	err := os.CopyFS(filepath.Join(dir, "deploy"), os.DirFS("../../deploy"))
	for name, text := range map[string]string{
		"key": key + "\n", "ca.pem": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.Certificate().Raw})), "mezusphere": "#!/bin/sh\n",
	} {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	for name, text := range map[string]string{
		"sudo":     `exec "$@"`,
		"warpgate": rootVariable + `="$ROOT" exec '` + found(os.Args[0]) + `' "$@"`,
		"systemctl": `[ "$1" != --user ] || exit 0
for last; do :; done
case $1 in enable|disable) exec ` + found("systemctl") + ` --root="$ROOT" "$1" "$last";; esac`,
		"systemd-sysusers": `exec ` + found("systemd-sysusers") + ` --root="$ROOT"`,
		"install": `before=
for a; do
	shift
	case $before in
	-g) grep -q "^$a:" "$ROOT/etc/group" || exit 1; before=; continue;; # only root gives a file to others
	-o) before=; continue;;
	esac
	case $a in
	-g|-o) before=$a; continue;;
	/*) a="$ROOT"$a;;
	esac
	set -- "$@" "$a"
done
exec ` + found("install") + ` "$@"`,
	} {
		err = errors.Join(err, os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+text+"\n"), 0o700))
	}
	for _, name := range []string{"etc/systemd/system", "run/systemd/system", "usr/bin"} {
		err = errors.Join(err, os.MkdirAll(filepath.Join(root, name), 0o755))
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range blocks[1:] {
		cmd := exec.Command("sh", "-eu", "-c", b[1])
		cmd.Dir, cmd.Env = dir, []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "ROOT=" + root, "HOME=" + home, "MEZU_TOKEN=" + key, "GORACE=" + os.Getenv("GORACE")}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s\n%s", err, out, b[1])
		}
	}
	for path, mode := range map[string]os.FileMode{
		root + "/etc/systemd/system/warpgate.service": 0o644, root + "/etc/warpgate/token": 0o600, root + "/etc/warpgate/ca.pem": 0o600,
		home + "/.config/systemd/user/warpgate.service": 0o644, home + "/.config/mezu/warpgate/token": 0o600,
		root + "/usr/bin/mezusphere": 0o755, root + "/etc/mezusphere/mezusphere.yaml": 0o640, root + "/etc/systemd/system/mezusphere.service": 0o644,
		dir + "/deploy/token": 0o400,
	} {
		if info, err := os.Stat(path); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
	services, err := filepath.Glob(root + "/etc/systemd/system/multi-user.target.wants/*")
	if err != nil || strings.ReplaceAll(strings.Join(services, " "), root+"/etc/systemd/system/multi-user.target.wants/", "") != "mezusphere.service warpgate.service" {
		t.Errorf("enabled are %q, %v", services, err)
	}
	if left, err := filepath.Glob(root + "/etc/*/*/*orders*"); err != nil || len(left) > 0 {
		t.Errorf("%q stay, %v", left, err)
	}
	if _, err := os.Stat(root + "/etc/warpgate-orders"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the token stays: %v", err)
	}
}
