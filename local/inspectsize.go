package local

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/mezusphere/mezu"
)

// Inspect is how much the inspector keeps of all tunnels together. If zero, the defaults.
type Inspect struct {
	Exchanges int
	Bytes     int64
	// Off says that it keeps nothing.
	Off bool
}

// ParseInspect reads what --inspect says of the daemon: "N,SIZE", "N", "SIZE", "off", or nothing
// for the defaults. A size has a unit.
func ParseInspect(text string) (Inspect, error) {
	out := Inspect{Exchanges: mezu.DefaultExchanges, Bytes: mezu.DefaultExchangeBytes}
	switch text {
	case "":
		return out, nil
	case "off":
		return Inspect{Off: true}, nil
	}
	for i, part := range strings.SplitN(text, ",", 2) {
		part = strings.TrimSpace(part)
		n, err := strconv.Atoi(part)
		if i == 0 && err == nil {
			out.Exchanges = n
			continue
		}
		var size mezu.Size
		quoted, _ := json.Marshal(part)
		if err == nil || size.UnmarshalJSON(quoted) != nil {
			return Inspect{}, mezu.Invalid("inspect", "is how many requests and bytes are kept, such as 500,64MiB, or off; not %q", text)
		}
		out.Bytes = int64(size)
	}
	return out, out.Validate()
}

// LeastExchangeBytes is the least that is of use: one exchange with both bodies.
const LeastExchangeBytes = 4 * mezu.MaxKeptBody

// Validate checks the bounds.
func (i Inspect) Validate() error {
	switch {
	case i.Off:
		return nil
	case i.Exchanges < 1 || i.Exchanges > mezu.MaxExchanges:
		return mezu.Invalid("inspect", "keeps 1 to %d requests, not %d", mezu.MaxExchanges, i.Exchanges)
	case i.Bytes < LeastExchangeBytes || i.Bytes > mezu.MaxExchangeBytes:
		return mezu.Invalid("inspect", "keeps %d MiB to %d MiB, not %d bytes", LeastExchangeBytes>>20, mezu.MaxExchangeBytes>>20, i.Bytes)
	}
	return nil
}
