//go:build unix

package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/atomicfile"
)

const (
	// folderMode and socketMode are for the owner only.
	folderMode = 0o700
	socketMode = 0o600
	// beyondOwner is everything that anybody but the owner may do.
	beyondOwner = 0o077
	// unnamedSocket is the socket until it is closed to others.
	unnamedSocket = ".new"
	// lockSuffix ends the name of the file that is locked by whoever listens.
	lockSuffix = ".lock"
)

// checkFolder refuses a folder in which somebody else could put a socket.
func checkFolder(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	// CheckDir would go where a link leads, and takes a folder that everybody may read.
	if !info.IsDir() {
		return &atomicfile.ExposedError{Path: dir, Problem: "is not a folder", Remedy: "see where it comes from, and remove it"}
	}
	if err := atomicfile.CheckDir(dir); err != nil {
		return err
	}
	if perm := info.Mode().Perm(); perm&beyondOwner != 0 {
		return &atomicfile.ExposedError{Path: dir, Problem: fmt.Sprintf("is open to others (mode %#o)", perm), Remedy: "chmod 700 " + dir}
	}
	return nil
}

// checkSocket refuses what is no socket, or one that others may connect to or have made.
func checkSocket(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return &atomicfile.ExposedError{Path: path, Problem: "is not a socket", Remedy: "see where it comes from; then rm " + path}
	}
	if uid := info.Sys().(*syscall.Stat_t).Uid; !trusted(uid) {
		return &atomicfile.ExposedError{Path: path, Problem: fmt.Sprintf("belongs to user %d", uid), Remedy: "see where it comes from; then rm " + path}
	}
	if perm := info.Mode().Perm(); perm&beyondOwner != 0 {
		return &atomicfile.ExposedError{Path: path, Problem: fmt.Sprintf("is open to others (mode %#o)", perm), Remedy: "chmod 600 " + path}
	}
	return nil
}

// trusted reports whether a user may be at the other end: this one, or root.
func trusted(uid uint32) bool { return uid == 0 || uid == uint32(os.Geteuid()) }

// checkPeer refuses a connection whose other end is another user's. The system remembers who
// connected, or listened, from that moment on.
func checkPeer(c *net.UnixConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var uid uint32
	if e := raw.Control(func(fd uintptr) { uid, err = peerUID(int(fd)) }); e != nil {
		return e
	}
	if err != nil {
		return fmt.Errorf("asking who is at the other end: %w", err)
	}
	if !trusted(uid) {
		return &peerError{strconv.FormatUint(uint64(uid), 10)}
	}
	return nil
}

// tooLong refuses a path that no system takes, with words of our own.
func tooLong(path string) error {
	if len(path) > MaxSocketPath {
		return fmt.Errorf("the path of a socket has at most %d bytes: %s", MaxSocketPath, path)
	}
	return nil
}

func listen(path string) (net.Listener, error) {
	if err := tooLong(path); err != nil {
		return nil, err
	}
	dir := filepath.Dir(path)
	err := os.MkdirAll(filepath.Dir(dir), folderMode)
	if err == nil {
		err = os.Mkdir(dir, folderMode)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, &mezu.Error{Code: mezu.CodeInvalid, Detail: fmt.Sprintf("the daemon's socket has no folder: %v", err), Hint: elsewhere, Cause: err}
	}
	if err := checkFolder(dir); err != nil {
		return nil, foreign(err, atomicfile.Remedy(err))
	}
	lock, err := lockSocket(path)
	if err != nil {
		return nil, err
	}
	l, err := bind(path)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return &listener{UnixListener: l, path: path, lock: lock}, nil
}

// lockSocket takes the lock of whoever listens, without waiting.
func lockSocket(path string) (io.Closer, error) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	lock, err := atomicfile.LockFile(ended, path+lockSuffix)
	if errors.Is(err, context.Canceled) {
		return nil, running(path)
	}
	return lock, err
}

func running(path string) error {
	return unavailable(ErrRunning, nil, "mezu daemon status", "another process listens on %s", path)
}

// bind makes the socket. The caller holds its lock.
func bind(path string) (*net.UnixListener, error) {
	switch err := checkSocket(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, foreign(err, atomicfile.Remedy(err))
	default:
		// A daemon holds the lock as long as it listens. This is for any other program.
		c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
		if err == nil {
			c.Close()
		}
		if !errors.Is(err, unix.ECONNREFUSED) {
			return nil, running(path)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("removing the socket of a daemon that has ended: %w", err)
		}
	}
	// It gets its name when it is closed to others: a client that sees it earlier would refuse it.
	made := filepath.Join(filepath.Dir(path), unnamedSocket)
	if err := os.Remove(made); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("removing what an earlier start left: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: made, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listening on the socket: %w", err)
	}
	l.SetUnlinkOnClose(false) // the listener below does it
	if err = os.Chmod(made, socketMode); err == nil {
		err = os.Rename(made, path)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("closing the socket to others: %w", err), l.Close(), os.Remove(made))
	}
	return l, nil
}

// listener gives connections of this user and root only.
type listener struct {
	*net.UnixListener
	path string
	lock io.Closer
	once sync.Once
	err  error
}

// Accept waits for a connection of this user or root, and closes all others.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		if checkPeer(c) == nil {
			return c, nil
		}
		c.Close()
	}
}

// Close removes the socket, and then lets others listen.
func (l *listener) Close() error {
	l.once.Do(func() {
		err := os.Remove(l.path)
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		l.err = errors.Join(err, l.UnixListener.Close(), l.lock.Close())
	})
	return l.err
}

func dial(ctx context.Context, path string) (net.Conn, error) {
	if err := tooLong(path); err != nil {
		return nil, foreign(err, "")
	}
	err := checkFolder(filepath.Dir(path))
	if err == nil {
		err = checkSocket(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, notRunning(path, err)
	}
	if err != nil {
		return nil, foreign(err, atomicfile.Remedy(err))
	}
	c, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	switch {
	case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, unix.ENOENT):
		return nil, notRunning(path, err)
	case errors.Is(err, unix.EAGAIN): // as many wait as the system lets
		return nil, silent(path, err)
	case err != nil && ctx.Err() != nil:
		return nil, silent(path, ctx.Err())
	case err != nil:
		return nil, unavailable(ErrForeign, err, "mezu doctor", "the daemon's socket can't be reached: %v", err)
	}
	if err := checkPeer(c.(*net.UnixConn)); err != nil {
		c.Close()
		return nil, foreign(err, "mezu doctor")
	}
	return c, nil
}
