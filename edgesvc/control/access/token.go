package access

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// Token is what a random secret opens, kept under the secret's hash.
type Token struct {
	ID   string `json:"id"`
	Kind string `json:"kind"` // mezu.TokenBearer, …
	// Person, Name and Permissions are a bearer token's. Nil Permissions restrict nothing.
	Name   string `json:"name,omitempty"`
	Person string `json:"person,omitempty"`
	// Client is the program that logged in for the person, Family the login (Family.ID)
	// that the token ends with. Both are empty of a token that somebody made.
	Client string `json:"client,omitempty"`
	Family string `json:"family,omitempty"`
	// Operator is the operator to whom a bootstrap code gives a new token. If it is empty,
	// whoever redeems the code becomes the first operator.
	Operator    string            `json:"operator,omitempty"`
	Permissions []mezu.Permission `json:"permissions,omitempty"`
	// Organization, Project, Environment and PublicKeySHA256 bind an
	// enrolment.
	Organization    string    `json:"organization,omitempty"`
	Project         string    `json:"project,omitempty"`
	Environment     string    `json:"environment,omitempty"`
	PublicKeySHA256 string    `json:"public_key_sha256,omitempty"`
	CreatedBy       string    `json:"created_by,omitempty"`
	CreatedAt       time.Time `json:"created_at"`
	// Standing is that of CreatedBy when the token was made (Granter.Standing, or that of
	// an operator). If it has changed since, the token is void. It is empty in a token that
	// an earlier version made.
	Standing string `json:"standing,omitempty"`
	// ExpiresAt: if zero, never.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// Issue adds a new token to a change and returns its secret and what is kept. If
// life is zero, it ends when the record says, or never. It is made now, or when the record says
// if that is later.
func (s *Access) Issue(ch *record.Change, t Token, life time.Duration) (secret string, kept Token) {
	secret = mezu.NewToken(t.Kind)
	now := record.Latest(s.records.Stamp(), t.CreatedAt)
	t.ID, t.CreatedAt = mezu.NewID(mezu.PrefixToken, now), now
	if life > 0 {
		t.ExpiresAt = now.Add(life)
	}
	key := KeyToken(mezu.HashSecret(secret))
	ch.Create(key, t)
	if t.Person != "" && t.Family == "" { // those of a family are no tokens that a person looks after
		ch.Create(TokensOf(t.Person)+t.ID, key)
	}
	return secret, t
}

// Redeem reads the token of a secret and checks kind and time. The caller spends the token by
// removing its record in the revision that was read.
func (s *Access) Redeem(ctx context.Context, secret, kind, noun, hint string) (record.Record[Token], error) {
	return s.RedeemHash(ctx, mezu.HashSecret(secret), kind, noun, hint)
}

// RedeemHash is Redeem by the hash of the secret.
func (s *Access) RedeemHash(ctx context.Context, hash, kind, noun, hint string) (record.Record[Token], error) {
	t, err := record.Get[Token](ctx, s.records, KeyToken(hash))
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && t.Value.Kind != kind:
		return t, Unauthenticated("this "+noun+" opens nothing here: it was used, revoked, or belongs to another installation", hint)
	case err != nil:
		return t, err
	case !t.Value.ExpiresAt.IsZero() && !s.records.Now().Before(t.Value.ExpiresAt):
		return t, Unauthenticated("this "+noun+" ended at "+t.Value.ExpiresAt.Format(time.RFC3339), hint)
	}
	return t, nil
}

// IsToken reports whether a secret is a token and not a key. A key may begin like a token, but
// no token has the length of a key.
func IsToken(secret string) bool {
	return strings.HasPrefix(secret, "mezu") && len(secret) != mezu.KeyLength
}

// IdentifyBearer identifies the caller by a token.
func (s *Access) IdentifyBearer(ctx context.Context, p Presented) (Caller, bool, error) {
	if !IsToken(p.Bearer) {
		return Caller{}, false, nil
	}
	c, err := s.bearer(ctx, p.Bearer)
	return c, true, err
}

