// Package etcd is the store of a control plane on many machines: the contract of
// package store over an etcd cluster.
//
// What lives here: that driver, and what etcd leaves to its caller: revisions of
// records that survive a backup, one watch that all watchers of a process share,
// watchers that are slow without filling memory, compaction that keeps the promised
// history, and answers in bounded time. What may not: knowledge of any entity, and
// the engine itself, which runs in processes of its own (edgesvc/store/etcdtest
// embeds it, for tests only). Only the control plane and its tests import it.
//
// A record's value in etcd begins with the record's own revision, which a write must
// raise by one. A write therefore reads first, and its transaction compares the etcd
// revisions of all that was read. If something changed in between, the same round trip
// reads it again.
package etcd

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	engine "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/mezusphere/mezu/edgesvc/store"
)

// DefaultNamespace begins all keys of a store in its cluster.
const DefaultNamespace = "mezusphere/"

// MaxEndpoints bounds the list of endpoints. The makers of etcd advise seven members at
// most.
const MaxEndpoints = 16

// Times of the connections.
const (
	// openTime bounds Open: long enough for a cluster that elects a leader.
	openTime = 10 * time.Second
	// probeEvery is how often a silent connection is probed; members refuse clients that
	// probe more than every five seconds.
	probeEvery = 10 * time.Second
	// probeTime is how long a probe, or bytes that were sent, may go unanswered. Then the
	// connection is given up and another member is asked.
	probeTime = 2 * time.Second
)

// maxSend bounds a request: a transaction of the largest size, its comparisons, and
// the reads of its Else branch, each with keys of the largest size.
const maxSend = store.MaxTxnBytes + (4*store.MaxOps+4*store.MaxChecks)*(2*store.MaxKeyBytes)

// Options of a store.
type Options struct {
	// Endpoints are the members' client URLs, https://host:port.
	Endpoints []string
	// TLS has the roots of the members' certificates and this client's own; it is
	// required.
	TLS *tls.Config
	// Namespace begins all keys in the cluster, so that several stores may share one. If
	// empty, DefaultNamespace. Stores that share a cluster share its revisions too.
	// Therefore each can be watched from fewer of its own commits from before it was
	// opened.
	Namespace string
	// Log gets this driver's warnings. If nil, nothing is logged.
	Log *slog.Logger
}

// Validate checks what can be checked without a connection.
func (o Options) Validate() error {
	if len(o.Endpoints) == 0 {
		return errors.New("no endpoint")
	}
	if len(o.Endpoints) > MaxEndpoints {
		return fmt.Errorf("%d endpoints, %d at most", len(o.Endpoints), MaxEndpoints)
	}
	for _, e := range o.Endpoints {
		u, err := url.Parse(e)
		if err != nil || u.Scheme != "https" || u.Port() == "" || u.Hostname() == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
			return fmt.Errorf("endpoint %q is not https://host:port", e)
		}
	}
	return nil
}

func (o Options) namespace() string {
	if o.Namespace == "" {
		return DefaultNamespace
	}
	return o.Namespace
}

func (o Options) log() *slog.Logger {
	if o.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return o.Log
}

// DB is an open store. It implements store.Store.
type DB struct {
	log     *slog.Logger
	client  *engine.Client
	space   space
	cluster uint64 // the cluster's id
	id      uint64 // the store's own, random

	life   sync.RWMutex // read-locked by calls in progress, locked by Close
	closed bool         // under life
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	seen   atomic.Int64 // the highest etcd revision in any answer of a member
	// committed is the highest etcd revision of a commit by this process.
	committed atomic.Int64
	damaged   atomic.Pointer[string] // why nothing is served any more

	history history
	replays replayCache
	compact compaction

	callTime time.Duration // store.MaxCall; longer in tests that don't measure time
}

var _ store.Store = (*DB)(nil)

// Open connects to the cluster, and makes the store if the cluster has none. It fails
// when the cluster has no majority.
func Open(ctx context.Context, opts Options) (*DB, error) {
	if err := opts.Validate(); err != nil {
		return nil, fmt.Errorf("opening etcd: %w", err)
	}
	if opts.TLS == nil {
		return nil, errors.New("opening etcd: no TLS configuration")
	}
	db := &DB{log: opts.log(), space: space(opts.namespace()), callTime: store.MaxCall}
	db.ctx, db.cancel = context.WithCancel(context.Background())
	client, err := engine.New(engine.Config{
		Endpoints: opts.Endpoints, TLS: opts.TLS, Context: db.ctx, Logger: zap.NewNop(),
		DialTimeout: openTime, DialKeepAliveTime: probeEvery, DialKeepAliveTimeout: probeTime, PermitWithoutStream: true,
		MaxCallSendMsgSize: maxSend, MaxCallRecvMsgSize: math.MaxInt32,
	})
	if err != nil {
		db.cancel()
		return nil, fmt.Errorf("opening etcd: %w", err)
	}
	db.client = client
	if err := db.begin(ctx); err != nil {
		db.cancel()
		return nil, errors.Join(fmt.Errorf("opening etcd at %q: %w", opts.Endpoints, err), client.Close())
	}
	db.wg.Go(db.follow)
	db.wg.Go(db.compactLoop)
	return db, nil
}

