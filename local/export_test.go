package local

import "time"

// Hurry shortens the deadlines of a client.
func (c *Client) Hurry(timeout, idle time.Duration) { c.timeout, c.idle = timeout, idle }
