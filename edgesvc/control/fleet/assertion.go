package fleet

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// A Warpgate signs what it tells its workload of users. Its key is certified with its
// registration, by being in the statement of its environment's keys. That statement is made
// beside registrations, so that many Warpgates at once cost few statements: a registration
// leaves a mark, and whoever follows the marks publishes.

const (
	// gatherKeys is how long marks are gathered before the statement is made.
	gatherKeys = 200 * time.Millisecond
	// keyPause is the pause between two statements of an environment for each key in the
	// first: what is sent to all of a thousand Warpgates is sent every five seconds at
	// most.
	keyPause = 5 * time.Millisecond
	// markPause is the time between two looks at all marks: those that could not be
	// published when they were made.
	markPause = time.Minute
)

// certifyKey notes the key by which a Warpgate signs, if it gave one.
func (s *Fleet) certifyKey(ch *record.Change, w *Warpgate, csr string, key, proof []byte) error {
	if len(key) == 0 {
		return nil
	}
	block, _ := pem.Decode([]byte(csr))
	if block == nil {
		return mezu.Invalid("csr", "is no PEM")
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return mezu.Invalid("csr", "is no certificate request")
	}
	if err := mezu.CheckAssertionKey(key, request.RawSubjectPublicKeyInfo, proof); err != nil {
		return err
	}
	if !w.AssertionKey.Equal(ed25519.PublicKey(key)) {
		w.AssertionKey = key
		markKeys(ch, w.Environment)
	}
	return nil
}

// markKeys has the keys of an environment published.
func markKeys(ch *record.Change, environment string) { ch.Put(keyMark(environment), environment) }

// FollowAssertionKeys publishes the keys of environments that are marked, until ctx ends or the
// watch does. Several control planes may do so: what the first one published, the others find
// done.
func (s *Fleet) FollowAssertionKeys(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	page, err := s.records.Store.List(ctx, prefixMark, "", 1)
	if err != nil {
		cancel()
		return err
	}
	marks, err := s.records.Store.Watch(ctx, prefixMark, page.Position)
	if err != nil {
		cancel()
		return err
	}
	defer func() {
		cancel()
		for range marks.Events() {
		}
	}()
	p := publisher{s: s, waiting: map[string]time.Time{}, rested: map[string]time.Time{}, timer: time.NewTimer(0)}
	again := time.NewTicker(markPause)
	defer p.timer.Stop()
	defer again.Stop()
	if err := p.look(ctx); err != nil {
		return err
	}
	for {
		select {
		case e, ok := <-marks.Events():
			if !ok {
				return marks.Err()
			}
			for _, ch := range e.Changes {
				if !ch.Deleted {
					p.wait(strings.TrimPrefix(ch.Key, prefixMark))
				}
			}
			p.wake(gatherKeys)
		case <-again.C:
			if err := p.look(ctx); err != nil {
				return err
			}
			p.wake(gatherKeys)
		case <-p.timer.C:
			p.publish(ctx)
		}
	}
}

// publisher publishes the keys of those environments that wait for it.
type publisher struct {
	s       *Fleet
	waiting map[string]time.Time // by environment, with when its turn comes
	rested  map[string]time.Time // by environment, with when its next statement may follow
	timer   *time.Timer
	at      time.Time // when it goes off, zero if it does not
}

// look takes up all marks.
func (p *publisher) look(ctx context.Context) error {
	maps.DeleteFunc(p.rested, func(_ string, at time.Time) bool { return time.Now().After(at) })
	return record.Each(ctx, p.s.records, prefixMark, func(f record.Record[string]) error {
		p.wait(f.Value)
		return nil
	})
}

func (p *publisher) wait(environment string) {
	if _, known := p.waiting[environment]; !known {
		p.waiting[environment] = p.rested[environment]
	}
}

// wake has publish called in a while, if nothing has it called sooner.
func (p *publisher) wake(in time.Duration) {
	if at := time.Now().Add(in); p.at.IsZero() || at.Before(p.at) {
		p.at = at
		p.timer.Reset(in)
	}
}

// publish publishes the keys of those whose turn has come. What fails is tried again with the
// next look at the marks.
func (p *publisher) publish(ctx context.Context) {
	p.at = time.Time{}
	if !p.s.records.Authority.Signs(mezu.PurposeAssertions) {
		clear(p.waiting) // the marks stay until there is a key
		return
	}
	for environment, turn := range p.waiting {
		if in := time.Until(turn); in > 0 {
			p.wake(in)
			continue
		}
		delete(p.waiting, environment)
		keys, err := p.s.publishKeys(ctx, environment)
		if err != nil && ctx.Err() == nil {
			p.s.records.Log.Warn("publishing the keys of an environment's Warpgates", "environment", environment, "error", err)
		}
		p.rested[environment] = time.Now().Add(time.Duration(keys) * keyPause)
	}
}

