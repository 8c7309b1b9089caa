package team

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// MaxTokens is how many tokens one person may have, if no quota says otherwise: one for each
// of their machines and jobs, and few enough to look through.
const MaxTokens = 100

func noToken() error { return record.NotFound("token", "") }

// ListTokens lists the caller's own.
func (s *Team) ListTokens(ctx context.Context, c access.Caller, page record.Paging) (api.List[mezu.Token], error) {
	if _, err := access.Admit(api.OpListTokens, c); err != nil {
		return api.List[mezu.Token]{}, err
	}
	read, err := s.access.TokenReader(ctx, c.ID)
	if err != nil {
		return api.List[mezu.Token]{}, err
	}
	return record.List(ctx, s.records, access.TokensOf(c.ID), page, func(entry record.Record[string]) (mezu.Token, error) {
		t, err := read(entry.Value)
		return t.Value.Shown(), err
	})
}

func (s *Team) ownToken(ctx context.Context, c access.Caller, id string) (entry record.Record[string], t record.Record[access.Token], err error) {
	if mezu.ValidateID("", mezu.PrefixToken, id) != nil {
		return entry, t, noToken()
	}
	read, err := s.access.TokenReader(ctx, c.ID)
	if err != nil {
		return entry, t, err
	}
	if entry, err = record.Get[string](ctx, s.records, access.TokensOf(c.ID)+id); err == nil {
		t, err = read(entry.Value)
	}
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, record.ErrGone) {
		err = noToken()
	}
	return entry, t, err
}

// GetToken reads one of the caller's own.
func (s *Team) GetToken(ctx context.Context, c access.Caller, p access.Path) (mezu.Token, error) {
	if _, err := access.Admit(api.OpGetToken, c); err != nil {
		return mezu.Token{}, err
	}
	_, t, err := s.ownToken(ctx, c, p.Item)
	return t.Value.Shown(), err
}

// CreateToken makes a token for the caller. If the caller uses a restricted token, the new
// one can't be less restricted or live longer.
func (s *Team) CreateToken(ctx context.Context, c access.Caller, in mezu.Token, o record.Idempotency) (api.TokenCreated, error) {
	var out api.TokenCreated
	if _, err := access.Admit(api.OpCreateToken, c); err != nil {
		return out, err
	}
	_, err := s.records.Commit(ctx, access.By(c, api.OpCreateToken.ID), func(ch *record.Change) (err error) {
		out, err = record.Idempotent(ctx, s.records, ch, o, true, func() (api.TokenCreated, error) {
			return s.addToken(ctx, ch, c, in)
		})
		return err
	})
	return out, err
}

func (s *Team) addToken(ctx context.Context, ch *record.Change, c access.Caller, in mezu.Token) (api.TokenCreated, error) {
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
	// The caller's own token must still exist: one that is being revoked can't make another.
	if err := s.access.RequireToken(ctx, ch, c); err != nil {
		return out, err
	}
	if err := s.roomForToken(ctx, ch, c.ID); err != nil {
		return out, err
	}
	secret, t := s.access.Issue(ch, access.Token{Kind: mezu.TokenBearer, Person: c.ID, Name: in.Name, Permissions: in.Permissions, ExpiresAt: end}, 0)
	ch.Audit(record.About(record.KindToken, t.ID, ""), nil, t.Shown())
	return api.TokenCreated{Token: t.Shown(), Secret: secret}, nil
}

// mayPassOn refuses what the caller's own token doesn't allow.
func mayPassOn(c access.Caller, permissions []mezu.Permission) error {
	beyond := permissions == nil && c.Permissions != nil
	for _, p := range permissions {
		beyond = beyond || !c.Holds(p)
	}
	if beyond {
		return &mezu.Error{Code: mezu.CodeForbidden, Field: "permissions", Detail: "a token with bounds makes none beyond them", Hint: "name permissions that this token has, or use one without bounds"}
	}
	return nil
}

