package local

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"strings"

	"github.com/Microsoft/go-winio"
	"golang.org/x/sys/windows"
)

// pipeOf is the name of the pipe that stands for a path, and the security descriptor with which
// it is made: all rights to this user, none to anybody else, nothing inherited.
func pipeOf(path string) (name, descriptor string, err error) {
	sid, err := ownSID()
	if err != nil {
		return "", "", err
	}
	// Paths do not depend on case.
	sum := sha256.Sum256([]byte(strings.ToLower(filepath.Clean(path))))
	return fmt.Sprintf(`\\.\pipe\mezu-%s-%x`, sid, sum[:8]), fmt.Sprintf("O:%[1]sD:P(A;;GA;;;%[1]s)", sid), nil
}

func ownSID() (*windows.SID, error) {
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return nil, fmt.Errorf("asking who this user is: %w", err)
	}
	return user.User.Sid, nil
}

func listen(path string) (net.Listener, error) {
	name, descriptor, err := pipeOf(path)
	if err != nil {
		return nil, err
	}
	l, err := winio.ListenPipe(name, &winio.PipeConfig{SecurityDescriptor: descriptor})
	// A pipe is made by its first instance, and there is one.
	if errors.Is(err, windows.ERROR_ACCESS_DENIED) || errors.Is(err, windows.ERROR_ALREADY_EXISTS) {
		return nil, unavailable(ErrRunning, err, "mezu daemon status", "another process listens on %s", name)
	}
	if err != nil {
		return nil, fmt.Errorf("listening on the pipe: %w", err)
	}
	return l, nil
}

func dial(ctx context.Context, path string) (net.Conn, error) {
	name, _, err := pipeOf(path)
	if err != nil {
		return nil, unavailable(ErrForeign, err, "mezu doctor", "%v", err)
	}
	// DialPipeContext lets the other end know nothing of this process's user.
	c, err := winio.DialPipeContext(ctx, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, notRunning(name, err)
	case err != nil && ctx.Err() != nil:
		return nil, silent(name, ctx.Err())
	case err != nil:
		return nil, unavailable(ErrForeign, err, "mezu doctor", "the daemon's pipe can't be reached: %v", err)
	}
	if err := checkOwner(c); err != nil {
		c.Close()
		return nil, foreign(err, "mezu doctor")
	}
	return c, nil
}

// checkOwner refuses a pipe that another user made, who could have guessed its name.
func checkOwner(c net.Conn) error {
	handle, ok := c.(interface{ Fd() uintptr })
	if !ok {
		return errors.New("the pipe has no handle")
	}
	descriptor, err := windows.GetSecurityInfo(windows.Handle(handle.Fd()), windows.SE_KERNEL_OBJECT, windows.OWNER_SECURITY_INFORMATION)
	if err != nil {
		return fmt.Errorf("asking whose the pipe is: %w", err)
	}
	owner, _, err := descriptor.Owner()
	if err != nil {
		return fmt.Errorf("asking whose the pipe is: %w", err)
	}
	sid, err := ownSID()
	if err != nil {
		return err
	}
	if !owner.Equals(sid) && !owner.IsWellKnown(windows.WinLocalSystemSid) && !owner.IsWellKnown(windows.WinBuiltinAdministratorsSid) {
		return &peerError{owner.String()}
	}
	return nil
}
