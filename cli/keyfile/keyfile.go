// Package keyfile puts a secret that was just made into a file, for its reader alone, so that it
// is on no screen and in no log.
//
// What lives here: a file that is there before the secret is, and never one that was there
// already. What may not: what the secret opens. It imports the domain only; cli/invocation, for
// commands that make secrets, and cmd/mezusphere import it.
package keyfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/mezusphere/mezu"
)

// FlagName is the flag by which commands have the file, Usage what help says of it.
const (
	FlagName = "key-file"
	Usage    = "write the secret to `FILE`, which must not be there, and don't show it"
)

// File is one that waits for its secret. All methods do nothing with nil, which is no file.
type File struct {
	path string
	file *os.File
}

// Reserve makes the file, so that it is known before a secret is made whether it can be kept. No
// path is no file. Whoever reserves a file discards it at the end.
func Reserve(path string) (*File, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, &mezu.Error{Code: mezu.CodeConflict, Detail: path + " is there already", Hint: "name another file; --" + FlagName + " overwrites none"}
	}
	if err != nil {
		return nil, &mezu.Error{Code: mezu.CodeInvalid, Field: FlagName, Detail: fmt.Sprintf("no secret could be kept there: %v", err), Cause: err}
	}
	return &File{path: path, file: f}, nil
}

// Keep writes the secret to the disk. It reports whether there is a file: if not, the secret has
// to be shown.
func (f *File) Keep(secret string) (kept bool, err error) {
	if f == nil {
		return false, nil
	}
	_, err = f.file.WriteString(secret + "\n")
	if err == nil {
		err = f.file.Sync()
	}
	if err = errors.Join(err, f.file.Close()); err != nil {
		os.Remove(f.path)
		err = fmt.Errorf("the secret was made, but %s does not keep it: %w", f.path, err)
	}
	f.file = nil
	return true, err
}

// Path is where the secret is.
func (f *File) Path() string { return f.path }

// Discard removes the file if no secret came.
func (f *File) Discard() {
	if f != nil && f.file != nil {
		f.file.Close()
		os.Remove(f.path)
		f.file = nil
	}
}
