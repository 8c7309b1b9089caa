package service

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// tokenRecord is what a random secret opens, kept under the secret's hash.
type tokenRecord struct {
	ID   string `json:"id"`
	Kind string `json:"kind"` // mezu.TokenBearer, …
	// Person, Name and Permissions are a bearer's; nil Permissions bound nothing.
	Name   string `json:"name,omitempty"`
	Person string `json:"person,omitempty"`
	// Operator is whom a bootstrap code gives a new token; if empty, whoever redeems it
	// becomes the first operator.
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
	// Standing is what CreatedBy was then (granter.standing, or appointment): a token is
	// void under another. It is empty in one that an earlier version made.
	Standing string `json:"standing,omitempty"`
	// ExpiresAt: if zero, never.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// issue adds a new token to a change and returns its secret and what is kept. If
// life is zero, it ends when the record says, or never.
func (s *Access) issue(ch *change, t tokenRecord, life time.Duration) (secret string, kept tokenRecord) {
	secret = mezu.NewToken(t.Kind)
	now := s.records.stamp()
	t.ID, t.CreatedAt = mezu.NewID(mezu.PrefixToken, now), now
	if life > 0 {
		t.ExpiresAt = now.Add(life)
	}
	key := keyToken(mezu.HashSecret(secret))
	ch.create(key, t)
	if t.Person != "" {
		ch.create(tokensOf(t.Person)+t.ID, key)
	}
	return secret, t
}

// redeem reads the token behind a secret and checks kind and time. What it returns
// is spent by removing its key in its revision.
func (s *Access) redeem(ctx context.Context, secret, kind, noun, hint string) (found[tokenRecord], error) {
	t, err := get[tokenRecord](ctx, s.records, keyToken(mezu.HashSecret(secret)))
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && t.Value.Kind != kind:
		return t, unauthenticated("this "+noun+" opens nothing here: it was used, revoked, or belongs to another installation", hint)
	case err != nil:
		return t, err
	case !t.Value.ExpiresAt.IsZero() && !s.records.now().Before(t.Value.ExpiresAt):
		return t, unauthenticated("this "+noun+" ended at "+t.Value.ExpiresAt.Format(time.RFC3339), hint)
	}
	return t, nil
}

// isToken reports whether a secret is to be taken for one of our tokens. A key may begin
// like a token, but no token has a key's length.
func isToken(secret string) bool {
	return strings.HasPrefix(secret, "mezu") && len(secret) != mezu.KeyLength
}

// identifyBearer is for our tokens.
func (s *Access) identifyBearer(ctx context.Context, p Presented) (Caller, bool, error) {
	if !isToken(p.Bearer) {
		return Caller{}, false, nil
	}
	c, err := s.bearer(ctx, p.Bearer)
	return c, true, err
}

// bearer finds the caller behind a token of one of our kinds.
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
		t, err := s.redeem(ctx, secret, k.kind, k.noun, k.hint)
		if err != nil {
			return Caller{}, err
		}
		c := Caller{Kind: k.caller, ID: t.Value.ID, credential: t.Value.ID, Organization: t.Value.Organization, Project: t.Value.Project, Environment: t.Value.Environment, ExpiresAt: t.Value.ExpiresAt, token: t}
		if k.caller == Member {
			who, err := s.holder(ctx, t.Value.Person, k.hint)
			if err != nil {
				return Caller{}, err
			}
			c.ID, c.Operator, c.Permissions = who.ID, who.Operator, t.Value.Permissions
		}
		return c, nil
	}
	return Caller{}, unauthenticated("this is no token of a kind that opens anything here", "check that the whole token was copied")
}

// shown is the token as its holder sees it.
func (t tokenRecord) shown() mezu.Token {
	return mezu.Token{Meta: mezu.Meta{ID: t.ID, Revision: 1, CreatedAt: t.CreatedAt, UpdatedAt: t.CreatedAt}, Name: t.Name, Permissions: t.Permissions, ExpiresAt: t.ExpiresAt}
}

// over reports whether the token has ended.
func (t tokenRecord) over(now time.Time) bool {
	return !t.ExpiresAt.IsZero() && !now.Before(t.ExpiresAt)
}

// tokenAt reads the token to which an entry of a person's list points; one that is
// gone or over is errGone.
func (s *Access) tokenAt(ctx context.Context, key string) (found[tokenRecord], error) {
	t, err := get[tokenRecord](ctx, s.records, key)
	if errors.Is(err, store.ErrNotFound) || err == nil && t.Value.over(s.records.now()) {
		err = errGone
	}
	return t, err
}

// sweepTokens removes tokens that are over, and their entries.
func (s *Access) sweepTokens(ctx context.Context) error {
	return each(ctx, s.records, prefixToken, func(f found[tokenRecord]) error {
		if !f.Value.over(s.records.now()) {
			return nil
		}
		ops := []store.Op{{Key: f.Key, Delete: true}}
		if f.Value.Person != "" {
			ops = append(ops, store.Op{Key: tokensOf(f.Value.Person) + f.Value.ID, Delete: true})
		}
		_, err := s.records.housekeep(ctx, store.Txn{Checks: []store.Check{{Key: f.Key, Revision: f.Revision}}, Ops: ops})
		return err
	})
}

// accessJobs remove tokens that have ended.
func (s *Access) accessJobs() []job {
	return []job{{name: "sweeping tokens", every: SweepInterval, run: s.sweepTokens}}
}

// auditedToken is what a record tells of a token that was issued.
type auditedToken struct {
	Environment     string    `json:"environment,omitempty"` // id
	PublicKeySHA256 string    `json:"public_key_sha256,omitempty"`
	ExpiresAt       time.Time `json:"expires_at,omitzero"`
}

func (t tokenRecord) audited() auditedToken {
	return auditedToken{t.Environment, t.PublicKeySHA256, t.ExpiresAt}
}
