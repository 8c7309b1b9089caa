package account

import (
	"context"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// Session is one login that goes on.
type Session struct {
	ID string `json:"id"`
	// Environment is the id of the one that it is for.
	Environment string    `json:"environment"`
	Method      string    `json:"method"`
	SecretHash  []byte    `json:"secret_hash"`
	AuthTime    time.Time `json:"auth_time"`
	// RefreshedAt is when the last grant was issued, IdleUntil until when that is good.
	RefreshedAt time.Time `json:"refreshed_at"`
	IdleUntil   time.Time `json:"idle_until"`
	NotAfter    time.Time `json:"not_after"`
	// Roles are those that its last grant has.
	Roles []string `json:"roles,omitempty"`
	// Agent and Address are of the browser that logged in.
	Agent   string `json:"agent,omitempty"`
	Address string `json:"address"`
	// Answer is that of the last refresh, given again for AnswerLife.
	Answer *Answer `json:"answer,omitempty"`
	// IssuedAt is that of the last grant.
	IssuedAt time.Time `json:"issued_at"`
	// ReplacedAt is when it was replaced by another of a new id. Until AnswerLife later it has
	// its last answer, and nothing else.
	ReplacedAt time.Time `json:"replaced_at,omitzero"`
	// Successor is the id of that one.
	Successor string `json:"successor,omitempty"`
}

// Answer is what a refresh was answered with.
type Answer struct {
	At     time.Time `json:"at"`
	Grant  string    `json:"grant"`
	Secret string    `json:"secret,omitempty"`
}

const (
	// MaxSessions is how many sessions an account has at once; the one that was used least
	// lately makes room.
	MaxSessions = 50
	// AnswerLife is how long a refresh is answered the same way, for requests that come
	// beside each other.
	AnswerLife = 10 * time.Second
)

// Live reports whether a session of an account goes on.
func (s *Session) Live(c *Credential, now time.Time) bool {
	return s.ReplacedAt.IsZero() && !s.AuthTime.Before(c.Since) && now.Before(s.NotAfter)
}

// ends is when its record may go.
func (s Session) ends() time.Time {
	if !s.ReplacedAt.IsZero() {
		return s.ReplacedAt.Add(AnswerLife)
	}
	return s.NotAfter
}

// Session reads one; revision 0 if there is none.
func (a *Accounts) Session(ctx context.Context, of Ref, id string) (record.Record[Session], error) {
	if mezu.ValidateID("", mezu.PrefixSession, id) != nil {
		return record.Record[Session]{}, nil
	}
	return record.Optional[Session](ctx, a.records, sessionsOf(of)+id)
}

// Sessions are all that an account has, those that are over included.
func (a *Accounts) Sessions(ctx context.Context, of Ref) ([]record.Record[Session], error) {
	var out []record.Record[Session]
	err := record.Each(ctx, a.records, sessionsOf(of), func(s record.Record[Session]) error {
		out = append(out, s)
		return nil
	})
	return out, err
}

// Add plans a new session, and the end of others that are too many. It gives the ids of
// those, which have to be revoked if they live.
func (a *Accounts) Add(ctx context.Context, ch *record.Change, of Ref, c *Credential, s Session) (ended []Session, err error) {
	all, err := a.Sessions(ctx, of)
	if err != nil {
		return nil, err
	}
	now := a.records.Now()
	live := 0
	for _, e := range all {
		if e.Value.Live(c, now) {
			live++
		}
	}
	for ; live >= MaxSessions; live-- {
		oldest := -1
		for i, e := range all {
			if e.Value.Live(c, now) && (oldest < 0 || e.Value.RefreshedAt.Before(all[oldest].Value.RefreshedAt)) {
				oldest = i
			}
		}
		ch.Remove(all[oldest].Key, all[oldest].Revision)
		ended = append(ended, all[oldest].Value)
		all[oldest].Value.ReplacedAt = now
		if len(ended) == maxEvicted {
			break
		}
	}
	ch.Create(sessionsOf(of)+s.ID, s)
	return ended, nil
}

// maxEvicted bounds what one login ends: it fits the transaction, and they never become more
// than one too many.
const maxEvicted = 4

// Replace plans the session that takes the place of one whose record stays for a while.
func (a *Accounts) Replace(ch *record.Change, of Ref, s Session) { ch.Create(sessionsOf(of)+s.ID, s) }

// PutSession plans a session as it was changed.
func (a *Accounts) PutSession(ch *record.Change, was record.Record[Session], is Session) {
	ch.Update(was.Key, was.Revision, is)
}

// End plans the end of a session.
func (a *Accounts) End(ch *record.Change, s record.Record[Session]) {
	ch.Remove(s.Key, s.Revision)
}
