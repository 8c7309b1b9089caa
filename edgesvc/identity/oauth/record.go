package oauth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// Keys. The families of each person are package access's. None of it outlives a restore.
const (
	prefixCode     = access.PrefixPrograms + "code/"
	prefixDevice   = access.PrefixPrograms + "device/"
	prefixUserCode = access.PrefixPrograms + "usercode/"
	prefixFinder   = access.PrefixPrograms + "finder/"
	prefixGuess    = access.PrefixPrograms + "guess/"
)

func keyCode(code string) string   { return prefixCode + mezu.HashSecret(code) }
func keyDevice(code string) string { return prefixDevice + mezu.HashSecret(code) }
func keyFinder(hash string) string { return prefixFinder + hash }
func keyGuess(of string) string    { return prefixGuess + of }
func (p *Provider) keyUserCode(code string) string {
	h := hmac.New(sha256.New, p.blindKey)
	h.Write([]byte(code))
	return prefixUserCode + hex.EncodeToString(h.Sum(nil))
}

// code is an authorization code, kept under its hash.
type code struct {
	Client      string `json:"client"`
	RedirectURI string `json:"redirect_uri"`
	// Challenge is that of PKCE, by S256.
	Challenge string `json:"challenge"`
	// Person has allowed the login, which is Family.
	Person    string    `json:"person"`
	Family    string    `json:"family"`
	ExpiresAt time.Time `json:"expires_at"`
	// UsedAt is when it was exchanged. It is kept for a while, so that whoever uses it
	// again ends the family.
	UsedAt time.Time `json:"used_at,omitzero"`
}

const (
	// codeLife is for one redirect and one call.
	codeLife = time.Minute
	// usedCodeLife is how long a used code is remembered: as long as the bearer token that
	// it gave.
	usedCodeLife = bearerLife
)

func (c *code) gone(now time.Time) bool {
	if c.UsedAt.IsZero() {
		return !now.Before(c.ExpiresAt)
	}
	return !now.Before(c.UsedAt.Add(usedCodeLife))
}

// device is a login of a device without a browser, kept under the hash of its device code.
type device struct {
	Client string `json:"client"`
	// UserCode is the key of the user code's record.
	UserCode string `json:"user_code"`
	// Agent and Address are of the device, as it asked.
	Agent     string    `json:"agent,omitempty"`
	Address   string    `json:"address"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
	// Person has answered. Family is the login, empty if it was denied.
	Person string `json:"person,omitempty"`
	Family string `json:"family,omitempty"`
}

// userCode finds a device by what a person types.
type userCode struct {
	Device    string    `json:"device"` // its key
	ExpiresAt time.Time `json:"expires_at"`
}

// finder finds a family by what all its refresh tokens have in common, so that one that was
// used long ago still tells which family to end.
type finder struct {
	Person   string    `json:"person"`
	Family   string    `json:"family"`
	NotAfter time.Time `json:"not_after"`
}

// guesses are codes that somebody typed since a moment, those that were right not counted.
type guesses struct {
	From  time.Time `json:"from"`
	Count int       `json:"count"`
}

// sweep removes what has ended.
func (p *Provider) sweep(ctx context.Context) error {
	now := p.records.Now()
	if err := record.Sweep(ctx, p.records, prefixCode, func(c code) bool { return c.gone(now) }); err != nil {
		return err
	}
	if err := record.Sweep(ctx, p.records, prefixDevice, func(d device) bool { return !now.Before(d.ExpiresAt) }); err != nil {
		return err
	}
	if err := record.Sweep(ctx, p.records, prefixUserCode, func(u userCode) bool { return !now.Before(u.ExpiresAt) }); err != nil {
		return err
	}
	if err := record.Sweep(ctx, p.records, prefixGuess, func(g guesses) bool { return now.Sub(g.From) >= guessSpan }); err != nil {
		return err
	}
	if err := record.Each(ctx, p.records, access.PrefixFamilies, func(f record.Record[access.Families]) error { return p.tidy(ctx, f) }); err != nil {
		return err
	}
	return record.Each(ctx, p.records, prefixFinder, func(f record.Record[finder]) error {
		all, err := record.Optional[access.Families](ctx, p.records, access.KeyFamilies(f.Value.Person))
		if err != nil || all.Value.Find(f.Value.Family, now) >= 0 {
			return err
		}
		_, err = p.records.Commit(ctx, record.Internal(), func(ch *record.Change) error {
			ch.Drop(f.Key)
			return nil
		})
		return err
	})
}
