package seal_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu/edgesvc/seal"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

func newKey(t *testing.T) seal.Key {
	t.Helper()
	key, err := seal.LoadOrCreateKey(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestSealOpen(t *testing.T) {
	key := newKey(t)
	for _, plain := range []string{"", "x", strings.Repeat("secret ", 10_000)} {
		for _, context := range []string{"", "usr/1"} {
			sealed := key.Seal(context, []byte(plain))
			if len(sealed) != len(plain)+seal.Overhead {
				t.Errorf("%d bytes sealed to %d", len(plain), len(sealed))
			}
			got, err := key.Open(context, sealed)
			if err != nil || string(got) != plain {
				t.Errorf("Open = %q, %v", got, err)
			}
			if bytes.Equal(sealed, key.Seal(context, []byte(plain))) {
				t.Error("sealing twice gives the same bytes")
			}
		}
	}
	if sealed := key.Seal("c", []byte("plain text")); bytes.Contains(sealed, []byte("plain")) {
		t.Error("sealed record holds the plain text")
	}
}

func TestOpenRefuses(t *testing.T) {
	key := newKey(t)
	sealed := key.Seal("usr/1", []byte("secret"))
	if _, err := key.Open("usr/2", sealed); !errors.Is(err, seal.ErrNotAuthentic) {
		t.Errorf("wrong context: %v", err)
	}
	if _, err := newKey(t).Open("usr/1", sealed); !errors.Is(err, seal.ErrOtherKey) {
		t.Errorf("wrong key: %v", err)
	}
	if _, err := (seal.Key{}).Open("usr/1", sealed); !errors.Is(err, seal.ErrOtherKey) {
		t.Errorf("zero key: %v", err)
	}
	for i := range sealed {
		for bit := range 8 {
			forged := bytes.Clone(sealed)
			forged[i] ^= 1 << bit
			if got, err := key.Open("usr/1", forged); err == nil {
				t.Fatalf("bit %d of byte %d flipped: opened as %q", bit, i, got)
			}
		}
		if got, err := key.Open("usr/1", sealed[:i]); err == nil {
			t.Fatalf("cut to %d bytes: opened as %q", i, got)
		}
	}
	if _, err := key.Open("usr/1", append(sealed, 0)); err == nil {
		t.Error("a longer record opened")
	}
	// Bytes may not move between context and head.
	if _, err := key.Open("sr/1", append(bytes.Clone(sealed[:9]), append([]byte("u"), sealed[9:]...)...)); err == nil {
		t.Error("shifted record opened")
	}
}

func TestZeroKeySealsNothing(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	(seal.Key{}).Seal("c", []byte("secret"))
}

func TestKeyFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	path := filepath.Join(dir, "key")
	a, err := seal.LoadOrCreateKey(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := seal.LoadOrCreateKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := b.Open("c", a.Seal("c", []byte("x"))); err != nil || string(got) != "x" {
		t.Errorf("the loaded key opens %q, %v", got, err)
	}
	for path, want := range map[string]os.FileMode{path: 0o600, dir: 0o700} {
		if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != want {
			t.Errorf("%s has mode %v, %v", path, fi.Mode(), err)
		}
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("files left behind: %v", files)
	}
	good, _ := os.ReadFile(path)
	for name, content := range map[string]string{
		"empty": "", "cut": string(good[:len(good)-6]), "long": string(good) + "x",
		"huge": strings.Repeat(string(good), 100), "other": "-----BEGIN KEY-----\n",
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := seal.LoadOrCreateKey(path); err == nil {
			t.Errorf("%s key file accepted", name)
		}
		if now, _ := os.ReadFile(path); string(now) != content {
			t.Errorf("%s key file was overwritten", name)
		}
	}
}

func TestKeyFileOpenToOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if _, err := seal.LoadOrCreateKey(path); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := seal.LoadOrCreateKey(path); err == nil {
			t.Errorf("mode %v accepted", mode)
		}
	}
}

// Processes that start at once agree on one key.
func TestKeyFileMadeConcurrently(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	keys := make([]seal.Key, 16)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			var err error
			if keys[i], err = seal.LoadOrCreateKey(path); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	sealed := keys[0].Seal("c", []byte("x"))
	for i, key := range keys {
		if _, err := key.Open("c", sealed); err != nil {
			t.Errorf("key %d: %v", i, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	key, err := seal.LoadOrCreateKey(filepath.Join(f.TempDir(), "key"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add("c", key.Seal("c", []byte("x")))
	f.Add("", []byte{})
	f.Add("c", key.Seal("c", nil)[:12])

	f.Fuzz(func(t *testing.T, context string, sealed []byte) {
		plain, err := key.Open(context, sealed)
		if err == nil && context != "c" {
			t.Errorf("forged record opened as %q", plain)
		}
	})
}
