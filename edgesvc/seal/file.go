package seal

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/mezusphere/mezu/atomicfile"
)

// fileHead begins each line of a key file, followed by the key in base64.
const fileHead = "mezu-seal-key-1 "

// maxFileKeys is how many keys a file may hold: the one in use, and those of backups
// and of a rotation under way.
const maxFileKeys = 16

// maxFile is more bytes than a key file can have.
const maxFile = maxFileKeys * 128

// File wraps under the first of the keys in a file (0600, one key a line) and
// unwraps under all of them. The file is read in each call, so that a key which an operator
// adds is used at once.
type File struct{ Path string }

var _ Wrapper = (*File)(nil)

// KeyID implements Wrapper.
func (f *File) KeyID(context.Context) (string, error) {
	keys, err := f.load()
	if err != nil {
		return "", err
	}
	return keys[0].id.String(), nil
}

// Wrap implements Wrapper.
func (f *File) Wrap(_ context.Context, name string, secret []byte) ([]byte, error) {
	keys, err := f.load()
	if err != nil {
		return nil, err
	}
	return keys[0].seal(versionFile, name, secret), nil
}

// Unwrap implements Wrapper.
func (f *File) Unwrap(_ context.Context, name string, wrapped []byte) ([]byte, error) {
	keys, err := f.load()
	if err != nil {
		return nil, err
	}
	id, err := idIn(wrapped, versionFile)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		if k.id == id {
			return k.open(name, wrapped)
		}
	}
	return nil, fmt.Errorf("none of the %d keys in %s: %w", len(keys), f.Path, ErrOtherKey)
}

// Exists reports whether there is a key file.
func (f *File) Exists() (bool, error) {
	_, err := os.Stat(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Create makes the file (0600, in a 0700 directory) with a new key, unless it is
// there. Of several processes that make it at once, one does and all get its key.
func (f *File) Create() error {
	if there, err := f.Exists(); there || err != nil {
		return err
	}
	if err := create(f.Path); err != nil {
		return fmt.Errorf("making the seal key file: %w", err)
	}
	return nil
}

// Add puts a new key before those in the file and returns its id. From then on the new key
// wraps; the others still unwrap.
func (f *File) Add() (string, error) {
	keys, err := f.load()
	if err != nil {
		return "", err
	}
	if len(keys) == maxFileKeys {
		return "", fmt.Errorf("%s has %d keys: remove those that neither the store nor a backup needs", f.Path, maxFileKeys)
	}
	secret := newSecret()
	text := []byte(line(secret))
	for _, k := range keys {
		text = append(text, line(k.secret)...)
	}
	if err := atomicfile.Write(f.Path, text, 0o600); err != nil {
		return "", fmt.Errorf("writing the seal key file: %w", err)
	}
	return idOf(secret).String(), nil
}

func line(secret []byte) string {
	return fileHead + base64.StdEncoding.EncodeToString(secret) + "\n"
}

// load reads the keys; there is at least one. It refuses a file that others may read or
// could have put there.
func (f *File) load() ([]key, error) {
	keys, err := load(f.Path)
	if err != nil {
		return nil, fmt.Errorf("loading the seal key: %w", err)
	}
	return keys, nil
}

func load(path string) ([]key, error) {
	b, err := atomicfile.ReadKey(path, maxFile)
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(b, []byte(fileHead)) {
		return nil, fmt.Errorf("%s is no seal key", path)
	}
	damaged := fmt.Errorf("%s is damaged", path)
	var keys []key
	for text := range strings.Lines(string(b)) {
		text, ok := strings.CutPrefix(text, fileHead)
		secret, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSuffix(text, "\n"))
		if !ok || err != nil || len(secret) != keySize || len(keys) == maxFileKeys {
			return nil, damaged
		}
		k, err := newKey(secret)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// create makes the key file, unless another process has made one meanwhile. The file gets its
// name when its content is on the disk.
func create(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	err := atomicfile.Create(path, []byte(line(newSecret())), 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}
