// Package rest serves the local API of package local over HTTP, for whoever runs tunnels: the
// local daemon, and "mezu dev".
//
// What lives here: requests, answers, streams and their limits. What may not: what an operation
// does, which is its Host's business, and how the socket is made. It imports local, the events
// and the strict decoder; package daemon, and cmd, assemble it.
package rest

import (
	"context"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
)

// Host runs tunnels. Its methods are safe for concurrent use. A *mezu.Error is told to the
// caller as it is; any other is logged, and told as an internal one. What it gets is validated:
// specifications, patches and tokens are well-formed.
type Host interface {
	// Status is what the host says of itself. The server fills in Version and Clients.
	Status() local.Status
	// Tunnels are all tunnels, by name.
	Tunnels() []mezu.Tunnel
	Tunnel(id string) (mezu.Tunnel, error)
	Open(ctx context.Context, spec mezu.TunnelSpec) (local.Opened, error)
	Change(ctx context.Context, id string, patch local.TunnelPatch) (mezu.Tunnel, error)
	Remove(ctx context.Context, id string) error
	Enrol(ctx context.Context, id, token string) (mezu.Tunnel, error)
	Start(ctx context.Context, id string) (mezu.Tunnel, error)
	Stop(ctx context.Context, id string, drain time.Duration) (mezu.Tunnel, error)
	Probe(ctx context.Context, id string) (local.Probe, error)
	// Attach holds a tunnel open until release is called, which may be called twice.
	Attach(id string) (release func(), err error)
	// Stats are the figures of a tunnel now, of all for "". It is called each second for
	// each stream.
	Stats(id string) []TunnelStats
	// Log is the end of the log, at most that many bytes.
	Log(most int) ([]byte, error)
	// Shutdown begins to end the host and returns.
	Shutdown(s local.Shutdown) error
	// ClientsChanged says how many clients are connected now, each time that this changes.
	ClientsChanged(n int)
}

// TunnelStats are the figures of one tunnel.
type TunnelStats struct {
	ID, Name string
	mezu.TunnelStats
}
