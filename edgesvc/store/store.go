// Package store is the contract between the control plane and the engine that
// keeps its records: an embedded Badger on one machine, etcd on many.
//
// What lives here: the contract, its limits and its errors, and what every driver
// does alike. What may not: an engine (drivers live below, one folder each, and pass the
// suite of storetest), knowledge of any entity, and anything that a driver would have to
// emulate by locks of its own. Only edgesvc packages import it.
//
// Keys are byte-ordered paths such as "prj/org_…/name", of any bytes, from one byte to
// MaxKeyBytes. Values are opaque. Each record has a revision of its own, a counter that
// starts at 1 and rises by one with each write. It is the store's and not the engine's, so
// that backup and restore keep it. A record that is deleted and made again starts at 1
// again.
package store

import (
	"context"
	"errors"
	"time"
)

// Limits of one transaction, the same in every driver. By default etcd allows 128
// operations and 1.5 MiB; a Badger transaction holds about 1.2 MB with small memtables.
// About half of each leaves room for the driver's own records.
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

// Limits of the history that watchers read. It has the last commits that are within both
// limits. A watcher that falls behind the oldest of them gets ErrCompacted.
const (
	WatchHistory = 10_000 // commits
	// WatchHistoryBytes is the sum of the keys and values of these commits, so
	// that large documents can't fill the disk with their past.
	WatchHistoryBytes = 256 << 20
)

// MaxCall is how long a call may take when the engines that it needs don't answer. The
// control plane has three seconds to answer that it can't write now; what is left of them
// is for the work around the call.
const MaxCall = 2500 * time.Millisecond

// MinLease is the shortest time to live of a lease. Drivers may round a time to live up to
// whole seconds, because etcd counts in seconds.
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
	// ErrInvalid: the call is wrong: an empty key, a key written twice in one
	// transaction, a page token of another listing, a lease under MinLease.
	ErrInvalid = errors.New("invalid use of the store")
	// ErrCompacted: the position is older than the history, or was not made by this
	// store (it was restored from a backup, for example). List again and watch from the
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

// Position names a commit in the history of one store. It is opaque: it can be compared for
// equality only, and never leaves the control plane. It stays valid when the store is closed
// and opened again.
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
	// Value, if not nil, is a second condition: the record has this value too. A record
	// that was deleted and made again may have the same revision as the one that was
	// read; the value tells them apart.
	Value []byte
}

// Op is one write.
type Op struct {
	Key    string
	Value  []byte
	Delete bool // deleting a key that doesn't exist is no error
	// Lease, if not empty, is the lease that the record lives under: when the lease ends,
	// the record is deleted. Each write sets it anew. A record that is written again with
	// another lease, or with none, does not end with the first.
	Lease LeaseID
	// Revision is the record's revision after the write; if zero, one more than before.
	// It is for writes that change the form of a record but not its content: a restore,
	// and encrypting it under a new key. A transaction that sets it must check the
	// revision that it replaces, or be the only writer.
	Revision uint64
	// KeepLease leaves the record under the lease that it has, for a writer that doesn't
	// know it: a read doesn't tell. Lease must be empty then, and the transaction must
	// check the record's revision, so that the record exists.
	KeepLease bool
}

// Txn is a set of checks and writes of which all take effect or none. No key may be
// written twice in it. A transaction that changes nothing (it has no writes, or deletes
// what doesn't exist) makes no event, and its position is the current one.
type Txn struct {
	Checks []Check
	Ops    []Op
}

// Page is a part of a listing.
type Page struct {
	// Records may be fewer than were asked for, on any page.
	Records []Record
	// Next is the token of the following page. It is empty on the last page, and nothing
	// else tells which page is the last.
	Next string
	// Position is the state of the store that the page shows. On later pages of a listing
	// it is that of the first page or a later one. A watch from the first page's Position
	// misses nothing that happened after that page was read.
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

// Refusal says why the store can't do what it is asked for, in words for a person. It is
// ErrUnavailable.
type Refusal string

// Error is what it says.
func (r Refusal) Error() string { return string(r) }

// Unwrap gives ErrUnavailable.
func (r Refusal) Unwrap() error { return ErrUnavailable }

// Reader reads records. Its methods are safe for concurrent use and honour ctx. The caller
// may keep and change the records that it gets.
type Reader interface {
	// Get reads one record, or ErrNotFound.
	Get(ctx context.Context, key string) (Record, error)
	// List reads up to limit records (DefaultPage if 0 or less, MaxPage at most)
	// with the prefix in key order, after the token of an earlier page. An empty prefix
	// is that of all records; with an empty token the listing begins. A record that
	// exists during the whole listing appears in it exactly once, whatever else is
	// written meanwhile.
	List(ctx context.Context, prefix, token string, limit int) (Page, error)
}

// Store is one engine, or a cluster of several. Its methods are safe for concurrent use and
// honour ctx. In a cluster, each call that needs a majority of the engines answers within
// MaxCall, with ErrUnavailable if there is no majority.
type Store interface {
	// Reads see every write that was acknowledged before they began.
	Reader
	// Stale is a reader for the few reads that must go on when the engines have no
	// majority. What it reads may be older than what was acknowledged: usually by
	// seconds, at worst by the whole outage. But it is always a state that the store was
	// in, and a Reader never steps back: each read is at least as new as the one before.
	// A write must not rely on it, unless its transaction checks what was read. Its
	// positions can be watched from like all others.
	Stale() Reader
	// Commit checks and writes. When it returns nil the write is durable, and the
	// position is the one after it.
	Commit(ctx context.Context, txn Txn) (Position, error)
	// Watch delivers every commit after from that touches the prefix, in order, without
	// gap or duplicate. It ends when ctx ends or the store closes; then the channel is
	// closed. It says ErrCompacted if from is not in the history. A watcher that falls so
	// far behind that its next commit leaves the history has its channel closed and
	// ErrCompacted as its Err. A watcher that reads slowly delays no one.
	Watch(ctx context.Context, prefix string, from Position) (Watcher, error)
	// Grant makes a lease with a time to live: it ends when no KeepAlive came for ttl.
	// Time during which the engine was down doesn't count: when it is back, each lease
	// has its full ttl again. Records of an ended lease vanish soon after, in commits of
	// their own.
	Grant(ctx context.Context, ttl time.Duration) (LeaseID, error)
	// KeepAlive lets a lease end ttl from now, or says ErrLeaseExpired.
	KeepAlive(ctx context.Context, id LeaseID) error
	// Revoke ends a lease at once and deletes its records before it returns, or
	// says ErrLeaseExpired.
	Revoke(ctx context.Context, id LeaseID) error
	// Writable says why a write would be refused now, in words for a person and wrapped in
	// ErrUnavailable, or nil. It writes nothing.
	Writable(ctx context.Context) error
	// Close waits for the calls in progress, ends all watches and closes the engine. It is
	// idempotent. Every other method says ErrClosed from then on.
	Close() error
}

// Watcher is a running watch.
type Watcher interface {
	// Events is closed when the watch ends.
	Events() <-chan Event
	// Err says why the watch ended, once Events is closed: nil when its context ended,
	// ErrClosed when the store was closed, ErrCompacted when it fell behind.
	Err() error
}

// Ended says why a watch under ctx ended: it is the watch's error, or else that of ctx.
func Ended(ctx context.Context, w Watcher) error {
	if err := w.Err(); err != nil {
		return err
	}
	return ctx.Err()
}
