// Package namedfile reads files that somebody named, in an argument or a setting. If the
// name is not that of a regular file but of a named pipe, a device or a directory, it is
// refused with an error that says so, and never blocks.
//
// What lives here: opening and reading. What may not: what a file means, and files of a
// state directory, which are atomicfile's. It imports the domain and the standard library
// only; everything but the domain may import it.
package namedfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/mezusphere/mezu"
)

// Open opens a regular file for reading.
func Open(path string) (*os.File, error) {
	f, mode, err := look(path)
	if err != nil {
		return nil, err
	}
	if mode.IsRegular() {
		return f, nil
	}
	f.Close()
	return nil, refuse(path, mode)
}

// Read reads a regular file of at most max bytes.
func Read(path string, max int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, max)
}

// ReadPipe is Read for a file that may also be a pipe, such as <(COMMAND) of a shell. It waits
// for the pipe's writer until ctx ends.
func ReadPipe(ctx context.Context, path string, max int64) ([]byte, error) {
	f, mode, err := look(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if mode.IsRegular() {
		return readAll(f, max)
	}
	if mode&fs.ModeNamedPipe == 0 {
		return nil, refuse(path, mode)
	}
	defer context.AfterFunc(ctx, func() { f.SetReadDeadline(time.Unix(1, 0)) })()
	data, err := readAll(f, max)
	if ctx.Err() != nil {
		return nil, fmt.Errorf("reading %s: %w", path, ctx.Err())
	}
	if err == nil && len(data) == 0 {
		return nil, &mezu.Error{Code: mezu.CodeInvalid, Detail: path + " is a pipe, and nobody writes to it", Hint: "name a file, or start what writes first"}
	}
	return data, err
}

// Unread is the error of a file that a setting names and that can't be read, as Open, Read and
// ReadPipe say. hint is what to name instead; what they say to try themselves goes before.
func Unread(setting, hint string, err error) *mezu.Error {
	if told, ok := errors.AsType[*mezu.Error](err); ok {
		own := *told
		own.Field = setting
		return &own
	}
	return &mezu.Error{Code: mezu.CodeInvalid, Field: setting, Detail: err.Error(), Hint: hint, Cause: err}
}

// look opens what has this name, without blocking.
func look(path string) (*os.File, fs.FileMode, error) {
	f, err := open(path)
	if errors.Is(err, errNoFile) { // a socket
		return nil, 0, refuse(path, fs.ModeSocket)
	}
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Mode(), nil
}

// refuse is the error that says what was found instead of a regular file.
func refuse(path string, mode fs.FileMode) error {
	what := "something else"
	switch {
	case mode.IsDir():
		what = "a directory"
	case mode&fs.ModeNamedPipe != 0:
		what = "a pipe"
	case mode&fs.ModeSocket != 0:
		what = "a socket"
	case mode&fs.ModeDevice != 0:
		what = "a device"
	}
	return &mezu.Error{Code: mezu.CodeInvalid, Detail: path + " is " + what + " and not a file", Hint: "name a regular file"}
}

func readAll(f *os.File, max int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(f, max))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", f.Name(), err)
	}
	return data, nil
}
