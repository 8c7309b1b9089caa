// Package control is the control plane as a process runs it: its state directory,
// its listeners and certificates, its first run and its recurring work.
//
// What lives here: assembling and running. What may not: an operation or who may
// call it (package service), HTTP bodies (package rest), a flag or a terminal. Only
// cmd imports it.
package control

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/admission"
	"github.com/mezusphere/mezu/atomicfile"
	"github.com/mezusphere/mezu/backoff"
	"github.com/mezusphere/mezu/edgesvc/archive"
	"github.com/mezusphere/mezu/edgesvc/ca"
	"github.com/mezusphere/mezu/edgesvc/control/election"
	"github.com/mezusphere/mezu/edgesvc/control/format"
	"github.com/mezusphere/mezu/edgesvc/control/rest"
	"github.com/mezusphere/mezu/edgesvc/control/service"
	"github.com/mezusphere/mezu/edgesvc/seal"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/badger"
	"github.com/mezusphere/mezu/edgesvc/store/sealed"
)

// DefaultAPIAddr is where the API listens when nothing else is said.
const DefaultAPIAddr = "127.0.0.1:7443"

// Limits of the listeners.
const (
	// DefaultConnections of the API are for systems without a limit on descriptors: a
	// stream of each edge, and calls of some thousand people and Warpgates.
	DefaultConnections = 16_384
	// maxHeader bounds a request's head: a token, a few conditions and what
	// proxies add.
	maxHeader = 32 << 10
	// headerTime bounds how long a head may take to come.
	headerTime = 10 * time.Second
	// idleTime is how long an idle connection is kept.
	idleTime = 2 * time.Minute
	// drainTime bounds the wait for calls in progress at the end.
	drainTime = 5 * time.Second
)

// Files in the state directory.
const (
	fileSealKey   = "seal.key"
	fileCA        = "ca.pem"
	fileBootstrap = "bootstrap"
	fileTrustRoot = "trust-root.pub"
	dirStore      = "store"
	dirOffline    = "offline"
	dirArchive    = "archive"
)

// Quotas bound how many records of a kind one owner may have, by the kind's name.
type Quotas = service.Quotas

// ParseQuotas reads settings of the form NAME=N.
func ParseQuotas(settings []string) (Quotas, error) { return service.ParseQuotas(settings) }

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
	// MembersFound lets every member create organizations, else operators alone.
	MembersFound bool
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
	cfg       Config
	archive   string      // the directory
	raw       store.Store // as the driver keeps it
	store     *sealed.Store
	vault     *vault
	authority *ca.Authority
	service   *service.Service
	serving   *serverCertificate
	api       net.Listener
	admin     net.Listener
	metrics   *metrics
	handler   http.Handler
	places    *admission.Table // of the API's connections
	rotated   chan struct{}    // holds one when records are to be sealed anew
	done      chan struct{}    // closed when streams are to end
	endOnce   sync.Once
	closeOnce sync.Once
	closeErr  error
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
	if cfg.Archive == "" {
		cfg.Archive = "dir:" + filepath.Join(cfg.StateDir, dirArchive)
	}
	archived, err := archive.ParseLocation(cfg.Archive)
	if err != nil {
		return nil, err
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
	if cfg.Connections == 0 {
		cfg.Connections = DefaultConnections
	}
	places := admission.New(admission.Config{Name: "API", Places: cfg.Connections, Log: cfg.Log})
	return &Control{cfg: cfg, places: places, archive: archived, rotated: make(chan struct{}, 1), done: make(chan struct{})}, nil
}

// Listen opens the state, makes a new installation where there is none, and binds
// the listeners. When it fails everything is released again.
func (c *Control) Listen() error {
	if err := c.listen(context.Background()); err != nil {
		return errors.Join(exposed(err), c.Close())
	}
	return nil
}

