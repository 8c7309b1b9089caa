package badger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	engine "github.com/dgraph-io/badger/v4"

	"github.com/mezusphere/mezu/edgesvc/store"
)

// What is acknowledged is in the engine's log. To close, the engine also makes a table of it, in
// goroutines of its own. On a full disk it dies of SIGBUS there, and where it can't make the
// table it tries again each second for ever. So where there is no room, or no folder, the
// engine is not closed: it is left as a kill leaves it, and the next opening goes on from the
// log, as after every kill.

// closeTime is how long the engine may take to close: two memtables as tables, on a disk that
// others keep busy. Whoever stops the process may have a shorter patience, and kills it then. That
// costs no more than to leave the engine as it is.
const closeTime = time.Minute

// ErrGone says that somebody took the store's folder away while it was open. What is written to
// its files since is nowhere.
const ErrGone store.Refusal = "the store's folder is gone, or another lies in its place"

// Writable says why writes are refused now, or nil.
func (db *DB) Writable(ctx context.Context) error {
	if err := db.enter(ctx); err != nil {
		return err
	}
	defer db.leave()
	return db.writable(db.opts.minFree())
}

// writable says why nothing can be written, or what leaves less than min bytes of the disk.
func (db *DB) writable(min int64) error {
	if db.failed.Load() {
		return store.Refusal("writing to the disk failed before; the log says how, and a restart follows a check of the disk")
	}
	if err := db.there(); err != nil {
		return err
	}
	return db.roomFor(min)
}

// there says whether the engine's folder and its list of tables are still where they were
// opened. Only what is certainly gone is.
func (db *DB) there() error {
	dir := filepath.Join(db.opts.Dir, engineDir)
	is, err := os.Stat(dir)
	if err == nil && !os.SameFile(is, db.folder) {
		return ErrGone
	}
	if err == nil {
		_, err = os.Stat(filepath.Join(dir, engine.ManifestFilename))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return ErrGone
	}
	return nil
}

// closeEngine closes the engine, or says why it is left as it is. With left, its files are
// still open and locked, and end with the process.
func (db *DB) closeEngine() (left bool, err error) {
	if db.unflushed.Load() {
		if err := db.cantFlush(); err != nil {
			return true, err
		}
	}
	stuck := db.messages.closing()
	closed := make(chan error, 1)
	go func() { closed <- closeKV(db.kv) }()
	timer := time.NewTimer(closeTime)
	defer timer.Stop()
	select {
	case err := <-closed:
		return false, err
	case <-stuck:
		err = errors.New(db.messages.lastError())
	case <-timer.C:
		err = fmt.Errorf("the engine has not ended after %v", closeTime)
	}
	return true, leftBehind(err)
}

// leftBehind says of a store that was not closed what became of it.
func leftBehind(why error) error {
	return fmt.Errorf("%w; it was left as it is, with all that was acknowledged, and the next start goes on from there", why)
}

// cantFlush says why the engine can't make tables of what is only in its log.
func (db *DB) cantFlush() error {
	if err := db.there(); err != nil {
		return fmt.Errorf("%w; what it held is there only if it was moved", err)
	}
	need, err := db.openingRoom()
	if err == nil {
		// Somebody else may be filling the disk. The half that writes don't take is a
		// distance that they don't fill meanwhile.
		err = db.roomFor(max(need, db.opts.minFree()/2))
	}
	if err != nil {
		return leftBehind(err)
	}
	return nil
}

// closeKV closes the engine. What it does in this goroutine on a disk that fails is an error
// here, and not the end of the process.
func closeKV(kv *engine.DB) (failure error) {
	debug.SetPanicOnFault(true)
	defer func() {
		if r := recover(); r != nil {
			failure = fmt.Errorf("closing engine: panic: %v", r)
		}
	}()
	return kv.Close()
}
