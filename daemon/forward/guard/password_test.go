package guard_test

import (
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cookie"
	"github.com/mezusphere/mezu/daemon/forward/guard"
	"github.com/mezusphere/mezu/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const rounds = 1_000 // fewer than a tunnel takes, for speed

func password(t testing.TB, user, text string) mezu.TunnelPassword {
	t.Helper()
	salt := []byte("0123456789abcdef")
	hash, err := pbkdf2.Key(sha256.New, text, salt, rounds, 32)
	if err != nil {
		t.Fatal(err)
	}
	return mezu.TunnelPassword{User: user, Salt: salt, Hash: hash, Iterations: rounds}
}

var (
	visitor = netip.MustParseAddr("203.0.113.7")
	other   = netip.MustParseAddr("203.0.113.8")
)

func request(fields ...string) *relay.Request {
	r := &relay.Request{Method: "GET"}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		r.Fields = append(r.Fields, relay.Field{Name: []byte(name), Value: []byte(value)})
	}
	return r
}

func basic(user, text string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+text))
}

func shown(t *testing.T, setCookie []byte) []byte {
	t.Helper()
	value, ok := strings.CutPrefix(string(setCookie), cookie.Tunnel+"=")
	value, attributes, _ := strings.Cut(value, "; ")
	if !ok || len(value) != cookie.TunnelLength || attributes != "Path=/; Secure; HttpOnly; SameSite=Lax" {
		t.Fatalf("Set-Cookie: %s", setCookie)
	}
	return []byte(value)
}

// However the right password is written, it passes and goes no further; whatever is not it
// does not pass.
func TestAttackWaysToWriteAPassword(t *testing.T) {
	g := guard.New(password(t, "ada", "s3cret?>~"), nil)
	right := base64.StdEncoding.EncodeToString([]byte("ada:s3cret?>~"))
	for _, c := range []struct {
		fields []string
		passes bool
	}{
		{[]string{"Authorization: Basic " + right}, true},
		{[]string{"authorization: bAsIc   " + right + " "}, true},
		{[]string{"Authorization: Basic\t" + right}, true},
		{[]string{"Authorization: Basic " + strings.TrimRight(right, "=")}, true},
		{[]string{"Authorization: Basic " + right + "==="}, true},
		{[]string{"Authorization: Basic " + base64.URLEncoding.EncodeToString([]byte("ada:s3cret?>~"))}, true},
		{nil, false},
		{[]string{"Authorization: Basic"}, false},
		{[]string{"Authorization: Basic" + right}, false},
		{[]string{"Authorization: Bearer " + right}, false},
		{[]string{"X-Authorization: Basic " + right}, false},
		{[]string{"Proxy-Authorization: Basic " + right}, false},
		{[]string{basic("ada", "")}, false},
		{[]string{basic("", "s3cret?>~")}, false},
		{[]string{basic("Ada", "s3cret?>~")}, false},
		{[]string{basic("ada", "s3cret?>~\x00")}, false},
		{[]string{basic("ada:", "s3cret?>~")}, false},
		{[]string{"Authorization: Basic " + right, basic("eve", "x")}, false},
		{[]string{"Authorization: Basic " + right, "Authorization: Basic " + right}, false},
		{[]string{"Authorization: Basic " + right + ", Basic eDp5"}, false},
		{[]string{"Authorization: Basic " + strings.Repeat("QUFB", 10_000)}, false},
	} {
		g := g
		if !c.passes {
			g = guard.New(password(t, "ada", "s3cret?>~"), nil) // whose allowance is not used up
		}
		r := request(append([]string{"Accept: */*"}, c.fields...)...)
		v := g.Judge(t.Context(), r, nil, visitor)
		if (v.Code == "") != c.passes {
			t.Errorf("%.80q: %+v", c.fields, v)
		}
		if c.passes && (len(r.Fields) != 1 || v.SetCookie == nil) {
			t.Errorf("%.80q: %q goes on, with %q", c.fields, r.Fields, v.SetCookie)
		}
	}
}

