package service

import (
	"context"
	"time"

	"github.com/mezusphere/mezu"
)

// EndNotice is how long before its end something is said to end.
const EndNotice = mezu.EndNotice

// Ending is something that ends soon, and what is to be done before.
type Ending struct {
	What, ID string
	At       time.Time
	Next     string
}

// Endings is what ends within EndNotice of what nothing renews by itself. What programs call
// with is said to whoever calls.
func (s *Service) Endings(ctx context.Context) ([]Ending, error) {
	var out []Ending
	beyond := s.Now().Add(EndNotice)
	if end := s.records.Authority.NotAfter(); end.Before(beyond) {
		out = append(out, Ending{What: "the keys that sign", At: end, Next: "mezusphere keys rotate --what signing --offline DIR"})
	}
	tokens, err := s.LastTokens(ctx, beyond)
	for _, t := range tokens {
		out = append(out, Ending{What: "the last token of operator " + t.Operator, ID: t.Token, At: t.ExpiresAt, Next: "mezu tokens create NAME, with that token"})
	}
	return out, err
}
