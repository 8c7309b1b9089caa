package mezu

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// Duration is a time span that is written as Go writes it ("10m", "1h30m").
type Duration time.Duration

// MarshalText writes the span in Go's notation.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads a span in Go's notation. Negative spans are refused.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil || v < 0 {
		return Invalid("", "%q is not a time span such as 30s, 10m or 1h", text)
	}
	*d = Duration(v)
	return nil
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