// A guesser is held to ten wrong passwords a minute, and can't tell a right one after them.
// Nobody else is: not from another address, and not whoever has the cookie.
func TestAttackGuesses(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	g := guard.New(password(t, "ada", "right"), func() time.Time { return now })
	first := g.Judge(t.Context(), request(basic("ada", "right")), nil, other)
	value := shown(t, first.SetCookie)
	for i := range 10 {
		if v := g.Judge(t.Context(), request(basic("ada", fmt.Sprint("wrong", i))), nil, visitor); v.Code != mezu.CodeUnauthenticated {
			t.Fatalf("guess %d: %+v", i, v)
		}
	}
	for _, text := range []string{"wrong", "right"} {
		v := g.Judge(t.Context(), request(basic("ada", text)), nil, visitor)
		if v.Code != mezu.CodeRateLimited || v.Wait < time.Second || v.Wait > time.Minute || v.SetCookie != nil {
			t.Errorf("%s: %+v", text, v)
		}
	}
	if v := g.Judge(t.Context(), request(), nil, visitor); v.Code != mezu.CodeUnauthenticated {
		t.Errorf("without a password: %+v", v)
	}
	if v := g.Judge(t.Context(), request(basic("ada", "right")), nil, other); v.Code != "" {
		t.Errorf("from another address: %+v", v)
	}
	if v := g.Judge(t.Context(), request(), value, visitor); v.Code != "" {
		t.Errorf("with the cookie: %+v", v)
	}
	now = now.Add(time.Minute)
	if v := g.Judge(t.Context(), request(basic("ada", "right")), nil, visitor); v.Code != "" {
		t.Errorf("a minute later: %+v", v)
	}
}

// One network of IPv6 is one guesser, and an address in another form is the same one.
func TestAttackGuessesFromOneNetwork(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	for _, pair := range [][2]string{{"2001:db8::1", "2001:db8::2:1"}, {"203.0.113.7", "::ffff:203.0.113.7"}} {
		g := guard.New(password(t, "ada", "right"), func() time.Time { return now })
		g.Judge(t.Context(), request(basic("ada", "right")), nil, other)
		for range 10 {
			g.Judge(t.Context(), request(basic("ada", "wrong")), nil, netip.MustParseAddr(pair[0]))
		}
		if v := g.Judge(t.Context(), request(basic("ada", "wrong")), nil, netip.MustParseAddr(pair[1])); v.Code != mezu.CodeRateLimited {
			t.Errorf("%s after %s: %+v", pair[1], pair[0], v)
		}
	}
}

// The cookie is of one run, and nobody makes it without the key.
func TestAttackCookie(t *testing.T) {
	who := password(t, "ada", "right")
	g := guard.New(who, nil)
	v := g.Judge(t.Context(), request(basic("ada", "right")), nil, visitor)
	value := shown(t, v.SetCookie)
	altered := []byte(string(value))
	altered[7] ^= 1
	for name, c := range map[string]struct {
		of    *guard.Guard
		value []byte
	}{
		"none": {g, nil}, "empty": {g, []byte{}}, "altered": {g, altered}, "shorter": {g, value[:42]}, "longer": {g, append(value[:43:43], 'A')}, "of another run": {guard.New(who, nil), value},
	} {
		if v := c.of.Judge(t.Context(), request(), c.value, visitor); v.Code != mezu.CodeUnauthenticated {
			t.Errorf("%s: %+v", name, v)
		}
	}
	// With it, a page may send an Authorization of its own. Ours, which browsers add to it
	// unasked, still goes no further.
	for _, c := range []struct {
		fields []string
		left   int
	}{{nil, 0}, {[]string{"Authorization: Bearer x"}, 1}, {[]string{basic("app", "own")}, 1}, {[]string{basic("ada", "wrong")}, 1}, {[]string{basic("ada", "right")}, 0}, {[]string{basic("ada", "right"), "Authorization: Bearer x"}, 1}} {
		r := request(c.fields...)
		if v := g.Judge(t.Context(), r, value, visitor); v.Code != "" || v.SetCookie != nil || len(r.Fields) != c.left {
			t.Errorf("%q: %+v, and %q goes on", c.fields, v, r.Fields)
		}
	}
}

