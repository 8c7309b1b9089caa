package assertion_test

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/assertion"
)

const issuer = "https://shop-acme.edge.example:8443"

var (
	now         = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	environment = mezu.NewID(mezu.PrefixEnvironment, now)
)

func grantOf() *mezu.Grant {
	return &mezu.Grant{
		Session: mezu.NewID(mezu.PrefixSession, now), User: mezu.NewID(mezu.PrefixUser, now), Directory: mezu.NewID(mezu.PrefixDirectory, now), Environment: environment,
		Epoch: 1, Method: mezu.MethodPassword, Email: "ann@example.com", Name: "Ann Ünal", Roles: []string{"staff"},
		AuthTime: now.Add(-time.Hour), IssuedAt: now, FreshUntil: now.Add(time.Hour), IdleUntil: now.Add(4 * time.Hour), NotAfter: now.Add(24 * time.Hour),
	}
}

// signer is a key with the set that lists it.
func signer() (ed25519.PrivateKey, *assertion.Keys) {
	public, key, _ := ed25519.GenerateKey(nil)
	return key, &assertion.Keys{Keys: assertion.List([]mezu.AssertionKey{{Key: public}})}
}

func TestMint(t *testing.T) {
	key, keys := signer()
	m := assertion.NewMinter(key, issuer, environment)
	g := grantOf()
	text, err := m.Mint(g, now)
	if err != nil {
		t.Fatal(err)
	}
	c, err := assertion.Check(string(text), keys, issuer, environment, now.Add(assertion.Life-1))
	want := &assertion.Claims{Issuer: issuer, Audience: environment, Subject: g.User, IssuedAt: now.Unix(), NotBefore: now.Unix(), Expires: now.Add(5 * time.Minute).Unix(),
		AuthTime: g.AuthTime.Unix(), Methods: []string{"password"}, Session: g.Session, Email: g.Email, Name: g.Name, Roles: g.Roles}
	if err != nil || !reflect.DeepEqual(c, want) {
		t.Errorf("%+v, %v", c, err)
	}
	// One never outlives its session, and says that there are no roles.
	g.NotAfter, g.Roles = now.Add(time.Minute), nil
	text, _ = m.Mint(g, now)
	if c, err := assertion.Check(string(text), keys, issuer, environment, now); err != nil || c.Expires != g.NotAfter.Unix() || c.Roles == nil {
		t.Errorf("%+v, %v", c, err)
	}
	// The largest fits beside the other fields.
	g.Email, g.Name = strings.Repeat("é", (mezu.MaxEmail-len("@example.com"))/2)+"@example.com", strings.Repeat(`"`, mezu.MaxDisplayName)
	for i := range mezu.MaxUserRoles {
		g.Roles = append(g.Roles, strings.Repeat("r", 63)+string(rune('a'+i)))
	}
	if text, _ := m.Mint(g, now); len(text) > 3<<10 {
		t.Errorf("%d bytes", len(text))
	}
}

func TestKept(t *testing.T) {
	key, keys := signer()
	m, g := assertion.NewMinter(key, issuer, environment), grantOf()
	var k assertion.Kept
	get := func(m *assertion.Minter, at time.Time) string {
		t.Helper()
		text, err := k.Get(m, g, at)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := assertion.Check(string(text), keys, issuer, environment, at.Add(time.Minute-1)); err != nil {
			t.Error(err)
		}
		return string(text)
	}
	first := get(m, now)
	if get(m, now.Add(4*time.Minute-1)) != first {
		t.Error("minted again for the next request")
	}
	if get(m, now.Add(4*time.Minute)) == first {
		t.Error("an old one goes on")
	}
	if get(assertion.NewMinter(key, issuer, environment), now.Add(4*time.Minute)) == first {
		t.Error("one of another minter goes on")
	}
	if n := testing.AllocsPerRun(100, func() { k.Get(m, g, now) }); n > 12 {
		t.Errorf("%v allocations", n)
	}
}

