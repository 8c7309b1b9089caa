package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/mezusphere/mezu/atomicfile"
	"github.com/mezusphere/mezu/edgesvc/control/backup"
	"github.com/mezusphere/mezu/edgesvc/control/format"
	"github.com/mezusphere/mezu/edgesvc/control/service"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/sealed"
)

// keyMark is the record that a backup is of the moment of.
const keyMark = "meta/backup"

// writeBackup writes a backup of the store as the driver has it.
func (c *Control) writeBackup(ctx context.Context, to io.Writer, at time.Time) error {
	return backup.Write(ctx, to, backup.Source{
		Store: c.raw, Wrapper: c.sealKey(), Leave: service.Leased, Mark: keyMark,
		Header: backup.Header{Format: format.Current, Program: c.cfg.Version, MadeAt: at},
	})
}

// Restored is what was put back.
type Restored struct {
	MadeAt  time.Time
	Program string
	Records int
}

// Restore puts a backup into the empty store of a control plane that
// isn't running, and raises its epoch, so that edges and Warpgates take what it says for
// newer than all before. What goes on at the moment is not taken up again (see
// service.EndsWithRestore), unless live is true: a control plane that moves to another
// store.
func Restore(ctx context.Context, cfg Config, file io.ReadSeeker, live bool) (Restored, error) {
	if cfg.Domain == "" {
		cfg.Domain = "localhost" // no restored record depends on it
	}
	c, err := New(cfg)
	if err != nil {
		return Restored{}, err
	}
	if err := atomicfile.EnsureOwnDir(c.cfg.StateDir); err != nil {
		return Restored{}, c.unusableState(err)
	}
	if err := c.openDriver(); err != nil {
		return Restored{}, err
	}
	out, err := c.restore(ctx, file, live)
	return out, errors.Join(exposed(err), c.Close())
}

func (c *Control) restore(ctx context.Context, file io.ReadSeeker, live bool) (Restored, error) {
	var out Restored
	h, err := backup.Restore(ctx, file, backup.Target{
		Store: c.raw, Wrapper: c.sealKey(), Format: format.Current, Marker: format.Restoring,
		Finish: func(ctx context.Context, _ backup.Header) (ops []store.Op, err error) {
			out.Records, ops, err = c.finishRestore(ctx, live)
			return ops, err
		},
	})
	out.MadeAt, out.Program = h.MadeAt, h.Program
	return out, err
}

// finishRestore opens the restored store, which proves that its keys are there, ends
// what is to end, and raises the epoch.
func (c *Control) finishRestore(ctx context.Context, live bool) (int, []store.Op, error) {
	s, err := sealed.Open(ctx, c.raw, sealed.Options{Wrapper: c.sealKey(), Plain: format.Plain, Now: c.cfg.Now})
	if err != nil {
		return 0, nil, fmt.Errorf("opening the restored store: %w", err)
	}
	records := 0
	for token := ""; ; {
		page, err := s.List(ctx, "", token, store.MaxPage)
		if err != nil {
			return 0, nil, fmt.Errorf("reading the restored store: %w", err)
		}
		for _, r := range page.Records {
			// A backup of an earlier program may have what lived under a lease.
			if !service.Leased(r.Key) && (live || !service.EndsWithRestore(r.Key, r.Value)) {
				records++
				continue
			}
			if _, err := s.Commit(ctx, store.Txn{Ops: []store.Op{{Key: r.Key, Delete: true}}}); err != nil {
				return 0, nil, fmt.Errorf("ending what was going on: %w", err)
			}
		}
		if token = page.Next; token == "" {
			break
		}
	}
	epoch, err := s.Get(ctx, service.KeyEpoch)
	if err != nil {
		return 0, nil, fmt.Errorf("reading the restored epoch: %w", err)
	}
	raised, err := service.RaiseEpoch(epoch.Value, c.cfg.Now())
	return records - 1, []store.Op{{Key: service.KeyEpoch, Value: raised}}, err
}
