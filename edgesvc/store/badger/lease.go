package badger

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	engine "github.com/dgraph-io/badger/v4"

	"github.com/mezusphere/mezu/edgesvc/store"
)

// leases knows which leases are live and when they end. The ends are kept in memory only:
// when the store is opened again, each lease has its full ttl again.
type leases struct {
	mu    sync.Mutex
	live  map[store.LeaseID]lease
	ended map[store.LeaseID]struct{} // whose records are still to be deleted
}

type lease struct {
	ttl time.Duration
	end time.Time
}

// add makes a lease live.
func (l *leases) add(id store.LeaseID, ttl time.Duration, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.live[id] = lease{ttl, now.Add(ttl)}
}

// alive tells whether the lease is live, and ends it if its time is up. An ended lease
// never becomes live again.
func (l *leases) alive(id store.LeaseID, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.aliveLocked(id, now)
}

func (l *leases) aliveLocked(id store.LeaseID, now time.Time) bool {
	v, ok := l.live[id]
	if ok && !now.Before(v.end) {
		l.endLocked(id)
		return false
	}
	return ok
}

func (l *leases) endLocked(id store.LeaseID) {
	delete(l.live, id)
	l.ended[id] = struct{}{}
}

// prolong lets a live lease end its ttl from now. It reports false if the lease isn't live.
func (l *leases) prolong(id store.LeaseID, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.aliveLocked(id, now) {
		return false
	}
	v := l.live[id]
	v.end = now.Add(v.ttl)
	l.live[id] = v
	return true
}

// end ends a live lease. It reports false if the lease isn't live.
func (l *leases) end(id store.LeaseID, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.aliveLocked(id, now) {
		return false
	}
	l.endLocked(id)
	return true
}

// swept forgets an ended lease whose records have all been deleted.
func (l *leases) swept(id store.LeaseID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.ended, id)
}

// due ends the leases whose time is up, and lists all that have records to delete.
func (l *leases) due(now time.Time) []store.LeaseID {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id := range l.live {
		l.aliveLocked(id, now)
	}
	var ids []store.LeaseID
	for id := range l.ended {
		ids = append(ids, id)
	}
	return ids
}

// encodeTTL is the value of a lease's entry in the engine.
func encodeTTL(ttl time.Duration) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(ttl))
}

