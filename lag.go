package mezu

import (
	"fmt"
	"time"
)

// Lag is how far an edge or a Warpgate is behind the newest configuration of an environment.
type Lag struct {
	// Changes is how many it does not run yet; MaxLag stands for as many or more. Zero is none,
	// or that it isn't known.
	Changes int
	// Since is when the first of them was made; zero if that isn't known.
	Since time.Time
}

// MaxLag is how many changes of an environment are counted that somebody does not run. Who lacks
// more was away, and the number says nothing.
const MaxLag = 10

// Text says it to people: "2 changes behind (since 3 s)".
func (l Lag) Text(now time.Time) string {
	text := fmt.Sprintf("%d changes behind", l.Changes)
	switch {
	case l.Changes <= 0:
		text = "behind"
	case l.Changes == 1:
		text = "1 change behind"
	case l.Changes >= MaxLag:
		text = fmt.Sprintf("%d or more changes behind", MaxLag)
	}
	if l.Since.IsZero() {
		return text
	}
	return text + " (since " + span(max(now.Sub(l.Since), 0)) + ")"
}

// span is a time in its largest whole unit.
func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d d", d/(24*time.Hour))
}
