package look

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/mezusphere/mezu"
)

// Took is a duration in milliseconds as lists show it: "3 ms", "1.2 s", "4 m 02 s".
func Took(ms float64) string {
	switch d := time.Duration(ms * float64(time.Millisecond)); {
	case d < 0:
		return ""
	case d < time.Second:
		return strconv.Itoa(int(math.Round(ms))) + " ms"
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d m %02d s", int(d.Minutes()), int(d.Seconds())%60)
	default:
		return fmt.Sprintf("%d h %02d m", int(d.Hours()), int(d.Minutes())%60)
	}
}

// Bytes is a size: "312 B", "1.2 kB", "14 MB".
func Bytes(n int64) string {
	const step = 1000
	if n < step {
		return strconv.FormatInt(n, 10) + " B"
	}
	v := float64(n)
	for _, unit := range []string{"kB", "MB", "GB"} {
		v /= step
		if v < step-0.5 {
			if v < 9.95 {
				return fmt.Sprintf("%.1f %s", v, unit)
			}
			return fmt.Sprintf("%.0f %s", v, unit)
		}
	}
	return fmt.Sprintf("%.1f TB", v/step)
}

// Count is a number with commas: "1,204".
func Count(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Position is a configuration as screens name it: "1:4182".
func Position(p mezu.Position) string { return fmt.Sprintf("%d:%d", p.Epoch, p.Revision) }

// Rate is a number per second: "42.0", "1,204".
func Rate(v float64) string {
	if v < 999.95 {
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return Count(int(math.Round(v)))
}

// Ago is how long something is back, as lists show it: "now", "3 s", "2 m", "4 h", "31 d".
func Ago(d time.Duration) string {
	switch {
	case d < time.Second:
		return "now"
	case d < time.Minute:
		return strconv.Itoa(int(d.Seconds())) + " s"
	case d < time.Hour:
		return strconv.Itoa(int(d.Minutes())) + " m"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d.Hours())) + " h"
	default:
		return strconv.Itoa(int(d.Hours()/24)) + " d"
	}
}

// Left is how long something still lasts: "6 d 4 h", "3 h 10 m", "40 s".
func Left(d time.Duration) string {
	switch {
	case d <= 0:
		return "ended"
	case d < time.Minute:
		return strconv.Itoa(int(d.Seconds())) + " s"
	case d < time.Hour:
		return strconv.Itoa(int(d.Minutes())) + " m"
	case d < 24*time.Hour:
		return fmt.Sprintf("%d h %d m", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%d d %d h", int(d.Hours()/24), int(d.Hours())%24)
	}
}
