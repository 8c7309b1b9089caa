package main

import (
	"archive/tar"
	"crypto/x509"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// imagesOf reads the images of a released file, by their architectures.
func imagesOf(t *testing.T, path, version string) map[string]v1.Image {
	t.Helper()
	dir := t.TempDir()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unpack(t, f, dir)
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil || len(manifest.Manifests) != 2 || manifest.Manifests[0].Digest != manifest.Manifests[1].Digest {
		t.Fatalf("the layout has %+v, %v", manifest, err)
	}
	for i, want := range []string{version, "latest"} {
		if got := manifest.Manifests[i].Annotations["org.opencontainers.image.ref.name"]; got != want {
			t.Errorf("the layout has the name %q; want %q", got, want)
		}
	}
	inner, err := index.ImageIndex(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(inner); err != nil {
		t.Errorf("%s: %v", path, err)
	}
	if manifest, err = inner.IndexManifest(); err != nil {
		t.Fatal(err)
	}
	out := map[string]v1.Image{}
	for _, m := range manifest.Manifests {
		if m.ArtifactType != "" || m.Platform == nil || m.Platform.OS != "linux" {
			t.Errorf("the index lists %+v", m)
		}
		if out[m.Platform.Architecture], err = inner.Image(m.Digest); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// unpack writes a tar file into a folder, with its owners if this is root.
func unpack(t *testing.T, in io.Reader, dir string) (names []string) {
	t.Helper()
	for tr := tar.NewReader(in); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, filepath.FromSlash(h.Name))
		switch h.Typeflag {
		case tar.TypeDir:
			err = os.MkdirAll(to, h.FileInfo().Mode())
		case tar.TypeReg:
			names = append(names, h.Name)
			var data []byte
			if data, err = io.ReadAll(tr); err == nil {
				err = writeFile(to, data)
			}
			if err == nil {
				err = os.Chmod(to, h.FileInfo().Mode())
			}
		default:
			t.Fatalf("%s is no file and no folder", h.Name)
		}
		if err == nil && os.Geteuid() == 0 {
			err = os.Chown(to, h.Uid, h.Gid)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestImage: it has a program, CA roots, the names of two users and licences, and nothing
// else: no shell, and nobody who is root.
func TestImage(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"warpgate", "mezusphere"} {
		images := imagesOf(t, filepath.Join(madeRelease(t), name+imageSuffix), testVersion)
		if len(images) != 2 || images["amd64"] == nil || images["arm64"] == nil {
			t.Fatalf("%s has %d images", name, len(images))
		}
		for arch, img := range images {
			conf, err := img.ConfigFile()
			if err != nil {
				t.Fatal(err)
			}
			if c := conf.Config; c.User != "65532:65532" || !slices.Equal(c.Entrypoint, []string{"/" + name}) || conf.Architecture != arch || conf.OS != "linux" {
				t.Errorf("%s for %s/%s runs %q as %q", name, conf.OS, conf.Architecture, c.Entrypoint, c.User)
			}
			if got := conf.Config.Labels["org.opencontainers.image.version"]; got != testVersion {
				t.Errorf("its label says version %q", got)
			}
			if conf.Config.Labels["org.opencontainers.image.title"] != name || conf.Created.Unix() != 1700000000 {
				t.Errorf("its title is %q, and it was made at %v", conf.Config.Labels["org.opencontainers.image.title"], conf.Created)
			}
			in := mutate.Extract(img)
			dir := t.TempDir()
			got := unpack(t, in, dir)
			in.Close()
			slices.Sort(got)
			doc := "usr/share/doc/" + name
			want := []string{"etc/group", "etc/passwd", "etc/ssl/certs/ca-certificates.crt", name, doc + "/LICENSE", doc + "/THIRD_PARTY_LICENSES"}
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("it has %q; want %q", got, want)
			}
			if info, err := os.Stat(filepath.Join(dir, "var/lib", name)); err != nil || !info.IsDir() || info.Mode().Perm() != 0o700 {
				t.Errorf("it has no folder of its own for its state: %v", err)
			}
			data, err := os.ReadFile(filepath.Join(dir, "etc/ssl/certs/ca-certificates.crt"))
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(data), "BEGIN CERTIFICATE"); n < 100 || !x509.NewCertPool().AppendCertsFromPEM(data) {
				t.Errorf("it has %d CA roots", n)
			}
		}
	}
}

// TestDockerfileRefused: what is not done as docker would do it is refused.
func TestDockerfileRefused(t *testing.T) {
	t.Parallel()
	const good = "FROM scratch\nARG TARGETPLATFORM\nCOPY a b /c/\nENV A=b\nUSER 1:1\nENTRYPOINT [\"/x\"]\n"
	if s, err := parseDockerfile(good); err != nil || len(s.copies) != 1 || s.user != "1:1" || !slices.Equal(s.entrypoint, []string{"/x"}) {
		t.Fatalf("%+v, %v", s, err)
	}
	for replace, by := range map[string]string{
		"FROM scratch": "FROM alpine", "ARG TARGETPLATFORM": "ARG X=1", "COPY a b /c/": "COPY a b /c", "COPY a": "COPY --from=x a", "COPY a b ": "COPY --chown=me:me a b ", "COPY a b": "COPY --chmod=u+x a b",
		"ENV A=b": `ENV A="b c"`, "USER 1:1\n": "", "ENTRYPOINT [\"/x\"]": "ENTRYPOINT /x", "ENV A": "RUN x\nENV A", "a b /c/": "/c/",
	} {
		text := strings.Replace(good, replace, by, 1)
		if _, err := parseDockerfile(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
	d := docker{Dockerfile: "image/x.Dockerfile", ExtraFiles: []string{"LICENSE"}}
	c := copyStep{from: []string{"go.mod"}, to: "/x"}
	if _, err := c.layer(".", d.ExtraFiles, binary{goos: "linux", goarch: "amd64", name: "x"}, testTime); err == nil || !strings.Contains(err.Error(), "extra_files") {
		t.Errorf("a file that goreleaser has not copied: %v", err)
	}
}
