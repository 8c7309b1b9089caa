package testkit

import (
	"net"
	"sync/atomic"
)

// Counted is a connection that counts the bytes read of it.
type Counted struct {
	net.Conn
	Bytes atomic.Int64
}

// Read implements net.Conn.
func (c *Counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.Bytes.Add(int64(n))
	return n, err
}
