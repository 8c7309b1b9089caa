// Package sealed is a store whose values are encrypted at rest. It is a layer over a driver
// and has the contract of package store itself, so that nothing above it can forget to
// encrypt a record.
//
// Sealing means encrypting a value in a way that binds it to the record's key; opening is
// the reverse. Every value is sealed, except those of records that Options.Plain names. Keys
// and revisions are not encrypted, so a secret must never be part of a key. The data keys
// are in the store, in the record RingKey (the ring). They are wrapped, that is encrypted,
// under a key that is outside the store (package seal).
//
// What lives here: sealing and opening, the ring's record and its rotation, and sealing old
// records again under a new key. What may not: knowledge of any entity, and keys of any
// other use. Only the control plane imports it.
package sealed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu/edgesvc/seal"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// RingKey is the record of the data keys. Options.Plain must name it.
const RingKey = "meta/keyring"

// Limits of one transaction. They are a little lower than the contract's, because each
// write of a sealed record also checks the revision of the ring's record, and a sealed value
// is larger by seal.Overhead.
const (
	MaxChecks   = store.MaxChecks - 1
	MaxTxnBytes = store.MaxTxnBytes - store.MaxOps*seal.Overhead
)

// attempts is how often a call is tried when the ring changes while it runs. A rotation is
// rare, and changes the ring twice.
const attempts = 8

// Options of a sealed store.
type Options struct {
	// Wrapper holds the key that is kept outside the store.
	Wrapper seal.Wrapper
	// Plain reports whether the value of a record with this key is not encrypted.
	Plain func(key string) bool
	// Now dates data keys; if nil, time.Now.
	Now func() time.Time
}

// Store is a sealed store. It implements store.Store.
type Store struct {
	inner   store.Store
	wrapper seal.Wrapper
	plain   func(string) bool
	now     func() time.Time
	ring    atomic.Pointer[ring]
	reading sync.Mutex // held while the ring's record is read

	life     sync.Mutex     // guards closed and the start of watches
	closed   bool           // under life
	closing  chan struct{}  // closed by Close
	watching sync.WaitGroup // watchers' goroutines
}

var _ store.Store = (*Store)(nil)

// ring is the keys and the revision of their record.
type ring struct {
	*seal.Ring
	revision uint64
}

// Open opens the sealed store over inner, which it then owns. It makes a ring if there is
// none. If the ring was lost, that is not noticed here, but when the first record can't be
// opened.
func Open(ctx context.Context, inner store.Store, opts Options) (*Store, error) {
	s := &Store{inner: inner, wrapper: opts.Wrapper, plain: opts.Plain, now: opts.Now, closing: make(chan struct{})}
	if s.now == nil {
		s.now = time.Now
	}
	if !s.plain(RingKey) {
		return nil, fmt.Errorf("opening the sealed store: %s isn't plain: %w", RingKey, store.ErrInvalid)
	}
	for range attempts {
		err := s.load(ctx)
		if errors.Is(err, store.ErrNotFound) {
			err = s.create(ctx)
		}
		if errors.Is(err, store.ErrConflict) {
			continue // another process made it
		}
		if err != nil {
			return nil, fmt.Errorf("opening the sealed store: %w", err)
		}
		return s, nil
	}
	return nil, fmt.Errorf("opening the sealed store: its ring changes all the time: %w", store.ErrUnavailable)
}

// load makes the stored ring the one in use, if it isn't already.
func (s *Store) load(ctx context.Context) error {
	s.reading.Lock()
	defer s.reading.Unlock()
	rec, err := s.inner.Get(ctx, RingKey)
	if err != nil {
		return fmt.Errorf("reading the key ring: %w", err)
	}
	var known *seal.Ring
	if was := s.ring.Load(); was != nil {
		if was.revision == rec.Revision {
			return nil
		}
		known = was.Ring
	}
	r, err := seal.ParseRing(ctx, s.wrapper, rec.Value, known)
	if err != nil {
		return err
	}
	s.ring.Store(&ring{r, rec.Revision})
	return nil
}

func (s *Store) create(ctx context.Context) error {
	r, err := seal.NewRing(ctx, s.wrapper, s.now())
	if err != nil {
		return err
	}
	return s.save(ctx, r, 0)
}

// save writes the ring if its record still has the revision replaced, and uses it.
func (s *Store) save(ctx context.Context, r *seal.Ring, replaced uint64) error {
	value, err := r.Encode()
	if err != nil {
		return fmt.Errorf("encoding the key ring: %w", err)
	}
	_, err = s.inner.Commit(ctx, store.Txn{
		Checks: []store.Check{{Key: RingKey, Revision: replaced}},
		Ops:    []store.Op{{Key: RingKey, Value: value}},
	})
	if err != nil {
		return fmt.Errorf("writing the key ring: %w", err)
	}
	return s.load(ctx)
}

