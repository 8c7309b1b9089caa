// Package record is the transaction engine under the operations of the control plane: it
// reads records, plans a change, and commits it with its audit entry and the statements
// that edges get of it. Listings, watches, idempotency keys, deferred tasks and quotas
// are here as far as they know no noun.
//
// What may not live here: a noun, a caller, a rule of authority (package access).
// Packages access, identity, team, fleet, config, installation and service import it, and
// rest for what callers ask of listings and repetitions.
package record

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
)

// Records is the records of one installation. Its methods are safe for concurrent use.
type Records struct {
	// Store is for reading and following; whatever is written goes through Commit or
	// Housekeep.
	Store     Store
	store     sealedStore // the same
	Authority *ca.Authority
	Audit     *audit.Log
	quotas    Quotas
	Log       *slog.Logger
	Now       func() time.Time
	Epoch     uint64

	// publishing keeps the writers of one process from colliding at the
	// revision counter; between processes the counter's check decides. Nothing else is
	// kept in a process that another one would have to know: several serve one store.
	publishing *line
	// tidier deletes what documents left behind.
	tidier *document.Tidier
	// handlers do the tasks that changes leave behind.
	handlers TaskHandlers
	// mail says that somebody sends what is in the outbox.
	mail bool
}

// Store is what nouns may do with the store by themselves.
type Store interface {
	store.Reader
	Watch(ctx context.Context, prefix string, from store.Position) (store.Watcher, error)
	Grant(ctx context.Context, ttl time.Duration) (store.LeaseID, error)
	KeepAlive(ctx context.Context, id store.LeaseID) error
	// Derive makes a key of a purpose.
	Derive(purpose string) []byte
}

// sealedStore is the sealed store, or a layer over it.
type sealedStore interface {
	store.Store
	Derive(purpose string) []byte
}

// Config is what records are opened with.
type Config struct {
	// Store is owned by the caller.
	Store *sealed.Store
	// Authority signs statements.
	Authority *ca.Authority
	// Archive takes audit records from the store; if nil, they stay there.
	Archive *audit.Archive
	Quotas  Quotas
	// Mail says that somebody sends what is in the outbox.
	Mail bool
	Log  *slog.Logger
	// Now is the clock; if nil, time.Now.
	Now func() time.Time
}

// Open opens the audit log, and reads the epoch or makes it.
func Open(ctx context.Context, cfg Config) (*Records, error) {
	s := &Records{Store: cfg.Store, store: cfg.Store, Authority: cfg.Authority, quotas: cfg.Quotas, Log: cfg.Log, Now: cfg.Now, mail: cfg.Mail, publishing: newLine(), handlers: TaskHandlers{}}
	if s.Now == nil {
		s.Now = time.Now
	}
	s.tidier = document.NewTidier(s.Now)
	var err error
	s.Audit, err = audit.Open(ctx, audit.Config{
		Store: cfg.Store, Archive: cfg.Archive, Keyset: cfg.Authority.Keyset, Now: s.Now,
		Sign: func(statement any) (mezu.Signed, error) { return cfg.Authority.Sign(mezu.PurposeAudit, statement) },
	})
	if err != nil {
		return nil, err
	}
	return s, s.openInstallation(ctx)
}

// openInstallation reads or makes the epoch. A restore raises it; nothing here
// does.
func (s *Records) openInstallation(ctx context.Context) error {
	_, err := s.Commit(ctx, Internal(), func(ch *Change) error {
		epoch, err := Get[uint64](ctx, s, KeyEpoch)
		switch {
		case err == nil:
			s.Epoch = epoch.Value
			return nil
		case !errors.Is(err, store.ErrNotFound):
			return err
		}
		s.Epoch = 1
		ch.Create(KeyEpoch, s.Epoch)
		ch.Create(keyRevision, uint64(0))
		return nil
	})
	return err
}

// RefuseTaken refuses a name that is taken.
func (s *Records) RefuseTaken(ctx context.Context, key, noun, name string) error {
	taken, err := Optional[struct{}](ctx, s, key)
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

// FixedName refuses a change of name: endpoints, scripts and files hold it.
func FixedName(was, is string) error {
	if was != is {
		return mezu.Invalid("name", "is fixed at creation")
	}
	return nil
}

// Meta is the meta of a new record, whose id has this prefix.
func (s *Records) Meta(prefix string) mezu.Meta {
	now := s.Stamp()
	return mezu.Meta{ID: mezu.NewID(prefix, now), Revision: 1, CreatedAt: now, UpdatedAt: now}
}

// Touch is the meta of a record that is about to be written over revision.
func (s *Records) Touch(m mezu.Meta, revision uint64) mezu.Meta {
	m.Revision, m.UpdatedAt = revision+1, s.Stamp()
	return m
}

// Stamp is the current time as records show it.
func (s *Records) Stamp() time.Time { return s.Now().UTC().Truncate(time.Millisecond) }

// CheckRevision checks the revision that a caller insists on; zero is any.
func CheckRevision(ifMatch, revision uint64) error {
	if ifMatch == 0 || ifMatch == revision {
		return nil
	}
	return &mezu.Error{Code: mezu.CodePreconditionFailed, Detail: "the record has revision " + strconv.FormatUint(revision, 10) + " now, not " + strconv.FormatUint(ifMatch, 10),
		Hint: "read it again and repeat the change on what it is now"}
}

// NotFound refuses a reference to what is not there, or what the caller may not know of.
func NotFound(noun, hint string) error {
	return &mezu.Error{Code: mezu.CodeNotFound, Detail: "there is no such " + noun, Hint: hint, Cause: &Absent{Noun: noun}}
}

// Absent is the cause of NotFound: who knows how the caller named the thing can say so.
type Absent struct{ Noun string }

// Error says what is absent.
func (a *Absent) Error() string { return "no such " + a.Noun }
