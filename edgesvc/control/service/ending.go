package service

import (
	"context"
	"time"

	"github.com/mezusphere/mezu"
)

// Ending is something that ends soon or has ended, and what is to be done.
type Ending struct {
	What, ID string
	At       time.Time
	Next     string
}

// Notice says that it ends soon, or has ended; it is empty before that.
func (e Ending) Notice(now time.Time) string { return mezu.EndNoticeOf(e.At, now) }

// Endings is what ends within mezu.EndNotice of what nothing renews by itself. What programs call
// with is said to whoever calls.
func (s *Service) Endings(ctx context.Context) ([]Ending, error) {
	var out []Ending
	beyond := s.Now().Add(mezu.EndNotice)
	if end := s.records.Authority.NotAfter(); end.Before(beyond) {
		out = append(out, Ending{What: "the keys that sign", At: end, Next: "mezusphere keys rotate --what signing --offline DIR"})
	}
	tokens, err := s.LastTokens(ctx, beyond)
	for _, t := range tokens {
		out = append(out, Ending{What: "the last token of operator " + t.Operator, ID: t.Token, At: t.ExpiresAt, Next: "mezu tokens create NAME, with that token"})
	}
	return out, err
}
