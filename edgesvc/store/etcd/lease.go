package etcd

import (
	"context"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	engine "go.etcd.io/etcd/client/v3"

	"github.com/mezusphere/mezu/edgesvc/store"
)

// Grant makes a lease that ends ttl, rounded up to whole seconds, after its last
// KeepAlive. A lease shorter than about two elections of the cluster is made that long by
// its members.
func (db *DB) Grant(ctx context.Context, ttl time.Duration) (store.LeaseID, error) {
	if ttl < store.MinLease {
		return "", fmt.Errorf("granting a lease of %v: %w", ttl, store.ErrInvalid)
	}
	if err := db.enter(ctx); err != nil {
		return "", err
	}
	defer db.leave()
	var id engine.LeaseID
	// If it is sent twice, one of two leases expires unused.
	err := db.leaseCall(ctx, idempotent, func(ctx context.Context) error {
		resp, err := db.client.Grant(ctx, int64((ttl+time.Second-1)/time.Second))
		if err == nil {
			id = resp.ID
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("granting a lease: %w", err)
	}
	return formatLease(id), nil
}

// KeepAlive prolongs a lease by its ttl, or says store.ErrLeaseExpired.
func (db *DB) KeepAlive(ctx context.Context, id store.LeaseID) error {
	return db.onLease(ctx, "keeping", idempotent, id, func(ctx context.Context, id engine.LeaseID) error {
		_, err := db.client.KeepAliveOnce(ctx, id)
		return err
	})
}

// Revoke ends a lease at once and deletes its records.
func (db *DB) Revoke(ctx context.Context, id store.LeaseID) error {
	return db.onLease(ctx, "revoking", notIdempotent, id, func(ctx context.Context, id engine.LeaseID) error {
		_, err := db.client.Revoke(ctx, id)
		return err
	})
}

func (db *DB) onLease(ctx context.Context, doing string, k kind, id store.LeaseID, do func(context.Context, engine.LeaseID) error) error {
	if err := db.enter(ctx); err != nil {
		return err
	}
	defer db.leave()
	lease, err := parseLease(id)
	if err == nil {
		err = db.leaseCall(ctx, k, func(ctx context.Context) error { return do(ctx, lease) })
	}
	if err != nil {
		return fmt.Errorf("%s lease %q: %w", doing, id, err)
	}
	return nil
}

// leaseCall runs a call about leases. It passes on no header: the revision in the answer is
// that of one member, not of the cluster.
func (db *DB) leaseCall(ctx context.Context, k kind, do func(context.Context) error) error {
	return db.call(ctx, k, func(ctx context.Context) (*pb.ResponseHeader, error) { return nil, do(ctx) })
}
