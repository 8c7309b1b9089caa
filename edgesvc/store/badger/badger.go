// Package badger is the store of a control plane on one machine: the contract of
// package store over an embedded Badger.
//
// What lives here: that driver, and what Badger leaves to its caller: a history
// that can be watched from a position, leases, one durable write for many
// concurrent transactions, and what keeps the store safe on a full or failing disk.
// What may not: knowledge of any entity. Only the control plane and its tests import it.
//
// One goroutine commits, so that the order of commits is the order of the history.
// Reads see the state after the last durable commit, never one that is being
// written, and go on when writing fails.
package badger

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	engine "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/mezusphere/mezu/atomicfile"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// Sizes of the engine, small because the control plane shares its machine. The engine
// allows a transaction 15 % of a memtable, here 1.2 MiB. That is twice the contract's
// limit, with room for the driver's own entries.
const (
	memTableSize  = 8 << 20
	memTables     = 2
	valueLogSize  = 16 << 20
	cacheSize     = 8 << 20
	levelZero     = 3 // tables that start a compaction; few, so that it needs little disk
	levelZeroFull = 8 // tables that stall writes
	compactors    = 2 // the engine's minimum
)

// Names in Options.Dir.
const (
	engineDir   = "badger"
	ballastName = "ballast"
	markName    = "mark"
)

// Options of a store.
type Options struct {
	// Dir holds the store; it is made if missing, and locked while open.
	Dir string
	// Now is the clock that leases end by. If nil, time.Now.
	Now func() time.Time
	// Log gets the engine's messages and this driver's warnings. If nil, nothing is
	// logged.
	Log *slog.Logger
	// MinFree is the free space in bytes under which writes are refused. If zero,
	// DefaultMinFree.
	MinFree int64
	// Ballast is the size in bytes of a file that is deleted when the disk is too full to
	// open the store. If zero, DefaultBallast; if negative, there is none.
	Ballast int64
}

func (o Options) now() func() time.Time {
	if o.Now == nil {
		return time.Now
	}
	return o.Now
}

func (o Options) log() *slog.Logger {
	if o.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return o.Log
}

func (o Options) minFree() int64 {
	if o.MinFree == 0 {
		return DefaultMinFree
	}
	return o.MinFree
}

func (o Options) ballast() int64 {
	if o.Ballast == 0 {
		return DefaultBallast
	}
	return max(o.Ballast, 0)
}

// DB is an open store. It implements store.Store.
type DB struct {
	opts Options
	now  func() time.Time
	log  *slog.Logger
	lock io.Closer // of Options.Dir
	kv   *engine.DB
	run  uint64 // random number of this opening; see commitID
	mark *highWaterMark
	// folder is the engine's, as it was opened, and messages what the engine says.
	folder   os.FileInfo
	messages *engineLog
	// unflushed says that something was written since the opening, which closing the engine
	// makes a table of.
	unflushed atomic.Bool

	life   sync.RWMutex    // read-locked by calls in progress, locked by Close
	closed bool            // under life
	ctx    context.Context // of the goroutines in wg; ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	queue   chan *request
	failed  atomic.Bool // the disk failed: nothing is written until the store is opened anew
	damaged atomic.Bool // files are damaged: nothing is read any more either

	viewMu sync.Mutex
	view   *view

	history history
	leases  leases

	testOnlyCommit func(*engine.Txn) error // if not nil, in place of the engine's Commit
}

var _ store.Store = (*DB)(nil)

// Open opens the store in opts.Dir, or makes it. It fails if anything that was acknowledged
// is missing: a file is corrupt, the end of the log is lost, or the history has a gap.
func Open(opts Options) (*DB, error) {
	db := &DB{
		opts: opts, now: opts.now(), log: opts.log(),
		queue: make(chan *request, maxGroup),
	}
	db.ctx, db.cancel = context.WithCancel(context.Background())
	// The engine makes some files readable by all, so its directory must not be.
	sub := filepath.Join(opts.Dir, engineDir)
	for _, dir := range []string{opts.Dir, sub} {
		if err := atomicfile.EnsureOwnDir(dir); err != nil {
			return nil, fmt.Errorf("opening store: %w", err)
		}
	}
	if err := os.Chmod(sub, 0o700); err != nil {
		return nil, fmt.Errorf("opening store: %w", err)
	}
	lock, err := atomicfile.Lock(opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("opening store: %w", err)
	}
	db.lock = lock
	if err := db.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("opening store %s: %w", opts.Dir, err), db.release())
	}
	db.wg.Go(db.commitLoop)
	db.wg.Go(db.sweepLoop)
	db.wg.Go(db.maintainLoop)
	return db, nil
}

