package atomicfile

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/mezusphere/mezu"
)

// ExposedError says that somebody other than this process's user and the system's
// administrator could have put a file where it is, or could change it.
//
// On Unix these are checked: owner and mode bits of a directory, of each directory above it,
// of what is in it, and of a key. A directory above that everybody may write is fine if it is
// sticky (/tmp), because in it nobody can rename or remove files of others. A directory that
// a group may write is fine if the group is the user's own (it has the number or the name of
// the user), or if it belongs to root and this process is in the group, which is how
// Kubernetes hands out volumes (fsGroup).
//
// On Windows nothing is checked. There the right to write is a list that is inherited from
// the folder above, and a user's folders are closed to others unless somebody opened them.
type ExposedError struct {
	Path string
	// Problem is the sentence that goes on after the path.
	Problem string
	// Remedy is the command to type.
	Remedy string
}

func (e *ExposedError) Error() string { return e.Path + " " + e.Problem }

// Remedy is the command to type about an ExposedError in the chain of err, or "".
func Remedy(err error) string {
	var e *ExposedError
	if errors.As(err, &e) {
		return e.Remedy
	}
	return ""
}

// UnusableState says, to whoever started a program, why its state directory can't be used.
// owner is what runs on such directories, as in "stop the other Warpgate".
func UnusableState(dir, owner string, cause error) error {
	if errors.Is(cause, ErrLocked) {
		return &mezu.Error{Code: mezu.CodeConflict, Detail: fmt.Sprintf("the state directory %s is in use by another process", dir),
			Hint: "stop the other " + owner + ", or give this one a directory of its own with --state", Cause: cause}
	}
	if IsFull(cause) {
		return NoRoom(dir, cause)
	}
	return &mezu.Error{Code: mezu.CodeInvalid, Field: "state", Detail: fmt.Sprintf("the state directory can't be used: %v", cause),
		Hint: cmp.Or(Remedy(cause), "make it a directory that this user may write, or name another with --state"), Cause: cause}
}

// NoRoom says that something could not be written to a directory for want of room.
func NoRoom(dir string, cause error) error {
	return &mezu.Error{Code: mezu.CodeUnavailable, Detail: "there is no room in " + dir, Hint: "make room on that disk and try again", Cause: cause}
}

// CheckDir refuses a directory in which anybody but this process's user and root could put
// or change a file, or in which a file of somebody else is. The error is an ExposedError.
func CheckDir(path string) error {
	if err := checkDir(path); err != nil {
		return fmt.Errorf("checking directory %s: %w", path, err)
	}
	return nil
}

// CheckFile refuses an open file that somebody else could have written, as ReadFile does.
func CheckFile(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", f.Name())
	}
	return checkFile(f.Name(), info, false)
}

// ReadFile reads a file of at most max bytes. Its owner must be this process's user or root,
// and nobody else may be able to change it; otherwise the error is an ExposedError. It checks
// the file that it has opened. Whether somebody could put another file there is checked by
// CheckDir.
func ReadFile(path string, max int64) ([]byte, error) { return read(path, max, false) }

// ReadKey is ReadFile for a file with a secret, in any directory. Nobody else may be able to
// read it either, and the directories on the path to it are checked too. If the file is
// root's, a group of this process may be allowed to read it.
func ReadKey(path string, max int64) ([]byte, error) {
	if err := checkWay(path); err != nil {
		return nil, fmt.Errorf("reading a key: %w", err)
	}
	return read(path, max, true)
}

// ReadGivenKey is ReadKey for a key that belongs to another program, such as a web server.
// It does not check who may read the file.
func ReadGivenKey(path string, max int64) ([]byte, error) {
	if err := checkWay(path); err != nil {
		return nil, fmt.Errorf("reading a key: %w", err)
	}
	return read(path, max, false)
}

func read(path string, max int64, secret bool) ([]byte, error) {
	f, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("reading a file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", path)
	}
	if err == nil {
		err = checkFile(path, info, secret)
	}
	if err != nil {
		return nil, fmt.Errorf("reading a file: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(f, max+1))
	if err != nil {
		return nil, fmt.Errorf("reading a file: %w", err)
	}
	if int64(len(data)) > max {
		return nil, fmt.Errorf("reading a file: %s has more than %d bytes", path, max)
	}
	return data, nil
}
