package etcd

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	engine "go.etcd.io/etcd/client/v3"
)

const (
	// compactEvery is how often one of the control planes removes old commits.
	compactEvery = time.Minute
	// compactBatch is how many revisions a compaction removes at least, because each one
	// goes through all keys of the cluster.
	compactBatch = 1000
)

// compaction is what this process knows of the record of the last compaction, which all
// control planes share.
type compaction struct {
	mod  int64 // the etcd revision that wrote the record
	done int64 // the revision up to which was compacted
}

// compactLoop removes the commits before the history's floor.
func (db *DB) compactLoop() {
	tick := time.NewTicker(compactEvery)
	defer tick.Stop()
	for {
		select {
		case <-db.ctx.Done():
			return
		case <-tick.C:
		}
		if err := db.compactOnce(db.ctx); err != nil && db.ctx.Err() == nil {
			db.log.Warn("store compaction", "error", err)
		}
	}
}

// compactOnce compacts, unless another control plane has since this process looked last.
// Of several that try at once, the one whose write to the shared record succeeds does it.
// (The API server of Kubernetes does the same:
// staging/src/k8s.io/apiserver/pkg/storage/etcd3/compact.go.) A process that was paused
// between that write and the compaction does no harm: to compact to a revision that was
// compacted already changes nothing.
func (db *DB) compactOnce(ctx context.Context) error {
	// One revision below the floor stays, because a deletion right after the floor
	// delivers the record that it deleted.
	target := db.history.floor() - 1
	if target < db.compact.done+compactBatch {
		return nil
	}
	record := make([]byte, 8)
	binary.BigEndian.PutUint64(record, uint64(target))
	key := db.space.compacted()
	var resp *engine.TxnResponse
	err := db.call(ctx, notIdempotent, func(ctx context.Context) (_ *pb.ResponseHeader, err error) {
		resp, err = db.client.Txn(ctx).
			If(engine.Compare(engine.ModRevision(key), "=", db.compact.mod)).
			Then(engine.OpPut(key, string(record))).
			Else(engine.OpGet(key)).
			Commit()
		return nil, err
	})
	if err != nil {
		return fmt.Errorf("writing the record of compactions: %w", err)
	}
	if !resp.Succeeded {
		for _, kv := range resp.Responses[0].GetResponseRange().Kvs {
			if len(kv.Value) != len(record) {
				return fmt.Errorf("reading the record of compactions: %w", errCorrupt)
			}
			db.compact = compaction{kv.ModRevision, int64(binary.BigEndian.Uint64(kv.Value))}
		}
		return nil
	}
	db.compact = compaction{resp.Header.Revision, target}
	return db.compactTo(ctx, target)
}

func (db *DB) compactTo(ctx context.Context, revision int64) error {
	err := db.call(ctx, idempotent, func(ctx context.Context) (*pb.ResponseHeader, error) {
		_, err := db.client.Compact(ctx, revision)
		if errors.Is(err, rpctypes.ErrCompacted) {
			err = nil
		}
		return nil, err
	})
	if err != nil {
		return fmt.Errorf("compacting to revision %d: %w", revision, err)
	}
	return nil
}
