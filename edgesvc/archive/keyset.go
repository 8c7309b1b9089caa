package archive

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/atomicfile"
)

// maxKeyset bounds the file of a keyset: a handful of keys and roots.
const maxKeyset = 1 << 20

// Keep adds a keyset to the directory, so that what its keys sign can be verified when no
// keyset in force has them any more. It must be called before the first segment that one of
// them signs. For a keyset that is there it does nothing.
func (a *Archive) Keep(s mezu.Signed) error {
	k, err := mezu.OpenKeyset(s, a.root, time.Time{})
	if err != nil {
		return fmt.Errorf("keeping a keyset in the archive: %w", err)
	}
	name := fmt.Sprintf("%010d.json", k.Version)
	a.mu.Lock()
	known := a.known[name]
	a.mu.Unlock()
	if known {
		return nil
	}
	folder := filepath.Join(a.dir, dirKeysets)
	path := filepath.Join(folder, name)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := a.ensure(folder); err != nil {
			return err
		}
		data, err := json.Marshal(s)
		if err != nil {
			return fmt.Errorf("encoding a keyset: %w", err)
		}
		if err := atomicfile.Write(path, data, 0o600); err != nil {
			return err
		}
	}
	err = a.loadKeys()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.known[name] {
		return nil // if another one is damaged, whoever needs its keys gets the error
	}
	return err
}

// loadKeys reads the keysets that were not read yet. The error names those that do not
// verify; their keys are not used.
func (a *Archive) loadKeys() error {
	dir := filepath.Join(a.dir, dirKeysets) // which is no part of the pattern
	names, err := fs.Glob(os.DirFS(dir), "*.json")
	if err != nil {
		return fmt.Errorf("reading the archive's keysets: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var all error
	for _, name := range names {
		path := filepath.Join(dir, name)
		if a.known[name] {
			continue
		}
		if err := a.loadKeyset(path); err != nil {
			all = errors.Join(all, fmt.Errorf("reading %s: %w", path, err))
			continue
		}
		a.known[name] = true
	}
	return all
}

func (a *Archive) loadKeyset(path string) error {
	data, err := readAll(path, maxKeyset)
	if err != nil {
		return err
	}
	var s mezu.Signed
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("decoding a keyset: %w", err)
	}
	// A keyset that has ended still says which keys were the installation's.
	k, err := mezu.OpenKeyset(s, a.root, time.Time{})
	if err != nil {
		return err
	}
	for _, key := range k.Keys {
		if key.Purpose != mezu.PurposeAudit {
			continue
		}
		// A rotation shortens the life of a key in the keysets from then on. What was
		// signed before counts by the longest life that a keyset gives it.
		if old, ok := a.keys[key.ID]; !ok || key.NotAfter.After(old.NotAfter) {
			a.keys[key.ID] = key
		}
	}
	return nil
}

// key finds a public key, also in keysets that were added since.
func (a *Archive) key(id string) (mezu.PublicKey, error) {
	find := func() (mezu.PublicKey, bool) {
		a.mu.Lock()
		defer a.mu.Unlock()
		k, ok := a.keys[id]
		return k, ok
	}
	if k, ok := find(); ok {
		return k, nil
	}
	err := a.loadKeys()
	if k, ok := find(); ok {
		return k, nil
	}
	return mezu.PublicKey{}, errors.Join(fmt.Errorf("no keyset of the archive has the key %q", id), err)
}
