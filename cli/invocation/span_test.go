package invocation_test

import (
	"testing"
	"time"

	"github.com/mezusphere/mezu/cli/invocation"
)

func TestMoment(t *testing.T) {
	zone := time.FixedZone("east", 2*60*60)
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, zone)
	for text, want := range map[string]string{
		"7d": "2026-11-23T10:00:00Z", "90s": "2026-11-30T09:58:30Z", "1d12h": "2026-11-28T22:00:00Z", "2w": "2026-11-16T10:00:00Z",
		"2026-11-28": "2026-11-27T22:00:00Z", "2026-11-28 06:30": "2026-11-28T04:30:00Z", "2026-11-28T06:30:15": "2026-11-28T04:30:15Z",
		"2026-11-28T15:04:05Z": "2026-11-28T15:04:05Z", "2026-11-28T15:04:05+01:00": "2026-11-28T14:04:05Z",
	} {
		if got, err := invocation.Moment("since", text, now); err != nil || got.UTC().Format(time.RFC3339) != want {
			t.Errorf("%s: %v, %v, not %s", text, got, err, want)
		}
	}
	for _, text := range []string{"1y", "yesterday", "2026-13-01", "-7d", "28.11.2026", ""} {
		if got, err := invocation.Moment("since", text, now); err == nil || err.Error() == "" {
			t.Errorf("%s: %v", text, got)
		}
	}
	const want = `--since is a span such as 7d, a date such as 2026-11-28, or a time such as 2026-11-28T15:04:05Z, not "1y"`
	if _, err := invocation.Moment("since", "1y", now); err == nil || err.Error() != want {
		t.Error(err)
	}
}
