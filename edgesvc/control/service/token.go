package service

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
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
func (s *Service) issue(ch *change, t tokenRecord, life time.Duration) (secret string, kept tokenRecord) {
	secret = mezu.NewToken(t.Kind)
	now := s.stamp()
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
func (s *Service) redeem(ctx context.Context, secret, kind, noun, hint string) (found[tokenRecord], error) {
	t, err := get[tokenRecord](ctx, s, keyToken(mezu.HashSecret(secret)))
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && t.Value.Kind != kind:
		return t, unauthenticated("this "+noun+" opens nothing here: it was used, revoked, or belongs to another installation", hint)
	case err != nil:
		return t, err
	case !t.Value.ExpiresAt.IsZero() && !s.now().Before(t.Value.ExpiresAt):
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
func (s *Service) identifyBearer(ctx context.Context, p Presented) (Caller, bool, error) {
	if !isToken(p.Bearer) {
		return Caller{}, false, nil
	}
	c, err := s.bearer(ctx, p.Bearer)
	return c, true, err
}

// bearer finds the caller behind a token of one of our kinds.
func (s *Service) bearer(ctx context.Context, secret string) (Caller, error) {
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

// offerLife is how long the bootstrap code of one control plane keeps another from
// making a new one: its machine may be gone.
const offerLife = time.Hour

// offer is the one bootstrap code that can be redeemed.
type offer struct {
	Token  string    `json:"token"` // the key of its record
	Holder string    `json:"holder"`
	Until  time.Time `json:"until"`
}

// auditedOffer is what a record tells of a bootstrap code that was made: the control
// plane on whose machine it is.
type auditedOffer struct {
	Holder string `json:"holder"`
}

// BootstrapCode makes the single-use code of a new installation; the one before stops
// working. If another control plane made one lately there is no new one, and elsewhere
// says which that is: there is one code, however many control planes start.
func (s *Service) BootstrapCode(ctx context.Context, holder string) (code, elsewhere string, err error) {
	_, err = s.commit(ctx, byProcess(startBootstrapCode), func(ch *change) error {
		code, elsewhere = "", ""
		before, err := optional[offer](ctx, s, keyOffer)
		if err != nil {
			return err
		}
		if before.Revision != 0 && before.Value.Holder != holder && s.now().Before(before.Value.Until) {
			elsewhere = before.Value.Holder
			return nil
		}
		if before.Value.Token != "" {
			ch.drop(before.Value.Token)
		}
		var token tokenRecord
		code, token = s.issue(ch, tokenRecord{Kind: mezu.TokenBootstrap}, 0)
		ch.audit(about(kindBootstrapCode, token.ID, ""), nil, auditedOffer{holder})
		ch.update(keyOffer, before.Revision, offer{Token: keyToken(mezu.HashSecret(code)), Holder: holder, Until: s.stamp().Add(offerLife)})
		return nil
	})
	return code, elsewhere, err
}

// BootstrapValid reports whether a code can still be redeemed.
func (s *Service) BootstrapValid(ctx context.Context, code string) (bool, error) {
	_, err := s.redeem(ctx, code, mezu.TokenBootstrap, "code", "")
	if mezu.CodeOf(err) == mezu.CodeUnauthenticated {
		return false, nil
	}
	return err == nil, err
}

// Bootstrap redeems the code and makes the caller the first operator. Where there is
// one, codes that were lost, or other control planes', open nothing.
func (s *Service) Bootstrap(ctx context.Context, c Caller, in api.BootstrapRequest) (api.TokenResponse, error) {
	if _, err := admit(api.OpBootstrap, c); err != nil {
		return api.TokenResponse{}, err
	}
	var out api.TokenResponse
	if in.Email != "" {
		if err := mezu.ValidateEmail("email", in.Email); err != nil {
			return out, err
		}
	}
	_, err := s.commit(ctx, by(c, api.OpBootstrap.ID), func(ch *change) error {
		t, err := s.redeem(ctx, in.Code, mezu.TokenBootstrap, "bootstrap code", "the current one is in the file `bootstrap` of the control plane's state directory until somebody has used it")
		if err != nil {
			return err
		}
		if t.Value.Operator != "" {
			ch.remove(t.Key, t.Revision)
			out, err = s.readmit(ctx, ch, t.Value.Operator)
			return err
		}
		there, err := s.counters(ctx, ch, installationChildren)
		if err != nil {
			return err
		}
		if there.Value.Operators > 0 {
			return unauthenticated("this bootstrap code opens nothing any more: the installation has an operator", "ask that operator: POST "+api.OpCreateOperator.Path)
		}
		ch.remove(t.Key, t.Revision)
		p, err := s.makePerson(ctx, ch, in.Email, true)
		if err != nil {
			return err
		}
		secret, token := s.issue(ch, tokenRecord{Kind: mezu.TokenBearer, Person: p.ID}, mezu.DefaultTokenLife)
		out.Token, out.ExpiresAt = secret, token.ExpiresAt
		ch.audit(about(kindOperator, p.ID, p.Email), nil, mezu.Operator{Meta: p.Meta, Email: p.Email})
		return nil
	})
	if err == nil && s.bootstrapped != nil {
		s.bootstrapped()
	}
	return out, err
}
