package badger

import (
	"errors"

	engine "github.com/dgraph-io/badger/v4"
)

// TestOnlyFailSync makes every later write reach the engine and then report err, as
// a disk does that took the bytes and failed to sync them. Nothing may be writing.
func (db *DB) TestOnlyFailSync(err error) {
	db.testOnlyCommit = func(txn *engine.Txn) error {
		return errors.Join(err, txn.Commit())
	}
}

// TestOnlyEngineKeys counts the engine's entries by their space.
func (db *DB) TestOnlyEngineKeys() map[byte]int {
	v := db.acquire()
	defer db.unview(v)
	it := v.txn.NewIterator(engine.IteratorOptions{})
	defer it.Close()
	n := make(map[byte]int)
	for it.Rewind(); it.Valid(); it.Next() {
		n[it.Item().Key()[0]]++
	}
	return n
}

// TestOnlyHistoryBytes lowers store.WatchHistoryBytes. Nothing may be writing.
func (db *DB) TestOnlyHistoryBytes(n int) { db.history.limit = n }
