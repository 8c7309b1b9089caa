package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/goreleaser/nfpm/v2/files"
)

// laterPackage makes the package of a later version of what was released for this machine.
func laterPackage(t *testing.T, format, version string) string {
	t.Helper()
	root := filepath.Join(madeRelease(t), "..")
	c, err := readConfig(root)
	if err != nil {
		t.Fatal(err)
	}
	b := binary{build: c.Builds[0], goos: "linux", goarch: runtime.GOARCH, name: "mezu"}
	b.path = filepath.Join(root, "dist", "build", "mezu_linux_"+runtime.GOARCH, "mezu")
	dir := t.TempDir()
	name, err := c.NFPMs[0].write(root, dir, b, format, version, commit{id: "x", at: testTime, tag: "v0.0.0"}.fields(version))
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

// packageOf is the package of mezu that was released for this machine.
func packageOf(t *testing.T, format string) string {
	t.Helper()
	if runtime.GOOS != "linux" || !strings.Contains(testPlatforms, "linux/"+runtime.GOARCH) {
		t.Skip("there is no package for this machine")
	}
	return filepath.Join(madeRelease(t), "mezu_linux_"+runtime.GOARCH+"."+format)
}

// contentsOfMezu are some files of every package of mezu.
func contentsOfMezu(zsh string) []string {
	return []string{"usr/bin/mezu", "usr/share/man/man1/mezu.1", "usr/share/man/man1/mezu-tunnel.1", "usr/share/doc/mezu/copyright",
		"usr/share/doc/mezu/THIRD_PARTY_LICENSES", "usr/share/bash-completion/completions/mezu", "usr/share/fish/vendor_completions.d/mezu.fish", zsh}
}

// TestPackagesOfTheService: those of control plane and edge have the service where systemd looks for
// it, but for Alpine, which has no systemd.
func TestPackagesOfTheService(t *testing.T) {
	root := filepath.Join(madeRelease(t), "..")
	c, err := readConfig(root)
	if err != nil {
		t.Fatal(err)
	}
	for format, want := range map[string]bool{"deb": true, "rpm": true, "apk": false} {
		all, err := c.NFPMs[2].contents(root, binary{name: "mezusphere"}, format, testTime)
		if err != nil {
			t.Fatal(err)
		}
		for dst, src := range map[string]string{
			"/usr/lib/systemd/system/mezusphere.service": "deploy/systemd/mezusphere.service", "/usr/lib/sysusers.d/mezusphere.conf": "deploy/systemd/mezusphere.sysusers",
		} {
			has := slices.ContainsFunc(all, func(f *files.Content) bool {
				return f.Destination == dst && f.Source == filepath.Join(root, filepath.FromSlash(src)) && f.FileInfo.Mode == 0o644
			})
			if has != want {
				t.Errorf("%s of %s: %v", dst, format, has)
			}
		}
	}
}

// filesBelow are the files below a folder, but for those below some of its folders.
func filesBelow(t *testing.T, dir string, not ...string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if slices.Contains(not, rel) {
			return fs.SkipDir
		}
		if !e.IsDir() {
			out = append(out, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// needRoot ends a test in which files are given to root.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, who may own what a package installs")
	}
}

// TestDeb: dpkg installs, updates and purges it in an empty root.
func TestDeb(t *testing.T) {
	t.Parallel()
	path := packageOf(t, "deb")
	tools(t, "dpkg", "dpkg-deb")
	fields := runTool(t, "dpkg-deb", "--field", path)
	for _, want := range []string{"Package: mezu\n", "Version: 1.2.3\n", "Architecture: " + runtime.GOARCH + "\n", "Homepage: https://github.com/mezusphere/mezu\n"} {
		if !strings.Contains(fields, want) {
			t.Errorf("it does not say %q:\n%s", want, fields)
		}
	}
	if strings.Contains(fields, "Depends:") {
		t.Errorf("static programs depend on nothing:\n%s", fields)
	}
	list := runTool(t, "dpkg-deb", "--contents", path)
	for _, name := range contentsOfMezu("usr/share/zsh/vendor-completions/_mezu") {
		if !strings.Contains(list, "root/root") || !strings.Contains(list, " ./"+name+"\n") {
			t.Errorf("it has no %s:\n%s", name, list)
		}
	}
	needRoot(t)
	root := t.TempDir()
	for name := range strings.FieldsSeq("var/lib/dpkg/status var/lib/dpkg/available var/lib/dpkg/info/format var/log/dpkg.log") {
		data := ""
		if strings.HasSuffix(name, "format") {
			data = "1\n"
		}
		if err := writeFile(filepath.Join(root, name), []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(root, "var/lib/dpkg/updates"), 0o755); err != nil {
		t.Fatal(err)
	}
	dpkg := func(args ...string) { runTool(t, "dpkg", append([]string{"--root=" + root}, args...)...) }
	version := func() string {
		return runTool(t, "dpkg-query", "--admindir="+filepath.Join(root, "var/lib/dpkg"), "--show", "--showformat=${Version} ${Status}", "mezu")
	}
	dpkg("--force-architecture", "--install", path)
	if got := version(); got != "1.2.3 install ok installed" {
		t.Errorf("dpkg says %q", got)
	}
	if out := runTool(t, filepath.Join(root, "usr/bin/mezu")); out != "mezu 1.2.3\n" {
		t.Errorf("the program says %q", out)
	}
	dpkg("--force-architecture", "--install", laterPackage(t, "deb", "1.2.4-pre1700000000"))
	if got := version(); got != "1.2.4~pre1700000000 install ok installed" {
		t.Errorf("dpkg says %q", got)
	}
	dpkg("--purge", "mezu")
	if left := filesBelow(t, root, "var"); len(left) > 0 {
		t.Errorf("dpkg left %q", left)
	}
}

// TestDebInOrder: a snapshot is newer than the release before it and older than the next.
func TestDebInOrder(t *testing.T) {
	t.Parallel()
	tools(t, "dpkg")
	for _, pair := range [][2]string{{"1.2.3", "1.2.4~pre1700000000"}, {"1.2.4~pre1700000000", "1.2.4~pre1700000001"}, {"1.2.4~pre1700000001", "1.2.4"}} {
		runTool(t, "dpkg", "--compare-versions", pair[0], "lt", pair[1])
	}
}

// TestRPM: rpm finds it intact, and installs, updates and erases it in an empty root.
func TestRPM(t *testing.T) {
	t.Parallel()
	path := packageOf(t, "rpm")
	tools(t, "rpm")
	if out := runTool(t, "rpm", "--checksig", path); !strings.Contains(out, "digests OK") {
		t.Errorf("rpm says %s", out)
	}
	if out, want := runTool(t, "rpm", "--query", "--queryformat", "%{NAME} %{VERSION} %{LICENSE} %{BUILDHOST} %{BUILDTIME}", "--package", path), "mezu 1.2.3 Apache-2.0 localhost "+testEpoch; out != want {
		t.Errorf("it says %q; want %q", out, want)
	}
	list := strings.Fields(runTool(t, "rpm", "--query", "--list", "--package", path))
	for _, name := range contentsOfMezu("usr/share/zsh/site-functions/_mezu") {
		if !slices.Contains(list, "/"+name) {
			t.Errorf("it has no %s: %q", name, list)
		}
	}
	needRoot(t)
	root := t.TempDir()
	rpm := func(args ...string) string {
		return runTool(t, "rpm", append([]string{"--root", root, "--dbpath", "/var/lib/rpm"}, args...)...)
	}
	rpm("--initdb")
	rpm("--force-debian", "--install", "--nodeps", "--ignorearch", path)
	if out := runTool(t, filepath.Join(root, "usr/bin/mezu")); out != "mezu 1.2.3\n" {
		t.Errorf("the program says %q", out)
	}
	// rpm upgrades to nothing that is older.
	for _, version := range []string{"1.2.4-pre1700000000", "1.2.4-pre1700000001", "1.2.4"} {
		rpm("--force-debian", "--upgrade", "--nodeps", "--ignorearch", laterPackage(t, "rpm", version))
		if out, want := rpm("--query", "mezu"), "mezu-"+strings.ReplaceAll(version, "-", "~")+"-1."; !strings.HasPrefix(out, want) {
			t.Errorf("rpm says %q; want %s", out, want)
		}
	}
	rpm("--erase", "--nodeps", "mezu")
	if left := filesBelow(t, root, "var"); len(left) > 0 {
		t.Errorf("rpm left %q", left)
	}
}

// TestAPK: it is two gzip streams, of which the first has the digest of the second.
func TestAPK(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(packageOf(t, "apk"))
	if err != nil {
		t.Fatal(err)
	}
	in := bytes.NewReader(data)
	control := map[string]string{}
	readTar(t, in, func(h *tar.Header, r io.Reader) {
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		control[h.Name] = string(text)
	})
	second := data[len(data)-in.Len():]
	sum := sha256.Sum256(second)
	for _, want := range []string{"pkgname = mezu\n", "pkgver = 1.2.3\n", "datahash = " + hex.EncodeToString(sum[:]) + "\n"} {
		if !strings.Contains(control[".PKGINFO"], want) {
			t.Errorf("it does not say %q:\n%s", want, control[".PKGINFO"])
		}
	}
	files := map[string]int64{}
	readTar(t, bytes.NewReader(second), func(h *tar.Header, _ io.Reader) {
		files[strings.TrimPrefix(h.Name, "./")] = h.Mode
		if h.Uname != "root" || h.Gname != "root" {
			t.Errorf("%s is of %s:%s", h.Name, h.Uname, h.Gname)
		}
	})
	for _, name := range contentsOfMezu("usr/share/zsh/site-functions/_mezu") {
		if _, ok := files[name]; !ok {
			t.Errorf("it has no %s: %q", name, slices.Sorted(maps.Keys(files)))
		}
	}
	if files["usr/bin/mezu"]&0o111 == 0 {
		t.Error("the program is not executable")
	}
}

// readTar reads one gzip stream of an apk, of which the first has no end of tar.
func readTar(t *testing.T, in *bytes.Reader, use func(*tar.Header, io.Reader)) {
	t.Helper()
	zr, err := gzip.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	zr.Multistream(false)
	all, err := io.ReadAll(zr)
	if err != nil {
		t.Fatal(err)
	}
	for tr := tar.NewReader(bytes.NewReader(all)); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		use(h, tr)
	}
}
