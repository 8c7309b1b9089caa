// Command release makes of the sources what people install: archives, packages, images,
// the lists of what is in them, and the signed SHA256SUMS.
//
// What lives here: the reading of goreleaser.yaml, so that there is one description of a
// release, and one step for each kind of file that it names. What may not: anything that
// the programs link, and any state outside of dist and bin/release. No package imports it.
//
// It is a module of its own, because nfpm, go-containerregistry and what they bring would
// triple the product's go.sum and take part in choosing the versions of what the programs
// link. It imports nothing of the product, so the two can't disagree.
package main

import (
	"context"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stderr))
}
