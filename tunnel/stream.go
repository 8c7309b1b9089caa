package tunnel

// Abort breaks the connection at once, so that whoever reads or writes wakes up.
// It may be called beside both, and does not replace Discard.
func (c *Conn) Abort() { abort(c.Conn) }

// CloseWrite ends the sending direction of an upgraded stream and leaves the
// other one open.
func (c *Conn) CloseWrite() error {
	if h, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return nil
}
