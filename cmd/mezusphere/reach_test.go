package main

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/mezusphere/mezu/testkit"
)

// What is warned of, by kind of address. e2e/pages has the commands of the README and of
// docs/operations.md run between machines.
func TestWarnOfUnusable(t *testing.T) {
	for _, c := range []struct {
		all  []said
		want string
	}{
		{[]said{{"a", "localhost", "--x"}}, "it is the machine that uses it"},
		{[]said{{"a", anyName + "app.localhost", "--x"}}, "value=app.localhost"},
		{[]said{{"a", "127.0.0.5", "--x"}}, "it is the machine that uses it"},
		{[]said{{"a", "::1", "--x"}}, "it is the machine that uses it"},
		{[]said{{"a", "::", "--x"}}, "it is no address"},
		{[]said{{"a", "fe80::1", "--x"}}, "it is of one link"},
		{[]said{{"a", "none.invalid", "--x"}}, "it does not resolve here"},
		{[]said{{"a", "192.0.2.1", "--x"}, {"b", "", "--y"}}, ""},
		{[]said{{"a", anyName + "localhost", "--x"}, {"b", "192.0.2.1", "--x"}, {"c", "localhost", "--x"}}, "what=\"a, c\" value=localhost"},
	} {
		var log testkit.Buffer
		warnOfUnusable(t.Context(), slog.New(slog.NewTextHandler(&log, nil)), c.all)
		if got := log.String(); !strings.Contains(got, c.want) || (c.want == "") != (got == "") || c.want != "" && strings.Count(got, "flag=--x") != 1 {
			t.Errorf("%v: %q, want %q", c.all, got, c.want)
		}
	}
	for listener, want := range map[string]bool{"[::]:443": false, "127.0.0.1:8443": true} {
		var log testkit.Buffer
		warnOfOtherPort(slog.New(slog.NewTextHandler(&log, nil)), 443, listener)
		if got := log.String(); strings.Contains(got, "named=443 listener=127.0.0.1:8443 flag=--public-port") != want || (got != "") != want {
			t.Errorf("%s: %q", listener, got)
		}
	}
	c := defaults()
	c.Domain, c.HTTPSAddr, c.TunnelAddr = "app.example", "127.0.0.1:443", "[::1]:8443"
	for host, want := range map[string]string{"127.0.0.1": "--https-addr", "app.example": "--domain", "machine": "--public-address"} {
		if got := c.madeOf(host, "", "--public-address", c.HTTPSAddr, "--https-addr"); got != want {
			t.Errorf("%s is set by %s", host, got)
		}
	}
	if got := c.madeOf("app.example", "app.example:443", "--public-address", c.HTTPSAddr, "--https-addr"); got != "--public-address" {
		t.Errorf("what was set is set by %s", got)
	}
	for address, want := range map[string]string{":443": "", "[::]:443": "", "0.0.0.0:443": "", "[::1]:443": "::1", "a.example:443": "a.example", "": ""} {
		if got := hostOf(address); got != want {
			t.Errorf("%q: %q, want %q", address, got, want)
		}
	}
}
