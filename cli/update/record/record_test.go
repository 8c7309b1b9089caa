package record

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// What is written is read again.
func TestRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mezu")
	want := &Record{Version: "v1.2.3", Source: "https://example.com/a b", Unsigned: true, Keys: []string{"a ssh-ed25519 AAAA", `b namespaces="x" ssh-rsa BBBB`},
		Programs: []string{"/home/ada lovelace/bin/mezu"}, Files: []string{"/x/mezu.1", "/y/ä"}, Dirs: []string{"/x", "/x/y"}}
	text, err := want.Text()
	if err == nil {
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Read(path); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []*Record{{Files: []string{"relative"}}, {Files: []string{"/a\nprogram /b"}}, {Source: "x\r"}} {
		if text, err := bad.Text(); err == nil {
			t.Errorf("%+v is written as %q", bad, text)
		}
	}
	if _, err := Read(path + "x"); !None(err) {
		t.Error(err)
	}
	for _, env := range []map[string]string{{}, {"HOME": "relative"}} {
		if at, err := Path(func(k string) string { return env[k] }, "mezu"); err == nil {
			t.Errorf("%q is at %s", env, at)
		}
	}
}

// Whatever is read as a record is written as one that reads the same.
func FuzzParse(f *testing.F) {
	f.Add("mezu-install 1\nversion v1\nprogram /a\nfile /b\ndir /c\nkey k\nunsigned yes\n")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parse(text)
		if err != nil {
			return
		}
		data, err := r.Text()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := parse(string(data)); err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("%+v, %v", again, err)
		}
	})
}
