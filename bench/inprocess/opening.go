package inprocess

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	engine "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/badger"
)

// openingRecord is the size of a record of the store that is opened: what a large route
// or a page of users takes. Its content does not compress, as what is sealed doesn't.
const openingRecord = 4 << 10

// FillStore makes an embedded store of so many bytes of records in dir and gives how many
// bytes it has on disk.
func FillStore(ctx context.Context, dir string, size int64) (onDisk int64, err error) {
	db, err := badger.Open(badger.Options{Dir: dir, Ballast: -1})
	if err != nil {
		return 0, err
	}
	perTxn := store.MaxTxnBytes / (2 * openingRecord)
	for n := int64(0); n*openingRecord < size && err == nil; n += int64(perTxn) {
		var ops []store.Op
		for i := range min(perTxn, store.MaxOps) {
			value := make([]byte, openingRecord)
			rand.Read(value)
			ops = append(ops, store.Op{Key: fmt.Sprintf("record/%010d", n+int64(i)), Value: value})
		}
		_, err = db.Commit(ctx, store.Txn{Ops: ops})
	}
	if err := errors.Join(err, db.Close()); err != nil {
		return 0, err
	}
	return onDisk, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".sst" {
			var info fs.FileInfo
			if info, err = d.Info(); err == nil {
				onDisk += info.Size()
			}
		}
		return err
	})
}

// OpenStore opens and closes the store in dir, every table of it verified, and then the bare
// engine that verifies them too, and gives how long both openings took.
func OpenStore(dir string) (ours, bare time.Duration, err error) {
	begin := time.Now()
	db, err := badger.Open(badger.Options{Dir: dir, Ballast: -1})
	if err != nil {
		return 0, 0, err
	}
	ours = time.Since(begin)
	if err := db.Close(); err != nil {
		return 0, 0, err
	}
	begin = time.Now()
	kv, err := engine.Open(engine.DefaultOptions(filepath.Join(dir, "badger")).WithChecksumVerificationMode(options.OnTableAndBlockRead).WithLoggingLevel(engine.ERROR))
	if err != nil {
		return 0, 0, err
	}
	bare = time.Since(begin)
	return ours, bare, kv.Close()
}
