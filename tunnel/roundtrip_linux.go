package tunnel

import (
	"time"

	"golang.org/x/sys/unix"
)

// smoothed is the smoothed round-trip time of a socket.
func smoothed(fd uintptr) time.Duration {
	info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0
	}
	return time.Duration(info.Rtt) * time.Microsecond
}
