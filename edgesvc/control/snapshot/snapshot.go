// Package snapshot writes a backup of a running installation, and puts one into the
// store of one that isn't running.
//
// What lives here: what of the records goes into a backup and comes back out of it. What
// may not: the file's format (package backup). Only control imports it.
package snapshot

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/mezusphere/mezu/edgesvc/control/backup"
	"github.com/mezusphere/mezu/edgesvc/control/format"
	"github.com/mezusphere/mezu/edgesvc/control/restore"
	"github.com/mezusphere/mezu/edgesvc/seal"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/sealed"
)

// keyMark is the record that a backup is of the moment of.
const keyMark = "meta/backup"

// Store is a store as the driver has it, with its key.
type Store struct {
	Driver  store.Store
	SealKey seal.Wrapper
	// Program is this program's version.
	Program string
	Now     func() time.Time
}

// Write writes a backup.
func (s Store) Write(ctx context.Context, to io.Writer, at time.Time) error {
	return backup.Write(ctx, to, backup.Source{
		Store: s.Driver, Wrapper: s.SealKey, Leave: restore.Leased, Mark: keyMark,
		Header: backup.Header{Format: format.Current, Program: s.Program, MadeAt: at},
	})
}

// Restored is what was put back.
type Restored struct {
	MadeAt  time.Time
	Program string
	Records int
}

// Restore puts a backup into an empty store and raises the epoch, so that edges and
// Warpgates take what the control plane says for newer than all before. What went on at
// the moment of the backup is not taken up again (see restore.EndsWithRestore), unless
// live is true: a control plane that moves to another store.
func (s Store) Restore(ctx context.Context, file io.ReadSeeker, live bool) (Restored, error) {
	var out Restored
	h, err := backup.Restore(ctx, file, backup.Target{
		Store: s.Driver, Wrapper: s.SealKey, Format: format.Current, Marker: format.Restoring,
		Finish: func(ctx context.Context, _ backup.Header) (ops []store.Op, err error) {
			out.Records, ops, err = s.finish(ctx, live)
			return ops, err
		},
	})
	out.MadeAt, out.Program = h.MadeAt, h.Program
	return out, err
}

// finish opens the restored store, which proves that its keys are there, deletes what
// does not come back, and gives the operation that raises the epoch.
func (s Store) finish(ctx context.Context, live bool) (records int, raise []store.Op, err error) {
	opened, err := sealed.Open(ctx, s.Driver, sealed.Options{Wrapper: s.SealKey, Plain: format.Plain, Now: s.Now})
	if err != nil {
		return 0, nil, fmt.Errorf("opening the restored store: %w", err)
	}
	for token := ""; ; {
		page, err := opened.List(ctx, "", token, store.MaxPage)
		if err != nil {
			return 0, nil, fmt.Errorf("reading the restored store: %w", err)
		}
		for _, r := range page.Records {
			// A backup of an earlier program may have what lived under a lease.
			if !restore.Leased(r.Key) && (live || !restore.EndsWithRestore(r.Key, r.Value)) {
				records++
				continue
			}
			if _, err := opened.Commit(ctx, store.Txn{Ops: []store.Op{{Key: r.Key, Delete: true}}}); err != nil {
				return 0, nil, fmt.Errorf("ending what was going on: %w", err)
			}
		}
		if token = page.Next; token == "" {
			break
		}
	}
	epoch, err := opened.Get(ctx, restore.KeyEpoch)
	if err != nil {
		return 0, nil, fmt.Errorf("reading the restored epoch: %w", err)
	}
	raised, err := restore.RaiseEpoch(epoch.Value, s.Now())
	return records - 1, []store.Op{{Key: restore.KeyEpoch, Value: raised}}, err // without the marker
}