func (c *Control) listen(ctx context.Context) error {
	if err := atomicfile.EnsureOwnDir(c.cfg.StateDir); err != nil {
		return c.unusableState(err)
	}
	if err := c.bind(); err != nil {
		return err
	}
	if err := c.openStore(ctx); err != nil {
		return err
	}
	if err := c.openAuthority(ctx); err != nil {
		return err
	}
	// Now, and not in a week when the first records go there.
	if err := atomicfile.EnsureDir(c.archive); err != nil {
		return &mezu.Error{Code: mezu.CodeInvalid, Field: "archive", Detail: fmt.Sprintf("the archive's directory can't be used: %v", err),
			Hint: "make it a directory that this user may write, or name another with --archive dir:PATH", Cause: err}
	}
	var err error
	c.service, err = service.Open(ctx, service.Config{
		Store: c.store, Authority: c.authority, Archive: archive.New(c.archive, c.authority.TrustRoot()),
		Domain: c.cfg.Domain, PublicPort: c.cfg.PublicPort, Site: c.site(), MembersFound: c.cfg.MembersFound, Quotas: c.cfg.Quotas, Log: c.cfg.Log, Now: c.cfg.Now,
		Bootstrapped: c.forgetBootstrap, SealRotated: c.sealRotated, Backup: c.writeBackup,
	})
	if err != nil {
		return fmt.Errorf("opening the installation: %w", err)
	}
	if err := c.writeCA(); err != nil {
		return err
	}
	if c.serving, err = newServerCertificate(c.cfg, c.authority, c.hosts()); err != nil {
		return err
	}
	c.metrics = newMetrics(c.authority, c.places, c.cfg.LinesLost)
	c.handler, err = rest.New(rest.Config{CallRate: c.cfg.CallRate, Service: c.service, Log: c.cfg.Log, Version: c.cfg.Version, Observe: c.metrics.observe, Done: c.done})
	if err != nil {
		return err
	}
	return c.offerBootstrap(ctx)
}

// holder names this control plane among those that share its store, for people.
func (c *Control) holder() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	return host + ":" + c.cfg.StateDir
}

func (c *Control) bind() (err error) {
	if c.api, err = net.Listen("tcp", c.cfg.APIAddr); err != nil {
		return listenError("API", "--api-addr", err)
	}
	if c.cfg.AdminAddr != "" {
		if c.admin, err = net.Listen("tcp", c.cfg.AdminAddr); err != nil {
			return listenError("admin", "--admin-addr", err)
		}
	}
	return nil
}

// listenError names the flag that moves a listener elsewhere.
func listenError(what, flag string, err error) error {
	return &mezu.Error{Code: mezu.CodeUnavailable, Detail: fmt.Sprintf("opening the %s listener: %v", what, err), Hint: "choose another address with " + flag, Cause: err}
}

func (c *Control) openStore(ctx context.Context) error {
	if err := c.openDriver(); err != nil {
		return err
	}
	var err error
	c.store, err = format.Open(ctx, c.raw, format.Options{Wrapper: c.sealKey(), Program: c.cfg.Version, Now: c.cfg.Now, Log: c.cfg.Log})
	if err != nil {
		return fmt.Errorf("opening the store: %w", err)
	}
	return nil
}

func (c *Control) openDriver() (err error) {
	if c.cfg.Store != nil {
		c.raw = c.cfg.Store
		return nil
	}
	dir := c.cfg.StoreDir
	if dir == "" {
		dir = filepath.Join(c.cfg.StateDir, dirStore)
	}
	db, err := badger.Open(badger.Options{Dir: dir, Now: c.cfg.Now, Log: c.cfg.Log})
	if errors.Is(err, atomicfile.ErrLocked) || atomicfile.Remedy(err) != "" {
		return c.unusableState(err)
	}
	if damaged := (*badger.DamagedError)(nil); errors.As(err, &damaged) {
		return &mezu.Error{Code: mezu.CodeInternal, Detail: fmt.Sprintf("opening the store: %v", err), Cause: err,
			Hint: "check the disk, then put the last backup into a new directory: mezusphere restore FILE --state DIR --seal-key-file KEY; edges and Warpgates serve on meanwhile"}
	}
	if err != nil {
		return fmt.Errorf("opening the store: %w", err)
	}
	c.raw = db
	return nil
}

// sealKey holds the key under which the store is sealed.
func (c *Control) sealKey() seal.Wrapper {
	setting := c.cfg.SealKey
	if setting == "" {
		setting = filepath.Join(c.cfg.StateDir, fileSealKey)
	}
	return seal.NewWrapper(setting)
}

