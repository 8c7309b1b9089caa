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

// Size of the transactions that seal records again. They are smaller than the limits, so
// that callers' commits wait less.
const (
	resealOps   = 32
	resealBytes = store.MaxTxnBytes / 2
)

// Status tells which keys are in use.
type Status struct {
	// Active is the id of the data key that seals new values; Since is when it was made.
	Active string
	Since  time.Time
	// Old is how many other data keys there are, which records may still be sealed under.
	Old int
	// WrappedBy names the keys outside the store that the data keys are wrapped under.
	WrappedBy []string
}

// Status gives the status of the ring in use.
func (s *Store) Status() Status {
	r := s.ring.Load()
	return Status{Active: r.ActiveID(), Since: r.Since(), Old: r.Old(), WrappedBy: r.WrappedBy()}
}

// Rotate makes a new data key, which seals everything from now on, and wraps all data keys
// under the Wrapper's present key. Maintain then seals old records again.
func (s *Store) Rotate(ctx context.Context) (Status, error) {
	err := s.change(ctx, func(r *seal.Ring) (*seal.Ring, error) { return r.Rotate(ctx, s.wrapper, s.now()) })
	if err != nil {
		return Status{}, fmt.Errorf("rotating the seal keys: %w", err)
	}
	return s.Status(), nil
}

// PlanRotation gives Rotate as a part of a caller's own transaction, such as one with an
// audit entry. After a conflict the caller plans again. Once it is committed, Follow makes
// this store use it.
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

// Follow makes the stored keys the ones in use.
func (s *Store) Follow(ctx context.Context) error { return s.load(ctx) }

// change replaces the ring by the one that next makes of it, and calls next again after a
// conflict. If next gives nil, the ring stays.
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

// Maintain does what keeps the keys fresh. It rotates a data key that is too old. If there
// are old data keys, it seals the records under them again with the active key, and drops
// the old keys. It counts the records that it sealed. It may be interrupted at any point,
// and may run in several processes at once.
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
	n, err := s.resealOld(ctx, r)
	if err != nil {
		return n, fmt.Errorf("sealing records anew: %w", err)
	}
	// What was written since the pass began is sealed under r's active key, because each
	// write checks the ring. So if the ring is still r, no record needs the old keys.
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

// resealOld seals all records that are under old keys again, under r's active key.
func (s *Store) resealOld(ctx context.Context, r *ring) (int, error) {
	return s.pass(ctx, r, func(rec store.Record) ([]byte, error) { return r.Open(rec.Key, rec.Value) })
}

// Adopt seals the records of a store that was not sealed before. read gives a record's
// plain value. It may be interrupted at any point and repeated.
func (s *Store) Adopt(ctx context.Context, read func(store.Record) ([]byte, error)) (int, error) {
	r := s.ring.Load()
	return s.pass(ctx, r, func(rec store.Record) ([]byte, error) {
		if seal.Sealed(rec.Value) {
			return r.Open(rec.Key, rec.Value)
		}
		return read(rec)
	})
}

// pass goes over all records once, and seals those that are not under r's active key.
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
			if err := s.reseal(ctx, r, old[:n], read); err != nil {
				return total, err
			}
			total, old = total+n, old[n:]
		}
		if token = page.Next; token == "" {
			return total, nil
		}
	}
}

// batch is how many of the records go into one transaction, at least one.
func batch(records []store.Record) int {
	n, size := 0, 0
	for _, rec := range records {
		// A value counts twice: it is checked and written.
		if size += len(rec.Key) + 2*len(rec.Value); n > 0 && (n == resealOps || size > resealBytes) {
			break
		}
		n++
	}
	return n
}

// reseal seals some records again, in one transaction. If some of them changed meanwhile it
// does so one by one and leaves those out: they have been sealed under the active key by
// whoever changed them, or are gone.
func (s *Store) reseal(ctx context.Context, r *ring, records []store.Record, read func(store.Record) ([]byte, error)) error {
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
		if err := s.reseal(ctx, r, one, read); err != nil {
			return err
		}
	}
	return nil
}
