package gather

import "golang.org/x/sys/unix"

// LimitUnsent bounds what the kernel takes beyond what it can send at once, and reports
// whether it does. Without a bound megabytes go into the buffer of a socket before Flush
// leaves anything, and what is written later waits behind them, however small and urgent.
func (c *Conn) LimitUnsent(bytes int) (ok bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	err = raw.Control(func(fd uintptr) {
		ok = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, bytes) == nil
	})
	return ok && err == nil
}
