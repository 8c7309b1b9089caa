package testkit

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// Release is a folder as a release has it, with a key of its own: an archive of mezu for this
// machine, VERSION, SHA256SUMS and its signature.
type Release struct {
	// Dir is the folder, Key the private key, and Signers the file that names its public one.
	Dir, Key, Signers string
	// Archive is the name of the archive.
	Archive string
}

// NewRelease makes one of a version. program is what the archive has as mezu; if nil, a script
// that says the version.
func NewRelease(t testing.TB, version string, program []byte) *Release {
	t.Helper()
	Programs(t, "ssh-keygen")
	keys := t.TempDir()
	r := &Release{Dir: t.TempDir(), Key: filepath.Join(keys, "key"), Signers: filepath.Join(keys, "allowed_signers")}
	r.keygen(t, "-q", "-N", "", "-C", "", "-t", "ed25519", "-f", r.Key)
	public, err := os.ReadFile(r.Key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	r.write(t, r.Signers, []byte("# whoever built this\r\ntest@example.com\tnamespaces=\"mezu-release\" "+string(public)))
	r.Fill(t, version, program)
	return r
}

// Fill makes the folder's files of a version.
func (r *Release) Fill(t testing.TB, version string, program []byte) {
	t.Helper()
	if program == nil {
		program = []byte("#!/bin/sh\necho mezu " + strings.TrimPrefix(version, "v") + "\n")
	}
	r.Pack(t, version, map[string][]byte{
		"mezu": program, "LICENSE": []byte("licence\n"),
		"completions/mezu.bash": []byte("# bash " + version + "\n"), "completions/_mezu": []byte("#compdef mezu " + version + "\n"),
		"completions/mezu.fish": []byte("# fish " + version + "\n"), "completions/mezu.ps1": []byte("# PowerShell\n"),
		"man/mezu.1": []byte(".\\\" " + version + "\n"), "man/mezu-tunnel.1": []byte(".\\\" " + version + "\n"), "man/warpgate.1": []byte(".\n"),
	})
}

// Pack makes an archive of files, and what goes with it. The program among them names it.
func (r *Release) Pack(t testing.TB, version string, files map[string][]byte) {
	t.Helper()
	var b bytes.Buffer
	zw, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	tw := tar.NewWriter(zw)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		h := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name])), Typeflag: tar.TypeReg}
		if to, link := strings.CutPrefix(string(files[name]), "link to "); link {
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, to, 0
		}
		if err := tw.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := tw.Write(files[name]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	program := "mezu"
	for _, other := range []string{"warpgate", "mezusphere"} {
		if files[other] != nil {
			program = other
		}
	}
	r.Archive = fmt.Sprintf("%s_%s_%s.tar.gz", program, runtime.GOOS, runtime.GOARCH)
	r.write(t, filepath.Join(r.Dir, r.Archive), b.Bytes())
	r.write(t, filepath.Join(r.Dir, "VERSION"), []byte(version+"\n"))
	archives, err := filepath.Glob(filepath.Join(r.Dir, "*.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	sums := r.Sum(t, "VERSION")
	for _, path := range archives {
		sums += r.Sum(t, filepath.Base(path))
	}
	r.Sums(t, sums)
}

// Sum is the line of SHA256SUMS for a file.
func (r *Release) Sum(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(r.Dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x  %s\n", sha256.Sum256(data), name)
}

// Sums writes SHA256SUMS, and signs it.
func (r *Release) Sums(t testing.TB, text string) {
	t.Helper()
	r.write(t, filepath.Join(r.Dir, "SHA256SUMS"), []byte(text))
	r.Sign(t, "mezu-release")
}

// Sign signs SHA256SUMS as it is, for a namespace.
func (r *Release) Sign(t testing.TB, namespace string) {
	t.Helper()
	sums := filepath.Join(r.Dir, "SHA256SUMS")
	if err := os.RemoveAll(sums + ".sig"); err != nil {
		t.Fatal(err)
	}
	r.keygen(t, "-q", "-Y", "sign", "-f", r.Key, "-n", namespace, sums)
}

func (r *Release) keygen(t testing.TB, args ...string) {
	t.Helper()
	if out, err := exec.Command("ssh-keygen", args...).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen %q: %v, %s", args, err, out)
	}
}

func (r *Release) write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
