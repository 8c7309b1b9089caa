package mezu

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"runtime"
	"slices"
	"syscall"
)

// Errors of Winsock that package syscall has no name for. No other system has these numbers.
const (
	winsockAccess       = syscall.Errno(10013)
	winsockTaken        = syscall.Errno(10048)
	winsockNotAvailable = syscall.Errno(10049)
)

// CannotListen is the error of an address that a program can't listen on. It names the flag of the
// address, and what helps against that cause.
func CannotListen(flag, addr string, cause error) *Error {
	why := cause
	if op, ok := errors.AsType[*net.OpError](cause); ok {
		why = op.Err // which doesn't name the address again
	}
	e := &Error{Code: CodeUnavailable, Field: flag, Detail: fmt.Sprintf("can't listen on %s: %v", addr, why), Cause: cause}
	is := func(errs ...error) bool {
		return slices.ContainsFunc(errs, func(err error) bool { return errors.Is(cause, err) })
	}
	_, unresolved := errors.AsType[*net.DNSError](cause)
	switch {
	case is(fs.ErrPermission, winsockAccess):
		e.Detail = fmt.Sprintf("can't listen on %s: that port takes a right that this program does not have", addr)
		e.Hint = "choose a port above 1023 with --" + flag
		if runtime.GOOS == "linux" {
			e.Hint += ", or give the program's file the right: sudo setcap cap_net_bind_service=+ep FILE; a unit of systemd does by AmbientCapabilities=CAP_NET_BIND_SERVICE"
		}
	case unresolved || is(syscall.EADDRNOTAVAIL, winsockNotAvailable):
		e.Detail = fmt.Sprintf("can't listen on %s: this machine does not have that address (%v)", addr, why)
		_, port, _ := net.SplitHostPort(addr)
		e.Hint = "give --" + flag + " an address of this machine, or the port alone, :" + port + ", for all of them"
	case is(syscall.EADDRINUSE, winsockTaken):
		e.Hint = "stop what uses the port or choose another with --" + flag
	default:
		e.Hint = "choose another address with --" + flag
	}
	return e
}
