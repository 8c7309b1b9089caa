// Package here is what the dashboard asks of this machine: the interfaces of its first two
// screens, over the client of the local daemon and over what "mezu tunnel" does.
//
// What lives here: which operations answer a screen, and the tunnels that end with the dashboard.
// What may not: what is drawn, and what only the control plane knows. Only cmd/mezu imports it.
package here

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/tunnel"
	"github.com/mezusphere/mezu/cli/tunnel/target"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/tui/requests"
	"github.com/mezusphere/mezu/tui/tunnels"
)

// Daemon is the way to the local daemon.
type Daemon interface {
	// Connect starts it if need be, Running doesn't.
	Connect(context.Context, invocation.Settings) (*local.Client, error)
	Running(context.Context, invocation.Settings) (*local.Client, error)
	// Stopped reports whether somebody has stopped it since then.
	Stopped(since time.Time) bool
}

// Config says whose machine it is.
type Config struct {
	Invocation *invocation.Invocation
	Daemon     Daemon
	// Own are the tunnels of the command that shows the dashboard, and Leave leaves one open.
	Own   []string
	Leave func(ctx context.Context, id string) error
	// Dialog shows the dialog that opens a tunnel first.
	Dialog bool
}

// Here has a client of the daemon, as long as that runs, and the tunnels that it holds.
type Here struct {
	cfg    Config
	opener tunnel.Config
	// life ends with Close.
	life context.Context
	end  context.CancelFunc

	mu      sync.Mutex
	client  *local.Client
	held    []*tunnel.Held
	closed  bool
	holding sync.WaitGroup
}

// New makes it. It asks nothing. Close ends what was begun.
func New(cfg Config) *Here {
	h := &Here{cfg: cfg, opener: tunnel.Config{Connect: cfg.Daemon.Connect, Running: cfg.Daemon.Running, Stopped: cfg.Daemon.Stopped}}
	h.life, h.end = context.WithCancel(context.Background())
	return h
}

// Screens are the first two of the dashboard.
func (h *Here) Screens() (*tunnels.Screen, *requests.Screen) {
	kept := requests.Config{Inspector: kept{h}, Contents: kept{h}, Actions: kept{h}, Exports: kept{h}, Drafts: kept{h}}
	second := requests.New(kept)
	first := tunnels.New(tunnels.Config{Daemon: daemon{h}, Actions: daemon{h}, Settings: daemon{h}, Looks: daemon{h}, Opening: opening{h}, Requests: kept, Held: h.cfg.Own, Dialog: h.cfg.Dialog,
		Show: func(text string) string { return target.Show(h.cfg.Invocation.Dir, text) }})
	second.Beside(first)
	return first, second
}

// closeTime is how long the tunnels that end with the dashboard get: as long as one is drained,
// and a moment more.
const closeTime = local.DrainTimeout + 5*time.Second

// Close closes the tunnels that were opened from the dashboard and not left running, and lets go
// of the daemon.
func (h *Here) Close() {
	h.mu.Lock()
	h.closed = true
	held, client := h.held, h.client
	h.held, h.client = nil, nil
	h.mu.Unlock()
	h.end()
	h.holding.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	var closing sync.WaitGroup
	for _, one := range held {
		closing.Go(func() { _ = one.Close(ctx) }) // the daemon ends what nobody holds
	}
	closing.Wait()
	if client != nil {
		client.Close()
	}
}

// daemon is a client of the daemon that runs.
func (h *Here) daemon(ctx context.Context) (*local.Client, error) {
	h.mu.Lock()
	client := h.client
	h.mu.Unlock()
	if client != nil {
		return client, nil
	}
	s, err := h.cfg.Invocation.Settings()
	if err != nil {
		return nil, err
	}
	if client, err = h.cfg.Daemon.Running(ctx, s); err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		client.Close()
		return nil, context.Canceled
	}
	if h.client != nil { // another call was quicker
		client.Close()
		return h.client, nil
	}
	h.client = client
	return client, nil
}

// ask asks the daemon. One that has gone is looked for anew by the next call.
func ask[T any](ctx context.Context, h *Here, do func(*local.Client) (T, error)) (T, error) {
	client, err := h.daemon(ctx)
	if err != nil {
		var none T
		return none, err
	}
	out, err := do(client)
	if mezu.CodeOf(err) == mezu.CodeUnavailable && ctx.Err() == nil && !errors.Is(err, local.ErrOlder) {
		h.lost(client)
	}
	return out, err
}

// lost gives up a client.
func (h *Here) lost(client *local.Client) {
	h.mu.Lock()
	if h.client == client {
		h.client = nil
	}
	h.mu.Unlock()
	client.Close()
}

// keep holds a tunnel until it is left or the dashboard ends.
func (h *Here) keep(ctx context.Context, one *tunnel.Held) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return errors.Join(context.Canceled, one.Close(ctx))
	}
	h.held = append(h.held, one)
	h.holding.Go(func() { _ = one.Run(h.life) }) // its end is among the events of the daemon
	return nil
}

// holds is a tunnel that was opened from the dashboard, nil if it wasn't.
func (h *Here) holds(id string) *tunnel.Held {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, one := range h.held {
		if one.Tunnel().ID == id {
			return one
		}
	}
	return nil
}
