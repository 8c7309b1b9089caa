// Package service is the front of the control plane's operations: it opens the records,
// puts the nouns together over them, and runs their jobs and tasks.
//
// What may not live here: an operation on a noun (packages identity, team, fleet, config
// and installation), HTTP and JSON parsing (package rest), listeners, files and process life
// (package control), signing keys (package ca). Only control and its folders import it.
package service

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/config"
	"github.com/mezusphere/mezu/edgesvc/control/fleet"
	"github.com/mezusphere/mezu/edgesvc/control/installation"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/control/team"
	"github.com/mezusphere/mezu/edgesvc/identity/login"
	"github.com/mezusphere/mezu/edgesvc/identity/oauth"
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

// StoreConfig is what records are opened with.
type StoreConfig = record.Config

// Config is what a service works with.
type Config struct {
	StoreConfig
	// Domain is the edge domain, under which endpoints are labels.
	Domain string
	// PublicPort is the port in URLs; if zero or 443, none is shown.
	PublicPort int
	// Site is https://host[:port] at which people reach this control plane; links
	// in mails begin with it.
	Site string
	// MembersMayCreateOrganizations lets every member create organizations, else operators alone.
	MembersMayCreateOrganizations bool
	// TeamSignup says whether strangers may sign up at Site; if empty, they may not.
	TeamSignup mezu.SignupMode
	// Bootstrapped is called after the bootstrap code was redeemed; if nil,
	// nothing is.
	Bootstrapped func()
	// Hasher hashes passwords; the process has one. If nil, Open makes it.
	Hasher *login.Hasher
	// LoginCounted is told of each login, signup, reset, logout and refresh, by how it
	// ended; if nil, nobody is.
	LoginCounted func(what, outcome string)
	// NoDeviceLogin switches the login of devices without a browser off.
	NoDeviceLogin bool
	// SealRotated is called after a new data key was made, and must not block; if
	// nil, nothing is.
	SealRotated func()
	// Backup writes a backup of the store, dated at.
	Backup func(ctx context.Context, to io.Writer, at time.Time) error
}

// Service is the operations of all nouns. Its methods are safe for concurrent use.
type Service struct {
	*access.Access
	*login.Logins
	*team.Team
	*fleet.Fleet
	*config.Configuration
	*installation.Installation
	// Programs logs programs in on behalf of persons.
	Programs *oauth.Provider
	records  *record.Records
	cfg      Config
	fleet    fleet.Config
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
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Hasher == nil {
		cfg.Hasher = login.NewHasher()
	}
	anchor, err := fleet.NewAnchor(cfg.Authority, cfg.Now)
	if err != nil {
		return nil, err
	}
	records, err := record.Open(ctx, cfg.StoreConfig)
	if err != nil {
		return nil, err
	}
	s := assemble(cfg, records, fleet.Config{Domain: cfg.Domain, Port: cfg.PublicPort, Anchor: anchor})
	return s, s.OpenStream(ctx)
}

// assemble puts the nouns together on the records.
func assemble(cfg Config, r *record.Records, of fleet.Config) *Service {
	s := &Service{records: r, cfg: cfg, fleet: of}
	s.Access = access.New(r)
	s.Team = team.New(r, s.Access, team.Config{
		Site: cfg.Site, MembersMayCreateOrganizations: cfg.MembersMayCreateOrganizations, Words: login.InvitationMail, Bootstrapped: cfg.Bootstrapped,
		EndCredentials: func(ctx context.Context, ch *record.Change, person string) error {
			return s.Logins.EndCredentials(ctx, ch, person)
		},
	})
	s.Fleet = fleet.New(r, s.Access, of)
	s.Logins = login.New(r, s.Access, login.Config{
		Hasher: cfg.Hasher, Open: of.Anchor.OpenGrant, URL: s.Fleet.URL, Persons: s.Team, Site: cfg.Site, TeamSignup: cfg.TeamSignup, Counted: cfg.LoginCounted,
	})
	s.Configuration = config.New(r, s.Access, s.Identity, s.Fleet)
	s.Installation = installation.New(r, s.Fleet, s.Configuration, installation.Config{Store: cfg.Store, SealRotated: cfg.SealRotated, Backup: cfg.Backup})
	s.Programs = oauth.New(r, s.Access, oauth.Config{Site: cfg.Site, Visitor: s.Logins, NoDeviceLogin: cfg.NoDeviceLogin, DeviceLogin: s.Team.MayLogInDevices, Counted: cfg.LoginCounted})
	s.Access.SetIdentifiers(s.Fleet.IdentifyPeer, s.Access.IdentifyBearer, s.Configuration.IdentifyAccount)
	s.Access.SetReachers(s.Team.Reachers(), s.Configuration.Reachers())
	for _, tasks := range []record.TaskHandlers{s.Team.Tasks(), s.Identity.Tasks(), s.Fleet.Tasks(), s.Configuration.Tasks()} {
		r.Handle(tasks)
	}
	return s
}

// on is the service on a layer over its store.
func (s *Service) on(layer record.Layer) *Service {
	return assemble(s.cfg, s.records.Layered(layer), s.fleet)
}

func validateDomain(domain string) error {
	host, err := mezu.CanonicalHost(domain)
	if err != nil || host != domain {
		return mezu.Invalid("domain", "the edge domain is a lower-case host name without a port, not %q", domain)
	}
	return nil
}

// Now is the installation's clock.
func (s *Service) Now() time.Time { return s.records.Now() }

// Head is the newest position of the installation.
func (s *Service) Head(ctx context.Context) (mezu.Position, error) { return s.records.Head(ctx) }

// FinishTasks does every task that changes have left behind. It is called after a start.
func (s *Service) FinishTasks(ctx context.Context) error { return s.records.FinishRest(ctx) }
