// Package session is who sends requests to an edge: from a session's cookie to a verified
// grant, and to a newer one when it is time.
//
// What lives here: which cookie opens a session, how old a grant may be, refreshing, and
// ending what goes on under a grant that has ended. What may not: verifying grants (package
// grant), telling our cookies from others (package cookie), what a route asks for (package
// policy), answers (package web). edgesvc/edge and edgesvc/edge/filter import it, and web by
// way of these.
package session

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cookie"
	"github.com/mezusphere/mezu/gcra"
	"github.com/mezusphere/mezu/grant"
	"github.com/mezusphere/mezu/relay"
	"github.com/mezusphere/mezu/trust"
)

// Config is what Sessions are made of. All of it is required.
type Config struct {
	// Trust is what the edge believes, and Client calls the control plane as the edge; both
	// are nil before it has enrolled.
	Trust  func() *trust.Anchor
	Client func() *api.Client
	// Epoch is the installation's, as far as the edge has heard.
	Epoch func() uint64
	// Left reports whether this edge has ended a session that the control plane may not
	// know to be over.
	Left func(session string) bool
	// Leave ends one so: its grant in compact form is passed on later.
	Leave func(g *mezu.Grant, compact []byte) error
	// Limits counts what clients show in vain.
	Limits *gcra.Table
	Log    *slog.Logger
	Now    func() time.Time
}

// Sessions finds who sends requests. It is safe for concurrent use.
type Sessions struct {
	cfg       Config
	verifier  atomic.Pointer[grant.Verifier] // nil before enrolment
	uses      *grant.Index
	refreshes refreshes
	useless   gcra.Rule // grants that are verified and turn out to be worth nothing, by client
	refused   gcra.Rule // sessions that are none, by client
	repeated  gcra.Rule // the same session once more, by client and session
}

const (
	// refusedPerMinute is how many sessions that are none a client may show in a minute. A browser
	// has one cookie, and drops it when it is told that it is worth nothing; behind one address are
	// many browsers. Whoever tries more gets no answer on whether one is worth something.
	refusedPerMinute = 20

	// uselessPerSecond is how many of a client's grants are verified in a second to be worth
	// nothing: at 65 µs each they take a two-hundredth of a core. Who forges them is not
	// verified any more, and who sends one that is known passes.
	uselessPerSecond = 50
	// uselessBurst is how many there may be at once: all tabs that a browser opens again after
	// its session has ended.
	uselessBurst = 200
)

// New assembles Sessions. Run has them refreshed.
func New(cfg Config) *Sessions {
	s := &Sessions{cfg: cfg}
	rule := func(r *gcra.Rule, name, owner string, rate gcra.Rate) {
		r.ID, r.Owner = cfg.Limits.Text(name), cfg.Limits.Text(owner)
		r.Set(rate)
	}
	// Those that are repeated have a part of the table for themselves: they are the ones that a
	// client makes most of.
	const owner = "sessions"
	rule(&s.useless, "useless grants", owner, gcra.Rate{Events: uselessPerSecond, Per: time.Second, Burst: uselessBurst})
	rule(&s.refused, "refused sessions", owner, gcra.Rate{Events: refusedPerMinute, Per: time.Minute, Burst: refusedPerMinute})
	rule(&s.repeated, "repeated sessions", "repeated sessions", gcra.Rate{Events: 1, Per: time.Minute, Burst: 1})
	s.uses = grant.NewIndex(s.hasEnded)
	s.refreshes.init(s)
	return s
}

// hasEnded reports whether a grant that was verified has been ended since.
func (s *Sessions) hasEnded(g *mezu.Grant) bool {
	return s.cfg.Trust().GrantRevoked(g) || s.cfg.Left(g.Session)
}

// Run ends what outlives its session, and keeps what is remembered of refreshes small, until
// ctx ends. Then it ends the refreshes under way.
func (s *Sessions) Run(ctx context.Context) {
	defer s.refreshes.close()
	sweep, tidy := time.NewTicker(grant.SweepEvery), time.NewTicker(keepRenewed)
	defer sweep.Stop()
	defer tidy.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-sweep.C:
			s.uses.Sweep(s.cfg.Now(), s.cfg.Epoch())
		case <-tidy.C:
			s.refreshes.forget(s.cfg.Now())
		}
	}
}