// bearer finds the caller who has a token.
func (s *Access) bearer(ctx context.Context, secret string) (Caller, error) {
	kinds := []struct {
		kind       string
		caller     CallerKind
		noun, hint string
	}{
		{mezu.TokenJoin, Joiner, "join token", "make another with `mezusphere join-token create`"},
		{mezu.TokenEnrolment, Enrolment, "enrolment token", "ask for another; each lets one Warpgate in, within ten minutes"},
		{mezu.TokenBearer, Member, "token", "run `mezu dev` again, or ask an operator for another token"},
	}
	for _, k := range kinds {
		if !strings.HasPrefix(secret, k.kind) {
			continue
		}
		t, err := s.Redeem(ctx, secret, k.kind, k.noun, k.hint)
		if err != nil {
			return Caller{}, err
		}
		c := Caller{Kind: k.caller, ID: t.Value.ID, Credential: t.Value.ID, Organization: t.Value.Organization, Project: t.Value.Project, Environment: t.Value.Environment, ExpiresAt: t.Value.ExpiresAt, Token: t}
		if k.caller == Member {
			all, err := s.familiesOf(ctx, t.Value)
			if err != nil {
				return Caller{}, err
			}
			c.EndsAt = t.Value.ExpiresAt
			if i := all.Value.Find(t.Value.Family, s.records.Now()); t.Value.Family != "" && i >= 0 {
				c.EndsAt = all.Value.Families[i].NotAfter
			}
			who, err := s.holder(ctx, t.Value.Person, k.hint)
			if err != nil {
				return Caller{}, err
			}
			if t.Value.void(who) {
				return Caller{}, voided(k.hint)
			}
			c.ID, c.Operator, c.Permissions = who.ID, who.Operator, t.Value.Permissions
		}
		return c, nil
	}
	return Caller{}, Unauthenticated("this is no token of a kind that opens anything here", "check that the whole token was copied")
}

// void reports whether the token ended with all that its person had.
func (t Token) void(of Person) bool { return t.CreatedAt.Before(of.TokensSince) }

func voided(hint string) error {
	return Unauthenticated("this token ended when its holder's password was reset", hint)
}

// EndTokens plans that all tokens that a person has now are void, also those by the clock of
// another control plane, which may be ahead. Whoever makes one meanwhile changes the count of
// tokens, so that this change sees it, or loses.
func EndTokens(ctx context.Context, r *record.Records, ch *record.Change, person string) error {
	count, err := record.Optional[record.Children](ctx, r, record.KeyChildren(person))
	if err != nil {
		return err
	}
	ch.Require(count.Key, count.Revision)
	who, err := record.Get[Person](ctx, r, KeyPerson(person))
	if err != nil {
		return err
	}
	last := r.Stamp()
	err = record.Each(ctx, r, TokensOf(person), func(entry record.Record[string]) error {
		t, err := record.Optional[Token](ctx, r, entry.Value)
		last = record.Latest(last, t.Value.CreatedAt)
		return err
	})
	if err != nil {
		return err
	}
	who.Value.TokensSince = last.Add(time.Millisecond) // the grain of what they are judged by
	ch.Update(who.Key, who.Revision, who.Value)
	return nil
}

// Shown is the token as its holder sees it.
func (t Token) Shown() mezu.Token {
	return mezu.Token{Meta: mezu.Meta{ID: t.ID, Revision: 1, CreatedAt: t.CreatedAt, UpdatedAt: t.CreatedAt}, Name: t.Name, Permissions: t.Permissions, ExpiresAt: t.ExpiresAt}
}

// Ended reports whether the token has ended.
func (t Token) Ended(now time.Time) bool {
	return !t.ExpiresAt.IsZero() && !now.Before(t.ExpiresAt)
}

// TokenReader gives what reads the token that an entry of a person's list points to. That says
// ErrGone if the token is gone or has ended.
func (s *Access) TokenReader(ctx context.Context, person string) (func(key string) (record.Record[Token], error), error) {
	who, err := record.Optional[Person](ctx, s.records, KeyPerson(person))
	return func(key string) (record.Record[Token], error) {
		t, err := record.Get[Token](ctx, s.records, key)
		if errors.Is(err, store.ErrNotFound) || err == nil && (t.Value.Ended(s.records.Now()) || t.Value.void(who.Value)) {
			err = record.ErrGone
		}
		return t, err
	}, err
}

// sweepTokens removes tokens that have ended, and their entries.
func (s *Access) sweepTokens(ctx context.Context) error {
	return record.Each(ctx, s.records, prefixToken, func(f record.Record[Token]) error {
		if !f.Value.Ended(s.records.Now()) {
			return nil
		}
		ops := []store.Op{{Key: f.Key, Delete: true}}
		if f.Value.Person != "" {
			ops = append(ops, store.Op{Key: TokensOf(f.Value.Person) + f.Value.ID, Delete: true})
		}
		_, err := s.records.Housekeep(ctx, store.Txn{Checks: []store.Check{{Key: f.Key, Revision: f.Revision}}, Ops: ops})
		return err
	})
}

// Jobs remove tokens that have ended.
func (s *Access) Jobs() []record.Job {
	return []record.Job{{Name: "sweeping tokens", Every: record.SweepInterval, Run: s.sweepTokens}}
}

// auditedToken is what the audit shows of a token that was issued.
type auditedToken struct {
	Environment     string    `json:"environment,omitempty"` // id
	PublicKeySHA256 string    `json:"public_key_sha256,omitempty"`
	ExpiresAt       time.Time `json:"expires_at,omitzero"`
}

// Audited is what the audit shows of a token.
func (t Token) Audited() auditedToken {
	return auditedToken{t.Environment, t.PublicKeySHA256, t.ExpiresAt}
}
