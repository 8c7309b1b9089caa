package mezu_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
)

func TestR10_CanonicalHost(t *testing.T) {
	for raw, want := range map[string]string{
		"APP.example.com": "app.example.com", "app.example.com.": "app.example.com", "app.example.com:443": "app.example.com",
		"app.example.com.:443": "app.example.com", "xn--MNCHEN-3ya.example": "xn--mnchen-3ya.example", "a_b.example": "a_b.example",
		"localhost:65535": "localhost", "192.0.2.1:80": "192.0.2.1", "[::1]": "[::1]", "[0:0::1]:443": "[::1]", "[2001:DB8::1]": "[2001:db8::1]",
		long(63) + ".example": long(63) + ".example",
	} {
		if got, err := mezu.CanonicalHost(raw); err != nil || got != want {
			t.Errorf("%q: %q, %v", raw, got, err)
		}
	}
	for _, raw := range []string{
		"", ".", "..", ":", ":443", "a..b", ".a", "a.example..", "a:", "a:b", "a:0", "a:65536", "a:99999", "a:+80", "a:80:80", "a:000080", "a b", "a\t", " a", "a\n",
		"user@a", "a/b", "a?b", "a#b", "a%20", "münchen.example", "a*", "[::1", "::1", "[]", "[1.2.3.4]", "[::1]x", "[::1]:", "[::1]:0", "[::1]:x", "[fe80::1%eth0]", "a[::1]",
		long(64) + ".example", strings.Repeat("a.", 127) + "a", "a,b", "a;b", "\x00",
	} {
		if got, err := mezu.CanonicalHost(raw); mezu.CodeOf(err) != mezu.CodeNotCanonical {
			t.Errorf("%q: %q, %v", raw, got, err)
		}
	}
}

// TestR10_ManyHosts: the form of one host does not depend on how many there are.
func TestR10_ManyHosts(t *testing.T) {
	for _, n := range []int{1, 101, 10_000} {
		known := make(map[string]bool, n)
		for i := range n {
			known[fmt.Sprintf("app%d.example.com", i)] = true
		}
		for i := range n {
			for _, form := range []string{"APP%d.Example.com", "app%d.example.com.", "app%d.example.com:8443", "App%d.example.com.:443"} {
				if host, err := mezu.CanonicalHost(fmt.Sprintf(form, i)); err != nil || !known[host] {
					t.Fatalf("%d hosts: "+form+" is %q, %v", n, i, host, err)
				}
			}
		}
	}
}

func TestCanonicalHost_AllocatesNothing(t *testing.T) {
	for _, raw := range []string{"app.example.com", "app.example.com.:8443", "192.0.2.1"} {
		if n := testing.AllocsPerRun(100, func() { mezu.CanonicalHost(raw) }); n != 0 {
			t.Errorf("%s: %v allocations", raw, n)
		}
	}
}

func FuzzCanonicalHost(f *testing.F) {
	for _, s := range []string{"a", "A.b.", "a:1", "a.:65535", "[::1]:1", "[::", "a..b", "a:b:c", "\xff", "[::ffff:1.2.3.4]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		host, err := mezu.CanonicalHost(raw)
		if err != nil {
			if host != "" || mezu.CodeOf(err) != mezu.CodeNotCanonical {
				t.Fatalf("%q: %q with %v", raw, host, err)
			}
			return
		}
		if again, err := mezu.CanonicalHost(host); err != nil || again != host {
			t.Fatalf("%q: %q becomes %q, %v", raw, host, again, err)
		}
		if withPort, err := mezu.CanonicalHost(host + ":8443"); err != nil || withPort != host {
			t.Fatalf("%q: with a port %q, %v", raw, withPort, err)
		}
		if host == "" || len(host) > mezu.MaxHostLength || strings.ToLower(host) != host || strings.ContainsAny(host, " \t\r\n/@?#%\\") {
			t.Fatalf("%q: %q", raw, host)
		}
	})
}
func TestDialable(t *testing.T) {
	for addr, want := range map[string]string{
		"[::]:7443": "localhost:7443", "0.0.0.0:7443": "localhost:7443", ":7443": "localhost:7443", "192.0.2.1:7443": "192.0.2.1:7443", "[::1]:7443": "[::1]:7443",
		"api.example.com:7443": "api.example.com:7443", "none": "none",
	} {
		if got := mezu.Dialable(addr, "localhost"); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
}