// What a browser asks before a request passes, because it has no password; nothing else of
// that method does.
func TestPreflight(t *testing.T) {
	for _, c := range []struct {
		method  string
		framing relay.Framing
		fields  []string
		passes  bool
	}{
		{"OPTIONS", relay.NoBody, []string{"Origin: https://x.example", "Access-Control-Request-Method: PUT"}, true},
		{"OPTIONS", relay.NoBody, []string{"Origin: https://x.example", "Access-Control-Request-Method: PUT", basic("ada", "right")}, true},
		{"OPTIONS", relay.NoBody, []string{"Origin: https://x.example"}, false},
		{"OPTIONS", relay.NoBody, []string{"Access-Control-Request-Method: PUT"}, false},
		{"OPTIONS", relay.Length, []string{"Origin: https://x.example", "Access-Control-Request-Method: PUT"}, false},
		{"OPTIONS", relay.Chunked, []string{"Origin: https://x.example", "Access-Control-Request-Method: PUT"}, false},
		{"GET", relay.NoBody, []string{"Origin: https://x.example", "Access-Control-Request-Method: PUT"}, false},
	} {
		r := request(c.fields...)
		r.Method, r.Framing = c.method, c.framing
		v := guard.New(password(t, "ada", "right"), nil).Judge(t.Context(), r, nil, visitor)
		if (v.Code == "") != c.passes || v.Preflight != c.passes || v.SetCookie != nil {
			t.Errorf("%s %q: %+v", c.method, c.fields, v)
		}
		for i := range r.Fields {
			if c.passes && r.Fields[i].Is("authorization") {
				t.Errorf("%s goes on", r.Fields[i].Value)
			}
		}
	}
}

// A flood of guesses before the first right password keeps a bounded number waiting, and
// whoever goes away waits no more.
func TestAttackFloodOfHashes(t *testing.T) {
	who := password(t, "ada", "right")
	who.Iterations = 300_000 // slower than requests come
	g := guard.New(who, nil)
	ctx, cancel := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	var refused atomic.Int32
	for i := 0; refused.Load() == 0; i++ {
		waiting.Go(func() {
			v := g.Judge(ctx, request(basic("ada", "wrong")), nil, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}))
			if v.Code == mezu.CodeRateLimited && v.Wait > 0 && ctx.Err() == nil {
				refused.Add(1)
			}
		})
		if i < guard.MaxHashing && refused.Load() > 0 {
			t.Fatalf("refused though %d wait at most", i)
		}
		runtime.Gosched()
	}
	cancel()
	waiting.Wait()
}

func BenchmarkJudge(b *testing.B) {
	g := guard.New(password(b, "ada", "right"), nil)
	line := basic("ada", "right")
	r := request("Accept: text/html", "Cookie: a=b", line)
	fields := r.Fields
	b.ReportAllocs()
	for b.Loop() {
		r.Fields = append(r.Fields[:0], fields...)
		if v := g.Judge(b.Context(), r, nil, visitor); v.Code != "" {
			b.Fatal(v)
		}
	}
}

// FuzzJudge: whatever an Authorization says, it passes only as the password, and then nothing
// of it is left.
func FuzzJudge(f *testing.F) {
	for _, value := range []string{"Basic YWRhOnJpZ2h0", "basic  YWRhOnJpZ2h0==", "Basic", "Bearer x", "Basic YWRhOnJpZ2h0, Basic eDp5", "Basic YWRhOndyb25n"} {
		f.Add(value)
	}
	who := password(f, "ada", "right")
	g := guard.New(who, nil)
	if v := g.Judge(f.Context(), request(basic("ada", "right")), nil, other); v.Code != "" {
		f.Fatal(v)
	}
	f.Fuzz(func(t *testing.T, value string) {
		r := &relay.Request{Method: "GET", Fields: []relay.Field{{Name: []byte("Authorization"), Value: []byte(value)}, {Name: []byte("Accept"), Value: []byte("*/*")}}}
		v := g.Judge(t.Context(), r, nil, visitor)
		letters := strings.NewReplacer("-", "+", "_", "/", "=", "", " ", "", "\t", "", "\r", "", "\n", "").Replace(value)
		ours := len(letters) > 5 && strings.EqualFold(letters[:5], "basic") && letters[5:] == "YWRhOnJpZ2h0"
		if v.Code == "" && (!ours || len(r.Fields) != 1) || v.Code != "" && len(r.Fields) != 2 && !ours {
			t.Errorf("%q: %+v, and %q goes on", value, v, r.Fields)
		}
	})
}