// forgeries are assertions that nobody may take at a moment, by what is wrong with them, beside
// one that is good.
func forgeries(key ed25519.PrivateKey, now time.Time) (good string, bad map[string]string) {
	stranger, _ := signer()
	public := key.Public().(ed25519.PublicKey)
	kid := mezu.AssertionKeyID(public)
	b64 := base64.RawURLEncoding
	claims := func(change map[string]any) string {
		c := map[string]any{"iss": issuer, "aud": environment, "sub": "usr_1", "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Minute).Unix()}
		for k, v := range change {
			c[k] = v
		}
		text, _ := json.Marshal(c)
		return string(text)
	}
	signed := func(by ed25519.PrivateKey, head, claims string) string {
		text := b64.EncodeToString([]byte(head)) + "." + b64.EncodeToString([]byte(claims))
		return text + "." + b64.EncodeToString(ed25519.Sign(by, []byte(text)))
	}
	head := func(alg, kid, more string) string {
		return fmt.Sprintf(`{"alg":%q,"typ":"JWT","kid":%q%s}`, alg, kid, more)
	}
	good = signed(key, head("EdDSA", kid, ""), claims(nil))
	hs := func(alg string) string {
		text := b64.EncodeToString([]byte(head(alg, kid, ""))) + "." + b64.EncodeToString([]byte(claims(nil)))
		mac := hmac.New(sha256.New, public)
		mac.Write([]byte(text))
		return text + "." + b64.EncodeToString(mac.Sum(nil))
	}
	parts := strings.Split(good, ".")
	return good, map[string]string{
		"empty":                 "",
		"two parts":             parts[0] + "." + parts[1],
		"four parts":            good + ".x",
		"padded":                good + "=",
		"a line break":          parts[0] + "." + parts[1] + ".\n" + parts[2],
		"alg none":              b64.EncodeToString([]byte(head("none", kid, ""))) + "." + parts[1] + ".",
		"alg NonE":              b64.EncodeToString([]byte(head("NonE", kid, ""))) + "." + parts[1] + ".",
		"no signature":          parts[0] + "." + parts[1] + ".",
		"HS256 by the key":      hs("HS256"),
		"an HMAC under EdDSA":   hs("EdDSA"),
		"alg of RSA":            signed(key, head("RS256", kid, ""), claims(nil)),
		"other kid":             signed(key, head("EdDSA", mezu.AssertionKeyID(stranger.Public().(ed25519.PublicKey)), ""), claims(nil)),
		"kid of a path":         signed(stranger, head("EdDSA", "../../x", ""), claims(nil)),
		"no kid":                signed(key, `{"alg":"EdDSA","typ":"JWT"}`, claims(nil)),
		"a key of its own":      signed(stranger, head("EdDSA", kid, `,"jwk":{"kty":"OKP","crv":"Ed25519","x":"`+b64.EncodeToString(stranger.Public().(ed25519.PublicKey))+`"}`), claims(nil)),
		"a jku":                 signed(key, head("EdDSA", kid, `,"jku":"https://evil.example/"`), claims(nil)),
		"critical":              signed(key, head("EdDSA", kid, `,"crit":["x"]`), claims(nil)),
		"other type":            signed(key, `{"alg":"EdDSA","typ":"at+jwt","kid":"`+kid+`"}`, claims(nil)),
		"signed by a stranger":  signed(stranger, head("EdDSA", kid, ""), claims(nil)),
		"altered":               parts[0] + "." + b64.EncodeToString([]byte(claims(map[string]any{"sub": "usr_2"}))) + "." + parts[2],
		"other audience":        signed(key, head("EdDSA", kid, ""), claims(map[string]any{"aud": mezu.NewID(mezu.PrefixEnvironment, now)})),
		"several audiences":     signed(key, head("EdDSA", kid, ""), claims(map[string]any{"aud": []string{environment, "x"}})),
		"other issuer":          signed(key, head("EdDSA", kid, ""), claims(map[string]any{"iss": "https://evil.example"})),
		"no user":               signed(key, head("EdDSA", kid, ""), claims(map[string]any{"sub": ""})),
		"expired":               signed(key, head("EdDSA", kid, ""), claims(map[string]any{"exp": now.Unix()})),
		"for ever":              signed(key, head("EdDSA", kid, ""), claims(map[string]any{"exp": nil})),
		"not yet":               signed(key, head("EdDSA", kid, ""), claims(map[string]any{"nbf": now.Add(2 * time.Minute).Unix()})),
		"issued in the future":  signed(key, head("EdDSA", kid, ""), claims(map[string]any{"iat": now.Add(2 * time.Minute).Unix()})),
		"not JSON":              signed(key, head("EdDSA", kid, ""), "x"),
		"more than one":         signed(key, head("EdDSA", kid, ""), claims(nil)+"{}"),
		"larger than there are": signed(key, head("EdDSA", kid, ""), claims(map[string]any{"name": strings.Repeat("a", 4<<10)})),
	}
}

// TestH8_ForgedAssertions: what a workload that checks by Check refuses.
func TestH8_ForgedAssertions(t *testing.T) {
	key, keys := signer()
	good, bad := forgeries(key, now)
	if _, err := assertion.Check(good, keys, issuer, environment, now); err != nil {
		t.Fatal(err)
	}
	for name, text := range bad {
		if c, err := assertion.Check(text, keys, issuer, environment, now); err == nil || c != nil {
			t.Errorf("%s: passes as %+v", name, c)
		}
	}
	if _, err := assertion.Check(good, &assertion.Keys{}, issuer, environment, now); !errors.Is(err, assertion.ErrUnknownKey) {
		t.Error(err)
	}
	for name, change := range map[string]func(*assertion.Key){
		"of another algorithm": func(k *assertion.Key) { k.Algorithm = "HS256" }, "of another kind": func(k *assertion.Key) { k.Type = "oct" },
		"that is cut": func(k *assertion.Key) { k.X = k.X[:20] },
	} {
		set := &assertion.Keys{Keys: append([]assertion.Key(nil), keys.Keys...)}
		change(&set.Keys[0])
		if _, err := assertion.Check(good, set, issuer, environment, now); !errors.Is(err, assertion.ErrUnknownKey) {
			t.Errorf("by a key %s: %v", name, err)
		}
	}
}

func FuzzCheck(f *testing.F) {
	key, keys := signer()
	text, err := assertion.NewMinter(key, issuer, environment).Mint(grantOf(), now)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(text))
	f.Add("e30.e30.")
	f.Fuzz(func(t *testing.T, forged string) {
		if _, err := assertion.Check(forged, keys, issuer, environment, now); err == nil && forged != string(text) {
			t.Errorf("%q passes", forged)
		}
	})
}

func BenchmarkAssertion(b *testing.B) {
	key, _ := signer()
	m, g := assertion.NewMinter(key, issuer, environment), grantOf()
	b.Run("minted", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m.Mint(g, now)
		}
	})
	b.Run("kept", func(b *testing.B) {
		var k assertion.Kept
		b.ReportAllocs()
		for b.Loop() {
			k.Get(m, g, now)
		}
	})
}
