// Package control is the control plane as a process runs it: it puts the parts together,
// opens them in their order, and ends them.
//
// What lives here: assembling and running. What may not: an operation or who may
// call it (package service), HTTP bodies (package rest), files (package state), listeners
// (package front), a flag or a terminal. Only cmd imports it.
package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/front"
	"github.com/mezusphere/mezu/edgesvc/control/post"
	"github.com/mezusphere/mezu/edgesvc/control/service"
	"github.com/mezusphere/mezu/edgesvc/control/snapshot"
	"github.com/mezusphere/mezu/edgesvc/control/state"
	"github.com/mezusphere/mezu/edgesvc/control/upkeep"
	"github.com/mezusphere/mezu/edgesvc/control/vault"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// DefaultAPIAddr is where the API listens when nothing else is said.
const DefaultAPIAddr = front.DefaultAPIAddr

// drainTime bounds the wait for calls in progress at the end.
const drainTime = 5 * time.Second

// Quotas bound how many records of a kind one owner may have, by the kind's name.
type Quotas = service.Quotas

// ParseQuotas reads settings of the form NAME=N.
func ParseQuotas(settings []string) (Quotas, error) { return service.ParseQuotas(settings) }

// SMTP is how mail is sent, and Mail one that is to be sent.
type (
	SMTP = post.SMTP
	Mail = post.Mail
)

// Config is what a control plane runs with.
type Config struct {
	// StateDir holds all that the control plane keeps on this machine.
	StateDir string
	// Store is used instead of an embedded one in StateDir, and not closed. It is
	// sealed as that is.
	Store store.Store
	// StoreDir is where the embedded store lies; if empty, in StateDir.
	StoreDir string
	// SealKey is where the key lies under which the store is sealed, as package
	// seal's NewWrapper reads it; if empty, a file in StateDir.
	SealKey string
	// Archive is where audit records go after a week: dir:PATH. If empty, a
	// directory in StateDir; control planes that share a store share one too.
	Archive string
	// CallRate is how many calls a second one caller may make of the API; if zero,
	// rest.DefaultCallRate.
	CallRate int
	// APIAddr is the host:port of the API; if empty, DefaultAPIAddr. Port 0
	// takes a free one.
	APIAddr string
	// Domain is the edge domain, under which endpoints are labels.
	Domain string
	// PublicPort is the edges' port in URLs; if zero, 443.
	PublicPort int
	// TLSCert and TLSKey are the files of the API's certificate; if empty, the
	// internal CA issues one for APIHosts and this machine's own names.
	TLSCert, TLSKey string
	// APIHosts are names and addresses by which clients know the API.
	APIHosts []string
	// MembersMayCreateOrganizations lets every member create organizations, else operators
	// alone.
	MembersMayCreateOrganizations bool
	// SMTP is how mail is sent; without an Address it is not.
	SMTP SMTP
	// OnMail takes each mail where there is no SMTP. Several goroutines call it.
	OnMail func(Mail)
	// Pages are further ones at the control plane's address, by their whole path.
	Pages map[string]http.Handler
	// Mail says that somebody else sends what is in the outbox. Without any of the three,
	// nobody can sign up or reset a password, and invitations stay in the outbox.
	Mail bool
	// TeamSignup says whether strangers may sign up at the control plane's own address; if
	// empty, they may not.
	TeamSignup mezu.SignupMode
	// NoDeviceLogin switches the login of devices without a browser off.
	NoDeviceLogin bool
	// Quotas bound what one owner may have.
	Quotas Quotas
	// Connections is how many the API may have open at once; if zero,
	// DefaultConnections. They must be there: what lies below the process's limit on
	// descriptors.
	Connections int
	// AdminAddr is the host:port of health and metrics; if empty, there is no
	// such listener.
	AdminAddr string
	Log       *slog.Logger
	// Notice is told, once, of the link with which a new installation's first
	// operator comes in; never the log. If nil, only the file has it.
	Notice io.Writer
	// LinesLost is how many lines of the log were dropped because nobody read them; if
	// nil, none are.
	LinesLost func() uint64
	// Now is the clock; if nil, time.Now.
	Now     func() time.Time
	Version string
}

// Control is a control plane. New assembles it, Listen acquires what it needs, Run
// serves.
type Control struct {
	cfg     Config
	state   *state.State
	front   *front.Front
	service *service.Service
	handler http.Handler
	upkeep  upkeep.Upkeep
	deliver post.Deliver  // nil if no mail is sent
	courier *post.Courier // as above
	// linkElsewhere is the control plane whose link the first operator comes in by, if it
	// isn't this one. Listen sets it.
	linkElsewhere string
	rotated       chan struct{} // holds one when records are to be sealed anew
	done          chan struct{} // closed when streams are to end
	endOnce       sync.Once
	closeOnce     sync.Once
	resetting     sync.Mutex // held by ResetOperator
}