// Revoked ends what goes on under grants that a revocation ends, which is in force already.
func (s *Sessions) Revoked(r *mezu.Revocation) { s.uses.Ended(r) }

// UnderWay is how many requests and streams go on because of a session.
func (s *Sessions) UnderWay() int { return s.uses.Len() }

// Counts is how often refreshes ended in which way.
func (s *Sessions) Counts() map[string]uint64 { return s.refreshes.counts() }

// verify judges a grant of the control plane's.
func (s *Sessions) verify(anchor *trust.Anchor, compact []byte, environment, directory string) (*grant.Verified, error) {
	return s.judge(anchor).Verify(compact, environment, directory, s.cfg.Epoch(), s.cfg.Now())
}

func (s *Sessions) judge(anchor *trust.Anchor) *grant.Verifier {
	v := s.verifier.Load()
	if v == nil {
		v = grant.NewVerifier(anchor)
		if !s.verifier.CompareAndSwap(nil, v) {
			v = s.verifier.Load()
		}
	}
	return v
}

// verifyOf judges a grant that a client has sent. It may be forged, and costs then more than
// the rest of the request.
func (s *Sessions) verifyOf(v *Visitor, client netip.Addr, anchor *trust.Anchor, compact []byte, environment, directory string) (*grant.Verified, error) {
	known, err := s.judge(anchor).Recall(compact, environment, directory, s.cfg.Epoch(), s.cfg.Now())
	if err != grant.ErrUnknown {
		return known, err
	}
	from, now := gcra.Address(client), s.cfg.Limits.Now()
	v.wait = max(s.cfg.Limits.Spent(&s.refused, from, now), s.cfg.Limits.Spent(&s.useless, from, now))
	if v.wait > 0 {
		return nil, errForger
	}
	known, err = s.verify(anchor, compact, environment, directory)
	if known == nil {
		s.cfg.Limits.Take(&s.useless, from, now)
	}
	return known, err
}

// refuse counts a visitor's session that is none, and refuses to say so to a client that has shown
// too many. The same session once more tells its sender nothing new: a browser shows the one that
// has ended in all of its tabs, and must not cost its neighbours behind the same address anything.
func (s *Sessions) refuse(v *Visitor, client netip.Addr) error {
	from, table := gcra.Address(client), s.cfg.Limits
	now := table.Now()
	if v.wait = table.Spent(&s.refused, from, now); v.wait > 0 {
		v.useless = false
		return errForger
	}
	repeat := table.Bytes(v.jar.Get(mezu.SessionCookie))
	for i := range repeat {
		repeat[i] ^= from[i]
	}
	if !table.Take(&s.repeated, repeat, now).Refused {
		table.Take(&s.refused, from, now)
	}
	return nil
}

var errForger = &mezu.Error{Code: mezu.CodeRateLimited, Detail: "this address shows too many sessions that are none"}

// Visitor is who sends one request: the cookies of ours that came with it, and what came of
// them. It is reused for the next: Reset first. It is no more valid than the request's
// fields.
type Visitor struct {
	jar     cookie.Jar
	grant   *mezu.Grant // that counts; nil if nobody that is known
	compact []byte      // the same as it is sent on
	secret  [mezu.SecretLength]byte
	newer   *renewal // of the session, if the visitor does not have its cookie yet
	flight  *flight  // of a refresh beside the request
	useless bool     // the session's cookie opens nothing and never will
	wait    time.Duration
	use     grant.Use
}

// Reset prepares it for the next request.
func (v *Visitor) Reset() {
	v.jar.Reset()
	v.grant, v.compact, v.newer, v.flight, v.useless, v.wait = nil, nil, nil, nil, false, 0
}

// Take takes our cookies out of a request's fields, so that they go no further, and gives
// what is left of them.
func (v *Visitor) Take(fields []relay.Field) []relay.Field {
	left := fields[:0]
	for i := range fields {
		f := fields[i]
		if f.Is("cookie") && len(f.Value) > 0 {
			if f.Value = v.jar.Take(f.Value); len(f.Value) == 0 {
				continue
			}
		}
		left = append(left, f)
	}
	return left
}