// begin reads or makes the store's id, and starts the history at the cluster's present
// revision.
func (db *DB) begin(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	var own [idSize]byte
	rand.Read(own[:])
	key := db.space.id()
	var resp *engine.TxnResponse
	err := db.retry(ctx, func(ctx context.Context) (err error) {
		ctx, cancel := context.WithTimeout(ctx, openTime/attempts)
		defer cancel()
		resp, err = db.client.Txn(ctx).
			If(engine.Compare(engine.CreateRevision(key), "=", 0)).
			Then(engine.OpPut(key, string(own[:])), engine.OpGet(key)).
			Else(engine.OpGet(key), engine.OpGet(key)).
			Commit()
		return err
	})
	if err != nil {
		return db.fail(ctx, err)
	}
	kvs := resp.Responses[1].GetResponseRange().Kvs
	if len(kvs) != 1 || len(kvs[0].Value) != idSize {
		return fmt.Errorf("reading the store's id: %w", errCorrupt)
	}
	db.id, db.cluster = binary.BigEndian.Uint64(kvs[0].Value), resp.Header.ClusterId
	db.seen.Store(resp.Header.Revision)
	db.history.init(resp.Header.Revision)
	db.replays.init()
	return nil
}

// Close waits for the calls in progress, ends all watches and closes the
// connections. It is idempotent.
func (db *DB) Close() error {
	db.life.Lock()
	defer db.life.Unlock()
	if db.closed {
		return nil
	}
	db.closed = true
	db.cancel()
	db.wg.Wait()
	if err := db.client.Close(); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("closing etcd: %w", err)
	}
	return nil
}

// enter marks the beginning of a call, leave its end. A call that comes after Close gets
// ErrClosed, even while Close still waits for others.
func (db *DB) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !db.life.TryRLock() {
		return store.ErrClosed
	}
	if db.closed {
		db.life.RUnlock()
		return store.ErrClosed
	}
	if db.ctx.Err() != nil {
		db.life.RUnlock()
		return db.ended()
	}
	return nil
}

func (db *DB) leave() { db.life.RUnlock() }

// damage stops all service, because an answer of the cluster can't be true.
func (db *DB) damage(why string) {
	if db.damaged.CompareAndSwap(nil, &why) {
		db.log.Error("store stops serving until it is opened anew", "why", why)
		db.cancel()
	}
}

// ended is the error of every call after the store was closed or damaged.
func (db *DB) ended() error {
	if why := db.damaged.Load(); why != nil {
		return fmt.Errorf("%s: %w", *why, store.ErrUnavailable)
	}
	return store.ErrClosed
}

// Get reads one record, or says store.ErrNotFound.
func (db *DB) Get(ctx context.Context, key string) (store.Record, error) {
	return db.get(ctx, key, db.fresh)
}

// get reads one record with a read of either kind.
func (db *DB) get(ctx context.Context, key string, read readFunc) (store.Record, error) {
	if err := db.enter(ctx); err != nil {
		return store.Record{}, err
	}
	defer db.leave()
	resp, err := read(ctx, db.space.record(key))
	if err != nil {
		return store.Record{}, fmt.Errorf("reading %q: %w", key, err)
	}
	if len(resp.Kvs) == 0 {
		return store.Record{}, fmt.Errorf("reading %q: %w", key, store.ErrNotFound)
	}
	r, err := db.space.decode(resp.Kvs[0])
	if err != nil {
		return store.Record{}, fmt.Errorf("reading %q: %w", key, err)
	}
	return r, nil
}

// readFunc reads a key or a range of etcd: fresh, or that of a stale reader.
type readFunc func(ctx context.Context, key string, opts ...engine.OpOption) (*engine.GetResponse, error)

// fresh reads with a majority: it sees every write that was acknowledged before it began.
func (db *DB) fresh(ctx context.Context, key string, opts ...engine.OpOption) (*engine.GetResponse, error) {
	var resp *engine.GetResponse
	err := db.call(ctx, idempotent, func(ctx context.Context) (_ *pb.ResponseHeader, err error) {
		if resp, err = db.client.Get(ctx, key, opts...); err != nil {
			return nil, err
		}
		return resp.Header, nil
	})
	return resp, err
}
