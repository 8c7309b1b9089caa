package process

import "net"

// Dialable is how to reach a listener of this process from within it: where its
// address means every interface, host stands for this machine.
func Dialable(addr, host string) string {
	own, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(own); own != "" && (ip == nil || !ip.IsUnspecified()) {
		host = own
	}
	return net.JoinHostPort(host, port)
}
