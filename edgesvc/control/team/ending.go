package team

import (
	"context"
	"errors"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// LastToken is the token of an operator that ends last, when all that they have end soon.
type LastToken struct {
	Operator, Token string // ids
	ExpiresAt       time.Time
}

// LastTokens are those of operators who have tokens, and none that goes on beyond a time.
func (s *Team) LastTokens(ctx context.Context, beyond time.Time) ([]LastToken, error) {
	var out []LastToken
	err := record.Each(ctx, s.records, access.PrefixOperator, func(op record.Record[mezu.Operator]) error {
		last := LastToken{Operator: op.Value.ID}
		read, err := s.access.TokenReader(ctx, op.Value.ID)
		if err != nil {
			return err
		}
		err = record.Each(ctx, s.records, access.TokensOf(op.Value.ID), func(entry record.Record[string]) error {
			t, err := read(entry.Value)
			if errors.Is(err, record.ErrGone) {
				return nil
			}
			if err == nil && (last.Token == "" || t.Value.ExpiresAt.After(last.ExpiresAt)) {
				last.Token, last.ExpiresAt = t.Value.ID, t.Value.ExpiresAt
			}
			return err
		})
		if err == nil && last.Token != "" && last.ExpiresAt.Before(beyond) {
			out = append(out, last)
		}
		return err
	})
	return out, err
}
