package tunnel

import (
	"net"
	"syscall"
	"time"
)

// roundTrip is the round-trip time that the system measures on c's TCP connection, zero if
// it doesn't tell.
func roundTrip(c net.Conn) (t time.Duration) {
	socket, ok := rawConn(c).(syscall.Conn)
	if !ok {
		return 0
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0
	}
	raw.Control(func(fd uintptr) { t = smoothed(fd) })
	return t
}
