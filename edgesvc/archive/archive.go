// Package archive keeps audit records that leave the store, on a disk. Each scope has a chain
// of segments, which are files that are never changed. Each segment is signed and names the
// hash of the one before, so that it shows when one was changed or removed.
//
// An archive is a directory. It has a folder for each scope with its segments
// (0000000001.seg, …) and a folder "keysets" with every keyset under whose keys segments
// were signed. The trust root signed the keysets, so whoever knows its public key can verify
// everything, years later and without the installation.
//
// What lives here: the files, their form and their verification. What may not: the
// store, who may read which scope, and when something is archived (package
// edgesvc/control/audit). Only control's audit log and cmd import it.
package archive

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/atomicfile"
)

// Limits of one segment. It has room for some hours of a busy organization, and is small
// enough to be read completely for one page of an answer.
const (
	MaxRecords = 4096
	MaxBytes   = 8 << 20
)

// maxFile bounds a segment that is read: more than the records and the header.
const maxFile = MaxBytes + 1<<20

// Head names the last segment of a scope's chain. It is zero if there is none.
type Head struct {
	Sequence uint64 `json:"sequence"`
	// Hash is SHA-256 of the last segment's header, in hexadecimal.
	Hash string `json:"hash"`
}

// Archive is one directory. It is safe for concurrent use, also by several processes
// that share the directory.
type Archive struct {
	dir  string
	root ed25519.PublicKey

	mu     sync.Mutex
	keys   map[string]mezu.PublicKey // by id, of all keysets read so far
	known  map[string]bool           // files of keysets that were read
	scopes map[string]map[uint64]segment
}

// ParseLocation reads the setting "archive": dir:PATH is a directory.
func ParseLocation(s string) (dir string, err error) {
	dir, ok := strings.CutPrefix(s, "dir:")
	if !ok || dir == "" {
		return "", &mezu.Error{Code: mezu.CodeInvalid, Field: "archive", Detail: fmt.Sprintf("is dir:PATH, not %q", s),
			Hint: "name a directory, such as dir:/var/lib/mezusphere/archive; a mount that all control planes share when there are several"}
	}
	return dir, nil
}

// New makes an archive over a directory that need not be there yet. root is the
// public key of the trust root, under which keysets are verified.
func New(dir string, root ed25519.PublicKey) *Archive {
	return &Archive{dir: dir, root: root, keys: map[string]mezu.PublicKey{}, known: map[string]bool{}, scopes: map[string]map[uint64]segment{}}
}

// dirKeysets is the folder of keysets. No scope has this name: scopes are ids and
// "installation".
const dirKeysets = "keysets"

func (a *Archive) folder(scope string) string { return filepath.Join(a.dir, scope) }

// validateScope refuses names that are no scope, such as paths out of the directory.
func validateScope(scope string) error {
	if scope == "" || scope == dirKeysets || strings.Trim(scope, "abcdefghijklmnopqrstuvwxyz0123456789_-") != "" {
		return fmt.Errorf("archive: %q is no scope", scope)
	}
	return nil
}

// Scopes lists those that have a folder.
func (a *Archive) Scopes() ([]string, error) {
	entries, err := os.ReadDir(a.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the archive: %w", err)
	}
	var out []string
	for _, e := range entries {
		if e.IsDir() && validateScope(e.Name()) == nil {
			out = append(out, e.Name())
		}
	}
	return out, nil
}

// ensure makes a folder of the archive, durably.
func (a *Archive) ensure(path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return fmt.Errorf("making the archive's folder: %w", err)
	}
	return errors.Join(atomicfile.SyncDir(a.dir), atomicfile.SyncDir(filepath.Dir(a.dir)))
}
