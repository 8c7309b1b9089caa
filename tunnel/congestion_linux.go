package tunnel

import (
	"net"
	"net/netip"
	"syscall"
)

// setCongestionControl asks for BBR, which moves about seventy times as much as
// CUBIC where one packet in a hundred is lost. A kernel that doesn't have it or
// doesn't grant it keeps its default. Loopback loses nothing, and would only pay
// for BBR's pacing.
func setCongestionControl(c net.Conn) {
	tcp, ok := rawConn(c).(*net.TCPConn)
	if !ok {
		return
	}
	if addr, err := netip.ParseAddrPort(tcp.RemoteAddr().String()); err != nil || addr.Addr().Unmap().IsLoopback() {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		syscall.SetsockoptString(int(fd), syscall.IPPROTO_TCP, syscall.TCP_CONGESTION, "bbr")
	})
}
