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

// attempts is how many members a read tries, one after the other, in the time of one
// call. A member that is frozen costs its part of that time; a healthy one answers in
// milliseconds.
const attempts = 3

func (db *DB) attemptTime() time.Duration { return db.callTime / attempts }

// kind tells whether a call may be sent again after an attempt whose outcome is unknown.
type kind bool

const (
	idempotent    kind = true  // a read, or a write that has the same effect twice
	notIdempotent kind = false // any other write
)

// call runs one call that needs a majority, within db.callTime. It gives back
// errors of the contract.
func (db *DB) call(ctx context.Context, k kind, do func(context.Context) (*pb.ResponseHeader, error)) error {
	limited, cancel := context.WithTimeout(engine.WithRequireLeader(ctx), db.callTime)
	defer cancel()
	before := db.seen.Load()
	var header *pb.ResponseHeader
	attempt := func(ctx context.Context) (err error) {
		if k == idempotent {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, db.attemptTime())
			defer cancel()
		}
		header, err = do(ctx)
		return err
	}
	var err error
	if k == idempotent {
		err = db.retry(limited, attempt)
	} else {
		err = db.retryUnsent(limited, attempt)
	}
	if err != nil {
		return db.fail(ctx, err)
	}
	return db.verify(before, header)
}

// errNoMajority says that the members don't answer, or that too few of them do.
const errNoMajority store.Refusal = "the store does not answer (no majority of etcd)"

// Writable says why a write would be refused now. It is a transaction that never holds, with a
// write in it: the members need a majority for it as for every other, and refuse it over
// their quota, and none of it is done.
func (db *DB) Writable(ctx context.Context) error {
	if err := db.enter(ctx); err != nil {
		return err
	}
	defer db.leave()
	err := db.call(ctx, idempotent, func(ctx context.Context) (*pb.ResponseHeader, error) {
		resp, err := db.client.Txn(ctx).If(engine.Compare(engine.Version(db.space.probe()), "<", 0)).Then(engine.OpPut(db.space.probe(), "")).Commit()
		if err != nil {
			return nil, err
		}
		return resp.Header, nil
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return errNoMajority // the caller waits less long
	}
	return err
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

// retryUnsent asks again only after a member has answered that it has no leader: then it
// has not passed the call on, and nothing was written.
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

// passes tells whether another attempt may succeed after this error.
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
		return store.Refusal("etcd is over its quota (raise --quota-backend-bytes or defragment, then `etcdctl alarm disarm`)")
	case errors.Is(err, rpctypes.ErrRequestTooLarge), errors.Is(err, rpctypes.ErrTooManyOps):
		return fmt.Errorf("the cluster takes no transactions of the size that etcd takes by default (--max-request-bytes, --max-txn-ops): %w", store.ErrUnavailable)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, rpctypes.ErrNoLeader):
		return errNoMajority
	}
	return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
}

// verify checks the header of an answer that a majority gave. Its revision can't be lower
// than the one that was known before the call. If it is, the cluster has lost what it
// acknowledged, or is another one; then nothing that this process knows can be relied on,
// and the store stops.
func (db *DB) verify(before int64, h *pb.ResponseHeader) error {
	if h == nil {
		return nil
	}
	if h.ClusterId != db.cluster {
		db.damage("another etcd cluster answers at the endpoints")
	} else if h.Revision < before {
		db.damage("the etcd cluster lost acknowledged writes, or was restored from a snapshot while this process ran")
	} else {
		db.saw(h.Revision)
		return nil
	}
	return db.ended()
}

// saw notes a revision that some member has.
func (db *DB) saw(revision int64) { raise(&db.seen, revision) }

// raise makes n at least to.
func raise(n *atomic.Int64, to int64) {
	for {
		is := n.Load()
		if to <= is || n.CompareAndSwap(is, to) {
			return
		}
	}
}