// open is the part of Open that needs the lock.
func (db *DB) open() error {
	if err := db.spendBallast(); err != nil {
		return err
	}
	var err error
	if db.mark, err = openHighWaterMark(filepath.Join(db.opts.Dir, markName)); err != nil {
		return err
	}
	if err := db.mendManifest(); err != nil {
		return err
	}
	if err := db.dropUnbegun(); err != nil {
		return err
	}
	if err := verifyTables(filepath.Join(db.opts.Dir, engineDir), func() bool { return false }); err != nil {
		return err
	}
	if err := db.roomToOpen(); err != nil {
		return err
	}
	if err := db.openEngine(); err != nil {
		return err
	}
	var b [8]byte
	rand.Read(b[:])
	db.run = binary.BigEndian.Uint64(b[:])
	return db.load()
}

// openEngine opens Badger. On damaged files Badger may also panic, and in one branch it
// only logs an error and goes on without the table; both are errors here.
func (db *DB) openEngine() (failure error) {
	defer func() {
		if r := recover(); r != nil {
			failure = fmt.Errorf("opening engine: panic: %v", r)
		}
	}()
	messages := &engineLog{log: db.log, complained: db.complained}
	dir := filepath.Join(db.opts.Dir, engineDir)
	var err error
	if db.folder, err = os.Stat(dir); err != nil {
		return fmt.Errorf("opening engine: %w", err)
	}
	// With an error the engine also gives a database that is half open, whose Close panics.
	kv, err := engine.Open(engine.DefaultOptions(dir).
		WithSyncWrites(true).
		WithDetectConflicts(true).
		WithChecksumVerificationMode(options.OnBlockRead).
		WithVerifyValueChecksum(true).
		WithMemTableSize(memTableSize).
		WithNumMemtables(memTables).
		WithValueLogFileSize(valueLogSize).
		WithBlockCacheSize(cacheSize).
		WithIndexCacheSize(cacheSize).
		WithNumLevelZeroTables(levelZero).
		WithNumLevelZeroTablesStall(levelZeroFull).
		WithNumCompactors(compactors).
		// Nearly every value is encrypted, and compression doesn't make that smaller. It
		// would only need a second copy of each table while it is built.
		WithCompression(options.None).
		WithMetricsEnabled(false).
		WithLogger(messages))
	if err != nil {
		return fmt.Errorf("opening engine: %w", err)
	}
	db.kv, db.messages = kv, messages
	if msg := messages.firstError(); msg != "" {
		return fmt.Errorf("opening engine: %s", msg)
	}
	messages.opened()
	return nil
}

// load reads history and leases from the engine and publishes the first view.
func (db *DB) load() error {
	db.history.init()
	txn := db.kv.NewTransaction(false)
	defer txn.Discard()
	if err := db.loadHistory(txn); err != nil {
		return fmt.Errorf("reading history: %w", err)
	}
	if err := db.loadLeases(txn); err != nil {
		return fmt.Errorf("reading leases: %w", err)
	}
	db.publish(db.history.head())
	return nil
}

// Close waits for the calls in progress, ends all watches and releases the engine.
// It is idempotent. On a disk that is full, failing or gone it says so and leaves the engine
// as a kill would: then the process is to end, and only the next one opens the store again.
func (db *DB) Close() error {
	db.life.Lock()
	defer db.life.Unlock()
	if db.closed {
		return nil
	}
	db.closed = true
	db.cancel()
	db.wg.Wait()
	if err := db.release(); err != nil {
		return fmt.Errorf("closing store %s: %w", db.opts.Dir, err)
	}
	return nil
}

// release closes and unlocks whatever Open has opened and locked.
func (db *DB) release() error {
	db.cancel()
	var errs []error
	if db.view != nil {
		db.view.txn.Discard()
	}
	if db.kv != nil {
		left, err := db.closeEngine()
		if left {
			return err
		}
		errs = append(errs, err)
	}
	if db.mark != nil {
		errs = append(errs, db.mark.close())
	}
	return errors.Join(append(errs, db.lock.Close())...)
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
	if db.damaged.Load() {
		db.life.RUnlock()
		return fmt.Errorf("files are damaged: %w", store.ErrUnavailable)
	}
	return nil
}

