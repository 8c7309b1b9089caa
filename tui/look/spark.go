package look

import "strings"

// Sparkline gives w cells with the last w values, the newest on the right. Their height is
// relative to the largest of them; nothing is where there is no value yet.
func (t *Theme) Sparkline(values []float64, w int) string {
	if len(values) > w {
		values = values[len(values)-w:]
	}
	top := 0.0
	for _, v := range values {
		top = max(top, v)
	}
	var s strings.Builder
	s.WriteString(strings.Repeat(" ", w-len(values)))
	last := len(t.Spark) - 1
	for _, v := range values {
		step := 0
		if top > 0 && v > 0 {
			step = min(last, int(v/top*float64(last)+0.5))
		}
		s.WriteString(t.Spark[step])
	}
	return s.String()
}

// Meter gives a bar of at most w cells for a share of one.
func (t *Theme) Meter(share float64, w int) string {
	eighths := int(min(max(share, 0), 1)*float64(w*8) + 0.5)
	if eighths == 0 && share > 0 {
		eighths = 1
	}
	s := strings.Repeat(t.Bar[len(t.Bar)-1], eighths/8)
	if rest := eighths % 8; rest > 0 {
		s += t.Bar[rest-1]
	}
	return s
}
