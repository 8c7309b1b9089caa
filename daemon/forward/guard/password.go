// Package guard asks the visitors of a tunnel for a password (RFC 7617), on the machine that
// the tunnel leads to.
//
// What lives here: who may pass, and how often one may guess. What may not: messages beyond
// the fields that it reads and takes away, answers, what a tunnel is. Package daemon/forward
// asks it for each request; who opens a tunnel makes it.
package guard

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cookie"
	"github.com/mezusphere/mezu/gcra"
	"github.com/mezusphere/mezu/relay"
)

// Limits of guesses.
const (
	// maxFailures is how many wrong passwords one address may give in a minute: a person
	// mistypes a few.
	maxFailures = 10
	failuresPer = time.Minute
	// maxHashing bounds the requests that wait until a password was hashed, before any has
	// been found right: as many as browsers send at once when somebody has logged in. What
	// is beyond comes again.
	maxHashing = 128
	// maxCredentials bounds what an Authorization field may hold to be a password.
	maxCredentials = 1 << 10
)

// busyFor is after which time a request is to come again that found maxHashing others.
const busyFor = time.Second

// Guard lets those pass who know a password. It is safe for concurrent use.
type Guard struct {
	who mezu.TunnelPassword
	now func() time.Time
	// key is of this Guard alone: what it remembers and the cookie mean nothing to another.
	key    [sha256.Size]byte
	cookie string
	// right is the MAC of the credentials that were found right, nil before. Others can't be
	// right then, so that hashing is over.
	right    atomic.Pointer[[sha256.Size]byte]
	hash     chan struct{} // one at a time
	hashing  atomic.Int32  // those that wait for it
	failures *gcra.Limiter
}

// New makes a Guard of a password that mezu.TunnelTarget.Validate takes. If now is nil, it is
// time.Now.
func New(who mezu.TunnelPassword, now func() time.Time) *Guard {
	g := &Guard{who: who, now: now, hash: make(chan struct{}, 1), failures: gcra.New(gcra.Rate{Events: maxFailures, Per: failuresPer, Burst: maxFailures})}
	if g.now == nil {
		g.now = time.Now
	}
	rand.Read(g.key[:])
	mac := g.mac("cookie", nil)
	g.cookie = base64.RawURLEncoding.EncodeToString(mac[:])
	return g
}

// mac authenticates a text for one purpose.
func (g *Guard) mac(purpose string, text []byte) (out [sha256.Size]byte) {
	h := hmac.New(sha256.New, g.key[:])
	h.Write([]byte(purpose))
	h.Write([]byte{0})
	h.Write(text)
	h.Sum(out[:0])
	return out
}

// Verdict is what becomes of a request.
type Verdict struct {
	// Code is empty if the request may pass, else mezu.CodeUnauthenticated if a password is
	// asked for, or mezu.CodeRateLimited if it has to come again after Wait.
	Code mezu.Code
	Wait time.Duration
	// SetCookie is the value of a Set-Cookie for the response, nil for none.
	SetCookie []byte
	// Preflight says that the request passes without a password, because a browser can send
	// none with it. Its answer may say nothing but what the browser asks.
	Preflight bool
}

// Judge says whether a request may pass, and takes our password out of its fields. shown is
// the value of the tunnel's cookie that came with it; the cookie itself was taken out before.
func (g *Guard) Judge(ctx context.Context, r *relay.Request, shown []byte, client netip.Addr) Verdict {
	known := subtle.ConstantTimeCompare(shown, []byte(g.cookie)) == 1
	credentials, n, ours := g.take(r)
	switch {
	case known:
		return Verdict{}
	case preflight(r):
		r.Fields = slices.DeleteFunc(r.Fields, func(f relay.Field) bool { _, basic := basic(f.Value); return basic && f.Is("authorization") })
		return Verdict{Preflight: true}
	case n == 0:
		return Verdict{Code: mezu.CodeUnauthenticated}
	}
	if !ours {
		if v := g.check(ctx, credentials, n, client); v.Code != "" {
			return v
		}
		g.take(r) // now that it is known to be ours
	} else if g.failures.Spent(gcra.Client(client).String(), g.now()) {
		return g.wait() // or a right guess would show
	}
	return Verdict{SetCookie: cookie.SetTunnel(g.cookie)}
}

