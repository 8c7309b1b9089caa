package mezu_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
)

func TestDuration(t *testing.T) {
	for s, want := range map[string]time.Duration{`"0"`: 0, `"0s"`: 0, `"10m"`: 10 * time.Minute, `"1h30m"`: 90 * time.Minute, `"250ms"`: 250 * time.Millisecond,
		`"0d"`: 0, `"7d"`: 7 * 24 * time.Hour, `"1d12h"`: 36 * time.Hour, `"106751d"`: 106751 * 24 * time.Hour,
		`"2w"`: 14 * 24 * time.Hour, `"1w2d3h"`: 219 * time.Hour, `"1w30m"`: 168*time.Hour + 30*time.Minute} {
		var d mezu.Duration
		if err := json.Unmarshal([]byte(s), &d); err != nil || time.Duration(d) != want {
			t.Errorf("%s: %v, %v", s, time.Duration(d), err)
		}
		text, _ := json.Marshal(d)
		var again mezu.Duration
		if err := json.Unmarshal(text, &again); err != nil || again != d {
			t.Errorf("%s is written as %s", s, text)
		}
	}
	for _, s := range []string{`""`, `"10"`, `"-1s"`, `"1 m"`, `10`, `"x"`, `"9999999h"`, `{}`, `"d"`, `"-1d"`, `"+1d"`, `"1.5d"`, `"1d-1h"`, `"1h1d"`, `"1d1"`, `"106752d"`, `"106751d24h"`, `"1y"`, `"1d1w"`, `"1w1w"`, `"w"`, `"15251w"`, `"18446744073709551616w"`} {
		var d mezu.Duration
		if err := json.Unmarshal([]byte(s), &d); err == nil {
			t.Errorf("%s: %v", s, time.Duration(d))
		}
	}
}

func TestDuration_String(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 5 * time.Minute: "5m", 90 * time.Minute: "1h30m", time.Hour: "1h", 20 * time.Second: "20s", 90 * time.Second: "1m30s",
		24 * time.Hour: "1d", 36 * time.Hour: "36h", 30 * 24 * time.Hour: "30d", time.Hour + time.Second: "1h0m1s",
	} {
		if got := mezu.Duration(d).String(); got != want {
			t.Errorf("%v: %s, not %s", d, got, want)
		}
	}
}

func TestSize(t *testing.T) {
	for s, want := range map[string]mezu.Size{
		"0": 0, "1048576": 1 << 20, `"7"`: 7, `"7B"`: 7, `"16MiB"`: 16 << 20, `"16 KiB"`: 16 << 10, `"4294967296GiB"`: 1 << 62, "4611686018427387904": 1 << 62, "null": 0,
	} {
		var size mezu.Size
		if err := json.Unmarshal([]byte(s), &size); err != nil || size != want {
			t.Errorf("%s: %d, %v", s, size, err)
		}
		text, _ := json.Marshal(size)
		var again mezu.Size
		if err := json.Unmarshal(text, &again); err != nil || again != size {
			t.Errorf("%s is written as %s", s, text)
		}
	}
	for _, s := range []string{
		`""`, `"MiB"`, `"-1"`, "-1", "1.5", `"1.5MiB"`, "1e3", `"4294967297GiB"`, "4611686018427387905", "9223372036854775808", `"1MB"`, `"1mib"`, `"1KiBB"`, `"1KiB KiB"`, "true", "[]",
	} {
		var size mezu.Size
		if err := json.Unmarshal([]byte(s), &size); err == nil {
			t.Errorf("%s: %d", s, size)
		}
	}
}
