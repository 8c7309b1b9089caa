package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/mezusphere/mezu/bench/visitors"
)

// Figures of what a session adds to a request.
const (
	figKnownEdge      = "known, edge: "
	figKnownWarpgate  = "known, Warpgate: "
	figFirstEdge      = "first sight, edge: "
	figFirstWarpgate  = "first sight, Warpgate: "
	figAllocsEdge     = "known, edge: allocations"
	figAllocsWarpgate = "known, Warpgate: allocations"
	medianUs          = "p50 µs"
	rareUs            = "p99 µs"
)

// How many sessions there are, and how many requests are timed in a round.
const (
	oneSession   = 1
	manySessions = 100_000

	timesKnown = 200_000
)

// among names a crowd by its size.
func among(n int) string {
	if n == 1 {
		return "1 session"
	}
	return fmt.Sprintf("%d sessions", n)
}

// takeSessions times requests of visitors with a session, by the functions that find out who
// they are.
func takeSessions(ctx context.Context, b *bench, round int) error {
	for _, n := range []int{oneSession, manySessions} {
		c, err := visitors.NewCrowd(n)
		if err != nil {
			return err
		}
		first, err := c.First(n)
		if err != nil {
			return err
		}
		known, err := c.Known(timesKnown)
		if err != nil {
			return err
		}
		for _, f := range []struct {
			name string
			took []time.Duration
		}{{figKnownEdge, known.Edge}, {figKnownWarpgate, known.Warpgate}, {figFirstEdge, first.Edge}, {figFirstWarpgate, first.Warpgate}} {
			slices.Sort(f.took)
			b.results.put(round, "sessions", among(n), f.name+medianUs, microseconds(f.took[len(f.took)/2]))
			b.results.put(round, "sessions", among(n), f.name+rareUs, microseconds(f.took[len(f.took)*99/100]))
		}
		b.results.put(round, "sessions", among(n), figAllocsEdge, known.EdgeAllocs)
		b.results.put(round, "sessions", among(n), figAllocsWarpgate, known.WarpgateAllocs)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}
