package mezu_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
)

func TestParseUpstream(t *testing.T) {
	for s, want := range map[string]mezu.Upstream{
		"8080": {Scheme: "http", Address: "localhost:8080"}, "localhost:8080": {Scheme: "http", Address: "localhost:8080"},
		"APP:080": {Scheme: "http", Address: "app:80"}, "http://app": {Scheme: "http", Address: "app:80"}, "http://app:81/": {Scheme: "http", Address: "app:81"},
		"https://app": {Scheme: "https", Address: "app:443"}, "https://app:1": {Scheme: "https", Address: "app:1"}, "h2c://app:9": {Scheme: "h2c", Address: "app:9"},
		"[::1]:80": {Scheme: "http", Address: "[::1]:80"}, "[0:0::1]:80": {Scheme: "http", Address: "[::1]:80"}, "http://[::1]": {Scheme: "http", Address: "[::1]:80"},
		"https://[2001:DB8::1]:8": {Scheme: "https", Address: "[2001:db8::1]:8"}, "[::ffff:127.0.0.1]:80": {Scheme: "http", Address: "127.0.0.1:80"},
		"[fe80::1%eth0]:80": {Scheme: "http", Address: "[fe80::1%eth0]:80"}, "192.0.2.1:65535": {Scheme: "http", Address: "192.0.2.1:65535"},
		"unix:/run/app.sock": {Scheme: "unix", Address: "/run/app.sock"}, "unix:///run/app.sock": {Scheme: "unix", Address: "/run/app.sock"},
	} {
		u, err := mezu.ParseUpstream(s)
		if err != nil || u != want {
			t.Errorf("%q: %+v, %v, want %+v", s, u, err, want)
			continue
		}
		if again, err := mezu.ParseUpstream(u.String()); err != nil || again != u {
			t.Errorf("%q: %q reads as %+v, %v", s, u.String(), again, err)
		}
		if network := u.Network(); (network == "unix") != (u.Scheme == mezu.UpstreamUnix) {
			t.Errorf("%q: network %s", s, network)
		}
	}
	for _, s := range []string{
		"", "app", "app:", ":80", "app:0", "app:65536", "70000", "app:+80", "app:-1", "app:8o", "0", "app:80/x", "http://app/x", "http://app//", "http://app?x", "http://u@app",
		"http://", "https://:443", "h2c://app", "ftp://app", "HTTP://app", "://app:80", "http://::1", "::1:80", "[::1]", "[[::1]]:80", "http://[[::1]]", "http://::1]", "[a:80]:90",
		"[localhost]:80", "[1.2.3.4]:80", "[::1%a/b]:80", "[fe80::1%\n]:80", "a b:80", "app:80#x", "app\n:80", "unix:", "unix:run", "unix://run", "unix:/a\x00b", "unix:/a\nb", "unix:/" + long(107), "a:1:2",
	} {
		if u, err := mezu.ParseUpstream(s); mezu.CodeOf(err) != mezu.CodeInvalid {
			t.Errorf("%q: %+v, %v", s, u, err)
		}
	}
	if _, err := mezu.ParseUpstream("unix:/" + long(106)); err != nil {
		t.Errorf("107 characters: %v", err)
	}
}

func TestUpstream_Loopback(t *testing.T) {
	both := []string{"127.0.0.1:8080", "[::1]:8080"}
	for s, addresses := range map[string][]string{
		"8080": both, "localhost:8080": both, "https://LocalHost:8080": both, "h2c://localhost.:8080": both,
		"127.0.0.1:1": {"127.0.0.1:1"}, "127.8.9.10:1": {"127.8.9.10:1"}, "https://[::1]:1": {"[::1]:1"}, "[::ffff:127.0.0.1]:1": {"127.0.0.1:1"},
	} {
		u, err := mezu.ParseUpstream(s)
		if err != nil || !u.Loopback() || !strings.HasSuffix(addresses[0], fmt.Sprint(":", u.LocalPort())) || !slices.Equal(u.Addresses(), addresses) {
			t.Errorf("%q: loopback %v, dialled as %q, %v", s, u.Loopback(), u.Addresses(), err)
		}
	}
	// Names that a resolver is asked for, and addresses of other machines.
	for _, s := range []string{
		"x.localhost:1", "https://x.localhost:1", "a.b.localhost:1", "localhost.localdomain:1", "localhost.example:1", "localhost6:1", "notlocalhost:1", "127.1:1", "2130706433:1",
		"127.0.0.1.example:1", "0.0.0.0:1", "[::]:1", "10.0.0.1:1", "[fe80::1%lo]:1", "app:1", "unix:/run/localhost", "unix:/localhost:1",
	} {
		u, err := mezu.ParseUpstream(s)
		if err != nil || u.Loopback() || u.LocalPort() != 0 || !slices.Equal(u.Addresses(), []string{u.Address}) {
			t.Errorf("%q: loopback %v, dialled as %q, %v", s, u.Loopback(), u.Addresses(), err)
		}
	}
}

func FuzzParseUpstream(f *testing.F) {
	for _, s := range []string{"8080", "a:1", "http://a", "https://[::1]", "h2c://a:1", "unix:/a", "unix:///a", "[::1%z]:2", "[a:80]:90", "http://[[::1]]", "a:+1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := mezu.ParseUpstream(s)
		if err != nil {
			if u != (mezu.Upstream{}) {
				t.Fatalf("%q: %+v with %v", s, u, err)
			}
			return
		}
		if again, err := mezu.ParseUpstream(u.String()); err != nil || again != u {
			t.Fatalf("%q: %q reads as %+v, %v", s, u.String(), again, err)
		}
		if u.Address == "" || strings.ContainsAny(u.Address, "\x00\r\n") {
			t.Fatalf("%q: %q", s, u.Address)
		}
	})
}
