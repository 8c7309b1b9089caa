package invocation

import (
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/exit"
)

// SpanFlag makes a flag for a length of time, such as 90s, 24h, 7d or 1d12h, as mezu.yaml and the
// API have them. preset is its value where it is not given; zero leaves that to shown, the text
// that help has for it.
func SpanFlag(name, usage string, preset time.Duration, shown string) *cli.GenericFlag {
	v := span(preset)
	return &cli.GenericFlag{Name: name, Usage: usage, Value: &v, DefaultText: shown}
}

// Span is the value of such a flag.
func Span(c *cli.Context, name string) time.Duration {
	if v, ok := c.Generic(name).(*span); ok {
		return time.Duration(*v)
	}
	return 0
}

// ParseSpan is the span that a text is; zero if it is none.
func ParseSpan(text string) time.Duration {
	var s span
	_ = s.Set(text) // a flag has reported it
	return time.Duration(s)
}

// span is the value of a flag.
type span mezu.Duration

// Set reads what was typed. The error goes on behind the flag's name.
func (s *span) Set(text string) error {
	d, err := mezu.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("is a span such as 90s, 24h or 7d, not %q", text)
	}
	*s = span(d)
	return nil
}

// OptionalSpan is the value of a flag for a text that is a span or empty, which is zero.
func OptionalSpan(c *cli.Context, name string) (mezu.Duration, error) {
	var s span
	if text := c.String(name); text != "" {
		if err := s.Set(text); err != nil {
			return 0, exit.Usagef("--%s %v", name, err)
		}
	}
	return mezu.Duration(s), nil
}

// String writes the span as it is typed.
func (s *span) String() string { return mezu.Duration(*s).String() }

// dates are how a moment is typed, besides RFC 3339: by the clock of this machine.
func dates() []string {
	return []string{"2006-01-02", "2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02T15:04:05"}
}

// Moment reads a moment as a flag has it: a date, which is the first moment of its day here, a
// time in RFC 3339, or a span before now.
func Moment(flag, text string, now time.Time) (time.Time, error) {
	if d, err := mezu.ParseDuration(text); err == nil {
		return now.Add(-time.Duration(d)), nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	for _, layout := range dates() {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}
	return time.Time{}, exit.Usagef("--%s is a span such as 7d, a date such as 2026-11-28, or a time such as 2026-11-28T15:04:05Z, not %q", flag, text)
}