// exposed adds what to type to an error about a file or directory that others could have
// changed.
func exposed(err error) error {
	var told *mezu.Error
	if remedy := atomicfile.Remedy(err); remedy != "" && !errors.As(err, &told) {
		return &mezu.Error{Code: mezu.CodeInvalid, Detail: err.Error(), Hint: remedy, Cause: err}
	}
	return err
}

// unusableState says what is wrong with the state directory.
func (c *Control) unusableState(cause error) error {
	if errors.Is(cause, atomicfile.ErrLocked) {
		return &mezu.Error{Code: mezu.CodeConflict, Detail: fmt.Sprintf("the state directory %s is in use by another process", c.cfg.StateDir),
			Hint: "stop the other control plane, or give this one a directory of its own with --state", Cause: cause}
	}
	return &mezu.Error{Code: mezu.CodeInvalid, Field: "state", Detail: fmt.Sprintf("the state directory can't be used: %v", cause),
		Hint: cmp.Or(atomicfile.Remedy(cause), "make it a directory that this user may write, or name another with --state"), Cause: cause}
}

// writeCA puts the CA's roots where clients of this machine find them, and the trust
// root's public key where a copy for verifying the archive is taken from.
func (c *Control) writeCA() error {
	if err := publicFile(c.CAFile(), c.authority.RootsPEM()); err != nil {
		return fmt.Errorf("writing the CA file: %w", err)
	}
	root := base64.StdEncoding.EncodeToString(c.authority.TrustRoot()) + "\n"
	if err := publicFile(filepath.Join(c.cfg.StateDir, fileTrustRoot), []byte(root)); err != nil {
		return fmt.Errorf("writing the trust root's public key: %w", err)
	}
	return nil
}

// publicFile makes a file that everybody may read have this content. One that has it is
// left alone: a full disk keeps no control plane from starting.
func publicFile(path string, content []byte) error {
	if is, err := os.ReadFile(path); err == nil && bytes.Equal(is, content) {
		return nil
	}
	return atomicfile.Write(path, content, 0o644)
}

// Addr is the API's host:port, once Listen has returned.
func (c *Control) Addr() string { return c.api.Addr().String() }

// site is where people reach the API, as far as this process knows.
func (c *Control) site() string {
	if len(c.cfg.APIHosts) == 0 {
		return "https://" + c.Addr()
	}
	host := c.cfg.APIHosts[0]
	if _, port, err := net.SplitHostPort(c.Addr()); err == nil && port != "443" {
		host = net.JoinHostPort(host, port)
	}
	return "https://" + host
}

// AdminAddr is the admin listener's host:port, empty if there is none.
func (c *Control) AdminAddr() string {
	if c.admin == nil {
		return ""
	}
	return c.admin.Addr().String()
}

// CAFile is the file with the roots of the internal CA in PEM.
func (c *Control) CAFile() string { return filepath.Join(c.cfg.StateDir, fileCA) }

// Run serves until ctx ends, then lets calls in progress finish for a few seconds
// and releases everything. Open streams are ended at once: edges resume.
func (c *Control) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	servers := []*http.Server{c.apiServer()}
	listeners := []net.Listener{tls.NewListener(pacedListener{admission.Listener{Listener: c.api, Table: c.places}}, c.tlsConfig())}
	if c.admin != nil {
		few := admission.New(admission.Config{Name: "admin", Places: admission.AdminPlaces, Log: c.cfg.Log})
		servers = append(servers, c.adminServer())
		listeners = append(listeners, admission.Listener{Listener: c.admin, Table: few})
	}
	failed := make(chan error, len(servers))
	var running sync.WaitGroup
	for i, server := range servers {
		running.Go(func() { serve(server, listeners[i], failed) })
	}
	running.Go(func() { c.maintain(ctx) })
	running.Go(func() { c.count(ctx) })
	running.Go(func() { c.tidy(ctx) })
	running.Go(func() { c.keepSealed(ctx) })
	running.Go(func() { c.followKeys(ctx) })
	running.Go(func() { c.followEdges(ctx) })
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	cancel()
	c.endOnce.Do(func() { close(c.done) })
	drain, stop := context.WithTimeout(context.Background(), drainTime)
	defer stop()
	for _, server := range servers {
		if server.Shutdown(drain) != nil {
			err = errors.Join(err, server.Close())
		}
	}
	running.Wait()
	if flushErr := c.service.FlushDenials(drain, true); flushErr != nil {
		c.cfg.Log.Error("writing down denied attempts", "error", flushErr)
	}
	return errors.Join(err, c.Close())
}

