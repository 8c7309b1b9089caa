package control

import (
	"context"
	"fmt"
	"time"

	"github.com/mezusphere/mezu/edgesvc/control/service"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// followPause lies between two tries to watch the authority's records: a store that
// is away for a moment, a history that was compacted.
const followPause = 5 * time.Second

// followKeys takes over keys that another control plane put in force, at once: its
// certificates will be under an issuer that this one must know by then.
func (c *Control) followKeys(ctx context.Context) { c.follow(ctx, "the keys", c.watchKeys) }

// followEdges has it written down when edges fall silent.
func (c *Control) followEdges(ctx context.Context) { c.follow(ctx, "edges", c.service.FollowEdges) }

// follow begins a watch anew whenever it ends, until ctx does.
func (c *Control) follow(ctx context.Context, what string, watch func(context.Context) error) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-pause.C:
		case <-ctx.Done():
			return
		}
		if err := watch(ctx); err != nil && ctx.Err() == nil {
			c.cfg.Log.Warn("following "+what, "error", err)
		}
		pause.Reset(followPause)
	}
}

// watchKeys takes over what is there and then each change, until the watch ends.
func (c *Control) watchKeys(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	page, err := c.store.List(ctx, service.PrefixAuthority, "", 1)
	if err != nil {
		return fmt.Errorf("reading the keys: %w", err)
	}
	watcher, err := c.store.Watch(ctx, service.PrefixAuthority, page.Position)
	if err != nil {
		return fmt.Errorf("watching the keys: %w", err)
	}
	defer drain(watcher, cancel)
	for {
		if err := c.service.FollowKeys(ctx); err != nil {
			return fmt.Errorf("taking over the keys: %w", err)
		}
		if err := c.writeCA(); err != nil {
			return err
		}
		if _, ok := <-watcher.Events(); !ok {
			return watcher.Err()
		}
	}
}

// drain ends a watch and waits until it has.
func drain(w store.Watcher, cancel context.CancelFunc) {
	cancel()
	for range w.Events() {
	}
}

// sealRotated lets keepSealed begin now.
func (c *Control) sealRotated() {
	select {
	case c.rotated <- struct{}{}:
	default:
	}
}

// keepSealed renews old data keys and seals what is under others anew.
func (c *Control) keepSealed(ctx context.Context) {
	tick := time.NewTicker(service.SweepInterval)
	defer tick.Stop()
	for {
		n, err := c.store.Maintain(ctx)
		if err != nil && ctx.Err() == nil {
			c.cfg.Log.Error("keeping the store sealed", "error", err)
		}
		if n > 0 {
			c.cfg.Log.Info("sealed records under a new key", "records", n)
		}
		select {
		case <-tick.C:
		case <-c.rotated:
		case <-ctx.Done():
			return
		}
	}
}
