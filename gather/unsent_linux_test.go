package gather

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// While the peer reads nothing, Flush leaves something behind soon, and not after megabytes.
func TestLimitUnsent(t *testing.T) {
	conn, _ := pair(t)
	free := New(conn)
	free.Gather()
	unbounded := fill(t, free, &stream{}) - free.Pending()
	c, peer := gathered(t)
	if !c.LimitUnsent(Unsent) {
		t.Error("refused")
	}
	var s stream
	n := fill(t, c, &s)
	t.Logf("the socket takes %d KiB, and %d KiB without a bound", (n-c.Pending())>>10, unbounded>>10)
	if got := unsent(t, c); got > 2*Unsent {
		t.Errorf("%d bytes wait in the socket, and not %d", got, Unsent)
	}
	gone := make(chan error, 1)
	go func() { gone <- c.Drain(time.Minute) }()
	check(t, peer, n)
	if err := <-gone; err != nil {
		t.Error(err)
	}
	if a, _ := net.Pipe(); New(a).LimitUnsent(Unsent) {
		t.Error("a pipe has no such bound")
	}
}

// unsent is how much a socket has taken that it could not send yet.
func unsent(t *testing.T, c *Conn) (n int) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQNSD) })
	if err != nil {
		t.Fatal(err)
	}
	return n
}