func serve(server *http.Server, listener net.Listener, failed chan<- error) {
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		failed <- fmt.Errorf("serving on %s: %w", listener.Addr(), err)
	}
}

func (c *Control) apiServer() *http.Server {
	return admission.Serve(&http.Server{
		Handler: c.handler, MaxHeaderBytes: maxHeader, ReadHeaderTimeout: headerTime, IdleTimeout: idleTime,
		ErrorLog: slog.NewLogLogger(c.cfg.Log.Handler(), slog.LevelDebug), ConnContext: withConn,
	})
}

// maintain does the recurring work.
func (c *Control) maintain(ctx context.Context) {
	tick := time.NewTicker(service.SweepInterval)
	defer tick.Stop()
	for {
		if err := c.service.TakeOverKeys(ctx); err != nil && ctx.Err() == nil {
			c.cfg.Log.Error("taking over rotated keys", "error", err)
		}
		// What another control plane owes is finished twice without harm.
		if err := c.service.Settle(ctx); err != nil && ctx.Err() == nil {
			c.cfg.Log.Error("finishing changes", "error", err)
		}
		if err := c.serving.renew(c.cfg.Now()); err != nil {
			c.cfg.Log.Error("renewing the API's certificate", "error", err)
		}
		if ctx.Err() == nil {
			// A rotation may have changed the roots.
			if err := c.writeCA(); err != nil {
				c.cfg.Log.Error("maintaining", "error", err)
			}
		}
		if err := c.sweep(ctx); err != nil && ctx.Err() == nil {
			c.cfg.Log.Error("sweeping", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// sweepTries, half a term apart, outlast the term of a control plane that died, which the
// store may notice a little late.
const sweepTries = 5

// sweep removes what has ended, unless another control plane does. One that died at it
// shows after a term: then this one takes its place.
func (c *Control) sweep(ctx context.Context) error {
	for range sweepTries {
		err := c.service.Sweep(ctx, c.holder())
		if !errors.Is(err, election.ErrHeld) {
			return err
		}
		if err := backoff.Sleep(ctx, election.Term/2); err != nil {
			return err
		}
	}
	return nil
}

// count writes down what was counted of denied attempts. Each process has counts of its
// own.
func (c *Control) count(ctx context.Context) {
	tick := time.NewTicker(service.DenialWindow)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := c.service.FlushDenials(ctx, false); err != nil && ctx.Err() == nil {
				c.cfg.Log.Error("writing down denied attempts", "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// tidy deletes what documents left behind. Each process knows of its own.
func (c *Control) tidy(ctx context.Context) {
	tick := time.NewTicker(service.TidyInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := c.service.TidyDocuments(ctx); err != nil && ctx.Err() == nil {
				c.cfg.Log.Error("tidying documents", "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// Close releases listeners and store. It is idempotent; Run calls it.
func (c *Control) Close() error {
	c.closeOnce.Do(func() {
		c.endOnce.Do(func() { close(c.done) })
		for _, l := range []net.Listener{c.api, c.admin} {
			if l == nil {
				continue
			}
			if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
				c.closeErr = errors.Join(c.closeErr, err)
			}
		}
		if c.raw != nil && c.cfg.Store == nil {
			if c.store != nil {
				c.closeErr = errors.Join(c.closeErr, c.store.Close())
			} else {
				c.closeErr = errors.Join(c.closeErr, c.raw.Close())
			}
		}
	})
	return c.closeErr
}

// JoinToken lets one edge of this very process enrol. Listen comes first.
func (c *Control) JoinToken(ctx context.Context) (string, error) {
	return c.service.LocalJoinToken(ctx)
}
