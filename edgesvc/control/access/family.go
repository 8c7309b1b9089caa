package access

import (
	"context"
	"slices"
	"time"

	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// Family is one login of a program on behalf of a person: a chain of refresh tokens of which
// the last one counts, and the bearer tokens that came of them. All of them end with it.
type Family struct {
	ID     string `json:"id"`
	Client string `json:"client"`
	// Agent and Address are of the program that logged in.
	Agent     string    `json:"agent,omitempty"`
	Address   string    `json:"address,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	// UsedAt is when the last tokens were given out. It is zero until the first were.
	UsedAt time.Time `json:"used_at,omitzero"`
	// IdleUntil moves on with each use; NotAfter never does.
	IdleUntil time.Time `json:"idle_until"`
	NotAfter  time.Time `json:"not_after"`
	// Finder is the hash of the part that all refresh tokens of the family have in common.
	Finder string `json:"finder,omitempty"`
	// Current and Previous are hashes of the last two refresh tokens. Previous was used at
	// RotatedAt, and answered with Answer.
	Current   string    `json:"current,omitempty"`
	Previous  string    `json:"previous,omitempty"`
	RotatedAt time.Time `json:"rotated_at,omitzero"`
	Answer    *Answer   `json:"answer,omitempty"`
}

// Answer is the tokens that a refresh token was exchanged for.
type Answer struct {
	Bearer    string    `json:"bearer"`
	Refresh   string    `json:"refresh"`
	ExpiresAt time.Time `json:"expires_at"`
}

// Live reports whether the family has not ended by its time.
func (f *Family) Live(now time.Time) bool {
	return now.Before(f.IdleUntil) && now.Before(f.NotAfter)
}

// Families are all that a person has. They are one record, so that all of them end when it
// goes, and whoever is about to renew one of them at that moment loses.
type Families struct {
	Families []Family `json:"families"`
}

// Find gives the place of a family, -1 if there is none that lives.
func (f *Families) Find(id string, now time.Time) int {
	return slices.IndexFunc(f.Families, func(one Family) bool { return one.ID == id && one.Live(now) })
}

// EndFamilies plans that no program is logged in for a person any more. Their tokens open
// nothing from then on.
func EndFamilies(ch *record.Change, person string) { ch.Drop(KeyFamilies(person)) }

// RequireToken makes a change depend on the caller's token as it is, on the login that it is of,
// and on that it was not ended with all others of its person.
func (s *Access) RequireToken(ctx context.Context, ch *record.Change, c Caller) error {
	ch.Require(c.Token.Key, c.Token.Revision)
	if c.Token.Value.Person != "" {
		who, err := record.Get[Person](ctx, s.records, KeyPerson(c.Token.Value.Person))
		if err == nil && c.Token.Value.void(who.Value) {
			err = voided("log in again")
		}
		if err != nil {
			return err
		}
		ch.Require(who.Key, who.Revision)
	}
	all, err := s.familiesOf(ctx, c.Token.Value)
	if all.Revision != 0 {
		ch.Require(all.Key, all.Revision)
	}
	return err
}

// familiesOf reads the families among which that of a token has to be, and refuses the token
// if it is not. A token that is of none has none.
func (s *Access) familiesOf(ctx context.Context, t Token) (all record.Record[Families], err error) {
	if t.Family == "" {
		return all, nil
	}
	all, err = record.Optional[Families](ctx, s.records, KeyFamilies(t.Person))
	if err == nil && all.Value.Find(t.Family, s.records.Now()) < 0 {
		err = Unauthenticated("this login has ended", "log in again with `mezu login`")
	}
	return all, err
}

// LoginEnd is when the login of a caller ends if it isn't renewed until then; zero if the
// caller's token is of none.
func (s *Access) LoginEnd(ctx context.Context, c Caller) (time.Time, error) {
	all, err := s.familiesOf(ctx, c.Token.Value)
	if err != nil || c.Token.Value.Family == "" {
		return time.Time{}, err
	}
	i := all.Value.Find(c.Token.Value.Family, s.records.Now())
	if i < 0 {
		return time.Time{}, nil // it ends at this moment
	}
	f := all.Value.Families[i]
	if f.NotAfter.Before(f.IdleUntil) {
		return f.NotAfter, nil
	}
	return f.IdleUntil, nil
}
