// Package service is the front of the control plane's operations: it puts the nouns
// together over one store, and has what belongs to none of them, which is opening, the
// sweep, keys, backup and restore.
//
// What may not live here: an operation on a noun (packages identity, team, fleet and
// config), HTTP and JSON parsing (package rest), listeners, files and process life
// (package control), signing keys (package ca). Only control and its folders import it.
package service

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/ca"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/audit"
	"github.com/mezusphere/mezu/edgesvc/control/config"
	"github.com/mezusphere/mezu/edgesvc/control/fleet"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/control/team"
	"github.com/mezusphere/mezu/edgesvc/identity"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/sealed"
	"github.com/mezusphere/mezu/trust"
)

// What the process of a control plane needs to know of the nouns.
const (
	// SweepInterval is how often Sweep is to be called.
	SweepInterval = record.SweepInterval
	// TidyInterval is how often TidyDocuments is to be called.
	TidyInterval = config.TidyInterval
	// DenialWindow is how often FlushDenials is to be called.
	DenialWindow = access.DenialWindow
)

// Quotas bound how many records of a kind one owner may have, by the kind's name.
type Quotas = record.Quotas

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
	// MembersMayCreateOrganizations lets every member create organizations, else operators alone.
	MembersMayCreateOrganizations bool
	// Quotas bound what one owner may have.
	Quotas record.Quotas
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

// Service is the operations of all nouns. Its methods are safe for concurrent use.
type Service struct {
	*access.Access
	*identity.Identity
	*team.Team
	*fleet.Fleet
	*config.Configuration
	records   *record.Records
	cfg       Config
	backingUp *sync.Mutex // held while a backup is written
}

// Open prepares a service on its store: the installation's epoch and counter, the
// keyset and the edge list on the stream.
func Open(ctx context.Context, cfg Config) (*Service, error) {
	if err := errors.Join(validateDomain(cfg.Domain), cfg.Quotas.Validate(allQuotas())); err != nil {
		return nil, err
	}
	if err := access.CheckRules(); err != nil {
		return nil, err
	}
	records, err := record.Open(ctx, record.Config{Store: cfg.Store, Authority: cfg.Authority, Archive: cfg.Archive, Quotas: cfg.Quotas, Log: cfg.Log, Now: cfg.Now})
	if err != nil {
		return nil, err
	}
	s := assemble(cfg, records, &sync.Mutex{})
	return s, s.openStream(ctx)
}

// assemble puts the nouns together on the records.
func assemble(cfg Config, r *record.Records, backingUp *sync.Mutex) *Service {
	s := &Service{records: r, cfg: cfg, backingUp: backingUp}
	s.Access = access.New(r)
	s.Identity = identity.New(r, s.Access)
	s.Team = team.New(r, s.Access, team.Config{Site: cfg.Site, MembersMayCreateOrganizations: cfg.MembersMayCreateOrganizations, Bootstrapped: cfg.Bootstrapped})
	s.Fleet = fleet.New(r, s.Access, cfg.Domain, cfg.PublicPort)
	s.Configuration = config.New(r, s.Access, s.Identity, s.Fleet)
	s.Access.SetIdentifiers(s.Fleet.IdentifyPeer, s.Access.IdentifyBearer, s.Configuration.IdentifyAccount)
	for _, of := range []record.TaskHandlers{s.Team.Tasks(), s.Identity.Tasks(), s.Fleet.Tasks(), s.Configuration.Tasks()} {
		r.Handle(of)
	}
	return s
}

// on is the service on a layer over its store.
func (s *Service) on(layer store.Store) *Service {
	return assemble(s.cfg, s.records.Layered(layer), s.backingUp)
}

func validateDomain(domain string) error {
	host, err := mezu.CanonicalHost(domain)
	if err != nil || host != domain {
		return mezu.Invalid("domain", "the edge domain is a lower-case host name without a port, not %q", domain)
	}
	return nil
}

// Anchor is what the installation's own peers believe.
func (s *Service) Anchor() *trust.Anchor { return s.records.Anchor }

// Head is the newest position of the installation.
func (s *Service) Head(ctx context.Context) (mezu.Position, error) { return s.records.Head(ctx) }

// FinishTasks does every task that changes have left behind. It is called after a start.
func (s *Service) FinishTasks(ctx context.Context) error { return s.records.FinishRest(ctx) }
