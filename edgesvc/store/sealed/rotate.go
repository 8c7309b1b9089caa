package sealed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mezusphere/mezu/edgesvc/seal"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// Size of the transactions that seal anew: small beside what callers commit
// meanwhile.
const (
	againOps   = 32
	againBytes = store.MaxTxnBytes / 2
)

// Status is what there is to know of the keys.
type Status struct {
	// Active names the data key that seals; Since is when it was made.
	Active string
	Since  time.Time
	// Old is how many other data keys records still have.
	Old int
	// WrappedBy names the keys outside the store under which the data keys are.
	WrappedBy []string
}

// Status tells of the ring in use.
func (s *Store) Status() Status {
	r := s.ring.Load()
	return Status{Active: r.ActiveID(), Since: r.Since(), Old: r.Old(), WrappedBy: r.WrappedBy()}
}

// Rotate makes a new data key, under which everything is sealed from now on, and
// wraps all of them under the Wrapper's present key. SealAnew does the rest.
func (s *Store) Rotate(ctx context.Context) (Status, error) {
	err := s.change(ctx, func(r *seal.Ring) (*seal.Ring, error) { return r.Rotate(ctx, s.wrapper, s.now()) })
	if err != nil {
		return Status{}, fmt.Errorf("rotating the seal keys: %w", err)
	}
	return s.Status(), nil
}

// PlanRotation is Rotate as a part of a caller's transaction, such as one with an audit
// record. After a conflict it is planned anew; Follow uses what was committed.
func (s *Store) PlanRotation(ctx context.Context) (store.Txn, error) {
	if err := s.load(ctx); err != nil {
		return store.Txn{}, err
	}
	r := s.ring.Load()
	next, err := r.Rotate(ctx, s.wrapper, s.now())
	if err != nil {
		return store.Txn{}, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	value, err := next.Encode()
	if err != nil {
		return store.Txn{}, fmt.Errorf("encoding the key ring: %w", err)
	}
	return store.Txn{
		Checks: []store.Check{{Key: RingKey, Revision: r.revision}},
		Ops:    []store.Op{{Key: RingKey, Value: value}},
	}, nil
}

// Follow takes over the keys as they are stored now.
func (s *Store) Follow(ctx context.Context) error { return s.load(ctx) }

// change writes another ring in place of the present one. After a conflict it is
// made anew; nil is no change.
func (s *Store) change(ctx context.Context, next func(*seal.Ring) (*seal.Ring, error)) error {
	for range attempts {
		if err := s.load(ctx); err != nil {
			return err
		}
		r := s.ring.Load()
		changed, err := next(r.Ring)
		if err != nil || changed == nil {
			return err
		}
		if err = s.save(ctx, changed, r.revision); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("the key ring changes all the time: %w", store.ErrUnavailable)
}

// Maintain rotates a data key that is old and, when there are old keys, seals
// what is under them anew and drops them. It counts the records that it sealed. It may
// be interrupted at any point and run in several processes at once.
func (s *Store) Maintain(ctx context.Context) (int, error) {
	if err := s.load(ctx); err != nil {
		return 0, err
	}
	if s.now().Sub(s.ring.Load().Since()) > seal.KeyLife {
		if _, err := s.Rotate(ctx); err != nil {
			return 0, err
		}
	}
	r := s.ring.Load()
	if r.Old() == 0 {
		return 0, nil
	}
	n, err := s.sealAnew(ctx, r)
	if err != nil {
		return n, fmt.Errorf("sealing records anew: %w", err)
	}
	// Whatever was written since the pass began is sealed under r's active key, because
	// each write checks the ring. So nothing is under the old ones, if the ring is
	// still r.
	err = s.change(ctx, func(now *seal.Ring) (*seal.Ring, error) {
		if now != r.Ring {
			return nil, nil
		}
		return now.DropOld(), nil
	})
	if err != nil {
		return n, fmt.Errorf("dropping old seal keys: %w", err)
	}
	return n, nil
}

// sealAnew passes once over all records and seals those of old keys under r's active
// one.
func (s *Store) sealAnew(ctx context.Context, r *ring) (int, error) {
	return s.pass(ctx, r, func(rec store.Record) ([]byte, error) { return r.Open(rec.Key, rec.Value) })
}

// Adopt seals what lies in the clear, for a store that was not sealed before. read
// gives a record's plain text. It may be interrupted at any point and repeated.
func (s *Store) Adopt(ctx context.Context, read func(store.Record) ([]byte, error)) (int, error) {
	r := s.ring.Load()
	return s.pass(ctx, r, func(rec store.Record) ([]byte, error) {
		if seal.Sealed(rec.Value) {
			return r.Open(rec.Key, rec.Value)
		}
		return read(rec)
	})
}

// pass goes once over all records and seals under r's active key what isn't.
func (s *Store) pass(ctx context.Context, r *ring, read func(store.Record) ([]byte, error)) (int, error) {
	total := 0
	for token := ""; ; {
		page, err := s.inner.List(ctx, "", token, store.MaxPage)
		if err != nil {
			return total, err
		}
		old := slices.DeleteFunc(page.Records, func(rec store.Record) bool { return s.plain(rec.Key) || r.Current(rec.Value) })
		for len(old) > 0 {
			n := batch(old)
			if err := s.again(ctx, r, old[:n], read); err != nil {
				return total, err
			}
			total, old = total+n, old[n:]
		}
		if token = page.Next; token == "" {
			return total, nil
		}
	}
}

// batch is how many of the records make one transaction, one at least.
func batch(records []store.Record) int {
	n, size := 0, 0
	for _, rec := range records {
		// A value counts twice: it is checked and written.
		if size += len(rec.Key) + 2*len(rec.Value); n > 0 && (n == againOps || size > againBytes) {
			break
		}
		n++
	}
	return n
}

// again seals some records anew, in one transaction, or one by one if some of them
// changed meanwhile. What changed is sealed under the active key already, or is gone.
func (s *Store) again(ctx context.Context, r *ring, records []store.Record, read func(store.Record) ([]byte, error)) error {
	txn := store.Txn{Checks: []store.Check{{Key: RingKey, Revision: r.revision}}}
	for _, rec := range records {
		plain, err := read(rec)
		if err != nil {
			return fmt.Errorf("opening record %q: %w", rec.Key, err)
		}
		txn.Checks = append(txn.Checks, store.Check{Key: rec.Key, Revision: rec.Revision, Value: rec.Value})
		txn.Ops = append(txn.Ops, store.Op{Key: rec.Key, Value: r.SealAgain(rec.Key, plain), Revision: rec.Revision, KeepLease: true})
	}
	_, err := s.inner.Commit(ctx, txn)
	if !errors.Is(err, store.ErrConflict) {
		return err
	}
	if err := s.load(ctx); err != nil {
		return err
	}
	if s.ring.Load() != r {
		return fmt.Errorf("another rotation began: %w", store.ErrConflict)
	}
	if len(records) == 1 {
		return nil
	}
	for one := range slices.Chunk(records, 1) {
		if err := s.again(ctx, r, one, read); err != nil {
			return err
		}
	}
	return nil
}
