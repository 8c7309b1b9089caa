package oauth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
)

const (
	// bearerLife bounds the harm of a bearer token that was lost.
	bearerLife = time.Hour
	// idleLife and absoluteLife bound a login: without use, and in all.
	idleLife     = 30 * 24 * time.Hour
	absoluteLife = 90 * 24 * time.Hour
	// answerLife is how long a refresh token that was used gets the same answer again: two
	// commands that run beside one another both refresh.
	answerLife = 10 * time.Second
	// maxFamilies is how many programs may be logged in for one person: one on each machine,
	// and containers that nobody logged out. The one that was used least lately makes room.
	maxFamilies = 50
)

// errGone says that a code or a token opens nothing, or not any more. What it was is not told.
var errGone = errors.New("it opens nothing")

// errReused says that something was used a second time that may be used once.
var errReused = errors.New("it was used before")

// finderBytes is 128 bits: whoever can guess it can end the family.
const finderBytes = 16

// newFinder is what all refresh tokens of a family have in common.
func newFinder() string {
	var raw [finderBytes]byte
	rand.Read(raw[:]) // never fails: crypto/rand ends the process instead
	return base64.RawURLEncoding.EncodeToString(raw[:])
}

var (
	finderLength  = base64.RawURLEncoding.EncodedLen(finderBytes)
	refreshLength = len(mezu.TokenRefresh) + finderLength + mezu.SecretLength
)

// newRefresh is a refresh token: the finder, and 256 random bits.
func newRefresh(finder string) string { return mezu.NewToken(mezu.TokenRefresh + finder) }

// finderOf is the finder of a refresh token, empty if it is none.
func finderOf(refresh string) string {
	if len(refresh) != refreshLength || !strings.HasPrefix(refresh, mezu.TokenRefresh) {
		return ""
	}
	return refresh[len(mezu.TokenRefresh):][:finderLength]
}

// program is what is known of a program that calls.
type program struct{ agent, address, requestID string }

// by is a person who does something through a program.
func (g program) by(who access.Person, op api.Operation) record.Author {
	return access.By(access.Caller{Kind: access.Member, ID: who.ID, Operator: who.Operator, Address: g.address, RequestID: g.requestID}, op.ID)
}

// shown is a family in the audit: a token that lives as long as the login may.
func shown(f access.Family) mezu.Token {
	return mezu.Token{Meta: mezu.Meta{ID: f.ID, Revision: 1, CreatedAt: f.CreatedAt, UpdatedAt: f.CreatedAt}, Name: f.Client, ExpiresAt: f.NotAfter}
}

// person reads who somebody is, errGone if they are no more.
func (p *Provider) person(ctx context.Context, id string) (access.Person, error) {
	who, err := record.Get[access.Person](ctx, p.records, access.KeyPerson(id))
	if errors.Is(err, store.ErrNotFound) {
		err = errGone
	}
	return who.Value, err
}

// families reads those of a person.
func (p *Provider) families(ctx context.Context, person string) (record.Record[access.Families], error) {
	return record.Optional[access.Families](ctx, p.records, access.KeyFamilies(person))
}

// put plans the families of a person as they were changed, without those that have ended.
func (p *Provider) put(ch *record.Change, all record.Record[access.Families]) {
	now := p.records.Now()
	all.Value.Families = slices.DeleteFunc(all.Value.Families, func(f access.Family) bool { return !f.Live(now) })
	if len(all.Value.Families) == 0 {
		ch.Remove(all.Key, all.Revision)
		return
	}
	ch.Update(all.Key, all.Revision, all.Value)
}

// allow plans a family that a person has allowed, and of which nobody has tokens yet. It
// ends at that moment if nobody comes for them. It gives the family's id.
func (p *Provider) allow(ctx context.Context, ch *record.Change, person, client string, until time.Time) (string, error) {
	all, err := p.families(ctx, person)
	if err != nil {
		return "", err
	}
	now := p.records.Stamp()
	live := slices.DeleteFunc(all.Value.Families, func(f access.Family) bool { return !f.Live(now) })
	for len(live) >= maxFamilies {
		oldest := slices.MinFunc(live, func(a, b access.Family) int { return lastUse(a).Compare(lastUse(b)) })
		live = slices.DeleteFunc(live, func(f access.Family) bool { return f.ID == oldest.ID })
	}
	f := access.Family{ID: mezu.NewID(mezu.PrefixToken, now), Client: client, CreatedAt: now, IdleUntil: until, NotAfter: until}
	all.Value.Families = append(live, f)
	p.put(ch, all)
	return f.ID, nil
}

func lastUse(f access.Family) time.Time {
	if f.UsedAt.IsZero() {
		return f.CreatedAt
	}
	return f.UsedAt
}

// begin plans the first tokens of a family that was allowed.
func (p *Provider) begin(ctx context.Context, ch *record.Change, person, family string, g program) (access.Answer, error) {
	all, err := p.families(ctx, person)
	if err != nil {
		return access.Answer{}, err
	}
	now := p.records.Stamp()
	i := all.Value.Find(family, now)
	if i < 0 || !all.Value.Families[i].UsedAt.IsZero() {
		return access.Answer{}, errGone
	}
	f := &all.Value.Families[i]
	secret := newFinder()
	f.Agent, f.Address, f.Finder, f.NotAfter = mezu.ShortAgent(g.agent), g.address, mezu.HashSecret(secret), now.Add(absoluteLife)
	answer := p.give(ch, person, f, secret)
	ch.Create(keyFinder(f.Finder), finder{Person: person, Family: f.ID, NotAfter: f.NotAfter})
	ch.Audit(record.About(record.KindToken, f.ID, ""), nil, shown(*f))
	p.put(ch, all)
	return answer, nil
}

