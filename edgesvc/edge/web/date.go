package web

import (
	"net/http"
	"sync/atomic"
	"time"
)

// dateClock gives the date for responses that have none. It renders the date once a second.
// If zero, it is ready.
type dateClock struct{ last atomic.Pointer[dated] }

type dated struct {
	second int64
	text   string
}

// now is the date as HTTP writes it (RFC 9110, 5.6.7).
func (c *dateClock) now() string {
	at := time.Now()
	d := c.last.Load()
	if d == nil || d.second != at.Unix() {
		d = &dated{at.Unix(), at.UTC().Format(http.TimeFormat)}
		c.last.Store(d)
	}
	return d.text
}
