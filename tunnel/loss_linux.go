package tunnel

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// segmentsOf asks the socket below c what its path has carried and lost. What this end sent
// again was lost on the way there; what came out of order, on the way back. Everything that
// comes behind a lost segment is out of order, so the way back is judged by what had to wait.
func segmentsOf(c net.Conn) (n segments, ok bool) {
	socket, is := rawConn(c).(syscall.Conn)
	if !is {
		return n, false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return n, false
	}
	raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err == nil {
			n = segments{all: uint64(info.Segs_out) + uint64(info.Segs_in), lost: uint64(info.Total_retrans) + uint64(info.Rcv_ooopack)}
			ok = true
		}
	})
	return n, ok
}

// canShare says that segmentsOf can tell.
const canShare = true
