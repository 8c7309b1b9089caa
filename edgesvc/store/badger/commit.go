package badger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	engine "github.com/dgraph-io/badger/v4"

	"github.com/mezusphere/mezu/edgesvc/store"
)

const (
	// maxGroup is how many transactions can wait for the committer, and therefore how many
	// can share one write to the disk.
	maxGroup = 256
	// trimBatch is how many old commits one request removes from the history.
	trimBatch = 1000
	// The engine limits the size of a transaction. entryCost is how much it adds for each
	// entry to the bytes of key and value, rounded up. commitCost is the size of a history
	// entry without its changes.
	entryCost  = 48
	commitCost = 64
)

// request is one piece of work for the committer. Exactly one of the four kinds is set.
type request struct {
	ctx  context.Context
	done chan struct{} // closed when pos and err are set

	txn   store.Txn     // kind 1: a caller's transaction
	grant store.LeaseID // kind 2: a lease to keep
	ttl   time.Duration // of grant
	sweep store.LeaseID // kind 3: an ended lease; a part of its records is deleted
	trim  [2]uint64     // kind 4: old commits to delete: from, to (exclusive)

	pos  store.Position
	more bool // of sweep: records are left
	err  error
}

// frees tells whether the request gives space back in the long run. Such a request may
// still be written when the disk is too full for others.
func (r *request) frees() bool { return r.sweep != "" || r.trim[1] != 0 }

// cost is an upper bound of the entries and bytes that the request adds to an engine
// transaction. Each write has an entry for the record, one for its lease, one for a former
// lease, and a copy in the history.
func (r *request) cost() (entries, size int64) {
	switch {
	case r.trim[1] != 0:
		n := int64(r.trim[1] - r.trim[0])
		return n, n * (9 + entryCost)
	case r.sweep != "":
		return 2*store.MaxOps + 2, store.MaxOps*3*(store.MaxKeyBytes+maxLeaseID+entryCost) + commitCost
	case r.grant != "":
		return 1, maxLeaseID + entryCost
	}
	size = commitCost
	for _, op := range r.txn.Ops {
		entries += 3
		size += int64(2*len(op.Value)+4*len(op.Key)+2*len(op.Lease)) + 4*entryCost
	}
	return entries + 1, size
}

// Commit checks and writes. When it returns nil the write is durable.
func (db *DB) Commit(ctx context.Context, txn store.Txn) (store.Position, error) {
	if err := txn.Validate(); err != nil {
		return "", fmt.Errorf("committing: %w", err)
	}
	if err := db.enter(ctx); err != nil {
		return "", err
	}
	defer db.leave()
	// The history keeps the values, and when ctx ends the committer may read them after
	// this call has returned. Therefore they are copied.
	own := store.Txn{Checks: slices.Clone(txn.Checks), Ops: slices.Clone(txn.Ops)}
	for i := range own.Ops {
		own.Ops[i].Value = bytes.Clone(own.Ops[i].Value)
	}
	r := &request{txn: own}
	if err := db.submit(ctx, r); err != nil {
		return "", fmt.Errorf("committing: %w", err)
	}
	return r.pos, nil
}

