// Package daemon is the local daemon: the tunnels of one person on one machine, in one
// process.
//
// What lives here: what runs as a tunnel, who holds it open and when it ends; what was asked
// for, over restarts; when the process itself has nothing more to do. One Warpgate is package
// warpgate's; records on the disk are package asked's, figures of requests package meter's,
// the look at clock and network package wake's. What may not: sockets and HTTP of the local
// API (package rest serves it over a Host), flags, terminals, signals. No login and no API
// key reaches it: a tunnel registers by an enrolment token that was made for its key. cmd
// imports it, and rest; cli, tui and edgesvc may not.
package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/warpgate"
	"github.com/mezusphere/mezu/local"
)

// ErrRunning says that another process hosts the tunnels of this folder.
var ErrRunning = errors.New("another process runs the tunnels of this folder")

// Config says what a Host is to run.
type Config struct {
	// StateDir holds what was asked for and the folder of each tunnel. It is made if need
	// be and used by one process at a time.
	StateDir string
	// Kind is local.HostDaemon or local.HostDev.
	Kind string
	// Version, Program and LogFile are what Status says of the process.
	Version, Program, LogFile string
	// Given are tunnels that live as long as the process. Nobody can stop or remove them.
	Given []Given
	// IdleEnd is how long Run waits for work after the last tunnel and client; if zero, for
	// ever.
	IdleEnd time.Duration
	// MaxConns bounds the data connections of all tunnels together, and so the requests at
	// once; if zero, only what the edges say does.
	MaxConns int
	// Events is called with each event of a tunnel. Requests wait for it, so it must not
	// block. It may be nil.
	Events func(local.Event)
	// Proxy says which proxy a URL of an edge goes through; if nil, the one
	// that HTTPS_PROXY and NO_PROXY name.
	Proxy func(*url.URL) (*url.URL, error)
	// Log may be nil.
	Log *slog.Logger
	// Now is the clock for everything that expires; if nil, time.Now.
	Now func() time.Time
}

// Given is a tunnel that is the host's own.
type Given struct {
	Spec mezu.TunnelSpec
	// Warpgate is its whole configuration, with a state folder of its own. Its Events get
	// what they would get without a Host; its Room is given by the Host.
	Warpgate warpgate.Config
}

// Host runs tunnels. Its operations are those of the local API; they are safe for concurrent
// use, and their errors are for people.
type Host struct {
	cfg Config
}

// New checks the configuration. It touches nothing outside; Listen does.
func New(cfg Config) (*Host, error) { return &Host{cfg: cfg}, nil }

// Listen takes the state folder and reads what was asked for. Run calls it if need be. The
// error is ErrRunning if another process has the folder.
func (h *Host) Listen() error { return errNotYet }

// Run runs the tunnels until ctx ends, Shutdown was called, or there was nothing to do for
// Config.IdleEnd. Then it drains them, for as long as Shutdown said or local.DrainTimeout. It
// returns when all have ended.
func (h *Host) Run(ctx context.Context) error { return errNotYet }

// Close cuts everything at once; Run then returns soon. Without Run it gives back what Listen
// took. It is idempotent.
func (h *Host) Close() {}

// Done is closed when the end of the Host has begun, whatever began it.
func (h *Host) Done() <-chan struct{} { return nil }

// Hold says that a client is connected, until release is called.
func (h *Host) Hold() (release func()) { return func() {} }

// Status is what there is to say of the process.
func (h *Host) Status() local.Status { return local.Status{} }

// List gives all tunnels, by name.
func (h *Host) List() []mezu.Tunnel { return nil }

// Get gives a tunnel.
func (h *Host) Get(id string) (mezu.Tunnel, error) { return mezu.Tunnel{}, errNotYet }

// Open opens a tunnel, or gives the one that is open with the same environment and target.
func (h *Host) Open(ctx context.Context, spec mezu.TunnelSpec) (local.Opened, error) {
	return local.Opened{}, errNotYet
}

// Patch changes a tunnel while it is open.
func (h *Host) Patch(ctx context.Context, id string, p local.TunnelPatch) (mezu.Tunnel, error) {
	return mezu.Tunnel{}, errNotYet
}

// Delete drains a tunnel for local.DrainTimeout, and removes it with its key and certificate.
func (h *Host) Delete(ctx context.Context, id string) error { return errNotYet }

// Enrol registers a tunnel with an enrolment token, and returns when the control plane has
// answered. The token is kept nowhere.
func (h *Host) Enrol(ctx context.Context, id, token string) (mezu.Tunnel, error) {
	return mezu.Tunnel{}, errNotYet
}

// Start starts a tunnel that was stopped. One that wasn't is left as it is.
func (h *Host) Start(ctx context.Context, id string) (mezu.Tunnel, error) {
	return mezu.Tunnel{}, errNotYet
}

// Stop drains a tunnel for so long and keeps it, stopped. It returns when it has ended.
func (h *Host) Stop(ctx context.Context, id string, drain time.Duration) (mezu.Tunnel, error) {
	return mezu.Tunnel{}, errNotYet
}

// Probe connects to the workload of a tunnel and says what it finds.
func (h *Host) Probe(ctx context.Context, id string) (local.Probe, error) {
	return local.Probe{}, errNotYet
}

// Attach holds a tunnel open until detach is called, and local.AttachGrace longer.
func (h *Host) Attach(id string) (detach func(), err error) { return nil, errNotYet }

// Shutdown ends Run: at once, draining for so long, or with idle as soon as nothing is in
// flight. It doesn't wait for that.
func (h *Host) Shutdown(drain time.Duration, idle bool) {}

var errNotYet = errors.New("not implemented")
