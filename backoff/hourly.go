package backoff

import "time"

// Hourly says when a lasting trouble is worth a line in the log again: at once, and then
// every hour. The zero value is ready; it is not safe for concurrent use.
type Hourly struct{ last time.Time }

// Due reports whether it is time for a line, and if so counts the hour from now.
func (h *Hourly) Due() bool {
	if !h.last.IsZero() && time.Since(h.last) < time.Hour {
		return false
	}
	h.last = time.Now()
	return true
}
