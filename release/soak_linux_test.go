package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// TestDebInACleanRoot: the programs themselves are installed, updated and purged by dpkg in
// a system that has nothing but what Debian needs, and run in the images.
func TestDebInACleanRoot(t *testing.T) {
	if os.Getenv(soakVariable) == "" {
		t.Skip("makes a whole Debian; make soak does it")
	}
	needRoot(t)
	tools(t, "debootstrap")
	root := t.TempDir()
	runTool(t, "debootstrap", "--variant=minbase", "bookworm", root)
	in := func(args ...string) string { return runTool(t, "chroot", append([]string{root}, args...)...) }
	names := []string{"mezu", "warpgate", "mezusphere"}
	install := func(version string) string {
		dist := t.TempDir()
		if err := releaseOf("..", "snapshot", "-version", version, "-platform", "linux/"+runtime.GOARCH, "-dist", dist); err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			deb := name + "_linux_" + runtime.GOARCH + ".deb"
			if err := copyTree(filepath.Join(dist, deb), filepath.Join(root, "tmp", deb)); err != nil {
				t.Fatal(err)
			}
			in("dpkg", "--install", "/tmp/"+deb)
			if err := os.Remove(filepath.Join(root, "tmp", deb)); err != nil {
				t.Fatal(err)
			}
		}
		return dist
	}
	// Logs, what dpkg remembers, and what the system keeps of its own accord.
	before := filesBelow(t, root, "var", "proc", "sys", "dev")
	for _, version := range []string{"0.0.1-pre1700000000", "0.0.1"} {
		dist := install(version)
		for name, flag := range map[string]string{"mezu": "version", "warpgate": "--version", "mezusphere": "--version"} {
			if out := in(name, flag); !strings.Contains(out, version) {
				t.Errorf("%s says %q; want %s", name, out, version)
			}
			if out := in("dpkg", "--verify", name); out != "" {
				t.Errorf("dpkg finds of %s: %s", name, out)
			}
		}
		if out := in("bash", "-c", ". /usr/share/bash-completion/completions/mezu && complete -p mezu"); !strings.Contains(out, "mezu") {
			t.Errorf("bash completes %q", out)
		}
		runImages(t, dist, version)
	}
	in(append([]string{"dpkg", "--purge"}, names...)...)
	if after := filesBelow(t, root, "var", "proc", "sys", "dev"); !slices.Equal(after, before) {
		t.Errorf("dpkg left %d files, of %d", len(after), len(before))
	}
}

// runImages runs the programs of the images with those as their roots.
func runImages(t *testing.T, dist, version string) {
	t.Helper()
	for _, name := range []string{"warpgate", "mezusphere"} {
		root := t.TempDir()
		in := mutate.Extract(imagesOf(t, filepath.Join(dist, name+imageSuffix), version)[runtime.GOARCH])
		unpack(t, in, root)
		in.Close()
		if err := os.Chmod(root, 0o755); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("/"+name, "--version")
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), version) {
			t.Errorf("the image of %s says %q, %v", name, out, err)
		}
	}
}
