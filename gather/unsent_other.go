//go:build !linux

package gather

// LimitUnsent does nothing: other systems bound when a socket is writable, and not what it
// takes.
func (c *Conn) LimitUnsent(int) bool { return false }
