package control

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

// A start with the team's login beside the workloads warns, and no other.
func TestN27_LoginBesideWorkloads(t *testing.T) {
	for _, c := range []struct {
		site, domain string
		warns        bool
	}{
		{"https://control.example.com:7443", "edge.example.com", true},
		{"https://example.com", "example.com", true},
		{"https://login.acme.co.uk", "apps.acme.co.uk", true},
		{"https://control.example.com", "apps.example.org", false},
		{"https://acme.co.uk", "bcme.co.uk", false},
		{"https://localhost:7443", "localhost", false},
		{"https://127.0.0.1:7443", "localhost", false},
		{"https://10.0.0.1", "10.0.0.1", false},
		{"https://[::1]:7443", "localhost", false},
	} {
		var out bytes.Buffer
		warnOfSiblings(slog.New(slog.NewTextHandler(&out, nil)), c.site, c.domain)
		if warned := strings.Contains(out.String(), "another domain"); warned != c.warns {
			t.Errorf("%s, %s: %q", c.site, c.domain, out.String())
		}
	}
}
