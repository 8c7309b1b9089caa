//go:build unix

package local_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/testkit"
)

// stranger is a user that is neither root nor any person: nobody.
const stranger = 65534

// folder makes a short path for a socket, in a folder that does not exist yet.
func folder(t *testing.T) (path string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "m")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "run", "daemon.sock")
}

func listen(t *testing.T, path string) net.Listener {
	t.Helper()
	l, err := local.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// asStranger is a copy of this test binary that another user may run. The binary itself is in a
// folder that only root reads.
type asStranger struct {
	t       *testing.T
	program string
}

func newStranger(t *testing.T) *asStranger {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can be two users")
	}
	own, err := os.Executable()
	must(t, err)
	dir, err := os.MkdirTemp("", "m")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	a := &asStranger{t, filepath.Join(dir, "stranger")}
	testkit.CopyFile(t, own, a.program)
	must(t, os.Chmod(a.program, 0o755))
	return a
}

// does gives the line that another user prints. Its process goes on until the test ends, if it
// waits for that.
func (a *asStranger) does(do, path string) string {
	a.t.Helper()
	cmd := exec.Command(a.program)
	cmd.Dir = "/"
	cmd.Env = []string{"MEZU_TEST_STRANGER=" + do, "MEZU_TEST_SOCKET=" + path}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: stranger, Gid: stranger}}
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	must(a.t, err)
	stdout, err := cmd.StdoutPipe()
	must(a.t, err)
	must(a.t, cmd.Start())
	a.t.Cleanup(func() {
		stdin.Close()
		_ = cmd.Wait()
	})
	line, _ := bufio.NewReader(stdout).ReadString('\n')
	return strings.TrimSuffix(line, "\n")
}

// beStranger is what runs as another user.
func beStranger(do, path string) {
	switch do {
	case "connect": // without any check of its own
		c, err := net.Dial("unix", path)
		if err != nil {
			fmt.Println("no connection:", errors.Is(err, os.ErrPermission))
			return
		}
		_, _ = io.WriteString(c, "GET /v1/status HTTP/1.1\r\nHost: mezu\r\n\r\n")
		data, _ := io.ReadAll(c)
		fmt.Println("closed after", len(data), "bytes")
	case "dial":
		_, err := local.Dial(context.Background(), path)
		fmt.Println("foreign:", errors.Is(err, local.ErrForeign))
	case "listen":
		_, err := local.Listen(path)
		fmt.Println("foreign:", errors.Is(err, local.ErrForeign))
	case "serve": // until the other side says so
		l, err := net.Listen("unix", path)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("listening")
		_, _ = io.Copy(io.Discard, os.Stdin)
		l.Close()
	}
}

