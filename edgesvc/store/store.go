// Package store is the contract between the control plane and the engine that
// keeps its records: an embedded Badger on one machine, etcd on many.
//
// What lives here: the contract, its limits and its errors, and what every driver
// does alike. What may not:
// an engine (drivers live below, one folder each, and pass the suite of
// storetest), knowledge of any entity, and anything that a driver would have to
// emulate by locks of its own. Only edgesvc packages import it.
//
// Keys are byte-ordered paths such as "prj/org_…/name"; any bytes will do, from
// one byte to MaxKeyBytes. Values are opaque. Each record carries a revision of its
// own, a counter that starts at 1 and rises by one with each write; it is the
// store's, not the engine's, so that backup and restore keep it. A record that is
// deleted and made anew starts at 1 again.
package store

import (
	"context"
	"errors"
	"time"
)

// Limits of one transaction, the same in every driver: etcd allows 128
// operations and 1.5 MiB by default, and a Badger transaction holds about
// 1.2 MB with small memtables; half of each leaves room for the driver's own
// records.
const (
	MaxOps      = 64
	MaxChecks   = 64
	MaxTxnBytes = 512 << 10 // sum of keys and values of all operations
	MaxKeyBytes = 512
)

// Limits of a listing.
const (
	MaxPage     = 1000 // records of one page
	DefaultPage = 100
	// MaxPageBytes ends a page early, after the record that reaches it, so that a
	// page of large records fits in memory.
	MaxPageBytes = 4 << 20
)

// Limits of the history that watchers read. A watcher may lag as many commits
// behind as are within both; one more is ErrCompacted.
const (
	WatchHistory = 10_000 // commits
	// WatchHistoryBytes is the sum of the keys and values of these commits, so
	// that large documents can't fill the disk with their past.
	WatchHistoryBytes = 256 << 20
)

// MaxCall is how long a call may take that needs engines which can't be had: the
// control plane answers within three seconds that it can't write now, and leaves the
// rest for what lies around the call.
const MaxCall = 2500 * time.Millisecond

// MinLease is the shortest life of a lease, and drivers may round one up to
// whole seconds, because etcd counts in them.
const MinLease = time.Second

// Errors of the contract. Drivers wrap them; callers use errors.Is. After
// ErrConflict, ErrTooLarge, ErrInvalid and ErrLeaseExpired nothing was written.
// After any other error of a write, an ended ctx included, its outcome is unknown:
// read before trying again.
var (
	// ErrNotFound: no record has this key.
	ErrNotFound = errors.New("record not found")
	// ErrConflict: a check of the transaction failed; nothing was written.
	ErrConflict = errors.New("record changed meanwhile")
	// ErrTooLarge: the transaction is over a limit; nothing was written.
	ErrTooLarge = errors.New("transaction over the store's limits")
	// ErrInvalid: the caller's mistake: an empty key, a key written twice in one
	// transaction, a page token of another listing, a lease under MinLease.
	ErrInvalid = errors.New("invalid use of the store")
	// ErrCompacted: the position lies before what the store remembers, or is none
	// of this store's (restored from a backup, say); list anew and watch from the
	// listing's position.
	ErrCompacted = errors.New("position is no longer in the history")
	// ErrUnavailable: the engine can't do it now (disk full, no quorum, a failed
	// disk).
	ErrUnavailable = errors.New("store unavailable")
	// ErrLeaseExpired: the lease does not exist any more.
	ErrLeaseExpired = errors.New("lease expired")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("store closed")
)

// Position is an opaque place in the history of one store. It is comparable for
// equality only and never leaves the control plane. It stays good when the store
// is closed and opened again.
type Position string

// LeaseID names a lease.
type LeaseID string

// Record is one key and value.
type Record struct {
	Key      string
	Value    []byte
	Revision uint64
}

// Check is a condition of a transaction: the record has exactly this revision.
// Revision 0 means that no record has the key.
type Check struct {
	Key      string
	Revision uint64
	// Value, if not nil, is what the record holds besides: it tells a record from one
	// that was deleted and made anew since it was read.
	Value []byte
}