// wait is the verdict about an address that has guessed too often.
func (g *Guard) wait() Verdict {
	return Verdict{Code: mezu.CodeRateLimited, Wait: g.failures.Interval()}
}

// take looks for credentials of Basic in a request and takes away those that are known to be
// right. n is how many there are.
func (g *Guard) take(r *relay.Request) (credentials []byte, n int, ours bool) {
	right := g.right.Load()
	kept := r.Fields[:0]
	for _, f := range r.Fields {
		if f.Is("authorization") {
			if c, basic := basic(f.Value); basic {
				credentials = c
				n++
				if right != nil {
					if mac := g.mac("credentials", c); hmac.Equal(mac[:], right[:]) {
						ours = true
						continue
					}
				}
			}
		}
		kept = append(kept, f)
	}
	r.Fields = kept
	return credentials, n, ours && n == 1
}

// basic reads a field of the scheme Basic. Credentials that can't be read are empty.
func basic(value []byte) (credentials []byte, ok bool) {
	const scheme = "basic"
	value = bytes.TrimLeft(value, " \t")
	if len(value) < len(scheme) || !bytes.EqualFold(value[:len(scheme)], []byte(scheme)) {
		return nil, false
	}
	rest := value[len(scheme):]
	if len(rest) > 0 && rest[0] != ' ' && rest[0] != '\t' {
		return nil, false
	}
	rest = bytes.TrimRight(bytes.Trim(rest, " \t"), "=")
	if len(rest) > maxCredentials {
		return nil, true
	}
	// Some write the other alphabet, and workloads may read both.
	text := bytes.Map(func(c rune) rune {
		switch c {
		case '-':
			return '+'
		case '_':
			return '/'
		}
		return c
	}, rest)
	out, err := base64.RawStdEncoding.AppendDecode(nil, text)
	if err != nil {
		return nil, true
	}
	return out, true
}

// preflight reports whether a browser asks by CORS before a request that it will send with
// credentials; it never sends any with the question, nor a body.
func preflight(r *relay.Request) bool {
	if r.Method != "OPTIONS" || r.Framing != relay.NoBody {
		return false
	}
	origin, method := false, false
	for i := range r.Fields {
		origin = origin || r.Fields[i].Is("origin")
		method = method || r.Fields[i].Is("access-control-request-method")
	}
	return origin && method
}

// check judges credentials that are not known to be right.
func (g *Guard) check(ctx context.Context, credentials []byte, n int, client netip.Addr) Verdict {
	from := gcra.Client(client).String()
	if g.failures.Spent(from, g.now()) {
		return g.wait()
	}
	user, password, whole := bytes.Cut(credentials, []byte{':'})
	// Controls are in none (RFC 7617, 2), and a NUL at the end would make no difference to
	// HMAC.
	whole = whole && !bytes.ContainsFunc(credentials, unicode.IsControl)
	good := n == 1 && whole && subtle.ConstantTimeCompare(user, []byte(g.who.User)) == 1
	if g.right.Load() == nil {
		if g.hashing.Add(1) > maxHashing {
			g.hashing.Add(-1)
			return Verdict{Code: mezu.CodeRateLimited, Wait: busyFor}
		}
		defer g.hashing.Add(-1)
		select {
		case g.hash <- struct{}{}:
			defer func() { <-g.hash }()
		case <-ctx.Done():
			return Verdict{Code: mezu.CodeRateLimited, Wait: busyFor}
		}
		if g.failures.Spent(from, g.now()) { // by those that were before it
			return g.wait()
		}
	}
	mac := g.mac("credentials", credentials)
	if right := g.right.Load(); right != nil {
		good = good && hmac.Equal(mac[:], right[:])
	} else if sum, err := pbkdf2.Key(sha256.New, string(password), g.who.Salt, g.who.Iterations, len(g.who.Hash)); err != nil || subtle.ConstantTimeCompare(sum, g.who.Hash) != 1 {
		good = false
	}
	if good {
		g.right.Store(&mac)
		return Verdict{}
	}
	if _, ok := g.failures.Allow(from, g.now()); !ok {
		return g.wait()
	}
	return Verdict{Code: mezu.CodeUnauthenticated}
}