// tokenEnd is when a new token ends.
func (s *Team) tokenEnd(c access.Caller, until time.Time) (time.Time, error) {
	end := until
	if end.IsZero() {
		end = s.records.Stamp().Add(mezu.DefaultTokenLife)
	}
	if left := end.Sub(s.records.Now()); left <= 0 || left > mezu.MaxTokenLife {
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

// sweptTokens is how many ended tokens are removed at most when a token is made and there is
// no other room. It is more than one, so that they don't pile up between sweeps, and few
// enough for the transaction.
const sweptTokens = 8

// roomForToken refuses a token above the quota. Tokens that have ended don't count. The count
// is read before the tokens and written after, so that of two tokens made at the same time
// one sees the other.
func (s *Team) roomForToken(ctx context.Context, ch *record.Change, person string) error {
	n, err := record.Optional[record.Children](ctx, s.records, record.KeyChildren(person))
	if err != nil {
		return err
	}
	page, err := s.records.Store.List(ctx, access.TokensOf(person), "", store.MaxPage)
	if err != nil {
		return err
	}
	entries := len(page.Records)
	live := entries
	most := s.records.Most(quotaTokens)
	if entries >= most {
		ended, err := s.endedTokens(ctx, person, page.Records)
		if err != nil {
			return err
		}
		live -= len(ended)
		for _, entry := range ended[:min(len(ended), sweptTokens)] {
			ch.Drop(entry.Key)
			ch.Drop(entry.Value)
			entries--
		}
	}
	if live >= most {
		return &mezu.Error{Code: mezu.CodeConflict, Detail: "you have " + strconv.Itoa(most) + " tokens already", Hint: "mezu tokens list shows them, and mezu tokens delete ID revokes one that nobody uses"}
	}
	n.Value.Tokens = entries + 1
	ch.Update(n.Key, n.Revision, n.Value)
	return nil
}

// endedTokens are the entries of a person's list whose tokens have ended.
func (s *Team) endedTokens(ctx context.Context, person string, entries []store.Record) ([]record.Record[string], error) {
	var out []record.Record[string]
	read, err := s.access.TokenReader(ctx, person)
	if err != nil {
		return nil, err
	}
	for _, r := range entries {
		entry, err := record.Decode[string](r)
		if err != nil {
			return nil, err
		}
		_, err = read(entry.Value)
		if errors.Is(err, record.ErrGone) {
			out = append(out, entry)
		} else if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// DeleteToken revokes one of the caller's own, perhaps the one that asks.
func (s *Team) DeleteToken(ctx context.Context, c access.Caller, p access.Path, ifMatch uint64) error {
	if _, err := access.Admit(api.OpDeleteToken, c); err != nil {
		return err
	}
	_, err := s.records.Commit(ctx, access.By(c, api.OpDeleteToken.ID), func(ch *record.Change) error {
		entry, t, err := s.ownToken(ctx, c, p.Item)
		if err != nil {
			return err
		}
		if err := record.CheckRevision(ifMatch, t.Revision); err != nil {
			return err
		}
		ch.Remove(entry.Key, entry.Revision)
		ch.Remove(t.Key, t.Revision)
		ch.Audit(record.About(record.KindToken, t.Value.ID, ""), t.Value.Shown(), nil)
		return nil
	})
	return err
}

// EndLogins ends every login of a program on behalf of the caller, perhaps the one that asks.
func (s *Team) EndLogins(ctx context.Context, c access.Caller) error {
	if _, err := access.Admit(api.OpEndLogins, c); err != nil {
		return err
	}
	_, err := s.records.Commit(ctx, access.By(c, api.OpEndLogins.ID), func(ch *record.Change) error {
		access.EndFamilies(ch, c.ID)
		ch.Audit(record.About(record.KindPerson, c.ID, ""), nil, nil)
		return nil
	})
	return err
}

// quotaTokens bounds how many tokens a person has.
var quotaTokens = record.Quota{Name: "tokens", Owner: "the person", Fallback: MaxTokens, Max: record.Listed}