// Pass gives the fields with the one cookie of ours that goes on to a Warpgate: that of a
// tunnel.
func (v *Visitor) Pass(fields []relay.Field) []relay.Field {
	if value := v.jar.Tunnel(); value != nil {
		fields = append(fields, relay.Field{Name: []byte("Cookie"), Value: cookie.AppendTunnel(nil, value)})
	}
	return fields
}

// Grant is who the visitor is, nil if that is not known.
func (v *Visitor) Grant() *mezu.Grant { return v.grant }

// Compact is the grant as a Warpgate verifies it again, nil if there is none.
func (v *Visitor) Compact() []byte { return v.compact }

// Useless reports whether the session's cookie can be taken away from the browser.
func (v *Visitor) Useless() bool { return v.useless }

// Wait is how long the visitor's client has to wait that has shown too many sessions that are none,
// zero if it has not.
func (v *Visitor) Wait() time.Duration { return v.wait }

// Cookies are the cookies of ours that the control plane may see, by exact names.
func (v *Visitor) Cookies() (out []api.PageField) {
	for _, name := range [...]string{mezu.SessionCookie, deviceCookie, browserCookie} {
		if value := v.jar.Get(name); value != nil && len(value) <= api.MaxPageCookie {
			out = append(out, api.PageField{Name: name, Value: string(value)})
		}
	}
	return out
}

// Cookies of ours beside the session's: of a browser that a user has logged in with before,
// and of one in which a login is under way.
const (
	deviceCookie  = mezu.CookiePrefix + "device"
	browserCookie = mezu.CookiePrefix + "browser"
)

// shown is the grant of the visitor's cookie, if it is theirs; revoked says that it is worth
// nothing without a refresh. With an error nobody has looked.
func (s *Sessions) shown(v *Visitor, client netip.Addr, environment, directory string) (g *mezu.Grant, compact []byte, revoked bool, err error) {
	anchor := s.cfg.Trust()
	value := v.jar.Get(mezu.SessionCookie)
	if anchor == nil || directory == "" {
		return nil, nil, false, nil
	}
	secret, compact, ok := mezu.SplitSession(value)
	if !ok {
		v.useless = v.has(mezu.SessionCookie)
		return nil, nil, false, nil
	}
	known, err := s.verifyOf(v, client, anchor, compact, environment, directory)
	switch {
	case err == errForger:
		return nil, nil, false, err
	case known == nil, !known.Opens(secret), s.cfg.Left(known.Session):
		v.useless = !errors.Is(err, grant.ErrEarly) // a clock that is wrong is set some day
		return nil, nil, false, nil
	}
	copy(v.secret[:], secret)
	return known.Grant, compact, errors.Is(err, grant.ErrRevoked), nil
}

// has reports whether a cookie with a name came at all.
func (v *Visitor) has(name string) (has bool) {
	v.jar.Names(func(n []byte) { has = has || string(n) == name })
	return has
}

// Open finds who the visitor is to an environment that names a directory, nil if that is not
// known. It waits for a refresh if the session may not go on without. With an error it is
// not known whether it may.
func (s *Sessions) Open(v *Visitor, client netip.Addr, environment, directory string) (*mezu.Grant, error) {
	g, err := s.open(v, client, environment, directory)
	if g == nil && err == nil && v.useless {
		err = s.refuse(v, client)
	}
	return g, err
}

func (s *Sessions) open(v *Visitor, client netip.Addr, environment, directory string) (*mezu.Grant, error) {
	g, compact, revoked, err := s.shown(v, client, environment, directory)
	if err != nil {
		return nil, err
	}
	for range maxSteps {
		if g == nil {
			return nil, nil
		}
		now := s.cfg.Now()
		must := revoked || now.After(g.IdleUntil)
		if !must && !now.After(g.FreshUntil) {
			return v.accept(g, compact), nil
		}
		f, lost := s.refreshes.look(g, compact, revoked, now)
		switch {
		case lost && (f == nil || !f.ended()) && revoked:
			return nil, nil
		case lost && (f == nil || !f.ended()):
			v.flight = f
			return v.accept(g, compact), nil
		case f == nil && must:
			return nil, &mezu.Error{Code: mezu.CodeOverloaded, Detail: "too many sessions are looked up at once"}
		case f == nil:
			return v.accept(g, compact), nil
		case must:
			<-f.done
		case !f.ended():
			v.flight = f
			return v.accept(g, compact), nil
		}
		switch {
		case f.outcome == refused:
			v.useless = true
			return nil, nil
		case f.outcome == renewed && !revoked && bytes.Equal(f.renewal.compact, compact):
			return v.accept(g, compact), nil
		case f.outcome == renewed:
			g, compact, revoked = s.goOn(v, f.renewal, environment, directory)
		case !must, f.outcome == away && !revoked:
			return v.accept(g, compact), nil
		case f.outcome == away:
			return nil, nil
		default:
			return nil, &mezu.Error{Code: mezu.CodeUnavailable, Detail: "the session can't be looked up for the moment"}
		}
	}
	return nil, nil
}

