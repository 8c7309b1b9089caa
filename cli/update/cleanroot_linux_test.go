package update_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/mezusphere/mezu/testkit"
)

// cleanRoot is a Debian that has nothing but what it needs, and OpenSSH.
type cleanRoot struct {
	t    *testing.T
	root string
}

func newCleanRoot(t *testing.T) *cleanRoot {
	t.Helper()
	testkit.Programs(t, "debootstrap")
	c := &cleanRoot{t, t.TempDir()}
	if err := os.Chmod(c.root, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("debootstrap", "--variant=minbase", "--include=openssh-client", "bookworm", c.root).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	proc := filepath.Join(c.root, "proc") // a Go program knows by it which file it is
	if err := syscall.Mount("proc", proc, "proc", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(proc, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	c.do(0, "useradd", "--create-home", "--uid", "1000", "ana")
	return c
}

// run runs a program in there, for an ordinary user or for root.
func (c *cleanRoot) run(uid uint32, argv ...string) (out string, code int) {
	c.t.Helper()
	home := "/home/ana"
	if uid == 0 {
		home = "/root"
	}
	cmd := exec.Command("/usr/bin/env", append([]string{"-i", "PATH=" + home + "/.local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + home, "MEZU_RELEASE_KEY=/release/allowed_signers"}, argv...)...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: c.root, Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	text, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		c.t.Fatal(err)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

func (c *cleanRoot) do(uid uint32, argv ...string) string {
	c.t.Helper()
	out, code := c.run(uid, argv...)
	if code != 0 {
		c.t.Fatalf("%q: code %d, %s", argv, code, out)
	}
	return out
}

// files are those in there, but for what systems and package managers write by themselves.
func (c *cleanRoot) files() []string {
	c.t.Helper()
	var out []string
	err := filepath.WalkDir(c.root, func(path string, d fs.DirEntry, err error) error {
		rel := strings.TrimPrefix(path, c.root)
		if err == nil && slices.Contains([]string{"/proc", "/sys", "/dev", "/var", "/tmp"}, rel) {
			return fs.SkipDir
		}
		out = append(out, rel)
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// release puts a release of the programs as they are into the root.
func (c *cleanRoot) release(r *testkit.Release, version string) {
	c.t.Helper()
	program := filepath.Join(c.t.TempDir(), "mezu")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -X main.version="+version, "-o", program, "../../cmd/mezu")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		c.t.Fatalf("%v\n%s", err, out)
	}
	files := map[string][]byte{}
	add := func(name, path string) {
		data, err := os.ReadFile(path)
		if err != nil {
			c.t.Fatal(err)
		}
		files[name] = data
	}
	add("mezu", program)
	for _, dir := range []string{"man", "completions"} {
		list, err := os.ReadDir("../../docs/" + dir)
		if err != nil {
			c.t.Fatal(err)
		}
		for _, f := range list {
			add(dir+"/"+f.Name(), "../../docs/"+dir+"/"+f.Name())
		}
	}
	r.Pack(c.t, version, files)
	to := filepath.Join(c.root, "release")
	if err := errors.Join(os.RemoveAll(to), os.CopyFS(to, os.DirFS(r.Dir)), os.Chmod(to, 0o755)); err != nil {
		c.t.Fatal(err)
	}
	list, err := filepath.Glob(to + "/*")
	if err != nil {
		c.t.Fatal(err)
	}
	for _, path := range list {
		if err := os.Chmod(path, 0o644); err != nil {
			c.t.Fatal(err)
		}
	}
	keys, err := os.ReadFile(r.Signers)
	if err := errors.Join(err, os.WriteFile(filepath.Join(to, "allowed_signers"), keys, 0o644)); err != nil {
		c.t.Fatal(err)
	}
}

// TestCleanRoot: install, update and remove, with the program as it is, where nothing else is.
func TestCleanRoot(t *testing.T) {
	if os.Getenv("MEZU_SOAK") == "" {
		t.Skip("makes a whole Debian; make soak does it")
	}
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	c := newCleanRoot(t)
	text, err := os.ReadFile(script)
	if err := errors.Join(err, os.WriteFile(filepath.Join(c.root, "install.sh"), text, 0o644)); err != nil {
		t.Fatal(err)
	}
	r := testkit.NewRelease(t, "v1.2.0", nil)
	c.release(r, "v1.2.0")
	before := c.files()
	const ana = 1000
	install := []string{"MEZU_DOWNLOAD=/release", "sh", "/install.sh"}

	c.do(0, "mv", "/usr/bin/ssh-keygen", "/usr/bin/away")
	if out, code := c.run(ana, install...); code != 1 || !strings.Contains(out, "ssh-keygen is not here") {
		t.Errorf("code %d, %s", code, out)
	}
	c.do(0, "mv", "/usr/bin/away", "/usr/bin/ssh-keygen")
	if out, code := c.run(ana, append([]string{"MEZU_INSTALL_DIR=/usr/local/bin"}, install...)...); code != 1 || !strings.Contains(out, "nothing was installed") {
		t.Errorf("code %d, %s", code, out)
	}
	if got := c.files(); !slices.Equal(got, before) {
		t.Errorf("a refusal left files: %d and %d", len(got), len(before))
	}
	c.do(ana, install...)
	if out := c.do(ana, "mezu", "version"); out != "mezu v1.2.0\n" {
		t.Error(out)
	}
	c.do(ana, "bash", "-c", ". ~/.local/share/bash-completion/completions/mezu && complete -p mezu && test -f ~/.local/share/man/man1/mezu-tunnel.1")
	c.do(ana, "mezu", "daemon", "start")
	if out := c.do(ana, "mezu", "update", "--check"); !strings.Contains(out, "available\tv1.2.0") {
		t.Error(out)
	}
	c.release(r, "v1.3.0")
	if out, code := c.run(ana, "mezu", "update", "--check"); code != 8 {
		t.Errorf("code %d, %s", code, out)
	}
	if out := c.do(ana, "mezu", "update"); !strings.Contains(out, "the daemon v1.3.0 runs, after v1.2.0") {
		t.Error(out)
	}
	if out := c.do(ana, "mezu", "version"); out != "mezu v1.3.0\n" {
		t.Error(out)
	}
	// The same program in a package is dpkg's.
	c.do(0, "sh", "-ec", `mkdir -p /tmp/deb/DEBIAN /tmp/deb/usr/bin && cp /home/ana/.local/bin/mezu /tmp/deb/usr/bin/mezu
printf 'Package: mezu\nVersion: 1.3.0\nArchitecture: all\nMaintainer: x <x@example.com>\nDescription: x\n' >/tmp/deb/DEBIAN/control
dpkg-deb --build /tmp/deb /tmp/mezu.deb && dpkg --install /tmp/mezu.deb`)
	c.release(r, "v1.4.0")
	if out, code := c.run(0, "MEZU_DOWNLOAD=/release", "/usr/bin/mezu", "update"); code != 5 || !strings.Contains(out, "apt-get install --only-upgrade mezu") {
		t.Errorf("code %d, %s", code, out)
	}
	c.do(0, "dpkg", "--purge", "mezu")
	if out, code := c.run(ana, "mezu", "update", "--check"); code != 8 {
		t.Errorf("code %d, %s", code, out)
	}
	c.do(ana, "mezu", "daemon", "stop")
	c.do(ana, "sh", "/install.sh", "--uninstall")
	c.do(ana, "sh", "-c", "rm -r ~/.local/state && rmdir ~/.local 2>/dev/null; true") // what the daemon kept
	if got := c.files(); !slices.Equal(got, before) {
		for _, name := range got {
			if !slices.Contains(before, name) {
				t.Errorf("left %s", name)
			}
		}
		for _, name := range before {
			if !slices.Contains(got, name) {
				t.Errorf("%s is gone", name)
			}
		}
	}
}
