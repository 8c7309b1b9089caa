// Package service is the control plane's operations over its store: who may do
// what to which record, what a change writes and publishes, and what must happen
// later because of it. Every method takes the caller and decides at the data.
//
// What may not live here: HTTP and JSON parsing (package rest), listeners, files
// and process life (package control), signing keys (package ca). Only control and
// its folders import it.
package service

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/ca"
	"github.com/mezusphere/mezu/edgesvc/control/audit"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/document"
	"github.com/mezusphere/mezu/edgesvc/store/sealed"
	"github.com/mezusphere/mezu/trust"
)

// Config is what a service works with.
type Config struct {
	// Store is owned by the caller, who closes it after the service's last
	// call. What this package writes through it is encrypted at rest.
	Store     *sealed.Store
	Authority *ca.Authority
	// Archive takes audit records from the store; if nil, they stay there.
	Archive *audit.Archive
	// Domain is the edge domain, under which endpoints are labels.
	Domain string
	// PublicPort is the port in URLs; if zero or 443, none is shown.
	PublicPort int
	// Site is https://host[:port] at which people reach this control plane; links
	// in mails begin with it.
	Site string
	// MembersFound lets every member create organizations, else operators alone.
	MembersFound bool
	// Quotas bound what one owner may have.
	Quotas Quotas
	Log    *slog.Logger
	// Now is the clock; if nil, time.Now.
	Now func() time.Time
	// Bootstrapped is called after the bootstrap code was redeemed; if nil,
	// nothing is.
	Bootstrapped func()
	// SealRotated is called after a new data key was made, and must not block; if
	// nil, nothing is.
	SealRotated func()
	// Backup writes a backup of the store, dated at.
	Backup func(ctx context.Context, to io.Writer, at time.Time) error
}

// Service is the operations. Its methods are safe for concurrent use.
type Service struct {
	store     records
	sealed    *sealed.Store // that store, without a layer over it: its keys
	authority *ca.Authority
	anchor    *trust.Anchor
	audit     *audit.Log
	domain    string
	port      int
	site      string
	// membersFound: see Config.
	membersFound bool
	quotas       Quotas
	log          *slog.Logger
	now          func() time.Time
	epoch        uint64
	mailKey      []byte // of the blind index of users' addresses
	// bootstrapped and sealRotated may be nil.
	bootstrapped, sealRotated func()
	backup                    func(context.Context, io.Writer, time.Time) error
	backingUp                 *sync.Mutex // held while backup runs

	// publishing keeps the writers of one process from colliding at the
	// revision counter; between processes the counter's check decides. Nothing else is
	// kept in a process that another one would have to know: several serve one store.
	publishing *line
	// tidier deletes what documents left behind.
	tidier *document.Tidier
	// handlers do the tasks that changes leave behind.
	handlers taskHandlers
	// identifiers find out who calls, each by one kind of credential.
	identifiers []identifier
}

// Open prepares a service on its store: the installation's epoch and counter, the
// keyset and the edge list on the stream.
func Open(ctx context.Context, cfg Config) (*Service, error) {
	s := &Service{store: cfg.Store, sealed: cfg.Store, authority: cfg.Authority, domain: cfg.Domain, port: cfg.PublicPort, site: cfg.Site, membersFound: cfg.MembersFound, quotas: cfg.Quotas, log: cfg.Log, now: cfg.Now,
		bootstrapped: cfg.Bootstrapped, sealRotated: cfg.SealRotated, backup: cfg.Backup, publishing: newLine(), backingUp: &sync.Mutex{}}
	if s.now == nil {
		s.now = time.Now
	}
	s.tidier = document.NewTidier(s.now)
	s.handlers, s.identifiers = taskHandlers{}, []identifier{s.identifyPeer, s.identifyBearer, s.identifyAccount}
	for _, of := range []taskHandlers{s.teamTasks(), s.identityTasks(), s.fleetTasks(), s.configurationTasks()} {
		s.handle(of)
	}
	if err := errors.Join(validateDomain(cfg.Domain), cfg.Quotas.validate(allQuotas())); err != nil {
		return nil, err
	}
	for _, op := range api.Operations() {
		if _, ok := rules[op.ID]; !ok {
			return nil, mezu.Errorf(mezu.CodeInternal, "operation %s has no rule of authority", op.ID)
		}
	}
	var err error
	s.audit, err = audit.Open(ctx, audit.Config{
		Store: cfg.Store, Archive: cfg.Archive, Keyset: cfg.Authority.Keyset, Now: s.now,
		Sign: func(statement any) (mezu.Signed, error) { return cfg.Authority.Sign(mezu.PurposeAudit, statement) },
	})
	if err != nil {
		return nil, err
	}
	s.mailKey = cfg.Store.Derive(purposeMail)
	s.anchor = trust.New(cfg.Authority.TrustRoot(), s.now)
	if _, err := s.anchor.AcceptKeyset(cfg.Authority.Keyset()); err != nil {
		return nil, err
	}
	if err := s.openInstallation(ctx); err != nil {
		return nil, err
	}
	return s, s.openStream(ctx)
}

func validateDomain(domain string) error {
	host, err := mezu.CanonicalHost(domain)
	if err != nil || host != domain {
		return mezu.Invalid("domain", "the edge domain is a lower-case host name without a port, not %q", domain)
	}
	return nil
}

// openInstallation reads or makes the epoch. A restore raises it; nothing here
// does.
func (s *Service) openInstallation(ctx context.Context) error {
	_, err := s.commit(ctx, internal, func(ch *change) error {
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

// Anchor is what the installation's own peers believe.
func (s *Service) Anchor() *trust.Anchor { return s.anchor }
