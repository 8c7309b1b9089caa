package tunnel

import (
	"time"

	"golang.org/x/sys/unix"
)

// smoothed is the smoothed round-trip time of a socket.
func smoothed(fd uintptr) time.Duration {
	info, err := unix.GetsockoptTCPConnectionInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_CONNECTION_INFO)
	if err != nil {
		return 0
	}
	return time.Duration(info.Srtt) * time.Millisecond
}