// give plans the next tokens of a family.
func (p *Provider) give(ch *record.Change, person string, f *access.Family, finder string) access.Answer {
	now := p.records.Stamp()
	f.UsedAt, f.IdleUntil = now, now.Add(idleLife)
	life := min(bearerLife, f.NotAfter.Sub(now))
	secret, t := p.access.Issue(ch, access.Token{Kind: mezu.TokenBearer, Person: person, Client: f.Client, Family: f.ID}, life)
	answer := access.Answer{Bearer: secret, Refresh: newRefresh(finder), ExpiresAt: t.ExpiresAt}
	f.Current = mezu.HashSecret(answer.Refresh)
	return answer
}

// refresh exchanges a refresh token for the next tokens of its family. A second use within
// answerLife is answered as the first one was. Any later use ends the family: two have the
// token, and one of them stole it.
func (p *Provider) refresh(ctx context.Context, client, token string, g program) (access.Answer, error) {
	var answer access.Answer
	of, err := p.find(ctx, token)
	if err != nil {
		return answer, err
	}
	_, err = p.records.Commit(ctx, record.Internal(), func(ch *record.Change) error {
		if _, err := p.person(ctx, of.Person); err != nil {
			return err
		}
		all, err := p.families(ctx, of.Person)
		if err != nil {
			return err
		}
		now, hash := p.records.Stamp(), mezu.HashSecret(token)
		i := all.Value.Find(of.Family, now)
		if i < 0 || all.Value.Families[i].Client != client {
			return errGone
		}
		f := &all.Value.Families[i]
		switch {
		case same(hash, f.Current):
			answer = p.give(ch, of.Person, f, finderOf(token))
			f.Previous, f.RotatedAt, f.Answer = hash, now, &answer
			p.put(ch, all)
			return nil
		case f.Answer != nil && same(hash, f.Previous) && now.Before(f.RotatedAt.Add(answerLife)):
			answer = *f.Answer
			return nil
		}
		return errReused
	})
	if errors.Is(err, errReused) {
		return answer, errors.Join(err, p.end(ctx, of.Person, of.Family, g))
	}
	return answer, err
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// find finds the family of a refresh token.
func (p *Provider) find(ctx context.Context, token string) (finder, error) {
	secret := finderOf(token)
	if secret == "" {
		return finder{}, errGone
	}
	f, err := record.Get[finder](ctx, p.records, keyFinder(mezu.HashSecret(secret)))
	if errors.Is(err, store.ErrNotFound) {
		err = errGone
	}
	return f.Value, err
}

// end ends a family, if it has not ended yet.
func (p *Provider) end(ctx context.Context, person, family string, g program) error {
	who, err := p.person(ctx, person)
	if errors.Is(err, errGone) {
		return nil // nothing of somebody who is gone opens anything
	}
	if err != nil {
		return err
	}
	_, err = p.records.Commit(ctx, g.by(who, api.OpDeleteToken), func(ch *record.Change) error {
		all, err := p.families(ctx, person)
		if err != nil {
			return err
		}
		i := all.Value.Find(family, p.records.Now())
		if i < 0 {
			return nil
		}
		f := all.Value.Families[i]
		all.Value.Families = slices.Delete(all.Value.Families, i, i+1)
		if f.Finder != "" {
			ch.Drop(keyFinder(f.Finder))
		}
		ch.Audit(record.About(record.KindToken, f.ID, ""), shown(f), nil)
		p.put(ch, all)
		return nil
	})
	if err == nil {
		p.cfg.Counted("program", "ended")
	}
	return err
}

// revoke ends the family of a token, whether it is a refresh token or a bearer token. One
// that is no such token is none of our business.
func (p *Provider) revoke(ctx context.Context, client, token string, g program) error {
	if of, err := p.find(ctx, token); err == nil {
		return p.end(ctx, of.Person, of.Family, g)
	} else if !errors.Is(err, errGone) {
		return err
	}
	t, err := record.Optional[access.Token](ctx, p.records, access.KeyToken(mezu.HashSecret(token)))
	if err != nil || t.Value.Family == "" || t.Value.Client != client {
		return err
	}
	return p.end(ctx, t.Value.Person, t.Value.Family, g)
}

// untidy reports whether a person's families have some that ended, or an answer whose time
// is over.
func untidy(all access.Families, now time.Time) bool {
	return slices.ContainsFunc(all.Families, func(f access.Family) bool { return !f.Live(now) || outlived(f, now) })
}

func outlived(f access.Family, now time.Time) bool {
	return f.Answer != nil && !now.Before(f.RotatedAt.Add(answerLife))
}

// tidy removes both.
func (p *Provider) tidy(ctx context.Context, f record.Record[access.Families]) error {
	if !untidy(f.Value, p.records.Now()) {
		return nil
	}
	_, err := p.records.Commit(ctx, record.Internal(), func(ch *record.Change) error {
		all, err := record.Optional[access.Families](ctx, p.records, f.Key)
		if err != nil || all.Revision == 0 {
			return err
		}
		now := p.records.Now()
		for i := range all.Value.Families {
			if outlived(all.Value.Families[i], now) {
				all.Value.Families[i].Answer = nil
			}
		}
		p.put(ch, all)
		return nil
	})
	return err
}