// submit hands r to the committer and waits for the outcome or the end of ctx. Its caller
// has called enter, or is a goroutine that Close waits for.
func (db *DB) submit(ctx context.Context, r *request) error {
	r.ctx, r.done = ctx, make(chan struct{})
	select {
	case db.queue <- r:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// commitLoop is the committer: it takes all requests that wait and writes them together.
func (db *DB) commitLoop() {
	group := make([]*request, 0, maxGroup)
	for {
		select {
		case r := <-db.queue:
			group = append(group[:0], r)
		case <-db.ctx.Done():
			return
		}
		for more := true; more && len(group) < maxGroup; {
			select {
			case r := <-db.queue:
				group = append(group, r)
			default:
				more = false
			}
		}
		for rest := group; len(rest) > 0; {
			rest = rest[db.commitSome(rest):]
		}
		clear(group)
	}
}

// commitSome commits as many of the requests, in order, as one engine transaction
// holds, and answers them. It returns how many these are, at least one.
func (db *DB) commitSome(requests []*request) int {
	b := &batch{db: db, txn: db.kv.NewTransaction(true), last: db.history.head()}
	defer b.txn.Discard()
	n := 0
	for _, r := range requests {
		if n > 0 && !b.fits(r) {
			break
		}
		n++
		if r.err = db.admit(r); r.err == nil {
			r.err = b.apply(r)
		}
	}
	err := b.commit()
	for _, r := range requests[:n] {
		// If the write failed, no request has an answer. Even a refusal may be due to an
		// earlier request of the batch, which was not written.
		if err != nil {
			r.err = err
		}
		close(r.done)
	}
	return n
}

// admit refuses a request if the store can't write now, or its caller is gone.
func (db *DB) admit(r *request) error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	if r.frees() {
		return db.writable(db.opts.minFree() / 2)
	}
	return db.writable(db.opts.minFree())
}

// batch is one engine transaction with the requests that share it.
type batch struct {
	db      *DB
	txn     *engine.Txn
	last    commitID
	commits []*commit
	entries int64
	size    int64
	broken  error // an entry couldn't be added: the transaction is incomplete
}

// fits tells whether the batch has room for r.
func (b *batch) fits(r *request) bool {
	entries, size := r.cost()
	return b.entries+entries < b.db.kv.MaxBatchCount() && b.size+size < b.db.kv.MaxBatchSize()
}

// apply checks r against the state after the earlier requests of the batch, and adds its
// writes. If it returns an error it has added none.
func (b *batch) apply(r *request) error {
	entries, size := r.cost()
	b.entries, b.size = b.entries+entries, b.size+size
	switch {
	case r.trim[1] != 0:
		for seq := r.trim[0]; seq < r.trim[1]; seq++ {
			b.delete(changeKey(seq))
		}
		return nil
	case r.grant != "":
		b.set(leaseKey(r.grant), encodeTTL(r.ttl))
		return nil
	case r.sweep != "":
		return b.sweep(r)
	}
	return b.applyTxn(r)
}

// applyTxn applies a caller's transaction.
func (b *batch) applyTxn(r *request) error {
	for _, c := range r.txn.Checks {
		old, err := getRecord(b.txn, c.Key)
		if err != nil {
			return err
		}
		if old.revision != c.Revision {
			return fmt.Errorf("%q has revision %d, not %d: %w", c.Key, old.revision, c.Revision, store.ErrConflict)
		}
		if c.Value != nil && !bytes.Equal(old.value, c.Value) {
			return fmt.Errorf("%q has another value: %w", c.Key, store.ErrConflict)
		}
	}
	olds := make([]stored, len(r.txn.Ops))
	for i, op := range r.txn.Ops {
		var err error
		if olds[i], err = getRecord(b.txn, op.Key); err != nil {
			return err
		}
		if op.Lease != "" && !op.Delete && !b.db.leases.alive(op.Lease, b.db.now()) {
			return fmt.Errorf("writing %q: %w", op.Key, store.ErrLeaseExpired)
		}
	}
	c := b.begin()
	for i, op := range r.txn.Ops {
		b.write(c, op, olds[i])
	}
	b.end(c)
	r.pos = b.last.position()
	return nil
}

// begin starts a commit. end makes it part of the batch, unless it has no changes.
func (b *batch) begin() *commit {
	return &commit{commitID: commitID{b.last.seq + 1, b.db.run}}
}

func (b *batch) end(c *commit) {
	if len(c.changes) == 0 {
		return
	}
	b.set(changeKey(c.seq), c.encode())
	b.commits = append(b.commits, c)
	b.last = c.commitID
}

// write adds one operation to c. old is the record as it is before.
func (b *batch) write(c *commit, op store.Op, old stored) {
	if op.KeepLease {
		op.Lease = old.lease
	}
	if old.lease != "" && (op.Delete || op.Lease != old.lease) {
		b.delete(leasedKey(old.lease, op.Key))
	}
	if op.Delete {
		if old.revision == 0 {
			return
		}
		b.delete(recordKey(op.Key))
		c.add(store.Change{Record: store.Record{Key: op.Key, Revision: old.revision}, Deleted: true})
		return
	}
	now := stored{revision: old.revision + 1, lease: op.Lease, value: op.Value}
	if op.Revision != 0 {
		now.revision = op.Revision
	}
	b.set(recordKey(op.Key), now.encode())
	if op.Lease != "" && op.Lease != old.lease {
		b.set(leasedKey(op.Lease, op.Key), nil)
	}
	c.add(store.Change{Record: store.Record{Key: op.Key, Value: op.Value, Revision: now.revision}})
}

// set and delete add an entry. They can't fail within the limits that fits and
// Txn.Validate apply. If one does, commit refuses the whole batch.
func (b *batch) set(key, value []byte) {
	if err := b.txn.Set(key, value); err != nil {
		b.broken = errors.Join(b.broken, err)
	}
}

func (b *batch) delete(key []byte) {
	if err := b.txn.Delete(key); err != nil {
		b.broken = errors.Join(b.broken, err)
	}
}

// commitEngine commits an engine transaction.
func (db *DB) commitEngine(txn *engine.Txn) error {
	db.unflushed.Store(true)
	if db.testOnlyCommit != nil {
		return db.testOnlyCommit(txn)
	}
	return txn.Commit()
}

// commit makes the batch durable, and then visible to readers and watchers.
func (b *batch) commit() error {
	db := b.db
	if b.broken != nil {
		db.log.Error("store batch refused by the engine", "error", b.broken)
		return fmt.Errorf("writing: %w: %w", store.ErrUnavailable, b.broken)
	}
	if err := db.commitEngine(b.txn); err != nil {
		// Whether the bytes are on the disk is unknown after a failed sync, and a second
		// sync would succeed without writing them.
		db.failed.Store(true)
		db.log.Error("store stops writing until it is opened anew", "error", err)
		return fmt.Errorf("writing: %w: %w", store.ErrUnavailable, err)
	}
	if err := db.mark.set(b.last); err != nil {
		db.log.Warn("store mark is behind", "error", err)
	}
	db.history.append(b.commits, func() { db.publish(b.last) })
	return nil
}