// New checks a configuration. It opens nothing.
func New(cfg Config) (*Control, error) {
	if cfg.StateDir == "" {
		return nil, mezu.Invalid("state", "a directory for the control plane's state is needed")
	}
	if cfg.APIAddr == "" {
		cfg.APIAddr = DefaultAPIAddr
	}
	for field, addr := range map[string]string{"api_addr": cfg.APIAddr, "admin_addr": cfg.AdminAddr} {
		if _, _, err := net.SplitHostPort(addr); addr != "" && err != nil {
			return nil, mezu.Invalid(field, "is host:port, not %q", addr)
		}
	}
	if (cfg.TLSCert == "") != (cfg.TLSKey == "") {
		return nil, mezu.Invalid("tls_cert", "a certificate and its key are given together")
	}
	if host, err := mezu.CanonicalHost(cfg.Domain); err != nil || host != cfg.Domain || strings.ContainsAny(host, ":[") {
		return nil, mezu.Invalid("domain", "the edge domain is a lower-case host name without a port, not %q", cfg.Domain)
	}
	if cfg.PublicPort < 0 || cfg.PublicPort > 65535 {
		return nil, mezu.Invalid("public_port", "is between 1 and 65535")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.LinesLost == nil {
		cfg.LinesLost = func() uint64 { return 0 }
	}
	deliver, err := deliverBy(cfg)
	if err != nil {
		return nil, err
	}
	dir, err := state.New(state.Config{
		Dir: cfg.StateDir, Store: cfg.Store, StoreDir: cfg.StoreDir, SealKey: cfg.SealKey, Archive: cfg.Archive, Program: cfg.Version, Now: cfg.Now, Log: cfg.Log,
	})
	if err != nil {
		return nil, err
	}
	return &Control{cfg: cfg, state: dir, deliver: deliver, rotated: make(chan struct{}, 1), done: make(chan struct{}), front: front.New(front.Config{
		APIAddr: cfg.APIAddr, AdminAddr: cfg.AdminAddr, TLSCert: cfg.TLSCert, TLSKey: cfg.TLSKey, APIHosts: cfg.APIHosts,
		Connections: cfg.Connections, LinesLost: cfg.LinesLost, Now: cfg.Now, Log: cfg.Log,
	})}, nil
}

// deliverBy is how mail leaves this control plane; nil if it doesn't.
func deliverBy(cfg Config) (post.Deliver, error) {
	if err := cfg.SMTP.Validate(); err != nil {
		return nil, err
	}
	switch {
	case cfg.SMTP.Address != "":
		return post.BySMTP(cfg.SMTP)
	case cfg.OnMail != nil:
		return func(_ context.Context, m Mail) error { cfg.OnMail(m); return nil }, nil
	}
	return nil, nil
}

// Listen opens the state, makes a new installation where there is none, and binds
// the listeners. When it fails everything is released again.
func (c *Control) Listen() error {
	if err := c.listen(context.Background()); err != nil {
		return errors.Join(state.Exposed(err), c.Close())
	}
	return nil
}

func (c *Control) listen(ctx context.Context) error {
	if err := c.cfg.SMTP.CheckFiles(); err != nil {
		return err
	}
	if err := c.state.Prepare(); err != nil {
		return err
	}
	if err := c.front.Bind(); err != nil {
		return err
	}
	warnOfSiblings(c.cfg.Log, c.front.Site(), c.cfg.Domain)
	if err := c.state.OpenStore(ctx); err != nil {
		return err
	}
	authority, err := vault.Open(ctx, vault.Config{Store: c.state.Store(), Offline: c.state.Offline(), Holder: c.state.Holder(), Now: c.cfg.Now, Log: c.cfg.Log})
	if err != nil {
		return err
	}
	archived, err := c.state.OpenArchive(authority.TrustRoot())
	if err != nil {
		return err
	}
	c.service, err = service.Open(ctx, service.Config{
		StoreConfig: service.StoreConfig{Store: c.state.Store(), Authority: authority, Archive: archived, Quotas: c.cfg.Quotas, Log: c.cfg.Log, Now: c.cfg.Now, Mail: c.cfg.Mail || c.deliver != nil},
		Domain:      c.cfg.Domain, PublicPort: c.cfg.PublicPort, Site: c.front.Site(), MembersMayCreateOrganizations: c.cfg.MembersMayCreateOrganizations, TeamSignup: c.cfg.TeamSignup,
		Bootstrapped: c.state.ForgetBootstrap, SealRotated: c.sealRotated, LoginCounted: c.front.CountLogin, NoDeviceLogin: c.cfg.NoDeviceLogin,
		Backup: func(ctx context.Context, to io.Writer, at time.Time) error { return c.snapshot().Write(ctx, to, at) },
	})
	if err != nil {
		return fmt.Errorf("opening the installation: %w", err)
	}
	if err := c.state.WriteSite(c.front.Site(), c.front.OwnCertificate()); err != nil {
		c.cfg.Log.Warn("links of mezusphere operator reset may lead elsewhere", "error", err)
	}
	writeCA := func() error { return c.state.WriteCA(authority.RootsPEM(), authority.TrustRoot()) }
	if err := writeCA(); err != nil {
		return err
	}
	var metrics []prometheus.Collector
	if c.deliver != nil {
		c.courier = post.New(post.Config{Store: c.state.Store(), Deliver: c.deliver, Now: c.cfg.Now, Log: c.cfg.Log})
		metrics = c.courier.Collectors()
	}
	if err := c.front.Open(authority, metrics...); err != nil {
		return err
	}
	c.handler, err = c.front.Handler(front.API{CallRate: c.cfg.CallRate, Service: c.service, Version: c.cfg.Version, Done: c.done, Pages: c.cfg.Pages})
	if err != nil {
		return err
	}
	c.upkeep = upkeep.Upkeep{Service: c.service, Store: c.state.Store(), Holder: c.state.Holder(),
		Renew: c.front.RenewCertificate, CertificateEnd: c.front.CertificateEnd, WriteCA: writeCA, SealRotated: c.rotated, Log: c.cfg.Log, Now: c.cfg.Now}
	return c.offerBootstrap(ctx)
}

// sealRotated has records sealed anew at once.
func (c *Control) sealRotated() {
	select {
	case c.rotated <- struct{}{}:
	default:
	}
}

// snapshot is the open store, as backups have it.
func (c *Control) snapshot() snapshot.Store {
	return snapshot.Store{Driver: c.state.Driver(), SealKey: c.state.SealKey(), Program: c.cfg.Version, Now: c.cfg.Now}
}

// Restored is what was put back.
type Restored = snapshot.Restored

// Restore puts a backup into the empty store of a control plane that isn't running. If
// live is true the control plane moves to another store, and goes on where it was.
func Restore(ctx context.Context, cfg Config, file io.ReadSeeker, live bool) (Restored, error) {
	if cfg.Domain == "" {
		cfg.Domain = "localhost" // no restored record depends on it
	}
	c, err := New(cfg)
	if err != nil {
		return Restored{}, err
	}
	if err := c.state.Prepare(); err != nil {
		return Restored{}, err
	}
	if err := c.state.OpenDriver(); err != nil {
		return Restored{}, err
	}
	out, err := c.snapshot().Restore(ctx, file, live)
	return out, errors.Join(state.Exposed(err), c.Close())
}

// Addr is the API's host:port, once Listen has returned.
func (c *Control) Addr() string { return c.front.Addr() }

// AdminAddr is the admin listener's host:port, empty if there is none.
func (c *Control) AdminAddr() string { return c.front.AdminAddr() }

// CAFile is the file with the roots of the internal CA in PEM.
func (c *Control) CAFile() string { return c.state.CAFile() }

// Run serves until ctx ends, then lets calls in progress finish for a few seconds
// and releases everything. Open streams are ended at once: edges resume.
func (c *Control) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := c.front.Serve(c.handler, c.ready)
	var running sync.WaitGroup
	running.Go(func() { c.upkeep.Run(ctx) })
	if c.courier != nil {
		running.Go(func() { c.courier.Run(ctx) })
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	cancel()
	c.endStreams()
	drain, stop := context.WithTimeout(context.Background(), drainTime)
	defer stop()
	err = errors.Join(err, c.front.Shutdown(drain))
	running.Wait()
	if flushErr := c.service.FlushDenials(drain, true); flushErr != nil {
		c.cfg.Log.Error("writing down denied attempts", "error", flushErr)
	}
	return errors.Join(err, c.Close())
}

// ready says why the control plane can't serve now. Who only reads may still be served while
// writes are refused, but logins, renewals and audits are writes, too.
func (c *Control) ready(ctx context.Context) error {
	if err := c.state.Store().Writable(ctx); err != nil {
		return err
	}
	_, err := c.service.Head(ctx)
	return err
}

func (c *Control) endStreams() { c.endOnce.Do(func() { close(c.done) }) }

// Close releases listeners and store. It is idempotent, and says only once what went wrong;
// Run calls it.
func (c *Control) Close() (err error) {
	c.closeOnce.Do(func() {
		c.endStreams()
		err = errors.Join(c.front.Close(), c.state.Close())
	})
	return err
}

// JoinToken lets one edge of this very process enrol. Listen comes first.
func (c *Control) JoinToken(ctx context.Context) (string, error) {
	return c.service.LocalJoinToken(ctx)
}
