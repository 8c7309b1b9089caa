package granttest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"time"

	"github.com/mezusphere/mezu"
)

// Held is a session as a browser has it.
type Held struct {
	mezu.Grant
	Secret string
}

// Hold begins a session with a secret of its own: fresh for an hour, alive without use for
// four, a day long.
func (a *Authority) Hold(environment, directory string, roles ...string) *Held {
	h := &Held{Grant: a.Session(0, environment, directory), Secret: NewSecret()}
	h.Roles, h.SecretHash = roles, sha256.Sum256([]byte(h.Secret))
	return h
}

// Next is how a session goes on with a new grant; with a new secret it has a new id, too.
func (a *Authority) Next(h *Held, newSecret bool) *Held {
	next := *h
	now := a.now()
	next.IssuedAt, next.FreshUntil, next.IdleUntil = now, now.Add(time.Hour), now.Add(4*time.Hour)
	if newSecret {
		next.Session, next.Secret = mezu.NewID(mezu.PrefixSession, now), NewSecret()
		next.SecretHash = sha256.Sum256([]byte(next.Secret))
	}
	return &next
}

// Cookie is the value of the session's cookie.
func (a *Authority) Cookie(h *Held) string {
	a.t.Helper()
	return h.Secret + "." + string(a.Sign(h.Grant))
}

// Revoke puts a revocation of all grants until now in force.
func (a *Authority) Revoke(kind mezu.RevocationKind, subject string) *mezu.Revocation {
	now := a.now()
	r := &mezu.Revocation{Kind: kind, Subject: subject, NotBefore: now.Add(time.Millisecond), Until: now.Add(mezu.MaxGrantLife)}
	a.Anchor.Revoke(r)
	return r
}

// NewSecret makes a session's secret.
func NewSecret() string {
	var raw [32]byte
	rand.Read(raw[:])
	return base64.RawURLEncoding.EncodeToString(raw[:])
}
