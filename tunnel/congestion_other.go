//go:build !linux

package tunnel

import "net"

// setCongestionControl does nothing: the choice per socket is Linux's.
func setCongestionControl(net.Conn) {}
