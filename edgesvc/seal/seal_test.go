package seal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu/edgesvc/seal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newFile(t testing.TB) *seal.File {
	t.Helper()
	f := &seal.File{Path: filepath.Join(t.TempDir(), "key")}
	if err := f.Create(); err != nil {
		t.Fatal(err)
	}
	return f
}

func newRing(t testing.TB, w seal.Wrapper) *seal.Ring {
	t.Helper()
	r, err := seal.NewRing(context.Background(), w, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// reopen opens a ring as another process does.
func reopen(t *testing.T, w seal.Wrapper, r *seal.Ring) *seal.Ring {
	t.Helper()
	stored, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := seal.ParseRing(t.Context(), w, stored, nil)
	if err != nil {
		t.Fatal(err)
	}
	return again
}

func TestSealOpen(t *testing.T) {
	ring := newRing(t, newFile(t))
	for _, plain := range []string{"", "x", strings.Repeat("secret ", 10_000)} {
		for _, context := range []string{"", "usr/1"} {
			sealed := ring.Seal(context, []byte(plain))
			if len(sealed) != len(plain)+seal.Overhead {
				t.Errorf("%d bytes sealed to %d", len(plain), len(sealed))
			}
			got, err := ring.Open(context, sealed)
			if err != nil || string(got) != plain {
				t.Errorf("Open = %q, %v", got, err)
			}
			if bytes.Equal(sealed, ring.Seal(context, []byte(plain))) {
				t.Error("sealing twice gives the same bytes")
			}
		}
	}
	if sealed := ring.Seal("c", []byte("plain text")); bytes.Contains(sealed, []byte("plain")) {
		t.Error("sealed record holds the plain text")
	}
	again := ring.SealAgain("c", []byte("x"))
	if !seal.IsAgain(again) || seal.IsAgain(ring.Seal("c", []byte("x"))) || !seal.Sealed(again) || seal.Sealed([]byte(strings.Repeat(`{"a":1}`, 20))) {
		t.Error("the kinds of records are not told apart")
	}
	again[0]-- // as if it were the first with this text
	if _, err := ring.Open("c", again); !errors.Is(err, seal.ErrNotAuthentic) {
		t.Errorf("another kind: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	file := newFile(t)
	ring := newRing(t, file)
	sealed := ring.Seal("usr/1", []byte("secret"))
	if _, err := ring.Open("usr/2", sealed); !errors.Is(err, seal.ErrNotAuthentic) {
		t.Errorf("wrong context: %v", err)
	}
	if _, err := newRing(t, file).Open("usr/1", sealed); !errors.Is(err, seal.ErrOtherKey) {
		t.Errorf("wrong key: %v", err)
	}
	for i := range sealed {
		for bit := range 8 {
			forged := bytes.Clone(sealed)
			forged[i] ^= 1 << bit
			if got, err := ring.Open("usr/1", forged); err == nil {
				t.Fatalf("bit %d of byte %d flipped: opened as %q", bit, i, got)
			}
		}
		if got, err := ring.Open("usr/1", sealed[:i]); err == nil {
			t.Fatalf("cut to %d bytes: opened as %q", i, got)
		}
	}
	if _, err := ring.Open("usr/1", append(sealed, 0)); err == nil {
		t.Error("a longer record opened")
	}
	// Bytes may not move between context and head.
	if _, err := ring.Open("sr/1", append(bytes.Clone(sealed[:9]), append([]byte("u"), sealed[9:]...)...)); err == nil {
		t.Error("shifted record opened")
	}
}

// A rotated ring opens what the old one sealed, until the old key is dropped; then
// the process that dropped it still does, and no other.
func TestRingRotates(t *testing.T) {
	file := newFile(t)
	first := newRing(t, file)
	old := first.Seal("c", []byte("old"))
	firstKEK := first.WrappedBy()
	if _, err := file.Add(); err != nil {
		t.Fatal(err)
	}
	second, err := first.Rotate(t.Context(), file, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if second.Current(old) || !second.Current(second.Seal("c", nil)) || second.Old() != 1 {
		t.Error("the new key does not seal")
	}
	if by := second.WrappedBy(); len(by) != 1 || by[0] == firstKEK[0] {
		t.Errorf("wrapped by %q, before by %q", by, firstKEK)
	}
	for _, r := range []*seal.Ring{second, reopen(t, file, second), second.DropOld()} {
		if got, err := r.Open("c", old); err != nil || string(got) != "old" {
			t.Errorf("Open = %q, %v", got, err)
		}
		if !bytes.Equal(r.Derive("p"), first.Derive("p")) {
			t.Error("a derived key changed")
		}
	}
	dropped := reopen(t, file, second.DropOld())
	if _, err := dropped.Open("c", old); !errors.Is(err, seal.ErrOtherKey) {
		t.Errorf("the dropped key opens: %v", err)
	}
	if dropped.Old() != 0 || dropped.ActiveID() != second.ActiveID() {
		t.Error("dropping changed more")
	}
	// Only the first line of the file is needed by now.
	text, err := os.ReadFile(file.Path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file.Path, text[:bytes.IndexByte(text, '\n')+1], 0o600); err != nil {
		t.Fatal(err)
	}
	reopen(t, file, second)
	stored, _ := first.Encode()
	if _, err := seal.ParseRing(t.Context(), file, stored, nil); !errors.Is(err, seal.ErrOtherKey) {
		t.Errorf("the ring under the removed key opens: %v", err)
	}
	if _, err := seal.ParseRing(t.Context(), file, stored[:len(stored)-2], nil); err == nil {
		t.Error("a cut ring opens")
	}
}

func TestKeyFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	f := &seal.File{Path: filepath.Join(dir, "key")}
	if there, err := f.Exists(); there || err != nil {
		t.Fatal(there, err)
	}
	if _, err := f.Wrap(t.Context(), "n", []byte("x")); err == nil {
		t.Error("wraps without a file")
	}
	if err := f.Create(); err != nil {
		t.Fatal(err)
	}
	wrapped, err := f.Wrap(t.Context(), "n", []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Create(); err != nil {
		t.Fatal(err)
	}
	if got, err := f.Unwrap(t.Context(), "n", wrapped); err != nil || string(got) != "x" {
		t.Errorf("unwrapped %q, %v", got, err)
	}
	if _, err := f.Unwrap(t.Context(), "m", wrapped); !errors.Is(err, seal.ErrNotAuthentic) {
		t.Errorf("another name: %v", err)
	}
	for path, want := range map[string]os.FileMode{f.Path: 0o600, dir: 0o700} {
		if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != want {
			t.Errorf("%s has mode %v, %v", path, fi.Mode(), err)
		}
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("files left behind: %v", files)
	}
	good, _ := os.ReadFile(f.Path)
	for name, content := range map[string]string{
		"empty": "", "cut": string(good[:len(good)-6]), "long": string(good) + "x", "gap": string(good) + "\n" + string(good),
		"huge": strings.Repeat(string(good), 100), "many": strings.Repeat(string(good), 17), "other": "-----BEGIN KEY-----\n",
	} {
		if err := os.WriteFile(f.Path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if id, err := f.KeyID(t.Context()); err == nil {
			t.Errorf("%s key file accepted as %s", name, id)
		}
		if err := f.Create(); err != nil {
			t.Error(err)
		}
		if now, _ := os.ReadFile(f.Path); string(now) != content {
			t.Errorf("%s key file was overwritten", name)
		}
	}
}

func TestKeyFileAdd(t *testing.T) {
	f := newFile(t)
	var ids []string
	for {
		id, err := f.Add()
		if err != nil {
			break
		}
		if now, err := f.KeyID(t.Context()); err != nil || now != id {
			t.Fatalf("key %s in use, added %s, %v", now, id, err)
		}
		ids = append(ids, id)
	}
	if len(ids) != 15 {
		t.Errorf("added %d keys", len(ids))
	}
	if fi, err := os.Stat(f.Path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", fi.Mode(), err)
	}
}

func TestKeyFileOpenToOthers(t *testing.T) {
	f := newFile(t)
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620} {
		if err := os.Chmod(f.Path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := f.KeyID(t.Context()); err == nil {
			t.Errorf("mode %v accepted", mode)
		}
	}
}

// Processes that start at once agree on one key.
func TestKeyFileMadeConcurrently(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	ids := make([]string, 16)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			f := &seal.File{Path: path}
			err := f.Create()
			if err == nil {
				ids[i], err = f.KeyID(t.Context())
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i, id := range ids {
		if id != ids[0] {
			t.Errorf("process %d has key %s, the first %s", i, id, ids[0])
		}
	}
}

// command writes a script that stands for the command of a key service.
func command(t *testing.T, body string) *seal.Command {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the command is a shell script")
	}
	path := filepath.Join(t.TempDir(), "kms")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body), 0o700); err != nil {
		t.Fatal(err)
	}
	return seal.NewWrapper("exec:/bin/sh " + path).(*seal.Command)
}

// A command may hold the key: here one that hides nothing and keeps the name beside
// what it wraps.
func TestCommand(t *testing.T) {
	c := command(t, `
case "$1" in
wrap) IFS= read -r in; printf '%s %s' "$2" "$in" | base64 -w0 ;;
unwrap) base64 -d | { IFS= read -r all; printf '%s' "${all##* }"; case "$all" in "$2 "*) ;; *) echo "another name" >&2; exit 3 ;; esac; } ;;
key-id) echo toy/1 ;;
esac`)
	ring := newRing(t, c)
	sealed := ring.Seal("c", []byte("x"))
	again := reopen(t, c, ring)
	if got, err := again.Open("c", sealed); err != nil || string(got) != "x" {
		t.Errorf("Open = %q, %v", got, err)
	}
	if by := ring.WrappedBy(); len(by) != 1 || by[0] != "toy/1" {
		t.Errorf("wrapped by %q", by)
	}
	wrapped, err := c.Wrap(t.Context(), "one name", []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Unwrap(t.Context(), "another", wrapped); !errors.Is(err, seal.ErrOtherKey) || !strings.Contains(err.Error(), "another name") {
		t.Errorf("another name: %v", err)
	}
}

// What a command does wrong is an error, and none shows what it printed.
func TestCommandFails(t *testing.T) {
	for name, body := range map[string]string{
		"exits": "echo SECRET; exit 1", "prints nothing": "exit 0", "prints no base64": "echo '*SECRET*'",
		"prints too much": "head -c 100000 /dev/zero | base64 -w0", "says much": "head -c 100000 /dev/zero | tr '\\0' x >&2; exit 1",
	} {
		c := command(t, body)
		_, err := c.Wrap(t.Context(), "n", []byte("x"))
		if err == nil || strings.Contains(err.Error(), "SECRET") || len(err.Error()) > 2000 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := command(t, "printf 'two words\\n'").KeyID(t.Context()); err == nil {
		t.Error("a key id with a space is accepted")
	}
	for _, setting := range []string{"exec:", "exec:/nowhere/kms"} {
		if _, err := seal.NewWrapper(setting).KeyID(t.Context()); err == nil {
			t.Errorf("%s works", setting)
		}
	}
}

func FuzzOpen(f *testing.F) {
	ring := newRing(f, newFile(f))
	f.Add("c", ring.Seal("c", []byte("x")))
	f.Add("", []byte{})
	f.Add("c", ring.Seal("c", nil)[:12])

	f.Fuzz(func(t *testing.T, context string, sealed []byte) {
		plain, err := ring.Open(context, sealed)
		if err == nil && context != "c" {
			t.Errorf("forged record opened as %q", plain)
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	ring := newRing(b, newFile(b))
	for _, size := range []int{200, 4 << 10, 64 << 10} {
		plain := make([]byte, size)
		sealed := ring.Seal("token/x", plain)
		b.Run(fmt.Sprint("Seal/", size), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				ring.Seal("token/x", plain)
			}
		})
		b.Run(fmt.Sprint("Open/", size), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				if _, err := ring.Open("token/x", sealed); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
