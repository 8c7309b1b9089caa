package terminal

import (
	"fmt"
	"time"
)

// Moment is a time as results have it: how long ago it is on a terminal, and RFC 3339 elsewhere.
// It is empty if the time is zero.
func (s Streams) Moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	if !s.OutTerminal || s.Absolute {
		return t.UTC().Format(time.RFC3339)
	}
	return Ago(t, s.now())
}

// now is the time.
func (s Streams) now() time.Time {
	if s.Present == nil {
		return time.Now()
	}
	return s.Present()
}

// maxDays is up to how many days a time is told from now. Beyond, its date says more.
const maxDays = 100

// Ago says how long before or after now a time is: "3 min ago", "in 6 d", "now". Of a time that
// is far away it gives the date.
func Ago(t, now time.Time) string {
	d := now.Sub(t)
	before, after := "", " ago"
	if d < 0 {
		d, before, after = -d, "in ", ""
	}
	if d < time.Second {
		return "now"
	}
	for _, u := range []struct {
		unit time.Duration
		name string
		most int64
	}{{time.Second, "s", 60}, {time.Minute, "min", 60}, {time.Hour, "h", 24}, {24 * time.Hour, "d", maxDays}} {
		if n := int64(d.Round(u.unit) / u.unit); n < u.most {
			return fmt.Sprintf("%s%d %s%s", before, n, u.name, after)
		}
	}
	return t.UTC().Format(time.DateOnly)
}
