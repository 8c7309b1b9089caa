package cookie_test

import (
	"strings"
	"testing"

	"github.com/mezusphere/mezu/cookie"
)

// Of all cookies of ours only that of a tunnel may come from a Warpgate, and only as one makes
// it: for the host itself, unread by scripts.
func TestFromWarpgate(t *testing.T) {
	value := strings.Repeat("aB3-_", 9)[:cookie.TunnelLength]
	good := string(cookie.SetTunnel(value))
	for line, passes := range map[string]bool{
		good:                           true,
		"theirs=1":                     true,
		good + "; Domain=edge.example": false,
		good + "; Max-Age=99999":       false,
		good[:len(good)-1]:             false,
		" " + good:                     false,
		strings.ToUpper(good):          false,
		cookie.Tunnel + "=" + value:    false,
		cookie.Tunnel + "=; Path=/; Secure; HttpOnly; SameSite=Lax":       false,
		string(cookie.SetTunnel(value + "A")):                             false,
		string(cookie.SetTunnel(value[1:])):                               false,
		string(cookie.SetTunnel(value[1:] + ";")):                         false,
		string(cookie.SetTunnel(value[1:] + " ")):                         false,
		strings.Replace(good, "tunnel", "session", 1):                     false,
		strings.Replace(good, "tunnel", "tunnel2", 1):                     false,
		strings.Replace(good, "__Host-", "__host-", 1):                    false,
		good + ", __Host-mezu_session=x":                                  false,
		strings.Replace(good, "; Path", "__Host-mezu_session=x; Path", 1): false,
		"theirs=1; Domain=example":                                        false,
	} {
		for _, name := range []string{"Set-Cookie", "set-cookie"} {
			pass, ok := cookie.FromWarpgate([]byte(name), []byte(line), "edge.example")
			if ok != passes || ok && string(pass) != line {
				t.Errorf("%s: %s: %q, %t", name, line, pass, ok)
			}
		}
		if _, ok := cookie.Response([]byte("Set-Cookie"), []byte(good), "edge.example"); ok {
			t.Error("a workload sets it")
		}
	}
	if _, ok := cookie.FromWarpgate([]byte("Clear-Site-Data"), []byte(`"cookies"`), ""); ok {
		t.Error("cookies are cleared")
	}
}

// A request's cookie counts if it is there once and as a Warpgate made it.
func TestJar_Tunnel(t *testing.T) {
	value := strings.Repeat("aB3-_", 9)[:cookie.TunnelLength]
	for field, want := range map[string]string{
		"":                                    "",
		"a=b":                                 "",
		"a=b; " + cookie.Tunnel + "=" + value: value,
		cookie.Tunnel + "=" + value + "; a=b": value,
		cookie.Tunnel + "=" + value + "; " + cookie.Tunnel + "=" + value: "",
		cookie.Tunnel + "=" + value + "x":                                "",
		cookie.Tunnel + "=" + value[:40] + `"\ `:                         "",
		strings.ToLower(cookie.Tunnel) + "=" + value:                     "",
		"__Host-mezu_session=" + value:                                   "",
	} {
		var jar cookie.Jar
		left := jar.Take([]byte(field))
		if got := jar.Tunnel(); string(got) != want || strings.Contains(strings.ToLower(string(left)), "mezu") {
			t.Errorf("%q: %q, and %q is left", field, got, left)
		}
	}
}
