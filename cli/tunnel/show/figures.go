package show

import (
	"fmt"
	"strconv"
	"time"
)

// Count is a number with commas: 1,204.
func Count(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// Size is a number of bytes: 1.2 kB.
func Size(n int64) string {
	const step = 1000
	if n < step {
		return fmt.Sprintf("%d B", max(n, 0))
	}
	value, unit := float64(n)/step, 0
	for units := "kMGTP"; value >= step-0.05 && unit < len(units)-1; unit++ {
		value /= step
	}
	return fmt.Sprintf("%.1f %cB", value, "kMGTP"[unit])
}

// Span is a short time: 3 ms, 1.2 s, 4 m 12 s.
func Span(d time.Duration) string {
	switch {
	case d < time.Second-time.Millisecond/2:
		return fmt.Sprintf("%d ms", d.Round(time.Millisecond).Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return Long(d)
}

// Limit is a time that somebody chose: 30 s, and not 30.0 s.
func Limit(d time.Duration) string {
	if d >= time.Second && d%time.Second == 0 {
		return Long(d)
	}
	return Span(d)
}

// Long is a time in its two largest units: 4 m 12 s.
func Long(d time.Duration) string {
	const day = 24 * time.Hour
	d = d.Round(time.Second)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d m %02d s", d/time.Minute, d%time.Minute/time.Second)
	case d < day:
		return fmt.Sprintf("%d h %02d m", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%d d %d h", d/day, d%day/time.Hour)
}
