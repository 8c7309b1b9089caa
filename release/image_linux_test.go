package main

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// TestImageRuns: the program runs with the image as its root, as its user, finds the CA
// roots and may write its state.
func TestImageRuns(t *testing.T) {
	t.Parallel()
	img := imagesOf(t, filepath.Join(madeRelease(t), "warpgate"+imageSuffix), testVersion)[runtime.GOARCH]
	if img == nil {
		t.Skip("there is no image for this machine")
	}
	root := t.TempDir()
	in := mutate.Extract(img)
	defer in.Close()
	unpack(t, in, root)
	f, err := elf.Open(filepath.Join(root, "warpgate"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("the program is not static")
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root, who may change the root of a program")
	}
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	conf, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(conf.Config.Entrypoint[0])
	cmd.Env, cmd.Dir = conf.Config.Env, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "warpgate 1.2.3, user 65532, CA roots true, state <nil>, root denied true\n" {
		t.Errorf("it says %q, %v", out, err)
	}
}
