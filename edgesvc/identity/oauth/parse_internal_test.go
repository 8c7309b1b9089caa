package oauth

import (
	"net/url"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
)

// What is taken for a redirect URI is one of this machine to every parser, and nothing else.
func FuzzRedirect(f *testing.F) {
	for _, uri := range []string{
		"http://127.0.0.1:1/callback", "http://[::1]:65535/callback", "http://localhost:1/callback", "http://127.0.0.1:1@evil.example/callback", "http://[::ffff:127.0.0.1]:1/callback",
	} {
		f.Add(uri)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		origin := redirectOrigin(uri)
		if origin == "" {
			return
		}
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		host := u.Hostname()
		if u.Scheme != "http" || host != "127.0.0.1" && host != "::1" || u.Port() == "" || u.Path != "/callback" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || origin != "http://"+u.Host {
			t.Errorf("%q leads to %q", uri, u.Host)
		}
	})
}

// However a code is typed, it is the one that was shown or none.
func FuzzTyped(f *testing.F) {
	for _, code := range []string{newUserCode(), "bcdf ghjk", "BCDF-GHJK-", "AEIO-UAEI", "ſſſſ-ſſſſ"} {
		f.Add(code)
	}
	f.Fuzz(func(t *testing.T, code string) {
		got := typed(code)
		if got != "" && (len(got) != userCodeLength+1 || got[userCodeLength/2] != '-' || strings.Trim(got, userCodeAlphabet+"-") != "") {
			t.Errorf("%q is taken for %q", code, got)
		}
		if again := typed(got); again != got {
			t.Errorf("%q is %q, and that is %q", code, got, again)
		}
	})
}

func TestSecrets(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		code := newUserCode()
		if typed(code) != code {
			t.Fatalf("the code %q can't be typed", code)
		}
		secret := newFinder()
		refresh := newRefresh(secret)
		if finderOf(refresh) != secret || len(refresh) != refreshLength || seen[code] || seen[secret] {
			t.Fatalf("%q of %q, %q", refresh, secret, code)
		}
		seen[code], seen[secret] = true, true
	}
	for _, other := range []string{"", mezu.TokenRefresh, newRefresh(newFinder()) + "x", mezu.NewToken(mezu.TokenBearer)} {
		if finderOf(other) != "" {
			t.Errorf("%q is a refresh token", other)
		}
	}
}
