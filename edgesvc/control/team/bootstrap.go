package team

import (
	"context"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// offerLife is how long the bootstrap code of one control plane keeps another from making a
// new one. It is bounded because the machine of the first one may be gone.
const offerLife = time.Hour

// offer is the one bootstrap code that can be redeemed.
type offer struct {
	Token  string    `json:"token"` // the key of its record
	Holder string    `json:"holder"`
	Until  time.Time `json:"until"`
}

// auditedOffer is what the audit shows of a bootstrap code: the control plane on whose machine
// it is, and the operator for whom it is, unless there was none.
type auditedOffer struct {
	Holder   string `json:"holder"`
	Operator string `json:"operator,omitempty"`
}

// BootstrapCode makes the single-use code of a new installation. The previous one stops
// working. There is one code, however many control planes start: if another one made a code
// lately, no new one is made, and elsewhere names that control plane.
func (s *Team) BootstrapCode(ctx context.Context, holder string) (code, elsewhere string, err error) {
	_, err = s.records.Commit(ctx, access.ByProcess(access.StartBootstrapCode), func(ch *record.Change) error {
		code, elsewhere = "", ""
		before, err := record.Optional[offer](ctx, s.records, keyOffer)
		if err != nil {
			return err
		}
		if before.Revision != 0 && before.Value.Holder != holder && s.records.Now().Before(before.Value.Until) {
			elsewhere = before.Value.Holder
			return nil
		}
		if before.Value.Token != "" {
			ch.Drop(before.Value.Token)
		}
		var token access.Token
		code, token = s.access.Issue(ch, access.Token{Kind: mezu.TokenBootstrap}, 0)
		ch.Audit(record.About(record.KindBootstrapCode, token.ID, ""), nil, auditedOffer{Holder: holder})
		ch.Update(keyOffer, before.Revision, offer{Token: access.KeyToken(mezu.HashSecret(code)), Holder: holder, Until: s.records.Stamp().Add(offerLife)})
		return nil
	})
	return code, elsewhere, err
}

// BootstrapValid reports whether a code can still be redeemed.
func (s *Team) BootstrapValid(ctx context.Context, code string) (bool, error) {
	_, err := s.access.Redeem(ctx, code, mezu.TokenBootstrap, "code", "")
	if mezu.CodeOf(err) == mezu.CodeUnauthenticated {
		return false, nil
	}
	return err == nil, err
}

// Bootstrap redeems the code and makes the caller the first operator. Once there is an
// operator, codes that were lost or that other control planes made are worth nothing.
func (s *Team) Bootstrap(ctx context.Context, c access.Caller, in api.BootstrapRequest) (api.TokenResponse, error) {
	if _, err := access.Admit(api.OpBootstrap, c); err != nil {
		return api.TokenResponse{}, err
	}
	var out api.TokenResponse
	if in.Email != "" {
		if err := mezu.ValidateEmail("email", in.Email); err != nil {
			return out, err
		}
	}
	_, err := s.records.Commit(ctx, access.By(c, api.OpBootstrap.ID), func(ch *record.Change) error {
		t, err := s.bootstrapToken(ctx, mezu.HashSecret(in.Code))
		if err != nil {
			return err
		}
		if t.Value.Operator != "" {
			ch.Remove(t.Key, t.Revision)
			out, err = s.readmit(ctx, ch, t.Value.Operator)
			return err
		}
		p, err := s.addFirstOperator(ctx, ch, t, in.Email)
		if err != nil {
			return err
		}
		secret, token := s.access.Issue(ch, access.Token{Kind: mezu.TokenBearer, Person: p.ID}, mezu.DefaultTokenLife)
		out.Token, out.ExpiresAt = secret, token.ExpiresAt
		return nil
	})
	if err == nil {
		s.Bootstrapped()
	}
	return out, err
}

// Bootstrapped is called after a change that redeemed the bootstrap code.
func (s *Team) Bootstrapped() {
	if s.cfg.Bootstrapped != nil {
		s.cfg.Bootstrapped()
	}
}

// bootstrapToken reads the token of a bootstrap code by the code's hash.
func (s *Team) bootstrapToken(ctx context.Context, hash string) (record.Record[access.Token], error) {
	return s.access.RedeemHash(ctx, hash, mezu.TokenBootstrap, "bootstrap code", "the current one is in the file `bootstrap` of the control plane's state directory until somebody has used it; `mezusphere operator reset`, run there, makes another")
}

// withoutOperator refuses a bootstrap code once there is an operator.
func (s *Team) withoutOperator(ctx context.Context, ch *record.Change) error {
	there, err := s.records.Counters(ctx, ch, installationChildren)
	if err == nil && there.Value.Operators > 0 {
		err = access.Unauthenticated("this bootstrap code opens nothing any more: the installation has an operator", "ask that operator: mezu operators create EMAIL; or run `mezusphere operator reset` where the control plane runs")
	}
	return err
}

// addFirstOperator plans the first operator, and that the code is spent.
func (s *Team) addFirstOperator(ctx context.Context, ch *record.Change, t record.Record[access.Token], email string) (access.Person, error) {
	if err := s.withoutOperator(ctx, ch); err != nil {
		return access.Person{}, err
	}
	ch.Remove(t.Key, t.Revision)
	p, err := s.makePerson(ctx, ch, email, true)
	if err != nil {
		return p, err
	}
	ch.Audit(record.About(record.KindOperator, p.ID, p.Email), nil, mezu.Operator{Meta: p.Meta, Email: p.Email})
	return p, nil
}
