package badger

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	engine "github.com/dgraph-io/badger/v4"

	"github.com/mezusphere/mezu/edgesvc/store"
)

// On a full disk the engine dies of SIGBUS, because it writes to mapped files whose blocks
// don't exist yet. It dies again whenever it is opened. Therefore writes are refused before
// the disk is full. If the disk gets full all the same, a file of ballast is deleted to make
// room.
const (
	// DefaultMinFree covers what the engine may still write after the last commit that was
	// admitted: three memtables as log and as table, a value log, and two compactions of
	// the first levels.
	DefaultMinFree = 256 << 20
	// DefaultBallast covers what the engine writes while it opens: new logs, and the
	// tables that it makes of the old ones.
	DefaultBallast = 64 << 20
)

// How often maintainLoop does what. The first ballast is written a tick after opening, so
// that it doesn't slow that down.
const (
	ballastTick = time.Second
	gcEvery     = 5 * time.Minute
	scrubEvery  = 24 * time.Hour
	// gcRatio is the part of a value log that must be garbage for it to be rewritten, as
	// the engine's authors advise.
	gcRatio = 0.5
)

// roomFor refuses if less than min bytes are free. If the file system can't tell, it is
// assumed to have room.
func (db *DB) roomFor(min int64) error {
	free, err := freeSpace(db.opts.Dir)
	if err != nil || free >= min {
		return nil
	}
	return store.Refusal(fmt.Sprintf("the disk is full, %d MiB are free of the %d MiB that writing needs", free>>20, min>>20))
}

// openRoom is what the engine writes while it opens, besides the tables of old logs: the
// headers of new logs, its lists, and a reserve for the first writes.
const openRoom = 4 << 20

// roomToOpen refuses if opening the engine would fill the disk, which would kill the
// process without a message. The engine first writes each log that was left behind as a
// table.
func (db *DB) roomToOpen() error {
	need, err := db.openingRoom()
	if err != nil {
		return err
	}
	if err := db.roomFor(need); err != nil {
		return fmt.Errorf("the disk is too full to open the store, make room on it and start again: %w", err)
	}
	return nil
}

// logsOf are the engine's logs of a kind, the oldest first: their names are of one length. The store's
// own path is no pattern, whatever is in it.
func (db *DB) logsOf(kind string) ([]string, error) {
	dir := filepath.Join(db.opts.Dir, engineDir)
	logs, err := fs.Glob(os.DirFS(dir), kind)
	for i, name := range logs {
		logs[i] = filepath.Join(dir, name)
	}
	return logs, err
}

// openingRoom is what the engine writes to make tables of its logs, when it opens or closes.
func (db *DB) openingRoom() (need int64, err error) {
	need = openRoom
	logs, err := db.logsOf("*.mem")
	for _, path := range logs {
		var used int64
		if used, err = usedSpace(path); err != nil {
			break
		}
		need += used
	}
	if err != nil {
		return 0, fmt.Errorf("measuring the store's logs: %w", err)
	}
	return need, nil
}

// spendBallast deletes the ballast if the disk is too full to open the engine.
func (db *DB) spendBallast() error {
	if db.roomFor(db.opts.minFree()/2) == nil {
		return nil
	}
	err := os.Remove(filepath.Join(db.opts.Dir, ballastName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("deleting ballast: %w", err)
	}
	db.log.Warn("disk full: ballast deleted to open the store, which refuses writes until there is space", "dir", db.opts.Dir)
	return nil
}

// maintainLoop keeps the ballast in place and collects the engine's garbage. Once a day it
// reads all tables, so that damage is found while there is a recent backup.
func (db *DB) maintainLoop() {
	tick := time.NewTicker(ballastTick)
	defer tick.Stop()
	gc := time.NewTicker(gcEvery)
	defer gc.Stop()
	scrub := time.NewTicker(scrubEvery)
	defer scrub.Stop()
	for {
		select {
		case <-db.ctx.Done():
			return
		case <-tick.C:
			if err := db.keepBallast(); err != nil {
				db.log.Warn("store ballast", "error", err)
			}
		case <-gc.C:
			if db.writable(db.opts.minFree()) != nil {
				continue // it writes what it keeps before it frees the rest
			}
			err := db.kv.RunValueLogGC(gcRatio)
			if err != nil && !errors.Is(err, engine.ErrNoRewrite) && !errors.Is(err, engine.ErrRejected) {
				db.log.Warn("store garbage collection", "error", err)
			}
		case <-scrub.C:
			if err := verifyTables(filepath.Join(db.opts.Dir, engineDir), func() bool { return db.ctx.Err() != nil }); err != nil {
				db.failed.Store(true)
				db.damaged.Store(true)
				db.log.Error("store is damaged and stops serving: restore a backup", "error", err)
			}
		}
	}
}

// keepBallast writes the ballast if it is missing and there is room for it.
func (db *DB) keepBallast() error {
	size, path := db.opts.ballast(), filepath.Join(db.opts.Dir, ballastName)
	if fi, err := os.Stat(path); size == 0 || err == nil && fi.Size() == size {
		return nil
	}
	if db.writable(db.opts.minFree()+size) != nil {
		return nil
	}
	if err := db.writeBallast(path, size); err != nil {
		// Half a ballast may have filled the disk.
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// writeBallast fills the file with random bytes, so that no file system can compress it or
// leave it sparse. It stops early, with an error, when the store closes.
func (db *DB) writeBallast(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("writing ballast: %w", err)
	}
	noise := make([]byte, 1<<20)
	rand.Read(noise)
	for left := size; left > 0 && err == nil; {
		if err = db.ctx.Err(); err == nil {
			n := min(left, int64(len(noise)))
			_, err = f.Write(noise[:n])
			left -= n
		}
	}
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("writing ballast: %w", err)
	}
	return nil
}
