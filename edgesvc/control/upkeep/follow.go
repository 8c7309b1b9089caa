package upkeep

import (
	"context"
	"fmt"
	"time"

	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/control/service"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// followPause lies between two tries to watch: the store may be away for a moment, or its
// history compacted.
const followPause = 5 * time.Second

// followKeys takes over, at once, keys that another control plane put in force: the
// certificates that the other issues from now on are under an issuer that this one must
// know.
func (u Upkeep) followKeys(ctx context.Context) { u.follow(ctx, "the keys", u.watchKeys) }

// followEdges has it written down when edges fall silent.
func (u Upkeep) followEdges(ctx context.Context) { u.follow(ctx, "edges", u.Service.FollowEdges) }

func (u Upkeep) followAssertionKeys(ctx context.Context) {
	u.follow(ctx, "keys of Warpgates", u.Service.FollowAssertionKeys)
}

// followEdgeKeys has what edges alone may know encrypted to those that have joined.
func (u Upkeep) followEdgeKeys(ctx context.Context) {
	u.follow(ctx, "keys of edges", u.Service.FollowEdgeKeys)
}

// follow begins a watch anew whenever it ends, until ctx does.
func (u Upkeep) follow(ctx context.Context, what string, watch func(context.Context) error) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-pause.C:
		case <-ctx.Done():
			return
		}
		if err := watch(ctx); err != nil && ctx.Err() == nil {
			u.Log.Warn("following "+what, "error", err)
		}
		pause.Reset(followPause)
	}
}

// watchKeys takes over what is there and then each change, until the watch ends.
func (u Upkeep) watchKeys(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	page, err := u.Store.List(ctx, record.PrefixAuthority, "", 1)
	if err != nil {
		return fmt.Errorf("reading the keys: %w", err)
	}
	watcher, err := u.Store.Watch(ctx, record.PrefixAuthority, page.Position)
	if err != nil {
		return fmt.Errorf("watching the keys: %w", err)
	}
	defer drain(watcher, cancel)
	for {
		if err := u.Service.FollowKeys(ctx); err != nil {
			return fmt.Errorf("taking over the keys: %w", err)
		}
		if err := u.WriteCA(); err != nil {
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

// keepSealed renews old data keys and seals what is under others anew.
func (u Upkeep) keepSealed(ctx context.Context) {
	tick := time.NewTicker(service.SweepInterval)
	defer tick.Stop()
	for {
		n, err := u.Store.Maintain(ctx)
		if err != nil && ctx.Err() == nil {
			u.Log.Error("keeping the store sealed", "error", err)
		}
		if n > 0 {
			u.Log.Info("sealed records under a new key", "records", n)
		}
		select {
		case <-tick.C:
		case <-u.SealRotated:
		case <-ctx.Done():
			return
		}
	}
}
