package etcd

import (
	"context"
	"time"
)

// TestOnlyPatience lets calls take longer than store.MaxCall, for tests of what is no
// matter of time on machines that are busy with other tests. Nothing may be running.
func (db *DB) TestOnlyPatience(d time.Duration) { db.callTime = d }

// TestOnlyCompact removes what is out of the history now, if it is worth while and no
// other process did.
func (db *DB) TestOnlyCompact(ctx context.Context) error { return db.compactOnce(ctx) }

// TestOnlyFloor is the earliest etcd revision that can be watched from.
func (db *DB) TestOnlyFloor() int64 { return db.history.floor() }

// TestOnlyHistoryBytes lowers store.WatchHistoryBytes. Nothing may be writing.
func (db *DB) TestOnlyHistoryBytes(n int) {
	db.history.mu.Lock()
	defer db.history.mu.Unlock()
	db.history.limit = n
}

// CompactBatch is how many revisions a compaction removes at least.
const CompactBatch = compactBatch
