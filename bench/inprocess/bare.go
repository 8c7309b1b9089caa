package inprocess

import (
	"bytes"
	"context"
	"fmt"

	engine "github.com/dgraph-io/badger/v4"

	"github.com/mezusphere/mezu/edgesvc/store"
)

// bare is an engine without anything of ours.
type bare interface {
	// write writes all of them durably in one transaction.
	write(ctx context.Context, ops []store.Op) error
	// load writes as many as there are.
	load(ctx context.Context, ops []store.Op) error
	// get reads records that are there.
	get(ctx context.Context, keys ...[]byte) error
	// list reads the first n records of a prefix, which has as many.
	list(ctx context.Context, prefix []byte, n int) error
}

// bareBadger is Badger as its options are by default, but durable.
type bareBadger struct{ db *engine.DB }

func openBadger(dir string) (*bareBadger, error) {
	db, err := engine.Open(engine.DefaultOptions(dir).WithSyncWrites(true).WithLogger(nil))
	return &bareBadger{db}, err
}

func (b *bareBadger) write(_ context.Context, ops []store.Op) error {
	txn := b.db.NewTransaction(true)
	defer txn.Discard()
	for _, op := range ops {
		if err := txn.Set([]byte(op.Key), op.Value); err != nil {
			return err
		}
	}
	return txn.Commit()
}

func (b *bareBadger) load(_ context.Context, ops []store.Op) error {
	batch := b.db.NewWriteBatch()
	defer batch.Cancel()
	for _, op := range ops {
		if err := batch.Set([]byte(op.Key), op.Value); err != nil {
			return err
		}
	}
	return batch.Flush()
}

func (b *bareBadger) get(_ context.Context, keys ...[]byte) error {
	return b.db.View(func(txn *engine.Txn) error {
		for _, key := range keys {
			item, err := txn.Get(key)
			if err == nil {
				_, err = item.ValueCopy(nil)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *bareBadger) list(_ context.Context, prefix []byte, n int) error {
	return b.db.View(func(txn *engine.Txn) error {
		opts := engine.DefaultIteratorOptions
		opts.Prefix = prefix
		it := txn.NewIterator(opts)
		defer it.Close()
		read := 0
		for it.Rewind(); it.Valid() && read < n; it.Next() {
			if _, err := it.Item().ValueCopy(nil); err != nil {
				return err
			}
			read++
		}
		if read != n || !bytes.HasPrefix(it.Item().Key(), prefix) {
			return fmt.Errorf("the bare engine has %d records", read)
		}
		return nil
	})
}
