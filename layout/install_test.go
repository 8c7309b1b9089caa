package layout_test

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// release is a folder as a release has it.
type release struct {
	dir, archive string
}

// newRelease makes one for this machine, with a program that prints its name.
func newRelease(t *testing.T, program string, entry tar.Header) release {
	t.Helper()
	r := release{dir: t.TempDir(), archive: fmt.Sprintf("%s_%s_%s.tar.gz", program, runtime.GOOS, runtime.GOARCH)}
	f, err := os.Create(filepath.Join(r.dir, r.archive))
	if err != nil {
		t.Fatal(err)
	}
	zw := gzip.NewWriter(f)
	tw := tar.NewWriter(zw)
	body := "#!/bin/sh\necho this is " + program + "\n"
	if entry.Typeflag == tar.TypeReg {
		entry.Size = int64(len(body))
	}
	entry.Mode = 0o600
	if err := tw.WriteHeader(&entry); err != nil {
		t.Fatal(err)
	}
	if entry.Typeflag == tar.TypeReg {
		if _, err := tw.Write([]byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []interface{ Close() error }{tw, zw, f} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(filepath.Join(r.dir, r.archive))
	if err != nil {
		t.Fatal(err)
	}
	other := strings.Repeat("0", 64) + "  other_" + r.archive + "\n"
	r.sums(t, other+fmt.Sprintf("%x  %s\n", sha256.Sum256(data), r.archive))
	return r
}

func (r release) sums(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, "SHA256SUMS"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// install runs the script and gives its output and where the programs went.
func install(t *testing.T, from string, args ...string) (out, target string, code int) {
	t.Helper()
	target = filepath.Join(t.TempDir(), "bin")
	cmd := exec.Command("sh", append([]string{filepath.Join(root, "install.sh")}, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "TMPDIR=" + t.TempDir(), "MEZU_DOWNLOAD=" + from, "MEZU_INSTALL_DIR=" + target}
	text, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(text), target, cmd.ProcessState.ExitCode()
}

func needShell(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("install.sh is for Unix")
	}
}

func TestInstall(t *testing.T) {
	needShell(t)
	for _, program := range []string{"mezu", "warpgate"} {
		r := newRelease(t, program, tar.Header{Name: program, Typeflag: tar.TypeReg})
		out, target, code := install(t, r.dir, program)
		if code != 0 {
			t.Fatalf("%s: code %d, %s", program, code, out)
		}
		got, err := exec.Command(filepath.Join(target, program)).CombinedOutput()
		if err != nil || string(got) != "this is "+program+"\n" {
			t.Errorf("%s: %q, %v", program, got, err)
		}
	}
}

// TestC6InstallRefuses: whatever does not match its digest is not installed.
func TestC6InstallRefuses(t *testing.T) {
	needShell(t)
	good := tar.Header{Name: "mezu", Typeflag: tar.TypeReg}
	for name, c := range map[string]struct {
		entry  tar.Header
		spoil  func(t *testing.T, r release)
		expect string
	}{
		"no SHA256SUMS": {good, func(t *testing.T, r release) { os.Remove(filepath.Join(r.dir, "SHA256SUMS")) }, "SHA256SUMS can't be had"},
		"not listed":    {good, func(t *testing.T, r release) { r.sums(t, strings.Repeat("0", 64)+"  x"+r.archive+"\n") }, "no single digest"},
		"empty list":    {good, func(t *testing.T, r release) { r.sums(t, "") }, "no single digest"},
		"listed twice": {good, func(t *testing.T, r release) {
			line := strings.Repeat("0", 64) + "  " + r.archive + "\n"
			r.sums(t, line+line)
		}, "no single digest"},
		"short digest": {good, func(t *testing.T, r release) { r.sums(t, "00  "+r.archive+"\n") }, "no single digest"},
		"other digest": {good, func(t *testing.T, r release) { r.sums(t, strings.Repeat("0", 64)+"  "+r.archive+"\n") }, "is not what SHA256SUMS says"},
		"changed archive": {good, func(t *testing.T, r release) {
			f, err := os.OpenFile(filepath.Join(r.dir, r.archive), os.O_APPEND|os.O_WRONLY, 0)
			if err == nil {
				_, err = f.Write([]byte{0})
				f.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
		}, "is not what SHA256SUMS says"},
		"no archive":     {good, func(t *testing.T, r release) { os.Remove(filepath.Join(r.dir, r.archive)) }, "can't be had"},
		"no program":     {tar.Header{Name: "README", Typeflag: tar.TypeReg}, func(*testing.T, release) {}, "holds no mezu"},
		"a link instead": {tar.Header{Name: "mezu", Typeflag: tar.TypeSymlink, Linkname: "/bin/sh"}, func(*testing.T, release) {}, "no plain file"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRelease(t, "mezu", c.entry)
			c.spoil(t, r)
			out, target, code := install(t, r.dir)
			if code != 1 || !strings.Contains(out, c.expect) {
				t.Errorf("code %d, %s; want %q", code, out, c.expect)
			}
			if files, _ := os.ReadDir(target); len(files) > 0 {
				t.Errorf("left %v", files)
			}
		})
	}
	for name, c := range map[string]struct{ from, program, expect string }{
		"no address":      {"", "mezu", "MEZU_DOWNLOAD"},
		"plain http":      {"http://127.0.0.1:1/x", "mezu", "is not https"},
		"unknown program": {".", "../mezu", "the programs are"},
	} {
		if out, _, code := install(t, c.from, c.program); code != 2 || !strings.Contains(out, c.expect) {
			t.Errorf("%s: code %d, %s", name, code, out)
		}
	}
}

// TestInstallKnowsTheArchives: the names in install.sh are those that a release
// makes.
func TestInstallKnowsTheArchives(t *testing.T) {
	config, err := os.ReadFile(filepath.Join(root, "goreleaser.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"mezu", "warpgate", "mezusphere"} {
		if !strings.Contains(string(config), fmt.Sprintf("name_template: %q", program+"_{{ .Os }}_{{ .Arch }}")) {
			t.Errorf("goreleaser.yaml names no archive of %s as install.sh expects it", program)
		}
	}
	if !strings.Contains(string(config), "name_template: SHA256SUMS") {
		t.Error("goreleaser.yaml makes no SHA256SUMS")
	}
}
