package oauth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// Lengths of a verifier of PKCE (RFC 7636, 4.1), and of a challenge by S256.
const (
	minVerifier     = 43
	maxVerifier     = 128
	challengeLength = 43
)

// isChallenge reports whether something is what S256 makes of a verifier.
func isChallenge(s string) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(s) == challengeLength && len(raw) == sha256.Size
}

// fits reports whether a verifier is that of a challenge.
func fits(challenge, verifier string) bool {
	if len(verifier) < minVerifier || len(verifier) > maxVerifier {
		return false
	}
	sum := sha256.Sum256([]byte(verifier))
	return same(challenge, base64.RawURLEncoding.EncodeToString(sum[:]))
}

// newCode plans a login that a person has allowed, and gives the code for the program.
func (p *Provider) newCode(ctx context.Context, ch *record.Change, c code) (secret, family string, err error) {
	c.ExpiresAt = p.records.Stamp().Add(codeLife)
	if c.Family, err = p.allow(ctx, ch, c.Person, c.Client, c.ExpiresAt); err != nil {
		return "", "", err
	}
	secret = mezu.NewToken("")
	ch.Create(keyCode(secret), c)
	return secret, c.Family, nil
}

// exchange exchanges an authorization code for tokens. One that anything is wrong with is
// spent, and the family of one that is used again ends: whoever used it first may have
// stolen it.
func (p *Provider) exchange(ctx context.Context, client, secret, redirectURI, verifier string, g program) (access.Answer, error) {
	var answer access.Answer
	c, err := record.Optional[code](ctx, p.records, keyCode(secret))
	switch {
	case err != nil:
		return answer, err
	case c.Revision == 0, c.Value.gone(p.records.Now()):
		return answer, errGone
	case !c.Value.UsedAt.IsZero():
		return answer, p.reused(ctx, c.Value, g)
	case c.Value.Client != client || c.Value.RedirectURI != redirectURI || !fits(c.Value.Challenge, verifier):
		// The family that was allowed ends by itself, and nobody has tokens of it.
		_, err := p.records.Housekeep(ctx, store.Txn{Checks: []store.Check{{Key: c.Key, Revision: c.Revision}}, Ops: []store.Op{{Key: c.Key, Delete: true}}})
		return answer, errors.Join(errGone, err)
	}
	who, err := p.person(ctx, c.Value.Person)
	if err != nil {
		return answer, err
	}
	_, err = p.records.Commit(ctx, g.by(who, api.OpCreateToken), func(ch *record.Change) error {
		c, err := record.Optional[code](ctx, p.records, c.Key)
		switch {
		case err != nil:
			return err
		case c.Revision == 0:
			return errGone
		case !c.Value.UsedAt.IsZero():
			return errReused
		}
		c.Value.UsedAt = p.records.Stamp()
		ch.Update(c.Key, c.Revision, c.Value)
		answer, err = p.begin(ctx, ch, c.Value.Person, c.Value.Family, g)
		return err
	})
	if errors.Is(err, errReused) {
		err = p.reused(ctx, c.Value, g)
	}
	return answer, err
}

// reused ends the family of a code that was used before.
func (p *Provider) reused(ctx context.Context, c code, g program) error {
	return errors.Join(errReused, p.end(ctx, c.Person, c.Family, g))
}
