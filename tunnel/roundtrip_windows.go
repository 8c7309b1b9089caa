package tunnel

import (
	"encoding/binary"
	"syscall"
	"time"
)

const (
	// tcpInfo is SIO_TCP_INFO of mstcpip.h, which Windows knows since version 1703 of 10.
	tcpInfo = 0xd8000027
	// tcpInfoSize is that of TCP_INFO_v0, rttOffset where its RttUs lies.
	tcpInfoSize = 88
	rttOffset   = 20
)

// smoothed is the smoothed round-trip time of a socket.
func smoothed(fd uintptr) time.Duration {
	version := make([]byte, 4)
	info := make([]byte, tcpInfoSize)
	var n uint32
	err := syscall.WSAIoctl(syscall.Handle(fd), tcpInfo, &version[0], uint32(len(version)), &info[0], uint32(len(info)), &n, nil, 0)
	if err != nil || n < rttOffset+4 {
		return 0
	}
	return time.Duration(binary.LittleEndian.Uint32(info[rttOffset:])) * time.Microsecond
}
