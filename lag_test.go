package mezu_test

import (
	"testing"
	"time"

	"github.com/mezusphere/mezu"
)

func TestLag(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for want, lag := range map[string]mezu.Lag{
		"2 changes behind (since 3 s)":           {Changes: 2, Since: now.Add(-3500 * time.Millisecond)},
		"1 change behind (since 0 s)":            {Changes: 1, Since: now.Add(time.Minute)}, // another clock
		"1 change behind (since 59 min)":         {Changes: 1, Since: now.Add(-time.Hour + 1)},
		"10 or more changes behind (since 47 h)": {Changes: mezu.MaxLag, Since: now.Add(-47 * time.Hour)},
		"3 changes behind (since 2 d)":           {Changes: 3, Since: now.Add(-48 * time.Hour)},
		"4 changes behind":                       {Changes: 4},
		"behind":                                 {},
	} {
		if got := lag.Text(now); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestWarpgateName(t *testing.T) {
	for host, want := range map[string]string{"web-1": "web-1", "web-1.example.com": "web-1", "Änna's Mac": "nnasMac", "x\x1b[31m": "x31m", "": "", "a_b": "a_b"} {
		got := mezu.WarpgateName(host)
		if got != want || mezu.ValidateWarpgateName(got) != nil {
			t.Errorf("%q is %q, want %q", host, got, want)
		}
	}
	for _, bad := range []string{"a b", "x\x1b", "ä", string(make([]byte, 64))} {
		if mezu.ValidateWarpgateName(bad) == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
