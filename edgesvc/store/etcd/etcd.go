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
// A record's value in etcd begins with its revision. A write therefore knows what
// it replaces: it reads first, and its transaction compares the etcd revisions of
// all that it read. What changed in between is read again in the same round trip.
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

// MaxEndpoints is more members than an etcd cluster should have; seven is the
// most that its makers advise.
const MaxEndpoints = 16

// Times of the connections.
const (
	// openTime bounds Open: long enough for a cluster that elects a leader.
	openTime = 10 * time.Second
	// probeEvery is how often a silent connection is probed; members refuse clients that
	// probe more than every five seconds.
	probeEvery = 10 * time.Second
	// probeTime is how long a probe, or bytes that were sent, may go unanswered until
	// the connection is given up and another member is asked.
	probeTime = 2 * time.Second
)

// maxSend bounds a request: a transaction of the largest size, its comparisons, and
// the reads of its other branch, each with keys of the largest size.
const maxSend = store.MaxTxnBytes + (4*store.MaxOps+4*store.MaxChecks)*(2*store.MaxKeyBytes)

// Options of a store.
type Options struct {
	// Endpoints are the members' client URLs, https://host:port.
	Endpoints []string
	// TLS has the roots of the members' certificates and this client's own; it is
	// required.
	TLS *tls.Config
	// Namespace begins all keys in the cluster, so that stores may share one. If empty,
	// DefaultNamespace. Stores that share a cluster share its history too: each remembers
	// fewer commits of its own from before it was opened.
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

	life   sync.RWMutex // held for reading by calls in progress, for good by Close
	closed bool         // under life
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	seen   atomic.Int64 // the highest etcd revision that was heard of
	// committed is the highest that a commit of this process made.
	committed atomic.Int64
	damaged   atomic.Pointer[string] // why nothing is served any more

	history history
	past    past
	compact compaction

	callTime time.Duration // store.MaxCall, but in tests of what is no matter of time
}

var _ store.Store = (*DB)(nil)

// Open connects to the cluster, and makes the store in it if it has none. It fails
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

// begin reads or makes the store's id, and starts the history where the cluster is
// now.
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
	db.past.init()
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

// enter marks the begin of a call; leave, its end. A call that Close precedes gets
// ErrClosed, also while Close waits.
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

// damage ends all service: what the cluster says can't be true.
func (db *DB) damage(why string) {
	if db.damaged.CompareAndSwap(nil, &why) {
		db.log.Error("store stops serving until it is opened anew", "why", why)
		db.cancel()
	}
}

// ended says why nothing is served any more.
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

// get reads one record by a reading.
func (db *DB) get(ctx context.Context, key string, read reading) (store.Record, error) {
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

// reading reads a key or a range of etcd.
type reading func(ctx context.Context, key string, opts ...engine.OpOption) (*engine.GetResponse, error)

// fresh is the reading that sees every write acknowledged before it began.
func (db *DB) fresh(ctx context.Context, key string, opts ...engine.OpOption) (*engine.GetResponse, error) {
	var resp *engine.GetResponse
	err := db.call(ctx, again, func(ctx context.Context) (_ *pb.ResponseHeader, err error) {
		if resp, err = db.client.Get(ctx, key, opts...); err != nil {
			return nil, err
		}
		return resp.Header, nil
	})
	return resp, err
}
