package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/mezusphere/mezu/bench/inprocess"
)

// Figures about opening the embedded store.
const (
	figOpening = "opening: ms"
	figOnDisk  = "MiB of tables"
)

// openingSize is far more than an installation of 10,000 environments has.
const openingSize = 1 << 30

// takeOpening measures what it costs to find flipped bits: every table of a large store is
// verified before it is opened, by our code or by the engine's.
func takeOpening(ctx context.Context, b *bench, round int) error {
	dir := filepath.Join(b.dir, "opening")
	if round == 0 {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		size, err := inprocess.FillStore(ctx, dir, openingSize)
		if err != nil {
			return fmt.Errorf("filling the store: %w", err)
		}
		b.results.put(round, "opening", nameControl, figOnDisk, float64(size>>20))
	}
	ours, bare, err := inprocess.OpenStore(dir)
	if err != nil {
		return fmt.Errorf("opening the store: %w", err)
	}
	b.results.put(round, "opening", nameControl, figOpening, ours.Seconds()*1000)
	b.results.put(round, "opening", nameEngine, figOpening, bare.Seconds()*1000)
	return nil
}
