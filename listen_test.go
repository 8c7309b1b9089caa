package mezu_test

import (
	"errors"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/mezusphere/mezu"
)

// Each cause has its own help: to stop what uses a port is none where the port takes a right.
func TestCannotListen(t *testing.T) {
	bind := func(errno syscall.Errno) error {
		return &net.OpError{Op: "listen", Net: "tcp", Addr: &net.TCPAddr{Port: 443}, Err: os.NewSyscallError("bind", errno)}
	}
	const right = "can't listen on :443: that port takes a right that this program does not have"
	for name, c := range map[string]struct {
		cause        error
		detail, hint string
	}{
		"taken":            {bind(syscall.EADDRINUSE), "can't listen on :443: bind: ", "stop what uses the port or choose another with --https-addr"},
		"taken, Windows":   {bind(10048), "can't listen on :443: bind: ", "stop what uses the port or choose another with --https-addr"},
		"a right":          {bind(syscall.EACCES), right, "choose a port above 1023 with --https-addr"},
		"a right, Windows": {bind(10013), right, "choose a port above 1023 with --https-addr"},
		"no such address":  {bind(syscall.EADDRNOTAVAIL), "this machine does not have that address (bind: ", "give --https-addr an address of this machine"},
		"a name":           {&net.OpError{Op: "listen", Err: &net.DNSError{Err: "no such host", Name: "x.example"}}, "this machine does not have that address (lookup x.example: no such host)", "give --https-addr an address of this machine"},
		"another":          {errors.New("it is Monday"), "can't listen on :443: it is Monday", "choose another address with --https-addr"},
	} {
		e := mezu.CannotListen("https-addr", ":443", c.cause)
		if e.Field != "https-addr" || e.Code != mezu.CodeUnavailable || e.Cause != c.cause || !strings.Contains(e.Detail, c.detail) || !strings.Contains(e.Hint, c.hint) {
			t.Errorf("%s: %s, try: %s", name, e.Detail, e.Hint)
		}
		if linux := c.detail == right && runtime.GOOS == "linux"; strings.Contains(e.Hint, "sudo setcap cap_net_bind_service=+ep FILE") != linux {
			t.Errorf("%s: try: %s", name, e.Hint)
		}
	}
}