// TestD4_AnotherUserIsRefused: the folder keeps other users away. If somebody opens it, the
// daemon closes their connections, and their clients want no daemon of ours.
func TestD4_AnotherUserIsRefused(t *testing.T) {
	other, path := newStranger(t), folder(t)
	must(t, os.Chmod(filepath.Dir(filepath.Dir(path)), 0o755))
	l := listen(t, path)
	accepted := make(chan net.Conn)
	go func() {
		defer close(accepted)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	if out := other.does("connect", path); out != "no connection: true" {
		t.Errorf("as it is made: %s", out)
	}
	if out := other.does("dial", path); out != "foreign: true" {
		t.Errorf("their client: %s", out)
	}
	if out := other.does("listen", path); out != "foreign: true" {
		t.Errorf("their daemon: %s", out)
	}
	must(t, os.Chmod(filepath.Dir(path), 0o755))
	must(t, os.Chmod(path, 0o666))
	if out := other.does("connect", path); out != "closed after 0 bytes" {
		t.Errorf("opened to others: %s", out)
	}
	if out := other.does("dial", path); out != "foreign: true" {
		t.Errorf("their client, opened to others: %s", out)
	}
	select {
	case <-accepted:
		t.Error("the server sees their connection")
	default:
	}
	// This user's own client wants none that is open either, until it is closed again.
	if _, err := local.Dial(t.Context(), path); !errors.Is(err, local.ErrForeign) {
		t.Errorf("an open folder: %v", err)
	}
	must(t, os.Chmod(filepath.Dir(path), 0o700))
	must(t, os.Chmod(path, 0o600))
	c, err := local.Dial(t.Context(), path)
	must(t, err)
	(<-accepted).Close()
	c.Close()
	l.Close()
	for range accepted {
	}
}

// TestD4_AnotherUserListens: a process of another user at the other end is not spoken to, even
// if folder and socket look right.
func TestD4_AnotherUserListens(t *testing.T) {
	other, path := newStranger(t), folder(t)
	dir := filepath.Dir(path)
	must(t, os.Chmod(filepath.Dir(dir), 0o755))
	must(t, os.Mkdir(dir, 0o700))
	must(t, os.Chown(dir, stranger, stranger))
	if out := other.does("serve", path); out != "listening" {
		t.Fatal(out)
	}
	refused := func(what string) {
		t.Helper()
		if _, err := local.Dial(t.Context(), path); !errors.Is(err, local.ErrForeign) {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused("a folder of another user")
	if _, err := local.Listen(path); !errors.Is(err, local.ErrForeign) {
		t.Errorf("listening in a folder of another user: %v", err)
	}
	must(t, os.Chown(dir, 0, 0))
	refused("a socket of another user")
	must(t, os.Chown(path, 0, 0))
	must(t, os.Chmod(path, 0o600))
	refused("a process of another user")
}

// TestD4_WhatIsInTheWay: nothing that others could have put there is used, or removed.
func TestD4_WhatIsInTheWay(t *testing.T) {
	elsewhere := folder(t)
	listen(t, elsewhere)
	for name, make := range map[string]func(path string) error{
		"a folder that a group may write": func(path string) error {
			return errors.Join(os.Mkdir(filepath.Dir(path), 0o700), os.Chmod(filepath.Dir(path), 0o770))
		},
		"a folder that others may read": func(path string) error {
			return errors.Join(os.Mkdir(filepath.Dir(path), 0o700), os.Chmod(filepath.Dir(path), 0o755))
		},
		"a link to a folder":   func(path string) error { return os.Symlink(filepath.Dir(elsewhere), filepath.Dir(path)) },
		"a file for a folder":  func(path string) error { return os.WriteFile(filepath.Dir(path), nil, 0o600) },
		"a link to a socket":   func(path string) error { return inFolder(path, func() error { return os.Symlink(elsewhere, path) }) },
		"a link to nothing":    func(path string) error { return inFolder(path, func() error { return os.Symlink("/nowhere", path) }) },
		"a file for a socket":  func(path string) error { return inFolder(path, func() error { return os.WriteFile(path, nil, 0o600) }) },
		"a folder as a socket": func(path string) error { return inFolder(path, func() error { return os.Mkdir(path, 0o700) }) },
		"a socket that others may connect to": func(path string) error {
			return inFolder(path, func() error { return errors.Join(leave(path), os.Chmod(path, 0o666)) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := folder(t)
			must(t, make(path))
			before, _ := os.Lstat(path)
			if l, err := local.Listen(path); !errors.Is(err, local.ErrForeign) {
				if err == nil {
					l.Close()
				}
				t.Errorf("listening: %v", err)
			}
			if c, err := local.Dial(t.Context(), path); !errors.Is(err, local.ErrForeign) {
				if err == nil {
					c.Close()
				}
				t.Errorf("connecting: %v", err)
			}
			if after, _ := os.Lstat(path); before != nil && (after == nil || !os.SameFile(before, after)) {
				t.Error("what is in the way was replaced")
			}
		})
	}
}

func inFolder(path string, make func() error) error {
	return errors.Join(os.Mkdir(filepath.Dir(path), 0o700), make())
}

// leave leaves a socket behind on which nobody listens.
func leave(path string) error {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false)
	return l.Close()
}

func TestListen(t *testing.T) {
	path := folder(t)
	l := listen(t, path)
	for p, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		if info, err := os.Lstat(p); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want %v", p, info.Mode(), err, want)
		}
	}
	must(t, l.Close())
	if err := l.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after it was closed: %v", err)
	}
	if _, err := local.Dial(t.Context(), path); !errors.Is(err, local.ErrNotRunning) {
		t.Errorf("connecting to none: %v", err)
	}
	// A daemon that was killed left its socket.
	must(t, leave(path))
	must(t, os.Chmod(path, 0o600))
	if _, err := local.Dial(t.Context(), path); !errors.Is(err, local.ErrNotRunning) {
		t.Errorf("connecting to one that was killed: %v", err)
	}
	listen(t, path)
	var e *mezu.Error
	if _, err := local.Listen(path + ".lock/run/daemon.sock"); !errors.As(err, &e) || !strings.Contains(e.Hint, "XDG_RUNTIME_DIR") {
		t.Errorf("without a folder: %v", err)
	}
	if _, err := local.Listen("/" + strings.Repeat("x", local.MaxSocketPath)); err == nil {
		t.Error("listens at a path that is too long")
	}
	if _, err := local.Dial(t.Context(), "/"+strings.Repeat("x", local.MaxSocketPath)); !errors.Is(err, local.ErrForeign) {
		t.Errorf("connecting to a path that is too long: %v", err)
	}
}

// TestTwoDaemons: of those that start at once one listens, and a program that takes the socket
// without the lock keeps it.
func TestTwoDaemons(t *testing.T) {
	path := folder(t)
	must(t, os.MkdirAll(filepath.Dir(path), 0o700))
	must(t, leave(path))
	must(t, os.Chmod(path, 0o600))
	const many = 8
	listeners := make([]net.Listener, many)
	errs := make([]error, many)
	var wg sync.WaitGroup
	for i := range many {
		wg.Go(func() { listeners[i], errs[i] = local.Listen(path) })
	}
	wg.Wait()
	won := 0
	for i, err := range errs {
		switch {
		case err == nil:
			won++
			must(t, listeners[i].Close())
		case !errors.Is(err, local.ErrRunning):
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d listen", won)
	}
	other, err := net.Listen("unix", path)
	must(t, err)
	defer other.Close()
	must(t, os.Chmod(path, 0o600))
	if _, err := local.Listen(path); !errors.Is(err, local.ErrRunning) {
		t.Errorf("beside another program: %v", err)
	}
}

// A client that comes while the daemon starts or ends finds it or doesn't, and never a socket
// that it has to mistrust.
func TestListen_WhileClientsCome(t *testing.T) {
	path := folder(t)
	must(t, listen(t, path).Close())
	ended := make(chan struct{})
	wrong := make(chan error, 1)
	go func() {
		defer close(wrong)
		for {
			select {
			case <-ended:
				return
			default:
			}
			c, err := local.Dial(context.Background(), path)
			if err == nil {
				c.Close()
			} else if errors.Is(err, local.ErrForeign) {
				wrong <- err
				return
			}
		}
	}()
	for range 300 {
		l, err := local.Listen(path)
		must(t, err)
		must(t, l.Close())
	}
	close(ended)
	if err := <-wrong; err != nil {
		t.Error(err)
	}
}
