//go:build !linux

package tunnel

import "net"

// segmentsOf can't tell: no connection is shared here.
func segmentsOf(net.Conn) (segments, bool) { return segments{}, false }

const canShare = false