// maxSteps is how many newer grants of one session a request goes on to: a second one if the
// first was revoked while the browser did not have it yet.
const maxSteps = 3

func (v *Visitor) accept(g *mezu.Grant, compact []byte) *mezu.Grant {
	v.grant, v.compact = g, compact
	return g
}

// goOn has the visitor show a newer grant of the session.
func (s *Sessions) goOn(v *Visitor, r *renewal, environment, directory string) (g *mezu.Grant, compact []byte, revoked bool) {
	_, err := s.verify(s.cfg.Trust(), r.compact, environment, directory)
	revoked = errors.Is(err, grant.ErrRevoked)
	if err != nil && !revoked || s.cfg.Left(r.grant.Session) {
		return nil, nil, false
	}
	if r.secret != nil {
		copy(v.secret[:], r.secret)
	}
	v.newer = r
	return r.grant, r.compact, revoked
}

// SetCookie is the Set-Cookie by which the browser gets the newer grant, nil if it needs
// none.
func (s *Sessions) SetCookie(v *Visitor) []byte {
	r := v.newer
	if f := v.flight; f != nil && f.ended() && f.outcome == renewed {
		r = f.renewal
	}
	if r == nil || s.hasEnded(r.grant) {
		return nil
	}
	secret := v.secret[:]
	if r.secret != nil {
		secret = r.secret
	}
	life := int64(r.grant.NotAfter.Sub(s.cfg.Now()) / time.Second)
	line := make([]byte, 0, len(mezu.SessionCookie)+len(secret)+len(r.compact)+len(cookieAttributes)+24)
	line = append(append(line, mezu.SessionCookie...), '=')
	line = append(append(line, secret...), '.')
	line = append(append(line, r.compact...), cookieAttributes...)
	return strconv.AppendInt(line, max(life, 0), 10)
}

const cookieAttributes = "; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age="

// ClearCookie is the Set-Cookie that takes the session's cookie away.
const ClearCookie = mezu.SessionCookie + "=" + cookieAttributes + "0"

// Begin says that a request of the visitor goes on, and reports whether it may: cut is
// called when its session ends, from another goroutine, and must not wait. Without a grant
// nothing ends.
func (s *Sessions) Begin(v *Visitor, cut func()) bool {
	if v.grant == nil {
		return true
	}
	v.use.Cut = cut
	return s.uses.Begin(&v.use, v.grant)
}

// End says that it does not go on any more. After it cut is not called.
func (s *Sessions) End(v *Visitor) {
	if v.grant != nil {
		s.uses.End(&v.use)
	}
}

// Leave ends the visitor's session while the control plane can't be told: here at once, and
// everywhere when it can.
func (s *Sessions) Leave(v *Visitor, client netip.Addr, environment, directory string) error {
	g, compact, _, err := s.shown(v, client, environment, directory)
	if g == nil {
		return err
	}
	if err := s.leave(g, compact); err != nil {
		return err
	}
	if r := s.refreshes.latest(g); r != nil && r.grant.Session != g.Session {
		return s.leave(r.grant, r.compact)
	}
	return nil
}

func (s *Sessions) leave(g *mezu.Grant, compact []byte) error {
	if err := s.cfg.Leave(g, bytes.Clone(compact)); err != nil {
		return err
	}
	s.uses.Ended(&mezu.Revocation{Kind: mezu.RevokeSession, Subject: g.Session})
	return nil
}
