package local_test

import (
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
)

func TestParseInspect(t *testing.T) {
	for text, want := range map[string]local.Inspect{
		"":              {Exchanges: mezu.DefaultExchanges, Bytes: mezu.DefaultExchangeBytes},
		"off":           {Off: true},
		"50":            {Exchanges: 50, Bytes: mezu.DefaultExchangeBytes},
		"128MiB":        {Exchanges: mezu.DefaultExchanges, Bytes: 128 << 20},
		"1000,8MiB":     {Exchanges: 1000, Bytes: 8 << 20},
		"10000, 1GiB":   {Exchanges: mezu.MaxExchanges, Bytes: mezu.MaxExchangeBytes},
		"1,4096KiB":     {Exchanges: 1, Bytes: local.LeastExchangeBytes},
		"500,67108864B": {Exchanges: 500, Bytes: 64 << 20},
	} {
		if got, err := local.ParseInspect(text); err != nil || got != want {
			t.Errorf("%q gives %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"0", "10001", "-1", "500,", ",64MiB", "500,67108864", "1,1MiB", "1,2GiB", "many", "500,64MiB,1", "on"} {
		if got, err := local.ParseInspect(text); mezu.CodeOf(err) != mezu.CodeInvalid {
			t.Errorf("%q gives %+v, %v", text, got, err)
		}
	}
}
