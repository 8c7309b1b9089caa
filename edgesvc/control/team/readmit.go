package team

import (
	"context"
	"errors"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// recoveryLife is how long the code of a recovery can be redeemed. The process that asks for it redeems
// it at once; the rest is for a machine that falls asleep or is busy then.
const recoveryLife = 10 * time.Minute

// RecoveryCode makes a bootstrap code that gives the first operator a new token. No operation
// of the API reaches it. It is for the process of a control plane, on behalf of whoever owns
// its state directory, who could read the store and its key anyway.
func (s *Team) RecoveryCode(ctx context.Context, holder string) (string, error) {
	var code string
	_, err := s.records.Commit(ctx, access.ByProcess(access.StartBootstrapCode), func(ch *record.Change) error {
		operator, err := s.firstOperator(ctx)
		if err != nil {
			return err
		}
		var token access.Token
		code, token = s.access.Issue(ch, access.Token{Kind: mezu.TokenBootstrap, Operator: operator}, recoveryLife)
		ch.Audit(record.About(record.KindBootstrapCode, token.ID, ""), nil, auditedOffer{holder, operator})
		return nil
	})
	return code, err
}

// firstOperator is whom a recovery code is for. Earlier builds kept the developer of
// `mezu dev` in a record of their own; with it, they stay who they were.
func (s *Team) firstOperator(ctx context.Context) (string, error) {
	developer, err := record.Optional[string](ctx, s.records, keyDeveloper)
	if err != nil {
		return "", err
	}
	var first mezu.Operator
	for token := ""; ; {
		page, err := s.records.Store.List(ctx, access.PrefixOperator, token, api.MaxPageSize)
		if err != nil {
			return "", err
		}
		for _, r := range page.Records {
			op, err := record.Decode[mezu.Operator](r)
			if err != nil {
				return "", err
			}
			if op.Value.ID == developer.Value {
				return op.Value.ID, nil
			}
			if first.ID == "" || op.Value.CreatedAt.Before(first.CreatedAt) {
				first = op.Value
			}
		}
		if token = page.Next; token == "" {
			break
		}
	}
	if first.ID == "" {
		return "", access.NoOperator()
	}
	return first.ID, nil
}

// stillOperator is the operator of a bootstrap code, unless they were removed since it was made.
func (s *Team) stillOperator(ctx context.Context, operator string) (record.Record[mezu.Operator], error) {
	op, err := record.Get[mezu.Operator](ctx, s.records, access.KeyOperator(operator))
	if errors.Is(err, store.ErrNotFound) {
		err = access.Unauthenticated("this bootstrap code opens nothing any more: its operator was removed", "make another")
	}
	return op, err
}

// readmit adds a new token of an operator to a change, unless the operator was removed
// since the code was made.
func (s *Team) readmit(ctx context.Context, ch *record.Change, operator string) (api.TokenResponse, error) {
	op, err := s.stillOperator(ctx, operator)
	if err != nil {
		return api.TokenResponse{}, err
	}
	ch.Require(op.Key, op.Revision)
	who, err := record.Get[access.Person](ctx, s.records, access.KeyPerson(operator))
	if err != nil {
		return api.TokenResponse{}, err
	}
	ch.Require(who.Key, who.Revision)
	// It is none of those that a reset has ended, though the clock of this control plane be late.
	secret, token := s.access.Issue(ch, access.Token{Kind: mezu.TokenBearer, Person: operator, CreatedAt: who.Value.TokensSince}, mezu.DefaultTokenLife)
	ch.Audit(record.About(record.KindToken, token.ID, ""), nil, token.Shown())
	return api.TokenResponse{Token: secret, ExpiresAt: token.ExpiresAt}, nil
}
