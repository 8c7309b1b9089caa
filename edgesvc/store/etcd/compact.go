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
	// compactEvery is how often one of the control planes removes what is out of the
	// history.
	compactEvery = time.Minute
	// compactBatch is how many revisions make it worth while: a compaction goes
	// through all keys of the cluster.
	compactBatch = 1000
)

// compaction is what a process knows of the last one.
type compaction struct {
	mod  int64 // when etcd wrote the mark
	done int64 // what it said
}

// compactLoop removes the commits that are out of the history.
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

// compactOnce compacts, if nobody did since this process looked last: whoever moves
// the mark does it. (The API server of Kubernetes shares the work so too:
// staging/src/k8s.io/apiserver/pkg/storage/etcd3/compact.go.) To compact to a revision
// that was compacted already does no harm, therefore one that was held up between mark
// and compaction needs no fence.
func (db *DB) compactOnce(ctx context.Context) error {
	// One revision stays below the floor: the deletions right after it deliver what
	// was there before.
	target := db.history.floor() - 1
	if target < db.compact.done+compactBatch {
		return nil
	}
	mark := make([]byte, 8)
	binary.BigEndian.PutUint64(mark, uint64(target))
	key := db.space.compacted()
	var resp *engine.TxnResponse
	err := db.call(ctx, once, func(ctx context.Context) (_ *pb.ResponseHeader, err error) {
		resp, err = db.client.Txn(ctx).
			If(engine.Compare(engine.ModRevision(key), "=", db.compact.mod)).
			Then(engine.OpPut(key, string(mark))).
			Else(engine.OpGet(key)).
			Commit()
		return nil, err
	})
	if err != nil {
		return fmt.Errorf("moving the mark: %w", err)
	}
	if !resp.Succeeded {
		for _, kv := range resp.Responses[0].GetResponseRange().Kvs {
			if len(kv.Value) != len(mark) {
				return fmt.Errorf("reading the mark: %w", errCorrupt)
			}
			db.compact = compaction{kv.ModRevision, int64(binary.BigEndian.Uint64(kv.Value))}
		}
		return nil
	}
	db.compact = compaction{resp.Header.Revision, target}
	return db.compactTo(ctx, target)
}

func (db *DB) compactTo(ctx context.Context, revision int64) error {
	err := db.call(ctx, again, func(ctx context.Context) (*pb.ResponseHeader, error) {
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
