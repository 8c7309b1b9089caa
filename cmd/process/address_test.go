package process_test

import (
	"testing"

	"github.com/mezusphere/mezu/cmd/process"
)

func TestDialable(t *testing.T) {
	for addr, want := range map[string]string{
		"[::]:7443": "localhost:7443", "0.0.0.0:7443": "localhost:7443", ":7443": "localhost:7443", "192.0.2.1:7443": "192.0.2.1:7443", "[::1]:7443": "[::1]:7443",
		"api.example.com:7443": "api.example.com:7443", "none": "none",
	} {
		if got := process.Dialable(addr, "localhost"); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
}
