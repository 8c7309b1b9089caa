package team

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// ResetLife is how long the code of a reset can be redeemed: whoever asks for it sits at the
// machine, and redeems it now.
const ResetLife = time.Hour

// Reset is a new bootstrap code.
type Reset struct {
	Code string
	// Operator is whom it lets in again, empty if there is no operator: whoever redeems the
	// code becomes the first then. Email is that operator's, if there is one.
	Operator, Email string
	// ExpiresAt: if zero, never.
	ExpiresAt time.Time
	// Ended says that the bootstrap code before could be redeemed until now.
	Ended bool
	// Revoked says that nothing lets the operator in any more that did until now.
	Revoked bool
}

// auditedReset is what the audit shows of a reset.
type auditedReset struct {
	auditedOffer
	Revoked bool `json:"revoked,omitempty"`
}

// ResetCode makes a bootstrap code that gives an operator a new token, or makes the first
// operator if there is none, and ends the one before, whichever control plane made it. who is
// the id or address of an operator; if it is empty, the one who became operator first is meant.
// With revoke, everything ends with which that operator came in until now. No operation of the
// API reaches it. It is for whoever owns the machine of a control plane, who could read the store
// and its key anyway.
func (s *Team) ResetCode(ctx context.Context, holder, who string, revoke bool) (Reset, error) {
	var out Reset
	_, err := s.records.Commit(ctx, access.ByProcess(access.ResetOperator), func(ch *record.Change) error {
		out = Reset{}
		operator, err := s.operatorToReset(ctx, ch, who)
		if err != nil {
			return err
		}
		before, err := record.Optional[offer](ctx, s.records, keyOffer)
		if err != nil {
			return err
		}
		was, err := s.endOffer(ctx, ch, before.Value)
		if err != nil {
			return err
		}
		life := time.Duration(0)
		if operator != "" {
			life = ResetLife
			if out.Email, err = s.address(ctx, operator); err != nil {
				return err
			}
			if revoke {
				if err := s.cfg.EndCredentials(ctx, ch, operator); err != nil {
					return err
				}
				out.Revoked = true
			}
		}
		code, token := s.access.Issue(ch, access.Token{Kind: mezu.TokenBootstrap, Operator: operator}, life)
		ch.Audit(record.About(record.KindBootstrapCode, token.ID, ""), was, auditedReset{auditedOffer{holder, operator}, out.Revoked})
		ch.Update(keyOffer, before.Revision, offer{Token: access.KeyToken(mezu.HashSecret(code)), Holder: holder, Until: s.records.Stamp().Add(offerLife)})
		out.Code, out.Operator, out.ExpiresAt, out.Ended = code, operator, token.ExpiresAt, was != nil
		return nil
	})
	return out, err
}

// operatorToReset is the operator whom a reset lets in, empty if there is none at all. The
// change depends on it.
func (s *Team) operatorToReset(ctx context.Context, ch *record.Change, who string) (string, error) {
	if who = strings.TrimSpace(who); who == "" {
		id, err := s.firstOperator(ctx)
		if mezu.CodeOf(err) == mezu.CodeNotFound {
			return "", s.withoutOperator(ctx, ch)
		}
		if err != nil {
			return "", err
		}
		who = id
	}
	op, err := s.findOperator(ctx, who)
	if err != nil {
		return "", err
	}
	ch.Require(op.Key, op.Revision)
	return op.Value.ID, nil
}

// endOffer plans that an earlier bootstrap code is worth nothing any more. It gives what the
// audit shows of the code, nil if that was redeemed or has ended already.
func (s *Team) endOffer(ctx context.Context, ch *record.Change, o offer) (any, error) {
	if o.Token == "" {
		return nil, nil
	}
	t, err := record.Get[access.Token](ctx, s.records, o.Token)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	ch.Remove(t.Key, t.Revision)
	if t.Value.Ended(s.records.Now()) {
		return nil, nil
	}
	return auditedOffer{o.Holder, t.Value.Operator}, nil
}
