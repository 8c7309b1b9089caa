package service

import (
	"context"
	"errors"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// RecoveryCode makes a bootstrap code that gives the first operator a new token. No
// operation reaches it: it is for the process of a control plane, on behalf of whoever
// owns its state directory, and so could read the store and its key as well.
func (s *Team) RecoveryCode(ctx context.Context, holder string) (string, error) {
	var code string
	_, err := s.records.commit(ctx, byProcess(startBootstrapCode), func(ch *change) error {
		// Ids rise with time.
		page, err := s.records.store.List(ctx, prefixOperator, "", 1)
		if err != nil {
			return err
		}
		if len(page.Records) == 0 {
			return noOperator()
		}
		operator := strings.TrimPrefix(page.Records[0].Key, prefixOperator)
		var token tokenRecord
		code, token = s.access.issue(ch, tokenRecord{Kind: mezu.TokenBootstrap, Operator: operator}, mezu.JoinTokenLife)
		ch.audit(about(kindBootstrapCode, token.ID, ""), nil, auditedOffer{holder})
		return nil
	})
	return code, err
}

// readmit adds a new token of an operator to a change, unless the operator was removed
// since the code was made.
func (s *Team) readmit(ctx context.Context, ch *change, operator string) (api.TokenResponse, error) {
	op, err := get[mezu.Operator](ctx, s.records, keyOperator(operator))
	if errors.Is(err, store.ErrNotFound) {
		return api.TokenResponse{}, unauthenticated("this bootstrap code opens nothing any more: its operator was removed", "make another")
	}
	if err != nil {
		return api.TokenResponse{}, err
	}
	ch.require(op.Key, op.Revision)
	secret, token := s.access.issue(ch, tokenRecord{Kind: mezu.TokenBearer, Person: operator}, mezu.DefaultTokenLife)
	ch.audit(about(kindToken, token.ID, ""), nil, token.shown())
	return api.TokenResponse{Token: secret, ExpiresAt: token.ExpiresAt}, nil
}
