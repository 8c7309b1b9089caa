package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/mezusphere/mezu/bench/inprocess"
)

// Names of figures about users.
const (
	figCreate = "create: p50 µs"
	figRead   = "show: p50 µs"
	figList   = "list 100: p50 µs"
	figLookup = "lookup by mail: p50 µs"
	figBare   = "the same records by bare Badger: p50 µs"
	figTimes  = "lookup by mail ÷ bare Badger"
	figFirst  = "first page: p50 µs"
	figLast   = "last page: p50 µs"
	figFill   = "imported/s"
)

// Sizes of directories, and how often each call is timed in a round.
const (
	leastUsers  = 1_000
	middleUsers = 100_000

	timesCreate = 300
	timesRead   = 2_000
	timesList   = 200
	timesLookup = 2_000
	timesPage   = 100
)

// nameLargest is the target of the directory that -users sizes.
const nameLargest = "largest"

// nameRatio is the column of ratios within rounds.
const nameRatio = "ratio"

// sized names a directory by its size.
func sized(n int) string { return fmt.Sprintf("%d users", n) }

// storeEngine opens installations over one engine, for all measures that it has.
type storeEngine struct {
	measure, name string
	open          func(ctx context.Context, dir string) (*inprocess.Installation, error)
	opened        *inprocess.Installation
}

// openInProcess is the one over an engine that all measures share.
func (b *bench) openInProcess(ctx context.Context, e *storeEngine) (*inprocess.Installation, error) {
	if e.opened != nil {
		return e.opened, nil
	}
	dir := filepath.Join(b.dir, "inprocess-"+e.measure)
	err := os.Mkdir(dir, 0o700)
	if err != nil {
		return nil, err
	}
	in, err := e.open(ctx, dir)
	if err == nil {
		e.opened = in
	}
	return in, err
}

func takeUsers(ctx context.Context, b *bench, round int) error {
	return b.takePairs(ctx, round, &b.overBadger)
}

func takeEtcd(ctx context.Context, b *bench, round int) error {
	return b.takePairs(ctx, round, &b.overEtcd)
}

// takePairs times operations on one record, or a page of them, beside the bare engine.
func (b *bench) takePairs(ctx context.Context, round int, e *storeEngine) error {
	in, err := b.openInProcess(ctx, e)
	if err != nil {
		return err
	}
	for _, k := range inprocess.Kinds() {
		t, err := in.Take(ctx, k, timesCreate, timesRead, timesList)
		if err != nil {
			return fmt.Errorf("a %s: %w", k.Name, err)
		}
		for _, f := range []struct {
			name string
			inprocess.Pair
		}{{figCreate, t.Create}, {figRead, t.Show}, {figList, t.List}} {
			ours, bare := microseconds(middle(f.Ours)), microseconds(middle(f.Bare))
			name := k.Name + ", " + f.name
			b.results.put(round, e.measure, e.name, name, bare)
			b.results.put(round, e.measure, nameControl, name, ours)
			b.results.put(round, e.measure, nameRatio, name, ours/bare)
		}
	}
	return nil
}

// takeManyUsers times finding and listing in directories of rising size, which it
// fills in the first round.
func takeManyUsers(ctx context.Context, b *bench, round int) error {
	in, err := b.openInProcess(ctx, &b.overBadger)
	if err != nil {
		return err
	}
	pools := []pool{{sized(leastUsers), "small", leastUsers}, {sized(middleUsers), "middle", middleUsers}, {nameLargest, "large", b.o.users}}
	if round == 0 {
		for _, p := range pools {
			rate, err := in.Fill(ctx, p.directory, p.users)
			if err == nil {
				err = in.CopyBare(ctx, p.directory)
			}
			if err != nil {
				return err
			}
			b.results.put(round, "manyusers", p.name, "users", float64(p.users))
			b.results.put(round, "manyusers", p.name, figFill, rate)
			fmt.Fprintf(b.log, "%s: %d users at %.0f a second\n", p.directory, p.users, rate)
		}
	}
	if err := b.takeLookups(ctx, round, in, pools); err != nil {
		return err
	}
	var figures []timed
	for _, filter := range inprocess.Filters() {
		suffix := ""
		if filter != "" {
			suffix = ", " + filter
		}
		figures = append(figures,
			timed{figFirst + suffix, timesPage, func(ctx context.Context, dir string) (time.Duration, error) { return in.Page(ctx, dir, filter, false) }},
			timed{figLast + suffix, timesPage, func(ctx context.Context, dir string) (time.Duration, error) { return in.Page(ctx, dir, filter, true) }})
	}
	for _, f := range figures {
		took := make([][]time.Duration, len(pools))
		for range f.times {
			for i, p := range pools {
				d, err := f.take(ctx, p.directory)
				if err != nil {
					return fmt.Errorf("%s of %s: %w", f.name, p.name, err)
				}
				took[i] = append(took[i], d)
			}
		}
		for i, p := range pools {
			b.results.put(round, "manyusers", p.name, f.name, microseconds(middle(took[i])))
		}
	}
	return nil
}

// pool is a directory of some size.
type pool struct {
	name, directory string
	users           int
}

// takeLookups times finding one user in each directory beside the bare engine, in turn.
func (b *bench) takeLookups(ctx context.Context, round int, in *inprocess.Installation, pools []pool) error {
	pairs := make([]inprocess.Pair, len(pools))
	for range timesLookup {
		for i, p := range pools {
			ours, err := in.Lookup(ctx, p.directory)
			if err != nil {
				return fmt.Errorf("a lookup in %s: %w", p.name, err)
			}
			bare, err := in.LookupBare(ctx, p.directory)
			if err != nil {
				return fmt.Errorf("a lookup by the engine in %s: %w", p.name, err)
			}
			pairs[i].Ours, pairs[i].Bare = append(pairs[i].Ours, ours), append(pairs[i].Bare, bare)
		}
	}
	for i, p := range pools {
		ours, bare := microseconds(middle(pairs[i].Ours)), microseconds(middle(pairs[i].Bare))
		b.results.put(round, "manyusers", p.name, figLookup, ours)
		b.results.put(round, "manyusers", p.name, figBare, bare)
		b.results.put(round, "manyusers", p.name, figTimes, ours/bare)
	}
	return nil
}

// timed is a call that is timed in each directory in turn.
type timed struct {
	name  string
	times int
	take  func(ctx context.Context, directory string) (time.Duration, error)
}

func microseconds(d time.Duration) float64 { return d.Seconds() * 1e6 }

// middle is the median.
func middle(took []time.Duration) time.Duration {
	slices.Sort(took)
	return took[len(took)/2]
}
