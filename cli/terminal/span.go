package terminal

import (
	"fmt"
	"time"
)

// Span is a length of time as people say it, in its two largest units: "6 d 4 h", "4 m 12 s",
// "0.2 s".
func Span(d time.Duration) string {
	if d < 0 {
		d = -d
	}
	const day = 24 * time.Hour
	two := func(large time.Duration, l string, small time.Duration, s string) string {
		n, rest := d/large, d%large/small
		if rest == 0 {
			return fmt.Sprintf("%d %s", n, l)
		}
		return fmt.Sprintf("%d %s %d %s", n, l, rest, s)
	}
	switch {
	case d >= day:
		return two(day, "d", time.Hour, "h")
	case d >= time.Hour:
		return two(time.Hour, "h", time.Minute, "m")
	case d >= time.Minute:
		return two(time.Minute, "m", time.Second, "s")
	case d >= 10*time.Second || d%time.Second == 0:
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
