package service

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/ca"
	"github.com/mezusphere/mezu/edgesvc/control/audit"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/document"
	"github.com/mezusphere/mezu/edgesvc/store/sealed"
	"github.com/mezusphere/mezu/trust"
)

// Records is the records of one installation. Its methods are safe for concurrent use.
type Records struct {
	store     sealedStore
	authority *ca.Authority
	anchor    *trust.Anchor
	audit     *audit.Log
	quotas    Quotas
	log       *slog.Logger
	now       func() time.Time
	epoch     uint64

	// publishing keeps the writers of one process from colliding at the
	// revision counter; between processes the counter's check decides. Nothing else is
	// kept in a process that another one would have to know: several serve one store.
	publishing *line
	// tidier deletes what documents left behind.
	tidier *document.Tidier
	// handlers do the tasks that changes leave behind.
	handlers taskHandlers
}

// sealedStore is the sealed store, or a layer over it.
type sealedStore interface {
	store.Store
	Derive(purpose string) []byte
}

// RecordsConfig is what records are opened with.
type RecordsConfig struct {
	// Store is owned by the caller.
	Store *sealed.Store
	// Authority signs statements.
	Authority *ca.Authority
	// Archive takes audit records from the store; if nil, they stay there.
	Archive *audit.Archive
	Quotas  Quotas
	Log     *slog.Logger
	// Now is the clock; if nil, time.Now.
	Now func() time.Time
}

// openRecords opens the audit log, believes the authority's keyset, and reads the epoch or
// makes it.
func openRecords(ctx context.Context, cfg RecordsConfig) (*Records, error) {
	s := &Records{store: cfg.Store, authority: cfg.Authority, quotas: cfg.Quotas, log: cfg.Log, now: cfg.Now, publishing: newLine(), handlers: taskHandlers{}}
	if s.now == nil {
		s.now = time.Now
	}
	s.tidier = document.NewTidier(s.now)
	var err error
	s.audit, err = audit.Open(ctx, audit.Config{
		Store: cfg.Store, Archive: cfg.Archive, Keyset: cfg.Authority.Keyset, Now: s.now,
		Sign: func(statement any) (mezu.Signed, error) { return cfg.Authority.Sign(mezu.PurposeAudit, statement) },
	})
	if err != nil {
		return nil, err
	}
	s.anchor = trust.New(cfg.Authority.TrustRoot(), s.now)
	if _, err := s.anchor.AcceptKeyset(cfg.Authority.Keyset()); err != nil {
		return nil, err
	}
	return s, s.openInstallation(ctx)
}

// openInstallation reads or makes the epoch. A restore raises it; nothing here
// does.
func (s *Records) openInstallation(ctx context.Context) error {
	_, err := s.commit(ctx, internal(), func(ch *change) error {
		epoch, err := get[uint64](ctx, s, keyEpoch)
		switch {
		case err == nil:
			s.epoch = epoch.Value
			return nil
		case !errors.Is(err, store.ErrNotFound):
			return err
		}
		s.epoch = 1
		ch.create(keyEpoch, s.epoch)
		ch.create(keyRevision, uint64(0))
		return nil
	})
	return err
}

// free refuses a name that is taken.
func (s *Records) free(ctx context.Context, key, noun, name string) error {
	taken, err := optional[struct{}](ctx, s, key)
	if err == nil && taken.Revision != 0 {
		err = &mezu.Error{Code: mezu.CodeConflict, Field: "name", Detail: "there is " + article(noun) + " named " + name + " already", Hint: "choose another name"}
	}
	return err
}

func article(noun string) string {
	switch noun[0] {
	case 'a', 'e', 'i', 'o', 'u':
		return "an " + noun
	}
	return "a " + noun
}

// fixedName refuses a change of name: endpoints, scripts and files hold it.
func fixedName(was, is string) error {
	if was != is {
		return mezu.Invalid("name", "is fixed at creation")
	}
	return nil
}

func (s *Records) meta(prefix string) mezu.Meta {
	now := s.stamp()
	return mezu.Meta{ID: mezu.NewID(prefix, now), Revision: 1, CreatedAt: now, UpdatedAt: now}
}

// touch is the meta of a record that is about to be written over revision.
func (s *Records) touch(m mezu.Meta, revision uint64) mezu.Meta {
	m.Revision, m.UpdatedAt = revision+1, s.stamp()
	return m
}

// stamp is the current time as records show it.
func (s *Records) stamp() time.Time { return s.now().UTC().Truncate(time.Millisecond) }

// matches checks the revision that a caller insists on; zero is any.
func matches(ifMatch, revision uint64) error {
	if ifMatch == 0 || ifMatch == revision {
		return nil
	}
	return &mezu.Error{Code: mezu.CodePreconditionFailed, Detail: "the record has revision " + strconv.FormatUint(revision, 10) + " now, not " + strconv.FormatUint(ifMatch, 10),
		Hint: "read it again and repeat the change on what it is now"}
}

func notFound(noun, hint string) error {
	return &mezu.Error{Code: mezu.CodeNotFound, Detail: "there is no such " + noun, Hint: hint}
}
