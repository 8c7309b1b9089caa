package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// ExposedError says that others than this process's user and the system's
// administrator could have put a file where it lies, or could change it.
//
// What is checked on Unix: the owner and the mode bits of a directory and of each
// above it, of what lies in it, and of a key. A directory that everybody may write is
// fine above another if it is sticky (/tmp), because there nobody can rename or remove
// what is another's. One that a group may write is fine if the group is the user's own
// (its number or its name is the user's), or if it belongs to root and this process is
// of the group, which is how Kubernetes hands out volumes (fsGroup). On Windows nothing
// is checked: who may write somewhere is a list there, inherited from the folder above,
// and folders of a user are closed to others unless somebody opened them.
type ExposedError struct {
	Path string
	// Problem goes on after the path.
	Problem string
	// Remedy is what to type.
	Remedy string
}

func (e *ExposedError) Error() string { return e.Path + " " + e.Problem }

// Remedy is what to type about an ExposedError in the chain of err, or "".
func Remedy(err error) string {
	var e *ExposedError
	if errors.As(err, &e) {
		return e.Remedy
	}
	return ""
}

// CheckDir refuses a directory in which others than this process's user and root
// could put or change a file, and one in which somebody else's lies directly. The error
// is an ExposedError.
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

// ReadFile reads a file of at most max bytes that nobody could have changed but its
// owner, who is this process's user or root. Anything else is an ExposedError. What is
// checked is the file that was opened. That nobody can put another in its place is for
// CheckDir.
func ReadFile(path string, max int64) ([]byte, error) { return read(path, max, false) }

// ReadKey is ReadFile for a file with a secret, wherever it lies: nobody else can read
// it either, and the directories that lead to it are checked too. Of root's, one of this
// process's groups may be allowed to read it.
func ReadKey(path string, max int64) ([]byte, error) {
	if err := checkWay(path); err != nil {
		return nil, fmt.Errorf("reading a key: %w", err)
	}
	return read(path, max, true)
}

// ReadGivenKey is ReadKey for a key that somebody else keeps, such as a web server's:
// who may read it is his affair.
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
