// Package seal encrypts records at rest under one key that is kept in a file
// outside the store.
//
// What lives here: that key, its file, and sealing and opening. What may not: what
// is sealed, and keys of any other use. Only edgesvc packages import it.
//
// A sealed record is bound to a context that its owner names, such as the record's
// key in the store: moved to another place it doesn't open.
package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Errors of Open. A record of another key is told apart so that an operator who
// restored a backup without its key learns which file is missing.
var (
	// ErrOtherKey: the record was sealed under another key.
	ErrOtherKey = errors.New("sealed under another key")
	// ErrNotAuthentic: the record is damaged, forged, or of another context.
	ErrNotAuthentic = errors.New("sealed record is not authentic")
)

// A sealed record is version | key id | nonce | ciphertext and tag; the first two
// and the context are authenticated with it. Random nonces of 96 bits are safe for 2³²
// records under one key.
const (
	version   = 1
	idSize    = 8
	keySize   = 32 // AES-256
	nonceSize = 12
	tagSize   = 16
	headSize  = 1 + idSize

	// Overhead is how many bytes a sealed record has more than its plain text.
	Overhead = headSize + nonceSize + tagSize
)

// fileHead begins the key file, followed by the key in base64 and a newline.
const fileHead = "mezu-seal-key-1 "

// maxFile is more than a key file can have.
const maxFile = 256

// Key seals and opens. It is safe for concurrent use. The zero Key opens nothing,
// and to seal under it is a programming error that panics.
type Key struct {
	id   [idSize]byte
	aead cipher.AEAD
}

// LoadOrCreateKey reads the key in the file at path, or makes the file (0600, in a
// 0700 directory) with a new one. Of several processes that make it at once, one does
// and all get its key. A file that others than its owner may read is refused.
func LoadOrCreateKey(path string) (Key, error) {
	key, err := load(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := create(path); err != nil {
			return Key{}, fmt.Errorf("making seal key: %w", err)
		}
		key, err = load(path)
	}
	if err != nil {
		return Key{}, fmt.Errorf("loading seal key: %w", err)
	}
	return key, nil
}

// load reads the key file.
func load(path string) (Key, error) {
	f, err := os.Open(path)
	if err != nil {
		return Key{}, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return Key{}, err
	}
	if perm := fi.Mode().Perm(); perm&0o077 != 0 && runtime.GOOS != "windows" {
		return Key{}, fmt.Errorf("%s has mode %04o: chmod 600 it, if it is known to no one else", path, perm)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return Key{}, err
	}
	text, ok := strings.CutPrefix(string(b), fileHead)
	if !ok {
		return Key{}, fmt.Errorf("%s is no seal key", path)
	}
	secret, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSuffix(text, "\n"))
	if err != nil || len(secret) != keySize {
		return Key{}, fmt.Errorf("%s is damaged", path)
	}
	return newKey(secret)
}

// create makes the key file unless there is one meanwhile. It appears under its name
// only when it is whole and on the disk.
func create(path string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	secret := make([]byte, keySize)
	rand.Read(secret)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+"-*.partial") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = fmt.Fprintf(f, "%s%s\n", fileHead, base64.StdEncoding.EncodeToString(secret))
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(dir)
}

// syncDir makes the names in dir durable, where the system can.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// newKey makes the key of a secret.
func newKey(secret []byte) (Key, error) {
	block, err := aes.NewCipher(secret)
	if err != nil {
		return Key{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return Key{}, err
	}
	k := Key{aead: aead}
	sum := sha256.Sum256(append([]byte("mezu seal key id\x00"), secret...))
	copy(k.id[:], sum[:])
	return k, nil
}

// Seal encrypts plain for the context. Two calls never give the same bytes.
func (k Key) Seal(context string, plain []byte) []byte {
	if k.aead == nil {
		panic("seal: zero Key")
	}
	b := make([]byte, 0, len(plain)+Overhead)
	b = append(append(b, version), k.id[:]...)
	return k.aead.Seal(b, nil, plain, bound(b, context))
}

// Open gives back what Seal got, if the context is the same and every byte is as
// Seal wrote it.
func (k Key) Open(context string, sealed []byte) ([]byte, error) {
	if len(sealed) < Overhead || sealed[0] != version {
		return nil, ErrNotAuthentic
	}
	head := sealed[:headSize:headSize]
	if k.aead == nil || !bytes.Equal(head[1:], k.id[:]) {
		return nil, ErrOtherKey
	}
	plain, err := k.aead.Open(nil, nil, sealed[headSize:], bound(head, context))
	if err != nil {
		return nil, ErrNotAuthentic
	}
	return plain, nil
}

// bound is what is authenticated beside the plain text.
func bound(head []byte, context string) []byte {
	b := make([]byte, 0, len(head)+len(context))
	return append(append(b, head...), context...)
}
