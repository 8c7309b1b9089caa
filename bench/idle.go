package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

const (
	// idleWarpgates and idleSockets are how many are held at once.
	idleWarpgates = 500
	idleSockets   = 2000
	// restTime is what memory gets to come to rest: the garbage of handshakes
	// goes with the collections that a load causes.
	restTime = 3 * time.Second
)

// memory is the resident memory of edge and Warpgate in KiB: after a load, and after two
// garbage collections, when only what is in use is left. Held is what the heap and the stacks have of it.
type memory struct{ edge, warpgate, edgeUsed, warpgateUsed, edgeHeld, warpgateHeld float64 }

// takeIdle starts an installation of its own with programs that collect their
// garbage when asked to, and adds idle Warpgates and idle WebSockets.
func takeIdle(ctx context.Context, b *bench, round int) error {
	for _, kind := range []struct {
		name string
		take func(ctx context.Context, b *bench, round int, i *observed) error
	}{{"warpgates", takeIdleWarpgates}, {"sockets", takeIdleSockets}} {
		if err := b.observe(ctx, fmt.Sprintf("idle-%s-%d", kind.name, round), func(i *observed) error { return kind.take(ctx, b, round, i) }); err != nil {
			return fmt.Errorf("idle %s: %w", kind.name, err)
		}
	}
	return nil
}

// observe starts an installation of that name for take.
func (b *bench) observe(ctx context.Context, name string, take func(i *observed) error) error {
	if !b.have() {
		return errNotOurs
	}
	bin, err := b.instrumented(ctx)
	if err != nil {
		return err
	}
	dir := filepath.Join(b.dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	i := &observed{}
	defer i.stop()
	if err := i.start(ctx, b, dir, bin); err != nil {
		return err
	}
	return take(i)
}

// measure reads the memory after a load and some rest.
func (i *observed) measure(ctx context.Context, dir string) (m memory, err error) {
	if _, err := wrk(ctx, dir, i.t, 2*time.Second); err != nil {
		return m, err
	}
	return i.rested(ctx)
}

// rested reads the memory after some rest.
func (i *observed) rested(ctx context.Context) (m memory, err error) {
	if err := pauseFor(ctx, restTime); err != nil {
		return m, err
	}
	for _, r := range []struct {
		p                         *process
		resident, collected, held *float64
	}{{i.in.edge, &m.edge, &m.edgeUsed, &m.edgeHeld}, {i.warpgate, &m.warpgate, &m.warpgateUsed, &m.warpgateHeld}} {
		if *r.resident, err = r.p.rss(); err != nil {
			return m, err
		}
		held, err := askProfiler(ctx, filepath.Join(i.in.dir, r.p.name+".sock"), "/collect")
		if err != nil {
			return m, err
		}
		if *r.held, err = strconv.ParseFloat(string(held), 64); err != nil {
			return m, err
		}
		*r.held /= 1024
		if *r.collected, err = r.p.rss(); err != nil {
			return m, err
		}
	}
	return m, nil
}

// takeIdleWarpgates registers many and leaves them alone. They are of another
// environment than the load's.
func takeIdleWarpgates(ctx context.Context, b *bench, round int, i *observed) error {
	before, err := i.measure(ctx, i.in.dir)
	if err != nil {
		return err
	}
	_, key, err := i.in.addEnvironment(ctx, "idle")
	if err != nil {
		return err
	}
	p, _, err := b.startHelper("warpgates", "-n", strconv.Itoa(idleWarpgates), "-api", "https://"+i.in.api, "-ca", i.in.ca, "-key", key,
		"-state", filepath.Join(i.in.dir, "many"))
	if err != nil {
		return err
	}
	defer p.stop()
	after, err := i.measure(ctx, i.in.dir)
	if err == nil {
		err = b.keepHeaps(ctx, i, "warpgates")
	}
	if err != nil {
		return err
	}
	put := func(name string, v float64) { b.results.put(round, "idle", nameOurs, name, v) }
	put(figPerWarpgate, (after.edgeUsed-before.edgeUsed)/idleWarpgates)
	put(figPerWarpgate+uncollected, (after.edge-before.edge)/idleWarpgates)
	put("edge MiB", before.edgeUsed/1024)
	put("Warpgate MiB", before.warpgateUsed/1024)
	return nil
}

// takeIdleSockets opens many WebSockets, exchanges a message on each, and leaves
// them alone.
func takeIdleSockets(ctx context.Context, b *bench, round int, i *observed) error {
	before, err := i.measure(ctx, i.in.dir)
	if err != nil {
		return err
	}
	for n := range idleSockets {
		c, err := openSocket(ctx, i.t)
		if err != nil {
			return fmt.Errorf("WebSocket %d: %w", n, err)
		}
		defer c.Close()
	}
	after, err := i.measure(ctx, i.in.dir)
	if err == nil {
		err = b.keepHeaps(ctx, i, "sockets")
	}
	if err != nil {
		return err
	}
	edge, warpgate := after.edgeUsed-before.edgeUsed, after.warpgateUsed-before.warpgateUsed
	put := func(name string, v float64) { b.results.put(round, "idle", nameOurs, name, v/idleSockets) }
	put(figPerSocket, edge+warpgate)
	put(figPerSocket+", edge", edge)
	put(figPerSocket+", Warpgate", warpgate)
	put(figPerSocket+uncollected, after.edge+after.warpgate-before.edge-before.warpgate)
	return nil
}

// keepHeaps writes what is in use to the folder of profiles, if there is one.
func (b *bench) keepHeaps(ctx context.Context, i *observed, name string) error {
	if b.o.profileFiles == "" {
		return nil
	}
	for part, p := range map[string]*process{"edge": i.in.edge, "warpgate": i.warpgate} {
		for _, kind := range []string{"heap", "goroutine"} {
			data, err := askProfiler(ctx, filepath.Join(i.in.dir, p.name+".sock"), "/debug/pprof/"+kind)
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(b.o.profileFiles, fmt.Sprintf("%s-idle-%s-%s.pprof", part, name, kind)), data, 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}
