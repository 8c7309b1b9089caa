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
	"github.com/mezusphere/mezu/local"
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
	from int64
}

// openTail remembers where the log ends now.
func openTail(path string) tail {
	t := tail{path: path}
	if info, err := os.Stat(path); err == nil {
		t.from = info.Size()
	}
	return t
}

// last gives the last lines that were written since, made safe to show; empty if there are
// none.
func (t tail) last() string {
	data, err := readEnd(t.path, shownBytes)
	if err != nil {
		return ""
	}
	if info, err := os.Stat(t.path); err == nil && info.Size() >= t.from {
		data = data[max(0, len(data)-int(info.Size()-t.from)):]
	}
	var out []string
	for line := range strings.Lines(string(data)) {
		out = append(out, terminal.Clean(strings.TrimRight(line, "\n")))
	}
	return strings.Join(out[max(0, len(out)-shownLines):], "\n")
}

// readEnd reads at most so many bytes from the end of a file, from the beginning of a line on.
func readEnd(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	from := max(0, info.Size()-most)
	data, err := io.ReadAll(io.NewSectionReader(f, from, most))
	if err != nil {
		return nil, err
	}
	if from > 0 {
		_, data, _ = bytes.Cut(data, []byte{'\n'})
	}
	return data, nil
}

// readLog reads the last MiB of the log, with what is in the older file.
func readLog(path string) ([]byte, error) {
	data, err := readEnd(path, local.MaxLog)
	if err != nil {
		return nil, err
	}
	if room := int64(local.MaxLog - len(data)); room > 0 {
		before, err := readEnd(path+olderLog, room)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		data = append(before, data...)
	}
	return data, nil
}

// follow gives what is written to the log from now on, until ctx ends. It goes on with the
// next file when there is one.
func follow(ctx context.Context, path string, from int64, show func([]byte) error) error {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { f.Close() }()
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return err
	}
	for {
		if err := copyRest(f, show); err != nil {
			return err
		}
		if next, changed := another(f, path); changed {
			if err := copyRest(f, show); err != nil { // what came in between
				next.Close()
				return err
			}
			f.Close()
			f = next
			continue
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// copyRest shows what is left of a file.
func copyRest(f *os.File, show func([]byte) error) error {
	buf := make([]byte, 32<<10)
	for {
		n, err := f.Read(buf)
		if n > 0 {
			if err := show(buf[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// another opens the file at path if it is not f any more.
func another(f *os.File, path string) (*os.File, bool) {
	is, err := f.Stat()
	if err != nil {
		return nil, false
	}
	next, err := os.Open(path)
	if err != nil {
		return nil, false
	}
	if now, err := next.Stat(); err != nil || os.SameFile(is, now) {
		next.Close()
		return nil, false
	}
	return next, true
}
