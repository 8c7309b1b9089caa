package badger

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// The engine makes a log of values or of a memtable as an empty file, and then gives it its size
// and its head. One that was empty when the process was killed makes the next opening fail, which
// takes it for a file that is there and finds that it is new.

// dropUnbegun removes the newest log of each kind if it is empty: that one alone can be so by a
// kill, and it has nothing. That an older one is empty, or that something is missing with it, the
// engine and load find out.
func (db *DB) dropUnbegun() error {
	for _, kind := range []string{"*.vlog", "*.mem"} {
		logs, err := db.logsOf(kind)
		if err != nil || len(logs) == 0 {
			continue // the pattern is good
		}
		newest := logs[len(logs)-1]
		info, err := os.Stat(newest)
		if err == nil && info.Size() == 0 {
			err = os.Remove(newest)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing an empty log of the engine: %w", err)
		}
	}
	return nil
}
