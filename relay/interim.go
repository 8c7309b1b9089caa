package relay

import (
	"fmt"
	"slices"
	"time"
)

// Interims bounds the rate of 1xx responses to one request. With Tunnel it is for a Warpgate's
// connection, else for a workload's.
type Interims struct {
	Tunnel bool

	began time.Time
	spent float64 // of the burst, as of began
}

// Take counts one, and reports whether it may pass.
func (i *Interims) Take(at time.Time) bool {
	burst := float64(MaxInterim)
	if i.Tunnel {
		burst *= tunnelInterims
	}
	if !i.began.IsZero() {
		i.spent = max(0, i.spent-at.Sub(i.began).Seconds()*InterimRate)
	}
	i.began = at
	i.spent++
	return i.spent <= burst
}

// errInterims is what is wrong with one that may not.
var errInterims = malformed(fmt.Sprintf("more interim responses come than %d a second", InterimRate))

// TooManyInterims is the answer to a workload that sends more.
func TooManyInterims() error { return BadResponse("the workload's response is malformed", errInterims) }

// setNothing takes from the head of an interim response what would change what its client
// keeps. Clients may ignore it there (RFC 6265, 3), and Exchange.Response, which judges such
// fields, is shown the response alone.
func (h *ResponseHead) setNothing() {
	h.Fields = slices.DeleteFunc(h.Fields, func(f Field) bool { return f.Is("set-cookie") || f.Is("clear-site-data") })
}
