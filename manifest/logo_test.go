package manifest_test

import (
	"bytes"
	"errors"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/logo"
	"github.com/mezusphere/mezu/manifest"
)

// pictured writes files of images and a manifest beside them, and reads that.
func pictured(t *testing.T, text string) (dir string, f *manifest.File, err error) {
	t.Helper()
	dir = t.TempDir()
	var pixels bytes.Buffer
	if err := png.Encode(&pixels, image.NewGray(image.Rect(0, 0, 10, 10))); err != nil {
		t.Fatal(err)
	}
	write := func(name string, data []byte) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("logo.png", append(pixels.Bytes(), "and more"...))
	write("deploy/mezu.yaml", []byte(text))
	write("secret", []byte("a key that nobody may see"))
	write("large.png", append(pixels.Bytes(), make([]byte, mezu.MaxLogo)...))
	write("logo.svg", []byte("<svg/>"))
	f, err = manifest.Read(t.Context(), filepath.Join(dir, "deploy", "mezu.yaml"), "mezu.yaml")
	return dir, f, err
}

// A logo is a file beside the manifest; what is sent is its pixels.
func TestRead_Logo(t *testing.T) {
	dir, f, err := pictured(t, "directories: {users: {brand: {logo: ../logo.png}}, others: {brand: {name: Acme}}}\n")
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(dir, "logo.png"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := logo.Encode(file)
	if err != nil {
		t.Fatal(err)
	}
	brand := f.Manifest.Directories["users"].Brand
	if got, ok, err := brand.LogoImage(); !ok || err != nil || !bytes.Equal(got, want) || bytes.Contains(got, []byte("and more")) {
		t.Errorf("%.80q, %v", brand.Logo, err)
	}
	if other := f.Manifest.Directories["others"].Brand; other != (mezu.ManifestBrand{Name: "Acme"}) {
		t.Errorf("%+v", other)
	}
	if err := f.Explain(mezu.Invalid("manifest.directories.users.brand.logo", "is wrong")); !strings.HasPrefix(err.Error(), "mezu.yaml:1:31: ") {
		t.Error(err)
	}
	_, f, err = pictured(t, "directories: {users: {brand: {logo: "+filepath.ToSlash(filepath.Join(dir, "logo.png"))+"}}}\n")
	if err != nil || !strings.HasPrefix(f.Manifest.Directories["users"].Brand.Logo, "data:image/png;base64,") {
		t.Errorf("an absolute path: %v", err)
	}
	for _, kept := range []string{"sha256:" + strings.Repeat("0a", 32), "data:image/png;base64,AAAA"} {
		if _, f, err := pictured(t, "directories: {users: {brand: {logo: \""+kept+"\"}}}\n"); err != nil || f.Manifest.Directories["users"].Brand.Logo != kept {
			t.Errorf("%s: %v", kept, err)
		}
	}
}

// A file that is missing or no logo is named at its place, and what it says is not repeated.
func TestRead_LogoRefused(t *testing.T) {
	for path, detail := range map[string]string{
		"../nowhere.png": "../nowhere.png: ", "..": "a directory", "../secret": "no PNG, JPEG or GIF", "../large.png": "262144 bytes", "../logo.svg": "SVG", "logo.png": "logo.png: ",
	} {
		_, _, err := pictured(t, "directories:\n  users: {brand: {logo: "+path+"}}\n")
		var e *manifest.Error
		if !errors.As(err, &e) || e.Line != 2 || e.Column != 19 || mezu.CodeOf(err) != mezu.CodeInvalid || !strings.Contains(err.Error(), detail) || strings.Contains(err.Error(), "nobody may see") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if runtime.GOOS != "windows" {
		if _, _, err := pictured(t, "directories: {users: {brand: {logo: /dev/zero}}}\n"); err == nil || !strings.Contains(err.Error(), "a device") {
			t.Errorf("a device: %v", err)
		}
	}
}