// Op is one write. A record written with a lease is deleted when the lease ends;
// written again without one, or with another, it outlives the first.
type Op struct {
	Key    string
	Value  []byte
	Delete bool // deleting a key that doesn't exist is no error
	Lease  LeaseID
	// Revision is what the record has after the write; if zero, one more than
	// before. It is for what gives a record another form and not another content: a
	// restore, and sealing anew. A transaction that sets it checks the revision it
	// replaces, or is the only writer.
	Revision uint64
	// KeepLease leaves the record the lease that it has, which no one knows who
	// reads it. The record exists: the transaction checks its revision. Lease is
	// empty then.
	KeepLease bool
}

// Txn is a set of checks and writes that takes effect as a whole or not at all.
// No key may be written twice in it. Without effect (no writes, or deletes of
// nothing) it is no event, and its position is the current one.
type Txn struct {
	Checks []Check
	Ops    []Op
}

// Page is a part of a listing. Next is the token of the following page, empty
// on the last one, and the only sign of the end: a page may be shorter than asked. Position is the same on all pages of one listing or later than
// the first page's; watching from the first page's Position misses nothing that
// happened after that page was read.
type Page struct {
	Records  []Record
	Next     string
	Position Position
}

// Change is one record's change in a watch. Deleted changes carry the key and
// the last revision.
type Change struct {
	Record
	Deleted bool
}

// Event is one commit as seen by a watcher: its changes under the watched prefix,
// in the order of the transaction, and the position after it.
type Event struct {
	Changes  []Change
	Position Position
}

// Reader reads records. Its methods are safe for concurrent use, honour ctx, and
// give no record to the caller that it may not keep.
type Reader interface {
	// Get reads one record, or ErrNotFound.
	Get(ctx context.Context, key string) (Record, error)
	// List reads up to limit records (DefaultPage if 0 or less, MaxPage at most)
	// with the prefix in key order, after the token of an earlier page. If prefix
	// is empty, all records; if token is empty, from the first. A record that
	// exists throughout a listing appears in it exactly once, whatever is
	// written meanwhile.
	List(ctx context.Context, prefix, token string, limit int) (Page, error)
}

// Store is one engine. Its methods are safe for concurrent use and honour ctx. Where
// several engines are one cluster, each call that needs a majority of them answers
// within MaxCall, with ErrUnavailable if there is none.
type Store interface {
	// Reads see every write that was acknowledged before they began.
	Reader
	// Stale is a reader for the few reads that must go on when the engines have no
	// majority. What it reads may be older than what was acknowledged, by seconds
	// usually and by the whole outage at worst, but it is a state that the store was in,
	// and one Reader never steps back: what it reads is no older than what it read
	// before. Nothing that it says may be the ground of a write; a check of the write's
	// transaction may. Its positions can be watched from like all others.
	Stale() Reader
	// Commit checks and writes. When it returns nil the write is durable, and the
	// position is the one after it.
	Commit(ctx context.Context, txn Txn) (Position, error)
	// Watch delivers every commit after from that touches the prefix, in
	// order, without gap or duplicate, until ctx ends or the store closes; then
	// the channel is closed. If from is out of the history, ErrCompacted. A watcher
	// that lags so far behind gets its channel closed and ErrCompacted from its
	// Err. A watcher that reads slowly delays no one.
	Watch(ctx context.Context, prefix string, from Position) (Watcher, error)
	// Grant makes a lease that ends ttl after its last KeepAlive. Time during which
	// the engine was down doesn't count: when it is back, each lease has its full ttl.
	// Records of an ended lease vanish soon after, in commits of their own.
	Grant(ctx context.Context, ttl time.Duration) (LeaseID, error)
	// KeepAlive prolongs a lease by its ttl, or says ErrLeaseExpired.
	KeepAlive(ctx context.Context, id LeaseID) error
	// Revoke ends a lease at once and deletes its records before it returns, or
	// says ErrLeaseExpired.
	Revoke(ctx context.Context, id LeaseID) error
	// Close waits for the calls in progress, ends all watches and releases the
	// engine. It is idempotent; every other method then says ErrClosed.
	Close() error
}

// Watcher is a running watch.
type Watcher interface {
	// Events is closed when the watch ends.
	Events() <-chan Event
	// Err says why, once Events is closed: nil when its context ended, ErrClosed
	// when the store was closed, ErrCompacted when it fell behind.
	Err() error
}

// Ended is why the events of a watch under ctx ended: the watch's error, else ctx's.
func Ended(ctx context.Context, w Watcher) error {
	if err := w.Err(); err != nil {
		return err
	}
	return ctx.Err()
}
