package mezu_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
)

func grantOf(t testing.TB) mezu.Grant {
	t.Helper()
	at := time.Date(2026, 3, 1, 12, 0, 0, 5e6, time.UTC)
	id := func(prefix string) string { return mezu.NewID(prefix, at) }
	return mezu.Grant{
		Session: id(mezu.PrefixSession), User: id(mezu.PrefixUser), Directory: id(mezu.PrefixDirectory), Environment: id(mezu.PrefixEnvironment),
		Epoch: 1, Method: mezu.MethodPassword, Email: "ann@example.com", Name: "Ann", Roles: []string{"staff"},
		AuthTime: at, IssuedAt: at, FreshUntil: at.Add(time.Hour), IdleUntil: at.Add(4 * time.Hour), NotAfter: at.Add(24 * time.Hour),
		SecretHash: sha256.Sum256([]byte("secret")),
	}
}

// largest is the grant with the longest of everything, in characters that take the most room.
func largest(t testing.TB) mezu.Grant {
	g := grantOf(t)
	g.Epoch = 1<<64 - 1
	g.Method = strings.Repeat("m", 64)
	g.Email = strings.Repeat("&", mezu.MaxEmail-len("@example.com")) + "@example.com"
	g.Name = strings.Repeat(`"`, mezu.MaxDisplayName)
	g.Roles = nil
	for i := range mezu.MaxUserRoles {
		g.Roles = append(g.Roles, strings.Repeat("r", 62)+string(rune('a'+i/10))+string(rune('0'+i%10)))
	}
	return g
}

func TestGrant_FitsItsCookie(t *testing.T) {
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	for _, name := range []string{`"`, `\`, "<", "é", "😀"} {
		g := largest(t)
		g.Name = strings.Repeat(name, mezu.MaxDisplayName/len(name))
		if err := g.Validate(); err != nil {
			t.Fatal(err)
		}
		s, err := mezu.Sign(mezu.PurposeGrant, "grant-2026-11-29-abcdefgh", key, g)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(s.KeyID) + len(s.Payload) + len(s.Signature); n > mezu.MaxGrant {
			t.Errorf("of %q: %d bytes", name, n)
		}
		text := s.AppendCompact(nil)
		cookie := mezu.SessionCookie + "=" + strings.Repeat("s", mezu.SecretLength) + "." + string(text) + "; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=2592000"
		if len(text) > mezu.MaxGrantText || len(cookie) > 3<<10 {
			t.Errorf("of %q: grant %d, cookie %d bytes", name, len(text), len(cookie))
		}
		if strings.ContainsAny(string(text), " ;,\"\\") {
			t.Errorf("%q is no value of a cookie", text)
		}
	}
}

func TestGrant_RoundTrip(t *testing.T) {
	public, key, _ := ed25519.GenerateKey(rand.Reader)
	g := grantOf(t)
	s, err := mezu.Sign(mezu.PurposeGrant, "k", key, g)
	if err != nil {
		t.Fatal(err)
	}
	back, err := mezu.ParseCompact(mezu.PurposeGrant, s.AppendCompact(nil))
	if err != nil || !reflect.DeepEqual(s, back) {
		t.Fatal(back, err)
	}
	k := mezu.Keyset{Version: 1, Keys: []mezu.PublicKey{{ID: "k", Purpose: mezu.PurposeGrant, Key: public, NotAfter: g.NotAfter}}}
	var opened mezu.Grant
	if err := k.Open(back, mezu.PurposeGrant, g.IssuedAt, &opened); err != nil || !reflect.DeepEqual(opened, g) {
		t.Errorf("%+v %v", opened, err)
	}
	if !opened.Opens([]byte("secret")) || opened.Opens([]byte("other")) {
		t.Error("the secret decides nothing")
	}
}

func TestGrant_Validate(t *testing.T) {
	for field, change := range map[string]func(*mezu.Grant){
		"session":     func(g *mezu.Grant) { g.Session = g.User },
		"user":        func(g *mezu.Grant) { g.User = "" },
		"directory":   func(g *mezu.Grant) { g.Directory = "dir_x" },
		"environment": func(g *mezu.Grant) { g.Environment = g.Environment + "0" },
		"method":      func(g *mezu.Grant) { g.Method = "PASS WORD" },
		"email":       func(g *mezu.Grant) { g.Email = "ann" },
		"name":        func(g *mezu.Grant) { g.Name = "a\nb" },
		"roles":       func(g *mezu.Grant) { g.Roles = []string{"a,b"} },
		"epoch":       func(g *mezu.Grant) { g.Epoch = 0 },
		"not_after":   func(g *mezu.Grant) { g.NotAfter = g.AuthTime.Add(mezu.MaxGrantLife + 1) },
		"fresh_until": func(g *mezu.Grant) { g.FreshUntil = g.IdleUntil.Add(1) },
	} {
		g := grantOf(t)
		change(&g)
		if e := (*mezu.Error)(nil); !errors.As(g.Validate(), &e) || e.Field != field {
			t.Errorf("%s: %v", field, e)
		}
	}
}

// Of one statement there is one compact form: nothing that differs by a byte parses to the
// same statement.
func FuzzParseCompact(f *testing.F) {
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	s, err := mezu.Sign(mezu.PurposeGrant, "k", key, grantOf(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s.AppendCompact(nil))
	f.Add([]byte("k.e30." + base64.RawURLEncoding.EncodeToString(make([]byte, 64))))
	f.Add([]byte(".."))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := mezu.ParseCompact(mezu.PurposeGrant, text)
		if err != nil {
			return
		}
		if again := s.AppendCompact(nil); !bytes.Equal(again, text) {
			t.Errorf("%q and %q are one statement", text, again)
		}
	})
}

func FuzzSplitSession(f *testing.F) {
	f.Add([]byte(strings.Repeat("s", 43) + ".k.e30.x"))
	f.Fuzz(func(t *testing.T, value []byte) {
		secret, grant, ok := mezu.SplitSession(value)
		if ok && (len(secret) != mezu.SecretLength || string(secret)+"."+string(grant) != string(value)) {
			t.Errorf("%q: %q %q", value, secret, grant)
		}
	})
}
