package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// filesOf gives the digest of every file below a folder.
func filesOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		out[filepath.ToSlash(rel)], err = digest(p)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestTwoBuildsAreEqual: a program of ours has the same bytes, built in this folder and in a
// copy of it. TestReleasingPage compares all the files of two releases.
func TestTwoBuildsAreEqual(t *testing.T) {
	t.Parallel()
	c, err := readConfig("..")
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(c.Builds, func(b build) bool { return b.ID == "warpgate" })
	here, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	there := t.TempDir()
	for _, dir := range packagesOf(t, here, c.Builds[i].Main) {
		rel, err := filepath.Rel(here, dir)
		if err != nil {
			t.Fatal(err)
		}
		copyFiles(t, dir, filepath.Join(there, rel))
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		if err := copyTree(filepath.Join(here, name), filepath.Join(there, name)); err != nil {
			t.Fatal(err)
		}
	}
	f := commit{id: "x", at: testTime, tag: "v1.2.3"}.fields(testVersion)
	var sums []string
	for _, root := range []string{here, there} {
		b, err := c.Builds[i].compile(t.Context(), root, t.TempDir(), "linux", runtime.GOARCH, f)
		if err != nil {
			t.Fatal(err)
		}
		sum, err := digest(b.path)
		if err != nil {
			t.Fatal(err)
		}
		sums = append(sums, sum)
		info, err := os.Stat(b.path)
		if err != nil {
			t.Fatal(err)
		}
		// The bound is the project's: a sidecar is beside every workload.
		if info.Size() > maxWarpgate {
			t.Errorf("warpgate has %d bytes, %d at most", info.Size(), maxWarpgate)
		}
	}
	if sums[0] != sums[1] {
		t.Error("two builds differ")
	}
}

// maxWarpgate is how large a stripped warpgate may be.
const maxWarpgate = 15_000_000

// packagesOf are the folders of the module that a program is of.
func packagesOf(t *testing.T, root, main string) []string {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-f", "{{if .Module}}{{if .Module.Main}}{{.Dir}}{{end}}{{end}}", main)
	cmd.Dir = root
	out, err := output(cmd)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(out))
}

