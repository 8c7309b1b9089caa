package mezu_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
)

func TestDuration(t *testing.T) {
	for s, want := range map[string]time.Duration{`"0"`: 0, `"0s"`: 0, `"10m"`: 10 * time.Minute, `"1h30m"`: 90 * time.Minute, `"250ms"`: 250 * time.Millisecond} {
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
	for _, s := range []string{`""`, `"10"`, `"-1s"`, `"1 m"`, `10`, `"x"`, `"9999999h"`, `{}`} {
		var d mezu.Duration
		if err := json.Unmarshal([]byte(s), &d); err == nil {
			t.Errorf("%s: %v", s, time.Duration(d))
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
