package statedir_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/trust/statedir"
)

func open(t *testing.T, checksums bool) *statedir.Dir {
	t.Helper()
	d, err := statedir.Open(statedir.Config{Path: filepath.Join(t.TempDir(), "state"), Owner: "test", Folders: []string{"bundles"}, Checksums: checksums, Suffix: ".bad"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestFiles(t *testing.T) {
	for _, checksums := range []bool{false, true} {
		d := open(t, checksums)
		name := filepath.Join("bundles", "a.json")
		if _, err := d.Read(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("reading no file: %v", err)
		}
		if err := d.Save(name, []byte(`"a"`)); err != nil {
			t.Fatal(err)
		}
		var got string
		if err := d.ReadJSON(name, &got); err != nil || got != "a" {
			t.Errorf("read %q, %v", got, err)
		}
		data, err := os.ReadFile(d.Path(name))
		if err != nil || (string(data) == `"a"`) == checksums {
			t.Errorf("with checksums %t the file is %q, %v", checksums, data, err)
		}
		if err := os.WriteFile(d.Path(name), data[:len(data)-1], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Read(name); errors.Is(err, statedir.ErrDamaged) != checksums {
			t.Errorf("with checksums %t a cut file is read with %v", checksums, err)
		}
		d.Reject(name, errors.New("cut"))
		if _, err := os.Stat(d.Path(name) + ".bad"); err != nil {
			t.Errorf("it was not set aside: %v", err)
		}
	}
}

// What can't be written waits, is counted once, and is written when it can be.
func TestUnwritableFile(t *testing.T) {
	d := open(t, false)
	// A file can't replace a folder that has something in it.
	if err := os.MkdirAll(filepath.Join(d.Path("a"), "b"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := d.Save("a", []byte("1")); err == nil || !d.Waits("a") || d.Waiting() != 1 || !d.Idle() {
		t.Fatalf("saved: %v", err)
	}
	for range 2 {
		if err := d.Flush(true); err == nil || !d.Waits("a") {
			t.Fatalf("flushed: %v", err)
		}
	}
	if err := d.Flush(false); err != nil || d.Failures() != 1 {
		t.Errorf("%v, counted %d times", err, d.Failures())
	}
	if err := os.RemoveAll(d.Path("a")); err != nil {
		t.Fatal(err)
	}
	if err := d.Flush(true); err != nil || d.Waiting() != 0 {
		t.Errorf("flushed: %v", err)
	}
	if data, err := d.Read("a"); err != nil || string(data) != "1" {
		t.Errorf("read %q, %v", data, err)
	}
}

func TestLockedDirectory(t *testing.T) {
	d := open(t, false)
	_, err := statedir.Open(statedir.Config{Path: filepath.Dir(d.Path("a")), Owner: "test"})
	var told *mezu.Error
	if !errors.As(err, &told) || told.Code != mezu.CodeConflict || told.Hint != "stop the other test, or give this one a directory of its own with --state" {
		t.Errorf("opened twice: %v", err)
	}
}

// Whoever tells of failures tells one only once: Save and Flush have the same text for it.
func TestSaveAndFlushSayTheSame(t *testing.T) {
	d := open(t, true)
	name := filepath.Join("nowhere", "a.json")
	text := func(err error) string {
		return regexp.MustCompile(`json-[0-9]+`).ReplaceAllString(fmt.Sprint(err), "json-N")
	}
	saved, flushed := text(d.Save(name, nil)), text(d.Flush(true))
	twice := "writing " + d.Path(name) + ": writing " + d.Path(name) + ": "
	if saved != flushed || !strings.HasPrefix(saved, twice) {
		t.Errorf("Save says %q, Flush %q", saved, flushed)
	}
}