// copyFiles copies what a package is of: its files, and folders without code, which it may
// embed.
func copyFiles(t *testing.T, from, to string) {
	t.Helper()
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	_, err = os.Stat(filepath.Join(from, "go.mod"))
	root := err == nil // the repository: it embeds nothing, and its folders are many
	for _, e := range entries {
		code, err := filepath.Glob(filepath.Join(from, e.Name(), "*.go"))
		if err == nil && (!e.IsDir() || len(code) == 0 && !root) {
			err = copyTree(filepath.Join(from, e.Name()), filepath.Join(to, e.Name()))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// contentsOf gives the headers of a tar.gz or zip by name, as tar has them, and opens one.
func contentsOf(t *testing.T, archive string) map[string]*tar.Header {
	t.Helper()
	out := map[string]*tar.Header{}
	if strings.HasSuffix(archive, ".zip") {
		zr, err := zip.OpenReader(archive)
		if err != nil {
			t.Fatal(err)
		}
		defer zr.Close()
		for _, e := range zr.File {
			out[e.Name] = &tar.Header{Mode: int64(e.Mode().Perm()), ModTime: e.Modified, Uname: "root"}
		}
		return out
	}
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zr, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for tr := tar.NewReader(zr); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out[h.Name] = h
	}
}

// TestArchives: each has its program, executable, with licences and documents, all of
// the commit's time, and of nobody of this machine.
func TestArchives(t *testing.T) {
	t.Parallel()
	dist := madeRelease(t)
	for _, name := range []string{"mezu", "warpgate", "mezusphere"} {
		for _, platform := range []string{"linux_amd64.tar.gz", "linux_arm64.tar.gz", "darwin_arm64.tar.gz", "windows_amd64.zip"} {
			archive := name + "_" + platform
			got := contentsOf(t, filepath.Join(dist, archive))
			executable := name
			if strings.HasPrefix(platform, "windows") {
				executable += ".exe"
			}
			modes := map[string]int64{executable: 0o755, "LICENSE": 0o644, "README.md": 0o644, "SECURITY.md": 0o644, "THIRD_PARTY_LICENSES": 0o644, "man/" + name + ".1": 0o644}
			if name == "mezu" {
				for _, file := range []string{"man/mezu-tunnel.1", "completions/mezu.bash", "completions/_mezu", "completions/mezu.fish", "completions/mezu.ps1"} {
					modes[file] = 0o644
				}
			}
			for want, mode := range modes {
				switch h := got[want]; {
				case h == nil:
					t.Errorf("%s has no %s: %q", archive, want, slices.Sorted(maps.Keys(got)))
				case h.Mode != mode || h.ModTime.Unix() != 1700000000 || h.Uname != "root" || h.Uid != 0:
					t.Errorf("%s: %s has mode %o, time %v, owner %q %d", archive, want, h.Mode, h.ModTime, h.Uname, h.Uid)
				}
			}
		}
	}
	err := openProgram(filepath.Join(dist, "mezu_"+runtime.GOOS+"_"+runtime.GOARCH+".tar.gz"), func(name string, data []byte, _ time.Time) error {
		path := filepath.Join(t.TempDir(), name)
		// A process that starts meanwhile has the file open too, and then it can't be run.
		syscall.ForkLock.RLock()
		err := os.WriteFile(path, data, 0o755)
		syscall.ForkLock.RUnlock()
		if err != nil {
			return err
		}
		if out := runTool(t, path); out != "mezu "+testVersion+"\n" {
			t.Errorf("the program says %q", out)
		}
		return nil
	})
	if err != nil && runtime.GOOS != "windows" {
		t.Error(err)
	}
}

// TestLicences: what is linked is named with its texts, and what has none stops a release.
func TestLicences(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(madeRelease(t), "..", filepath.FromSlash(inputsDir), "mezu", "THIRD_PARTY_LICENSES"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Go go1.", "The Go Authors", "go.yaml.in/yaml/v3 v3.", "Kirill Simonov", "/v3 v3.0.6, NOTICE"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the licences do not say %q", want)
		}
	}
	// Those of the project itself: a dependency without one is seen before a release.
	c, err := readConfig("..")
	if err != nil {
		t.Fatal(err)
	}
	texts, err := licences(t.Context(), "..", c.Builds)
	if err != nil || !strings.Contains(string(texts["mezusphere"]), "go.etcd.io") || strings.Contains(string(texts["warpgate"]), "go.etcd.io") {
		t.Errorf("licences of %d programs, %v", len(texts), err)
	}
	dir := t.TempDir()
	m := linked{path: "example.com/x", version: "v1.0.0", dir: dir, folders: map[string]bool{dir: true}}
	if err := os.WriteFile(filepath.Join(dir, "license.go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := m.licenceFiles(); err == nil || !strings.Contains(err.Error(), "example.com/x v1.0.0 has no licence") {
		t.Errorf("a module without a licence: %v", err)
	}
	for name, want := range map[string]bool{"LICENSE": true, "LICENCE.md": true, "license-MIT": true, "COPYING": true, "NOTICE.txt": true, "UNLICENSE": true, "licenses.go": false, "README": false, "noticeable": false} {
		if got := licenceFile.MatchString(name); got != want {
			t.Errorf("%s is a licence: %v", name, got)
		}
	}
}

// TestSBOM: the list of an archive is valid, and names what the program says it is of.
func TestSBOM(t *testing.T) {
	t.Parallel()
	dist := madeRelease(t)
	schema := compileSchema(t)
	lists, err := filepath.Glob(filepath.Join(dist, "*.cdx.json"))
	if err != nil || len(lists) != 12 {
		t.Fatalf("%d lists, %v", len(lists), err)
	}
	for _, path := range lists {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		value, err := jsonschema.UnmarshalJSON(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(value); err != nil {
			t.Errorf("%s: %v", filepath.Base(path), err)
		}
	}
	data, err := os.ReadFile(filepath.Join(dist, "mezu_windows_amd64.zip.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	var bom struct {
		Metadata struct {
			Component struct{ Name, Version string }
		}
		Components []struct{ Name, Version string }
	}
	if err := json.Unmarshal(data, &bom); err != nil {
		t.Fatal(err)
	}
	info, err := buildinfo.ReadFile(filepath.Join(dist, "build", "mezu_windows_amd64", "mezu.exe"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"mezu " + testVersion, "std " + strings.TrimPrefix(info.GoVersion, "go")}
	for _, d := range info.Deps {
		want = append(want, d.Path+" "+d.Version)
	}
	got := []string{bom.Metadata.Component.Name + " " + bom.Metadata.Component.Version}
	for _, c := range bom.Components {
		got = append(got, c.Name+" "+c.Version)
	}
	if !slices.Equal(got, want) || len(want) < 3 {
		t.Errorf("the list names %q; want %q", got, want)
	}
}

// compileSchema is the schema of the version of CycloneDX that we write, of its authors.
func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	dir := strings.TrimSpace(runTool(t, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go"))
	c := jsonschema.NewCompiler()
	for file, url := range map[string]string{"bom-1.6.schema.json": "bom-1.6.schema.json", "spdx.schema.json": "spdx.schema.json", "jsf-0.82.schemax.json": "jsf-0.82.schema.json"} {
		f, err := os.Open(filepath.Join(dir, "schema", file))
		if err != nil {
			t.Fatal(err)
		}
		value, err := jsonschema.UnmarshalJSON(f)
		f.Close()
		if err == nil {
			err = c.AddResource("http://cyclonedx.org/schema/"+url, value)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s, err := c.Compile("http://cyclonedx.org/schema/bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSums: SHA256SUMS names every file that people get, but for itself and its signature.
func TestSums(t *testing.T) {
	t.Parallel()
	dist := madeRelease(t)
	data, err := os.ReadFile(filepath.Join(dist, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dist)
	if err != nil {
		t.Fatal(err)
	}
	want := ""
	for _, e := range entries {
		if e.IsDir() || slices.Contains([]string{"SHA256SUMS", "SHA256SUMS.sig", signersName}, e.Name()) {
			continue
		}
		sum, err := digest(filepath.Join(dist, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		want += fmt.Sprintf("%s  %s\n", sum, e.Name())
	}
	if string(data) != want {
		t.Errorf("SHA256SUMS is\n%s; want\n%s", data, want)
	}
	if version, err := os.ReadFile(filepath.Join(dist, versionName)); string(version) != testVersion+"\n" {
		t.Errorf("VERSION is %q, %v", version, err)
	}
}

// TestIndexes: the formula and the manifest name archives of this release by their digests.
func TestIndexes(t *testing.T) {
	t.Parallel()
	dist := madeRelease(t)
	formula, err := os.ReadFile(filepath.Join(dist, "homebrew", "Formula", "mezu.rb"))
	if err != nil {
		t.Fatal(err)
	}
	const address = "https://github.com/mezusphere/mezu/releases/download/v1.2.3/"
	for _, name := range []string{"mezu_darwin_arm64.tar.gz", "mezu_linux_amd64.tar.gz", "mezu_linux_arm64.tar.gz"} {
		sum, err := digest(filepath.Join(dist, name))
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("      url %q\n      sha256 %q\n", address+name, sum); !strings.Contains(string(formula), want) {
			t.Errorf("the formula lacks %s:\n%s", want, formula)
		}
	}
	for _, want := range []string{"class Mezu < Formula\n", "  version \"1.2.3\"\n", "    bin.install \"mezu\"\n"} {
		if !strings.Contains(string(formula), want) {
			t.Errorf("the formula lacks %q:\n%s", want, formula)
		}
	}
	data, err := os.ReadFile(filepath.Join(dist, "scoop", "mezu.json"))
	if err != nil {
		t.Fatal(err)
	}
	var m scoopManifest
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	sum, err := digest(filepath.Join(dist, "mezu_windows_amd64.zip"))
	if err != nil {
		t.Fatal(err)
	}
	if d := m.Architecture["64bit"]; m.Version != testVersion || d.Hash != sum || d.URL != address+"mezu_windows_amd64.zip" || !slices.Equal(d.Bin, []string{"mezu.exe"}) {
		t.Errorf("the manifest says %+v", m)
	}
	if got, want := rubyQuote(`a "b" #{c} \d`), `"a \"b\" \#{c} \\d"`; got != want {
		t.Errorf("a string of Ruby: %s; want %s", got, want)
	}
}
