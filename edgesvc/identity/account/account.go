// Package account is what an account needs to log in and to stay logged in: its credential,
// its sessions and known devices, signups that wait for a mail to be answered, tokens that
// mails carry, and the count of wrong attempts.
//
// What lives here: these records, and how long each lives. What may not: who an account is
// (package identity for the users of a directory), pages and forms (package login), and the
// cost and the rules of passwords (package password). Packages login and identity import it.
package account

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// Ref names an account: the pool that it belongs to, which has each mail address once, and
// its id there. The pool of a user is the directory, by its id.
type Ref struct {
	Pool string `json:"pool"`
	ID   string `json:"id"`
}

// ErrNone says that there is no such account, session or token, or not any more.
var ErrNone = store.ErrNotFound

// Accounts is the records of accounts.
type Accounts struct {
	records  *record.Records
	blindKey []byte // of the blind index of typed addresses
}

// purposeBlind derives the key of the blind index of typed addresses.
const purposeBlind = "addresses that were typed at a login"

// New makes Accounts.
func New(r *record.Records) *Accounts {
	return &Accounts{records: r, blindKey: r.Store.Derive(purposeBlind)}
}

// Keys. What is below a pool's or an account's id belongs to that.
const (
	prefixCredential = "credential/"
	prefixSession    = "session/"
	prefixPending    = "pending-login/" // apart from record's prefixes
	prefixMailed     = "mailed/"
	prefixAttempt    = "attempt/"
	prefixFailures   = "failures/"
)

func keyCredential(a Ref) string     { return prefixCredential + a.Pool + "/" + a.ID }
func sessionsOf(a Ref) string        { return prefixSession + a.Pool + "/" + a.ID + "/" }
func keyPending(id string) string    { return prefixPending + id }
func keyMailed(secret string) string { return prefixMailed + mezu.HashSecret(secret) }

// EndsWithRestore reports whether a record is of what goes on at the moment: sessions,
// signups under way, mailed tokens and counts. None of it outlives a restore, because what
// was ended or used after the backup would live again.
func EndsWithRestore(key string) bool {
	for _, p := range []string{prefixSession, prefixPending, prefixMailed, prefixAttempt, prefixFailures} {
		if strings.HasPrefix(key, p) {
			return true
		}
	}
	return false
}

// Blind stands for an address of a pool in records that must not name it: a keyed hash
// (HMAC-SHA-256). The address is in its normal form.
func (a *Accounts) Blind(pool, address string) string {
	return base64.RawURLEncoding.EncodeToString(a.blind(pool, address))
}

func (a *Accounts) blind(pool, address string) []byte {
	h := hmac.New(sha256.New, a.blindKey)
	h.Write([]byte(pool + "\x00" + address))
	return h.Sum(nil)
}

// secretBytes is 256 bits.
const secretBytes = 32

// NewSecret is a random secret of 256 bits in base64url: of a session, of a browser, of a
// mailed link.
func NewSecret() string {
	var b [secretBytes]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// NewDigits is a code of 8 digits, for a tab that waits.
func NewDigits() string {
	const digits, span = 8, 100_000_000
	var b [8]byte
	for {
		rand.Read(b[:4])
		// 42 spans fit 32 bits; the rest is drawn again, so that all codes are alike.
		n := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
		if n < 42*span {
			return fmt.Sprintf("%0*d", digits, n%span)
		}
	}
}

// Jobs end what is over.
func (a *Accounts) Jobs() []record.Job {
	return []record.Job{{Name: "sweeping logins", Every: record.SweepInterval, Run: a.sweep}}
}

// sweep removes what has ended.
func (a *Accounts) sweep(ctx context.Context) error {
	now := a.records.Now()
	if err := record.Sweep(ctx, a.records, prefixSession, func(s Session) bool { return now.After(s.ends()) }); err != nil {
		return err
	}
	if err := record.Sweep(ctx, a.records, prefixPending, func(p Pending) bool { return now.After(p.ExpiresAt) }); err != nil {
		return err
	}
	if err := record.Sweep(ctx, a.records, prefixMailed, func(m Mailed) bool { return now.After(m.ExpiresAt) }); err != nil {
		return err
	}
	if err := record.Sweep(ctx, a.records, prefixAttempt, func(c count) bool { return now.Sub(c.Last) > forgetAttempts }); err != nil {
		return err
	}
	return record.Sweep(ctx, a.records, prefixFailures, func(w window) bool { return now.Sub(w.From) > forgetFailures })
}

// ended reports whether a moment has come.
func ended(now, at time.Time) bool { return !at.IsZero() && !now.Before(at) }
