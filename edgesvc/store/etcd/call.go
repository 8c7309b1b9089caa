package etcd

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	engine "go.etcd.io/etcd/client/v3"

	"github.com/mezusphere/mezu/backoff"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// attempts is how many members a read may find frozen: each is asked for an equal
// part of the time of a call, and then another. A healthy cluster answers in
// milliseconds.
const attempts = 3

func (db *DB) attemptTime() time.Duration { return db.callTime / attempts }

// repeats tells whether a call may be sent again after an attempt whose outcome is
// unknown.
type repeats bool

const (
	again repeats = true  // a read, or what has the same effect twice
	once  repeats = false // a write
)

// call runs one call that needs a majority, within db.callTime. It gives back
// errors of the contract.
func (db *DB) call(ctx context.Context, r repeats, do func(context.Context) (*pb.ResponseHeader, error)) error {
	limited, cancel := context.WithTimeout(engine.WithRequireLeader(ctx), db.callTime)
	defer cancel()
	before := db.seen.Load()
	var header *pb.ResponseHeader
	attempt := func(ctx context.Context) (err error) {
		if r == again {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, db.attemptTime())
			defer cancel()
		}
		header, err = do(ctx)
		return err
	}
	var err error
	if r == again {
		err = db.retry(limited, attempt)
	} else {
		err = db.retryUnsent(limited, attempt)
	}
	if err != nil {
		return db.fail(ctx, err)
	}
	return db.note(before, header)
}

// retry asks until there is an answer, or ctx ends.
func (db *DB) retry(ctx context.Context, attempt func(context.Context) error) error {
	var pause backoff.Backoff
	for {
		err := attempt(ctx)
		if err == nil || ctx.Err() != nil || !passes(err) {
			return err
		}
		if pause.Wait(ctx) != nil {
			return err
		}
	}
}

// retryUnsent asks again only while the member that was asked says that it passed
// nothing on.
func (db *DB) retryUnsent(ctx context.Context, attempt func(context.Context) error) error {
	var pause backoff.Backoff
	for {
		err := attempt(ctx)
		if !errors.Is(err, rpctypes.ErrNoLeader) {
			return err
		}
		if pause.Wait(ctx) != nil {
			return err
		}
	}
}

// passes tells whether an error may be gone at the next attempt.
func passes(err error) bool {
	for _, lasting := range []error{
		rpctypes.ErrLeaseNotFound, rpctypes.ErrLeaseExist, rpctypes.ErrLeaseTTLTooLarge, rpctypes.ErrCompacted, rpctypes.ErrNoSpace,
		rpctypes.ErrRequestTooLarge, rpctypes.ErrTooManyOps, rpctypes.ErrPermissionDenied, rpctypes.ErrUserEmpty, rpctypes.ErrCorrupt,
	} {
		if errors.Is(err, lasting) {
			return false
		}
	}
	return true
}

// fail turns an error of the client into one of the contract. ctx is the caller's.
func (db *DB) fail(ctx context.Context, err error) error {
	err = rpctypes.Error(err)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case db.ctx.Err() != nil:
		return db.ended()
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
		return store.ErrLeaseExpired
	case errors.Is(err, rpctypes.ErrCompacted):
		return store.ErrCompacted
	case errors.Is(err, rpctypes.ErrNoSpace):
		return fmt.Errorf("the cluster is over its quota (raise --quota-backend-bytes or defragment, then `etcdctl alarm disarm`): %w", store.ErrUnavailable)
	case errors.Is(err, rpctypes.ErrRequestTooLarge), errors.Is(err, rpctypes.ErrTooManyOps):
		return fmt.Errorf("the cluster takes no transactions of the size that etcd takes by default (--max-request-bytes, --max-txn-ops): %w", store.ErrUnavailable)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, rpctypes.ErrNoLeader):
		return fmt.Errorf("no answer from a majority of the cluster: %w", store.ErrUnavailable)
	}
	return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
}

// note takes in the head of an answer that a majority stands behind. It can't be
// older than what was known before the question: if it is, the cluster forgot what
// it acknowledged, or is another one, and nothing that this process knows is true
// any more.
func (db *DB) note(before int64, h *pb.ResponseHeader) error {
	if h == nil {
		return nil
	}
	if h.ClusterId != db.cluster {
		db.damage("another etcd cluster answers at the endpoints")
	} else if h.Revision < before {
		db.damage("the etcd cluster lost acknowledged writes, or was restored from a snapshot while this process ran")
	} else {
		db.heard(h.Revision)
		return nil
	}
	return db.ended()
}

// heard takes in a revision that some member knows.
func (db *DB) heard(revision int64) { raise(&db.seen, revision) }

// raise makes n at least to.
func raise(n *atomic.Int64, to int64) {
	for {
		is := n.Load()
		if to <= is || n.CompareAndSwap(is, to) {
			return
		}
	}
}
