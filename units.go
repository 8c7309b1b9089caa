package mezu

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a time span that is written as Go writes it ("10m", "1h30m"), and read with
// weeks and days before that too ("7d", "2w", "1d12h").
type Duration time.Duration

// String writes the span as people do: whole days in days, and without units of which there
// are none.
func (d Duration) String() string {
	if days := d / day; d > 0 && d%day == 0 {
		return strconv.FormatInt(int64(days), 10) + "d"
	}
	text := time.Duration(d).String()
	if minutes, ok := strings.CutSuffix(text, "m0s"); ok {
		text = minutes + "m"
	}
	if hours, ok := strings.CutSuffix(text, "h0m"); ok {
		text = hours + "h"
	}
	return text
}

// day is 24 hours, and week seven of them: a span knows no summer time.
const (
	day  = Duration(24 * time.Hour)
	week = 7 * day
)

// MarshalText writes the span in Go's notation.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads a span as ParseDuration does.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := ParseDuration(string(text))
	if err == nil {
		*d = v
	}
	return err
}

// ParseDuration reads a span in Go's notation, with whole weeks and then whole days before it.
// Negative spans are refused. It is how all files, flags and calls have spans.
func ParseDuration(text string) (Duration, error) {
	rest, sum := text, Duration(0)
	for _, unit := range []struct {
		letter string
		length Duration
	}{{"w", week}, {"d", day}} {
		number, behind, ok := strings.Cut(rest, unit.letter)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(number, 10, 63)
		if err != nil || Duration(n) > (math.MaxInt64-sum)/unit.length {
			return 0, noSpan(text)
		}
		sum, rest = sum+Duration(n)*unit.length, behind
	}
	if rest == "" && text != "" {
		return sum, nil
	}
	v, err := time.ParseDuration(rest)
	if err != nil || v < 0 || Duration(v) > math.MaxInt64-sum {
		return 0, noSpan(text)
	}
	return sum + Duration(v), nil
}

func noSpan(text string) error {
	return Invalid("", "%q is not a time span such as 30s, 10m, 24h, 7d or 2w", text)
}

// Size is a number of bytes, written as a number or with a unit of KiB, MiB or
// GiB.
type Size int64

var sizeUnits = []struct {
	suffix string
	factor int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"B", 1}}

// MarshalJSON writes the plain number of bytes.
func (s Size) MarshalJSON() ([]byte, error) { return strconv.AppendInt(nil, int64(s), 10), nil }

// UnmarshalJSON reads a number of bytes or a string such as "16MiB".
func (s *Size) UnmarshalJSON(data []byte) error {
	text := string(data)
	if text == "null" {
		return nil // as encoding/json does for every other number
	}
	if strings.HasPrefix(text, `"`) {
		if err := json.Unmarshal(data, &text); err != nil {
			return err
		}
	}
	factor := int64(1)
	for _, u := range sizeUnits {
		if rest, ok := strings.CutSuffix(text, u.suffix); ok {
			text, factor = strings.TrimSpace(rest), u.factor
			break
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > (1<<62)/factor {
		return Invalid("", "%s is not a size such as 1048576 or \"16MiB\"", data)
	}
	*s = Size(n * factor)
	return nil
}