// refresh reads the ring again after a failure that an outdated ring would explain, and
// reports whether the ring is another one than was.
func (s *Store) refresh(ctx context.Context, was *ring) (bool, error) {
	if s.ring.Load() != was {
		return true, nil
	}
	if err := s.load(ctx); err != nil {
		// A new data key can't be unwrapped without the key outside the store.
		return false, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return s.ring.Load() != was, nil
}

// Derive gives a key of 32 bytes for one purpose. It stays the same through rotations and
// restores; see seal.Ring.
func (s *Store) Derive(purpose string) []byte { return s.ring.Load().Derive(purpose) }

// open decrypts the value of the record with this key.
func (s *Store) open(ctx context.Context, key string, value []byte) ([]byte, error) {
	if s.plain(key) {
		return value, nil
	}
	for range attempts {
		r := s.ring.Load()
		plain, err := r.Open(key, value)
		if err == nil {
			return plain, nil
		}
		if errors.Is(err, seal.ErrOtherKey) {
			newer, failed := s.refresh(ctx, r)
			if failed != nil {
				return nil, failed
			}
			if newer {
				continue
			}
		}
		return nil, fmt.Errorf("opening record %q: %w", key, err)
	}
	return nil, fmt.Errorf("opening record %q: the key ring changes all the time: %w", key, store.ErrUnavailable)
}

// reopen calls read, which reads and opens records, and calls it again if a data key was
// missing. A data key is dropped from the ring after a rotation, once all records have been
// sealed again under the new one. A record that was read before that and opened after it
// can't be opened any more, but its new version can.
func reopen(read func() error) error {
	err := read()
	if errors.Is(err, seal.ErrOtherKey) {
		err = read()
	}
	return err
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key string) (store.Record, error) {
	return reader{s, s.inner}.Get(ctx, key)
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, prefix, token string, limit int) (store.Page, error) {
	return reader{s, s.inner}.List(ctx, prefix, token, limit)
}

// Stale implements store.Store.
func (s *Store) Stale() store.Reader { return reader{s, s.inner.Stale()} }

// Writable implements store.Store.
func (s *Store) Writable(ctx context.Context) error { return s.inner.Writable(ctx) }

// reader opens the records that another reader reads.
type reader struct {
	s     *Store
	inner store.Reader
}

// Get implements store.Reader.
func (r reader) Get(ctx context.Context, key string) (store.Record, error) {
	var rec store.Record
	err := reopen(func() (err error) {
		if rec, err = r.inner.Get(ctx, key); err == nil {
			rec.Value, err = r.s.open(ctx, key, rec.Value)
		}
		return err
	})
	if err != nil {
		return store.Record{}, err
	}
	return rec, nil
}

// List implements store.Reader.
func (r reader) List(ctx context.Context, prefix, token string, limit int) (store.Page, error) {
	var page store.Page
	err := reopen(func() (err error) {
		if page, err = r.inner.List(ctx, prefix, token, limit); err != nil {
			return err
		}
		for i := range page.Records {
			rec := &page.Records[i]
			if rec.Value, err = r.s.open(ctx, rec.Key, rec.Value); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return store.Page{}, err
	}
	return page, nil
}

// Commit implements store.Store. A transaction with a sealed record also checks that the
// ring has not changed. So no record is ever written under a data key that was dropped
// meanwhile.
func (s *Store) Commit(ctx context.Context, txn store.Txn) (store.Position, error) {
	for range attempts {
		r := s.ring.Load()
		out, seals := s.seal(r, txn)
		if err := s.sealChecks(ctx, &out); err != nil {
			return "", err
		}
		pos, err := s.inner.Commit(ctx, out)
		if !seals || !errors.Is(err, store.ErrConflict) {
			return pos, err
		}
		newer, failed := s.refresh(ctx, r)
		if failed != nil {
			return "", failed
		}
		if !newer {
			return "", err
		}
	}
	return "", fmt.Errorf("committing: the key ring changes all the time: %w", store.ErrUnavailable)
}

// seal gives the transaction with its values sealed, and reports whether there are any.
func (s *Store) seal(r *ring, txn store.Txn) (out store.Txn, seals bool) {
	out = store.Txn{Checks: slices.Clone(txn.Checks), Ops: slices.Clone(txn.Ops)}
	for i, op := range out.Ops {
		if !op.Delete && !s.plain(op.Key) {
			out.Ops[i].Value, seals = r.Seal(op.Key, op.Value), true
		}
	}
	if seals {
		out.Checks = append(out.Checks, store.Check{Key: RingKey, Revision: r.revision})
	}
	return out, seals
}

// sealChecks replaces checks of plain values by checks of sealed ones. The same plain value
// is sealed differently each time, so the inner store can't compare it. Instead sealChecks
// reads the record, compares its plain value, and has the inner store check that the sealed
// value is still the one that was read.
func (s *Store) sealChecks(ctx context.Context, txn *store.Txn) error {
	for i, c := range txn.Checks {
		if c.Value == nil || s.plain(c.Key) {
			continue
		}
		rec, err := s.inner.Get(ctx, c.Key)
		var value []byte
		if err == nil {
			value, err = s.open(ctx, c.Key, rec.Value)
		}
		switch {
		case errors.Is(err, store.ErrNotFound), err == nil && !bytes.Equal(value, c.Value):
			return fmt.Errorf("%q has another value: %w", c.Key, store.ErrConflict)
		case err != nil:
			return err
		}
		txn.Checks[i].Value = rec.Value
	}
	return nil
}

// Grant implements store.Store.
func (s *Store) Grant(ctx context.Context, ttl time.Duration) (store.LeaseID, error) {
	return s.inner.Grant(ctx, ttl)
}

// KeepAlive implements store.Store.
func (s *Store) KeepAlive(ctx context.Context, id store.LeaseID) error {
	return s.inner.KeepAlive(ctx, id)
}

// Revoke implements store.Store.
func (s *Store) Revoke(ctx context.Context, id store.LeaseID) error { return s.inner.Revoke(ctx, id) }

// Close ends the watches and closes the inner store. It is idempotent.
func (s *Store) Close() error {
	s.life.Lock()
	if !s.closed {
		s.closed = true
		close(s.closing)
	}
	s.life.Unlock()
	err := s.inner.Close()
	s.watching.Wait()
	return err
}