// publishKeys makes the statement of an environment's keys anew, if it is marked. It reports
// how many keys there are.
func (s *Fleet) publishKeys(ctx context.Context, environment string) (keys int, err error) {
	_, err = s.records.Publish(ctx, record.Internal(), func(ch *record.Change) error {
		mark, err := record.Optional[string](ctx, s.records, keyMark(environment))
		if err != nil || mark.Revision == 0 {
			return err
		}
		ch.Remove(mark.Key, mark.Revision)
		was, err := record.Optional[record.StreamRecord](ctx, s.records, record.KeyAssertions(environment))
		if err != nil {
			return err
		}
		env, err := record.ByID[mezu.Environment](ctx, s.records, environment)
		var org record.Record[mezu.Organization]
		if err == nil {
			org, _, err = s.access.OwnersOf(ctx, env)
		}
		if errors.Is(err, store.ErrNotFound) { // it was removed, or is about to be
			if was.Revision != 0 {
				ch.Remove(was.Key, was.Revision)
			}
			return nil
		}
		if err != nil {
			return err
		}
		ch.Require(env.Key, env.Revision)
		ch.Require(was.Key, was.Revision)
		next, err := s.keysOf(ctx, environment, was)
		if err != nil {
			return err
		}
		keys = len(next)
		ch.AddStatement(record.Statement{
			Key: func(mezu.Position) string { return was.Key }, Kind: api.StreamAssertions, Purpose: mezu.PurposeAssertions, Until: firstEnd(next),
			Owner: record.Owner{Tenant: org.Value.ID, Name: environment},
			Make: func(p mezu.Position) any {
				return mezu.AssertionKeys{Position: p, Environment: environment, Keys: next}
			},
		})
		return nil
	})
	return keys, err
}

// keysOf are the keys of the Warpgates of an environment, and those that the last statement had
// and that rest.
func (s *Fleet) keysOf(ctx context.Context, environment string, was record.Record[record.StreamRecord]) ([]mezu.AssertionKey, error) {
	var keys []mezu.AssertionKey
	err := record.Each(ctx, s.records, WarpgatesOf(environment), func(f record.Record[Warpgate]) error {
		if w := &f.Value; len(w.AssertionKey) > 0 && w.Status != mezu.WarpgateRevoked {
			keys = append(keys, mezu.AssertionKey{Key: w.AssertionKey, Warpgate: w.ID})
		}
		return nil
	})
	if err != nil || was.Revision == 0 {
		return s.bounded(environment, keys), err
	}
	var last mezu.AssertionKeys
	signed, err := s.records.Signed(ctx, was.Value)
	if err == nil {
		err = json.Unmarshal(signed.Payload, &last)
	}
	if err != nil {
		// What ended in the last hour is listed no more. What is in use must be.
		s.records.Log.Error("reading the last keys of an environment's Warpgates", "environment", environment, "error", err)
	}
	now := s.records.Stamp()
	for _, k := range last.Keys {
		if k.Until.IsZero() {
			k.Until = now.Add(mezu.AssertionKeyRest)
		}
		if k.Until.After(now) && !slices.ContainsFunc(keys, func(of mezu.AssertionKey) bool { return of.Key.Equal(k.Key) }) {
			keys = append(keys, k)
		}
	}
	return s.bounded(environment, keys), nil
}

// bounded leaves out what is more than a list may have: first those that have ended, then the
// Warpgates that came last, whose ids are the highest.
func (s *Fleet) bounded(environment string, keys []mezu.AssertionKey) []mezu.AssertionKey {
	if len(keys) <= mezu.MaxAssertionKeys {
		return keys
	}
	s.records.Log.Warn("an environment has more Warpgates than keys for assertions are listed; the others send none", "environment", environment, "keys", len(keys), "listed", mezu.MaxAssertionKeys)
	return keys[:mezu.MaxAssertionKeys]
}

// firstEnd is when the first of the keys is listed no more, zero if none ends.
func firstEnd(keys []mezu.AssertionKey) (end time.Time) {
	for _, k := range keys {
		if !k.Until.IsZero() && (end.IsZero() || k.Until.Before(end)) {
			end = k.Until
		}
	}
	return end
}

// sweepAssertionKeys marks the environments with a key that is listed no more, whose statement
// is of an epoch before a restore or by a key that leaves the keyset, or that are gone.
func (s *Fleet) sweepAssertionKeys(ctx context.Context) error {
	return record.Each(ctx, s.records, record.PrefixAssertions, func(f record.Record[record.StreamRecord]) error {
		environment := strings.TrimPrefix(f.Key, record.PrefixAssertions)
		v := f.Value
		if (v.Until.IsZero() || s.records.Now().Before(v.Until)) && v.Position.Epoch == s.records.Epoch && s.SignsOn(mezu.PurposeAssertions, v.KeyID) {
			_, err := s.records.Store.Get(ctx, record.KeyID(environment))
			if !errors.Is(err, store.ErrNotFound) {
				return err
			}
		}
		value, err := record.Encode(environment)
		if err != nil {
			return err
		}
		_, err = s.records.Housekeep(ctx, store.Txn{Ops: []store.Op{{Key: keyMark(environment), Value: value}}})
		return err
	})
}
