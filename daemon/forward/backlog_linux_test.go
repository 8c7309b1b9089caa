package forward_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
)

// fullBacklog is the address of a workload that listens and has as many connections
// waiting as it may: who dials it hears nothing.
func fullBacklog(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(os.NewSyscallError("socket", err))
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(os.NewSyscallError("bind", err))
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(os.NewSyscallError("listen", err))
	}
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(os.NewSyscallError("getsockname", err))
	}
	addr := fmt.Sprintf("127.0.0.1:%d", sa.(*syscall.SockaddrInet4).Port)
	for range 10 {
		c, err := net.DialTimeout("tcp", addr, 100*time.Millisecond)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatal("the backlog takes everything")
	return ""
}

// TestFullBacklog_Row20: the time that dialling takes is the route's, and who cancels
// meanwhile is heard.
func TestFullBacklog_Row20(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"http://", "https://", "h2c://"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, scheme+fullBacklog(t))
			e := w.connect(false)
			e.ask(getOf("/brief/x"))
			if f := e.fails(mezu.CodeWorkloadTimeout); f.Unsent {
				t.Error("to be tried elsewhere, with no time left")
			}
			e.goesOn()

			e = w.connect(false)
			ctx, cancel := context.WithTimeout(t.Context(), brief)
			defer cancel()
			e.ask(getOf("/x")) // of a route that waits for 5 minutes
			<-ctx.Done()
			e.cancel()
			receive(t, e.done, "end")
		})
	}
}
