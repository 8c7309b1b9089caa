package process

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"sync"
)

// MaxLogFile is how large a file of the log gets before it becomes the older one: a week of a
// busy daemon. There are two, so twice as much is on the disk.
const MaxLogFile = 5 << 20

// olderLog ends the name of the older file of a log.
const olderLog = ".1"

// LogFile is the log of a program on the disk: a file, and the one before it as PATH.1. A disk that
// is full stops nobody who writes: what could not be written is counted, and said when there is
// space again. A crash goes there too, because nobody may read stderr.
type LogFile struct {
	path string
	max  int64

	mu     sync.Mutex
	file   *os.File // nil if it could not be opened
	size   int64
	cut    bool // the last line is not complete
	lost   uint64
	closed bool
}

// OpenLogFile opens the log at path, which gets further lines, for its owner only. The error says
// why there is no file yet; the log can be used all the same, and tries again at each line.
func OpenLogFile(path string) (*LogFile, error) {
	l := &LogFile{path: path, max: MaxLogFile}
	return l, l.open()
}

// open opens the file. Whoever calls it holds mu, or is alone.
func (l *LogFile) open() error {
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("opening the log: %w", err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: l.path, Err: fs.ErrInvalid}
	}
	if err != nil {
		f.Close()
		return fmt.Errorf("opening the log: %w", err)
	}
	l.file, l.size, l.cut = f, info.Size(), false
	crashInto(f)
	return nil
}

// crashInto has a crash of this program go to a file, by a handle of its own; nil ends that.
func crashInto(f *os.File) { _ = debug.SetCrashOutput(f, debug.CrashOptions{}) } // else it goes to stderr only

// Write writes lines. It never fails.
func (l *LogFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return len(p), nil
	}
	if l.file != nil && l.size > 0 && l.size+int64(len(p)) > l.max {
		l.rotate()
	}
	if l.file == nil && l.open() != nil || !l.tell() || !l.append(p) {
		l.lost += lines(p)
	}
	return len(p), nil
}

// rotate makes the file the older one.
func (l *LogFile) rotate() {
	l.file.Close()
	l.file = nil
	crashInto(nil) // on Windows a file that is open keeps its name
	if os.Rename(l.path, l.path+olderLog) != nil {
		// Somebody else's program holds one of them on Windows. The bound counts more
		// than old lines.
		_ = os.Truncate(l.path, 0)
	}
}

// tell writes how many lines are missing here, if any are. It reports whether it could.
func (l *LogFile) tell() bool {
	if l.lost == 0 {
		return true
	}
	if !l.append([]byte(fmt.Sprintf("level=WARN msg=\"lines of the log could not be written\" lines=%d\n", l.lost))) {
		return false
	}
	l.lost = 0
	return true
}

// append writes to the file. A line that was cut short ends before the next one begins.
func (l *LogFile) append(p []byte) bool {
	if l.cut {
		p = append([]byte{'\n'}, p...)
	}
	n, err := l.file.Write(p)
	l.size += int64(n)
	if n > 0 {
		l.cut = !bytes.HasSuffix(p[:n], []byte{'\n'})
	}
	return err == nil
}

// Close closes the file. Further lines go nowhere.
func (l *LogFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.file == nil {
		return nil
	}
	crashInto(nil)
	err := l.file.Close()
	l.file = nil
	return err
}
