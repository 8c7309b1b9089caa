package etcd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	engine "go.etcd.io/etcd/client/v3"

	"github.com/mezusphere/mezu/backoff"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// errTorn is a watch that broke etcd's promise to deliver transactions complete, once
// and in order.
var errTorn = errors.New("etcd delivered a part of a transaction, or one twice")

// feedPause is the longest wait before a watch that ended is begun again. It doesn't grow,
// so that commits are seen soon however long the cluster was unreachable.
const feedPause = 400 * time.Millisecond

// follow runs the one watch of this process on all records, which feeds the history, and
// begins it again when it ends. It returns with Close.
func (db *DB) follow() {
	for {
		last, _ := db.history.through()
		err := db.feed(last)
		switch {
		case db.ctx.Err() != nil:
			return
		case errors.Is(err, store.ErrCompacted), errors.Is(err, errTorn):
			db.log.Warn("store watch lost its place; watchers that lag list anew", "error", err)
			if err := db.refeed(); err != nil {
				db.log.Warn("store watch", "error", err)
			}
		case errors.Is(err, errCorrupt):
			db.damage(err.Error())
			return
		default:
			db.log.Debug("store watch begins again", "error", err)
		}
		if backoff.Sleep(db.ctx, backoff.Jitter(feedPause)) != nil {
			return
		}
	}
}

// refeed begins the history anew at the cluster's present revision.
func (db *DB) refeed() error {
	resp, err := db.fresh(db.ctx, db.space.id(), engine.WithCountOnly())
	if err != nil {
		return err
	}
	db.history.restart(resp.Header.Revision)
	return nil
}

// feed adds the commits after a revision to the history until the watch ends. It asks for
// a leader (WithRequireLeader), because a member that is cut off from the leader would
// otherwise just fall silent.
func (db *DB) feed(after int64) error {
	ctx, cancel := context.WithCancel(engine.WithRequireLeader(db.ctx))
	defer cancel()
	for resp := range db.records(ctx, after) {
		commits, err := db.commits(resp, after)
		if err != nil {
			return err
		}
		if len(commits) > 0 {
			after = commits[len(commits)-1].revision
			db.saw(after)
			db.history.append(commits)
		}
	}
	return db.ctx.Err()
}

// records watches all records from the revision after the given one. A deletion comes with
// the record that it deleted, because only that has the record's own revision.
func (db *DB) records(ctx context.Context, after int64) engine.WatchChan {
	return db.client.Watch(ctx, db.space.record(""), engine.WithPrefix(), engine.WithRev(after+1), engine.WithPrevKV(), engine.WithFragment())
}

// commits reads the transactions out of one answer to records. The client has already
// joined fragments, so that an answer holds complete transactions. An answer that goes on
// with a transaction of an earlier answer is refused.
func (db *DB) commits(resp engine.WatchResponse, after int64) ([]*commit, error) {
	if err := resp.Err(); err != nil {
		if errors.Is(err, rpctypes.ErrCompacted) {
			return nil, store.ErrCompacted
		}
		return nil, err
	}
	var commits []*commit
	for _, e := range resp.Events {
		revision := e.Kv.ModRevision
		if revision <= after {
			return nil, errTorn
		}
		if len(commits) == 0 || commits[len(commits)-1].revision != revision {
			if len(commits) > 0 {
				after = commits[len(commits)-1].revision
			}
			commits = append(commits, &commit{revision: revision})
		}
		ch, err := db.change(e)
		if err != nil {
			return nil, err
		}
		c := commits[len(commits)-1]
		c.changes = append(c.changes, ch)
		c.size += len(ch.Key) + len(ch.Value)
	}
	return commits, nil
}

func (db *DB) change(e *engine.Event) (store.Change, error) {
	if e.Type == engine.EventTypePut {
		r, err := db.space.decode(e.Kv)
		return store.Change{Record: r}, err
	}
	if e.PrevKv == nil {
		return store.Change{}, fmt.Errorf("what was deleted is gone from the history: %w", store.ErrCompacted)
	}
	r, err := db.space.decode(e.PrevKv)
	r.Value = nil
	return store.Change{Record: r, Deleted: true}, err
}
