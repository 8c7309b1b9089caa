package installation

import (
	"context"
	"io"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// keyBackup is the record of the last backup that was begun.
const keyBackup = "backup/last"

// backupAudited is what the audit record of a backup tells, and its record.
type backupAudited struct {
	At time.Time `json:"at"`
}

// Backup writes a backup of the whole store, as it lies there. The caller can't read
// it: the key is kept outside the store.
func (s *Installation) Backup(ctx context.Context, c access.Caller, to io.Writer) error {
	if _, err := access.Admit(api.OpBackup, c); err != nil {
		return err
	}
	if !s.backingUp.TryLock() {
		return &mezu.Error{Code: mezu.CodeConflict, Detail: "a backup is being written", Hint: "wait until it is done"}
	}
	defer s.backingUp.Unlock()
	at := s.records.Stamp()
	_, err := s.records.Commit(ctx, access.By(c, api.OpBackup.ID), func(ch *record.Change) error {
		ch.Put(keyBackup, backupAudited{at})
		ch.Audit(record.About(record.KindBackup, "store", ""), nil, backupAudited{at})
		return nil
	})
	if err != nil {
		return err
	}
	return s.cfg.Backup(ctx, to, at)
}
