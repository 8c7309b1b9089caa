package daemon

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/mezusphere/mezu/cli/terminal"
)

const (
	// olderLog ends the name of the file before the present one.
	olderLog = ".1"
	// shownLines and shownBytes are how much of the log explains a failed start.
	shownLines = 5
	shownBytes = 4 << 10
	// followEvery is how often a log that is followed is looked at.
	followEvery = 200 * time.Millisecond
)

// tail is the end of the log, from a moment on.
type tail struct {
	path string
	was  os.FileInfo // nil if there was no log
}

// openTail remembers where the log ends now.
func openTail(path string) tail {
	info, err := os.Stat(path)
	if err != nil {
		return tail{path: path}
	}
	return tail{path, info}
}

// last gives the last lines that were written since, made safe to show; empty if there are
// none.
func (t tail) last() string {
	data, end, err := readEnd(t.path, shownBytes)
	if err != nil {
		return ""
	}
	if is, err := os.Stat(t.path); err == nil && t.was != nil && os.SameFile(is, t.was) {
		data = data[max(0, len(data)-max(0, int(end-t.was.Size()))):]
	}
	var out []string
	for line := range strings.Lines(string(data)) {
		out = append(out, terminal.Clean(strings.TrimRight(line, "\n")))
	}
	return strings.Join(out[max(0, len(out)-shownLines):], "\n")
}

// readEnd reads at most so many bytes from the end of a file, from the beginning of a line on,
// and says where the end was.
func readEnd(path string, most int64) (data []byte, end int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	from := max(0, info.Size()-most)
	data, err = io.ReadAll(io.NewSectionReader(f, from, most))
	if err != nil {
		return nil, 0, err
	}
	end = from + int64(len(data))
	if from > 0 {
		_, data, _ = bytes.Cut(data, []byte{'\n'})
	}
	return data, end, nil
}

// readLog is ReadLog, and says where the present file ended.
func readLog(path string, most int) (data []byte, end int64, err error) {
	if data, end, err = readEnd(path, int64(most)); err != nil {
		return nil, 0, err
	}
	if room := int64(most) - end; room > 0 {
		before, _, err := readEnd(path+olderLog, room)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, 0, err
		}
		data = append(before, data...)
	}
	return data, end, nil
}

// ReadLog reads at most so many bytes from the end of the log at path, with what is in the
// older file.
func ReadLog(path string, most int) ([]byte, error) {
	data, _, err := readLog(path, most)
	return data, err
}

// follow writes what is written to the log from an offset on, until ctx ends. It goes on with
// the next file when there is one.
func follow(ctx context.Context, path string, from int64, to io.Writer) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { f.Close() }()
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return err
	}
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		next := another(f, path) // before the rest is read, which nobody adds to then
		if _, err := io.Copy(to, f); err != nil {
			return err
		}
		if next != nil {
			f.Close()
			f = next
			continue
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// another opens the file at path if it is not f any more; else it gives nil.
func another(f *os.File, path string) *os.File {
	is, err := f.Stat()
	if err != nil {
		return nil
	}
	next, err := os.Open(path)
	if err != nil {
		return nil
	}
	if now, err := next.Stat(); err != nil || os.SameFile(is, now) {
		next.Close()
		return nil
	}
	return next
}
