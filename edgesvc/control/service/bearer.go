package service

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// MaxTokens is how many tokens one person may have, if no quota says otherwise: one for
// each of his machines and jobs, and few enough for him to look through.
const MaxTokens = 100

func noToken() error { return notFound("token", "") }

// ListTokens lists the caller's own.
func (s *Team) ListTokens(ctx context.Context, c Caller, page Paging) (api.List[mezu.Token], error) {
	if _, err := admit(api.OpListTokens, c); err != nil {
		return api.List[mezu.Token]{}, err
	}
	return list(ctx, s.records, tokensOf(c.ID), page, func(entry found[string]) (mezu.Token, error) {
		t, err := s.access.tokenAt(ctx, entry.Value)
		return t.Value.shown(), err
	})
}

func (s *Team) ownToken(ctx context.Context, c Caller, id string) (entry found[string], t found[tokenRecord], err error) {
	if mezu.ValidateID("", mezu.PrefixToken, id) != nil {
		return entry, t, noToken()
	}
	if entry, err = get[string](ctx, s.records, tokensOf(c.ID)+id); err == nil {
		t, err = s.access.tokenAt(ctx, entry.Value)
	}
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, errGone) {
		err = noToken()
	}
	return entry, t, err
}

// GetToken reads one of the caller's own.
func (s *Team) GetToken(ctx context.Context, c Caller, p Place) (mezu.Token, error) {
	if _, err := admit(api.OpGetToken, c); err != nil {
		return mezu.Token{}, err
	}
	_, t, err := s.ownToken(ctx, c, p.Item)
	return t.Value.shown(), err
}

// CreateToken makes a token for the caller. One with bounds makes none beyond them,
// and none that outlives it.
func (s *Team) CreateToken(ctx context.Context, c Caller, in mezu.Token, o Once) (api.TokenCreated, error) {
	var out api.TokenCreated
	if _, err := admit(api.OpCreateToken, c); err != nil {
		return out, err
	}
	_, err := s.records.commit(ctx, by(c, api.OpCreateToken.ID), func(ch *change) (err error) {
		out, err = once(ctx, s.records, ch, by(c, api.OpCreateToken.ID), o, true, func() (api.TokenCreated, error) {
			return s.addToken(ctx, ch, c, in)
		})
		return err
	})
	return out, err
}

func (s *Team) addToken(ctx context.Context, ch *change, c Caller, in mezu.Token) (api.TokenCreated, error) {
	var out api.TokenCreated
	if err := in.Validate(); err != nil {
		return out, err
	}
	if err := mayPassOn(c, in.Permissions); err != nil {
		return out, err
	}
	end, err := s.tokenEnd(c, in.ExpiresAt)
	if err != nil {
		return out, err
	}
	// The token that asks must still be there: a revoked one leaves no heir.
	ch.require(c.token.Key, c.token.Revision)
	if err := s.roomForToken(ctx, ch, c.ID); err != nil {
		return out, err
	}
	secret, t := s.access.issue(ch, tokenRecord{Kind: mezu.TokenBearer, Person: c.ID, Name: in.Name, Permissions: in.Permissions, ExpiresAt: end}, 0)
	ch.audit(about(kindToken, t.ID, ""), nil, t.shown())
	return api.TokenCreated{Token: t.shown(), Secret: secret}, nil
}

// mayPassOn refuses what is beyond the bounds of the token that asks.
func mayPassOn(c Caller, permissions []mezu.Permission) error {
	beyond := permissions == nil && c.Permissions != nil
	for _, p := range permissions {
		beyond = beyond || !c.holds(p)
	}
	if beyond {
		return &mezu.Error{Code: mezu.CodeForbidden, Field: "permissions", Detail: "a token with bounds makes none beyond them", Hint: "name permissions that this token has, or use one without bounds"}
	}
	return nil
}

// tokenEnd is when a new token ends.
func (s *Team) tokenEnd(c Caller, until time.Time) (time.Time, error) {
	end := until
	if end.IsZero() {
		end = s.records.stamp().Add(mezu.DefaultTokenLife)
	}
	if left := end.Sub(s.records.now()); left <= 0 || left > mezu.MaxTokenLife {
		return end, mezu.Invalid("expires_at", "is in the future, at most %d days away", mezu.MaxTokenLife/(24*time.Hour))
	}
	if c.Permissions == nil || c.ExpiresAt.IsZero() || !end.After(c.ExpiresAt) {
		return end, nil
	}
	if !until.IsZero() {
		return end, mezu.Invalid("expires_at", "a token with bounds makes none that outlives it: %s", c.ExpiresAt.Format(time.RFC3339))
	}
	return c.ExpiresAt, nil
}

// sweptTokens is how many ended tokens the creation of one removes at most, when there
// is no room else: more than one, so that they don't pile up between sweeps, and few
// enough for its transaction.
const sweptTokens = 8

// roomForToken refuses one token too many. Those that have ended don't count. The count
// is read before the tokens and written after, so that of two tokens made at once one
// sees the other.
func (s *Team) roomForToken(ctx context.Context, ch *change, person string) error {
	n, err := optional[children](ctx, s.records, keyChildren(person))
	if err != nil {
		return err
	}
	page, err := s.records.store.List(ctx, tokensOf(person), "", store.MaxPage)
	if err != nil {
		return err
	}
	entries := len(page.Records)
	live := entries
	most := s.records.most(quotaTokens)
	if entries >= most {
		ended, err := s.endedTokens(ctx, page.Records)
		if err != nil {
			return err
		}
		live -= len(ended)
		for _, entry := range ended[:min(len(ended), sweptTokens)] {
			ch.drop(entry.Key)
			ch.drop(entry.Value)
			entries--
		}
	}
	if live >= most {
		return &mezu.Error{Code: mezu.CodeConflict, Detail: "you have " + strconv.Itoa(most) + " tokens already", Hint: "revoke those that nobody uses: DELETE " + api.OpDeleteToken.Path}
	}
	n.Value.Tokens = entries + 1
	ch.update(n.Key, n.Revision, n.Value)
	return nil
}

// endedTokens are the entries of a person's list whose tokens are over.
func (s *Team) endedTokens(ctx context.Context, entries []store.Record) ([]found[string], error) {
	var out []found[string]
	for _, r := range entries {
		entry, err := decode[string](r)
		if err != nil {
			return nil, err
		}
		_, err = s.access.tokenAt(ctx, entry.Value)
		if errors.Is(err, errGone) {
			out = append(out, entry)
		} else if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// DeleteToken revokes one of the caller's own, perhaps the one that asks.
func (s *Team) DeleteToken(ctx context.Context, c Caller, p Place, ifMatch uint64) error {
	if _, err := admit(api.OpDeleteToken, c); err != nil {
		return err
	}
	_, err := s.records.commit(ctx, by(c, api.OpDeleteToken.ID), func(ch *change) error {
		entry, t, err := s.ownToken(ctx, c, p.Item)
		if err != nil {
			return err
		}
		if err := matches(ifMatch, t.Revision); err != nil {
			return err
		}
		ch.remove(entry.Key, entry.Revision)
		ch.remove(t.Key, t.Revision)
		ch.audit(about(kindToken, t.Value.ID, ""), t.Value.shown(), nil)
		return nil
	})
	return err
}

// quotaTokens bounds how many tokens a person has.
var quotaTokens = quota{name: "tokens", owner: "the person", fallback: MaxTokens, max: listed}