func (db *DB) leave() { db.life.RUnlock() }

// view is the state after the last durable commit. Many readers share it.
type view struct {
	txn    *engine.Txn // read only
	commit commitID    // the last one that it includes
	refs   int         // under viewMu; the DB holds one
}

// publish makes the engine's present state, which is that after the commit, the one that
// readers see.
func (db *DB) publish(id commitID) {
	next := &view{txn: db.kv.NewTransaction(false), commit: id, refs: 1}
	db.viewMu.Lock()
	old := db.view
	db.view = next
	db.viewMu.Unlock()
	if old != nil {
		db.unview(old)
	}
}

// acquire takes the present view. The caller gives it back with unview.
func (db *DB) acquire() *view {
	db.viewMu.Lock()
	defer db.viewMu.Unlock()
	db.view.refs++
	return db.view
}

func (db *DB) unview(v *view) {
	db.viewMu.Lock()
	v.refs--
	last := v.refs == 0
	db.viewMu.Unlock()
	if last {
		v.txn.Discard()
	}
}

// Stale implements store.Store. Every read here is of the last durable state and needs no
// other engine, even while the disk takes no writes.
func (db *DB) Stale() store.Reader { return db }

// Get reads one record, or says store.ErrNotFound.
func (db *DB) Get(ctx context.Context, key string) (store.Record, error) {
	if err := db.enter(ctx); err != nil {
		return store.Record{}, err
	}
	defer db.leave()
	v := db.acquire()
	defer db.unview(v)
	s, err := getRecord(v.txn, key)
	if err != nil {
		return store.Record{}, err
	}
	if s.revision == 0 {
		return store.Record{}, fmt.Errorf("reading %q: %w", key, store.ErrNotFound)
	}
	return store.Record{Key: key, Value: s.value, Revision: s.revision}, nil
}

// getRecord reads one record. Its revision is 0 when there is none. The value is a copy,
// which the caller may keep.
func getRecord(txn *engine.Txn, key string) (stored, error) {
	item, err := txn.Get(recordKey(key))
	if errors.Is(err, engine.ErrKeyNotFound) {
		return stored{}, nil
	}
	if err != nil {
		return stored{}, fmt.Errorf("reading %q: %w", key, err)
	}
	b, err := item.ValueCopy(nil)
	if err != nil {
		return stored{}, fmt.Errorf("reading %q: %w", key, err)
	}
	s, err := decodeRecord(b)
	if err != nil {
		return stored{}, fmt.Errorf("reading %q: %w", key, err)
	}
	return s, nil
}

// List reads a page of the records with the prefix.
func (db *DB) List(ctx context.Context, prefix, token string, limit int) (store.Page, error) {
	after, err := store.ParsePageToken(prefix, token)
	if err != nil {
		return store.Page{}, err
	}
	limit = store.PageLimit(limit)
	if err := db.enter(ctx); err != nil {
		return store.Page{}, err
	}
	defer db.leave()
	v := db.acquire()
	defer db.unview(v)

	opt := engine.DefaultIteratorOptions
	opt.Prefix = recordKey(prefix)
	opt.PrefetchSize = min(limit, opt.PrefetchSize)
	it := v.txn.NewIterator(opt)
	defer it.Close()
	start := recordKey(prefix)
	if after != "" {
		start = append(recordKey(after), 0)
	}
	page := store.Page{Position: v.commit.position()}
	size := 0
	for it.Seek(start); it.Valid(); it.Next() {
		if len(page.Records) == limit || size >= store.MaxPageBytes {
			page.Next = store.PageToken(page.Records[len(page.Records)-1].Key)
			break
		}
		if err := ctx.Err(); err != nil {
			return store.Page{}, err
		}
		key := string(it.Item().Key()[1:])
		b, err := it.Item().ValueCopy(nil)
		if err != nil {
			return store.Page{}, fmt.Errorf("listing %q: %w", key, err)
		}
		s, err := decodeRecord(b)
		if err != nil {
			return store.Page{}, fmt.Errorf("listing %q: %w", key, err)
		}
		page.Records = append(page.Records, store.Record{Key: key, Value: s.value, Revision: s.revision})
		size += len(key) + len(s.value)
	}
	return page, nil
}