// loadLeases reads the leases when the store is opened. A lease that had ended before but
// still has records is found too.
func (db *DB) loadLeases(txn *engine.Txn) error {
	db.leases.live = make(map[store.LeaseID]lease)
	db.leases.ended = make(map[store.LeaseID]struct{})
	now := db.now()
	opt := engine.DefaultIteratorOptions
	opt.Prefix = []byte{leaseSpace}
	it := txn.NewIterator(opt)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		err := it.Item().Value(func(v []byte) error {
			if len(v) != 8 {
				return errCorrupt
			}
			db.leases.add(store.LeaseID(it.Item().Key()[1:]), time.Duration(binary.BigEndian.Uint64(v)), now)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return db.loadEnded(txn)
}

// loadEnded finds the leases that have records but are not live. It looks at the first
// record of each lease only.
func (db *DB) loadEnded(txn *engine.Txn) error {
	it := txn.NewIterator(engine.IteratorOptions{Prefix: []byte{leasedSpace}})
	defer it.Close()
	it.Rewind()
	for it.Valid() {
		id, err := leaseOf(it.Item().Key())
		if err != nil {
			return err
		}
		if _, ok := db.leases.live[id]; !ok {
			db.leases.ended[id] = struct{}{}
		}
		next := leasedPrefix(id)
		next[len(next)-1] = 1 // past all keys of the lease
		it.Seek(next)
	}
	return nil
}

// leaseOf is the lease in a key that leasedKey made.
func leaseOf(key []byte) (store.LeaseID, error) {
	for i, c := range key {
		if c == 0 {
			return store.LeaseID(key[1:i]), nil
		}
	}
	return "", errCorrupt
}

// Grant makes a lease that ends ttl after its last KeepAlive.
func (db *DB) Grant(ctx context.Context, ttl time.Duration) (store.LeaseID, error) {
	if ttl < store.MinLease {
		return "", fmt.Errorf("granting a lease of %v: %w", ttl, store.ErrInvalid)
	}
	if err := db.enter(ctx); err != nil {
		return "", err
	}
	defer db.leave()
	id := store.LeaseID(rand.Text())
	// The lease is live before it is durable. If the write's outcome stays unknown, it
	// expires unused.
	db.leases.add(id, ttl, db.now())
	if err := db.submit(ctx, &request{grant: id, ttl: ttl}); err != nil {
		return "", fmt.Errorf("granting a lease: %w", err)
	}
	if !db.leases.prolong(id, db.now()) {
		return "", fmt.Errorf("granting a lease: %w", store.ErrLeaseExpired)
	}
	return id, nil
}

// KeepAlive prolongs a lease by its ttl, or says store.ErrLeaseExpired.
func (db *DB) KeepAlive(ctx context.Context, id store.LeaseID) error {
	if err := db.enter(ctx); err != nil {
		return err
	}
	defer db.leave()
	if !db.leases.prolong(id, db.now()) {
		return fmt.Errorf("keeping lease %q alive: %w", id, store.ErrLeaseExpired)
	}
	return nil
}

// Revoke ends a lease at once and deletes its records.
func (db *DB) Revoke(ctx context.Context, id store.LeaseID) error {
	if err := db.enter(ctx); err != nil {
		return err
	}
	defer db.leave()
	if !db.leases.end(id, db.now()) {
		return fmt.Errorf("revoking lease %q: %w", id, store.ErrLeaseExpired)
	}
	if err := db.sweepLease(ctx, id); err != nil {
		return fmt.Errorf("revoking lease %q: %w", id, err)
	}
	return nil
}

// sweepLease deletes an ended lease and its records.
func (db *DB) sweepLease(ctx context.Context, id store.LeaseID) error {
	for {
		r := &request{sweep: id}
		if err := db.submit(ctx, r); err != nil {
			return err
		}
		if !r.more {
			db.leases.swept(id)
			return nil
		}
	}
}

// sweep deletes a part of an ended lease's records. The lease itself goes with the first
// part: if the process dies halfway, the lease is not live again, with half of its records,
// when the store is opened.
func (b *batch) sweep(r *request) error {
	keys, more, err := b.leased(r.sweep)
	if err != nil {
		return err
	}
	olds := make([]stored, len(keys))
	for i, key := range keys {
		if olds[i], err = getRecord(b.txn, key); err != nil {
			return err
		}
	}
	b.delete(leaseKey(r.sweep))
	c := b.begin()
	for i, key := range keys {
		b.write(c, store.Op{Key: key, Delete: true}, olds[i])
	}
	b.end(c)
	r.more = more
	return nil
}

// leased lists keys of records with the lease, at most as many as one commit may delete.
func (b *batch) leased(id store.LeaseID) (keys []string, more bool, err error) {
	prefix := leasedPrefix(id)
	it := b.txn.NewIterator(engine.IteratorOptions{Prefix: prefix})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		if len(keys) == store.MaxOps {
			return keys, true, nil
		}
		keys = append(keys, string(it.Item().Key()[len(prefix):]))
	}
	return keys, false, nil
}

// sweepTick is how often leases and the history are looked at. The records of a lease
// vanish at most about so much after it ended.
const sweepTick = 500 * time.Millisecond

// sweepLoop deletes the records of ended leases, and the commits that can't be watched any
// more.
func (db *DB) sweepLoop() {
	tick := time.NewTicker(sweepTick)
	defer tick.Stop()
	for {
		select {
		case <-db.ctx.Done():
			return
		case <-tick.C:
		}
		if err := db.sweepDue(db.ctx); err != nil && !errors.Is(err, store.ErrUnavailable) && db.ctx.Err() == nil {
			db.log.Warn("store sweep", "error", err)
		}
	}
}

// sweepDue deletes what is due now. If the store can't write, the next tick tries again.
func (db *DB) sweepDue(ctx context.Context) error {
	for _, id := range db.leases.due(db.now()) {
		if err := db.sweepLease(ctx, id); err != nil {
			return fmt.Errorf("sweeping lease %q: %w", id, err)
		}
	}
	for {
		first, floor := db.history.old()
		if floor-first < trimBatch {
			return nil
		}
		end := first + trimBatch
		if err := db.submit(ctx, &request{trim: [2]uint64{first, end}}); err != nil {
			return fmt.Errorf("trimming history: %w", err)
		}
		db.history.trimmed(end)
	}
}
