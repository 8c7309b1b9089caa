package update

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// zeros are the bytes of a file that is nothing in an archive.
func zeros(n int64) io.Reader { return io.LimitReader(zero{}, n) }

type zero struct{}

func (zero) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// archived makes an archive of a kind of files that hold nothing.
func archived(t *testing.T, name string, files map[string]int64) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if strings.HasSuffix(name, ".zip") {
		zw := zip.NewWriter(f)
		for file, size := range files {
			w, err := zw.Create(file)
			if err == nil {
				_, err = io.Copy(w, zeros(size))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		err = zw.Close()
	} else {
		gz, _ := gzip.NewWriterLevel(f, gzip.BestSpeed)
		tw := tar.NewWriter(gz)
		for file, size := range files {
			err := tw.WriteHeader(&tar.Header{Name: file, Size: size, Typeflag: tar.TypeReg})
			if err == nil {
				_, err = io.Copy(tw, zeros(size))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		tw.Close()
		err = gz.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// An archive has what it has, by its last name, in both kinds; and not more than it can have.
func TestUnpack_Bounds(t *testing.T) {
	many := map[string]int64{"mezu": 1}
	for i := range maxEntries {
		many["x/"+strconv.Itoa(i)] = 0
	}
	for _, name := range []string{"a.tar.gz", "a.zip"} {
		program := "mezu"
		if name == "a.zip" {
			program = "mezu.exe"
		}
		var got bytes.Buffer
		files, err := unpack(archived(t, name, map[string]int64{program: 3, "README": 1, "../../etc/mezu.1": 2, "completions/_mezu": 4, "man/warpgate.1": 1, "sub/mezu": 9}), name, &got)
		if err != nil || got.Len() != 3 || len(files) != 2 || len(files["mezu.1"]) != 2 || len(files["_mezu"]) != 4 {
			t.Errorf("%s: %d bytes, %v, %v", name, got.Len(), files, err)
		}
		for what, bad := range map[string]map[string]int64{"over " + strconv.Itoa(maxEntries) + " files": many, "beside the program is over": {"mezu": 1, "man/mezu.1": maxBeside + 1}, "holds no program": {"x": 1}} {
			if _, err := unpack(archived(t, name, bad), name, io.Discard); err == nil || !strings.Contains(err.Error(), what) {
				t.Errorf("%s: %v; want %q", name, err, what)
			}
		}
	}
	if os.Getenv("MEZU_SOAK") == "" {
		return // half a gigabyte takes a second
	}
	if _, err := unpack(archived(t, "a.tar.gz", map[string]int64{"mezu": maxProgram + 1}), "a.tar.gz", io.Discard); err == nil {
		t.Error("a program of any size is taken")
	}
}

func TestKeeperByPath(t *testing.T) {
	for path, want := range map[string]string{"/nix/store/abc-mezu-1.2/bin/mezu": "Nix", "/opt/homebrew/Cellar/mezu/1.2/bin/mezu": "Homebrew", "/snap/mezu/1/mezu": "Snap", "/home/ana/.local/bin/mezu": "", "/usr/local/bin/mezu": ""} {
		if got, _ := keeperByPath(path); got != want {
			t.Errorf("%s: %q", path, got)
		}
	}
}
