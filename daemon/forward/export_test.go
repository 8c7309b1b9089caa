package forward

import "time"

// PingSooner makes dead connections be noticed sooner, for tests. It is called before
// the first request.
func (f *Forwarder) PingSooner(after, timeout time.Duration) {
	f.pingAfter, f.pingTimeout = after, timeout
}
