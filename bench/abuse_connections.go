package main

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/mezusphere/mezu/trust"
)

// Names of figures about crowds that say nothing.
const (
	figNewAlone   = "on new connections, alone"
	figNewBeside  = "on new connections, beside the crowd"
	figKeptBeside = "on kept connections, beside the crowd"
)

const (
	// fewFiles is the least limit of files that an edge starts with: then 448 handshakes
	// may be under way.
	fewFiles = 4096
	// silentCrowd is how many connections are kept open that send nothing: ten times as
	// many as there are places. One of them is replaced every silentPause.
	silentCrowd = 4500
	silentPause = time.Millisecond
	// newPause lies between two requests on connections of their own.
	newPause = 20 * time.Millisecond
)

// takeSilent measures what others notice of a crowd of connections that send nothing. The
// process may open few files, so that the crowd is at the limit all the time.
func takeSilent(ctx context.Context, b *bench, round int) (err error) {
	if b.bin.mezusphere == "" {
		return errNotOurs
	}
	name := fmt.Sprintf("silent-%d", round)
	few, err := b.fewFiles(name)
	if err != nil {
		return err
	}
	in, warpgate, t, err := b.startPrograms(ctx, name, few)
	defer func() {
		if warpgate != nil {
			warpgate.stop()
		}
		in.stop()
	}()
	if err != nil {
		return err
	}
	if err := b.takeSilentAt(ctx, round, t); err != nil {
		return err
	}
	return b.takeSilentAPI(ctx, round, in)
}

// fewFiles is our programs with a low limit of open files.
func (b *bench) fewFiles(name string) (programs, error) {
	script := filepath.Join(b.dir, name+".sh")
	text := fmt.Sprintf("#!/bin/sh\nulimit -n %d && exec %q \"$@\"\n", fewFiles, b.bin.mezusphere)
	return programs{mezusphere: script, warpgate: b.bin.warpgate}, os.WriteFile(script, []byte(text), 0o700)
}

// takeSilentAt puts the crowd beside requests through an edge.
func (b *bench) takeSilentAt(ctx context.Context, round int, t target) error {
	kept, err := smallRequests(ctx, t, crowdLength)
	if err != nil {
		return err
	}
	made, err := newRequests(ctx, t, crowdLength)
	if err != nil {
		return err
	}
	crowd, _, err := b.startHelper("silent", "-addr", t.addr)
	if err != nil {
		return err
	}
	defer crowd.stop()
	keptBeside, err := smallRequests(ctx, t, crowdLength)
	if err != nil {
		return err
	}
	madeBeside, err := newRequests(ctx, t, crowdLength)
	if err != nil {
		return err
	}
	putPercentiles(b, round, "silent", t.name, figAlone, kept)
	putPercentiles(b, round, "silent", t.name, figKeptBeside, keptBeside)
	putPercentiles(b, round, "silent", t.name, figNewAlone, made)
	putPercentiles(b, round, "silent", t.name, figNewBeside, madeBeside)
	return nil
}

// takeSilentAPI puts it beside calls of the API.
func (b *bench) takeSilentAPI(ctx context.Context, round int, in *installation) error {
	key, err := in.reader(ctx, "quiet")
	if err != nil {
		return err
	}
	roots, err := trust.LoadRoots(in.ca)
	if err != nil {
		return err
	}
	quiet, err := apiClient(in.api, &tls.Config{RootCAs: roots}, key)
	if err != nil {
		return err
	}
	alone, err := callSteadily(ctx, quiet, crowdLength)
	if err != nil {
		return err
	}
	crowd, _, err := b.startHelper("silent", "-addr", in.api)
	if err != nil {
		return err
	}
	defer crowd.stop()
	beside, err := callSteadily(ctx, quiet, crowdLength)
	if err != nil {
		return err
	}
	putPercentiles(b, round, "silent", nameControl, figAlone, alone)
	putPercentiles(b, round, "silent", nameControl, figKeptBeside, beside)
	return nil
}

// newRequests makes requests at a steady pace, each on a connection of its own, and gives
// milliseconds.
func newRequests(ctx context.Context, t target, length time.Duration) ([]float64, error) {
	head := t.head("GET", pathSmall, "")
	var took []float64
	tick := time.NewTicker(newPause)
	defer tick.Stop()
	for end := time.Now().Add(length); time.Now().Before(end); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		begin := time.Now()
		if err := once(ctx, t, head); err != nil {
			return nil, err
		}
		took = append(took, milliseconds(time.Since(begin)))
	}
	return took, nil
}

// runSilent keeps connections open that say nothing, and makes the oldest anew again and
// again. It says so when all of them are there.
func runSilent(ctx context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("silent", flag.ContinueOnError)
	addr := f.String("addr", "", "")
	if err := f.Parse(args); err != nil {
		return err
	}
	conns := make([]net.Conn, silentCrowd)
	defer func() {
		for _, c := range conns {
			hangUp(c)
		}
	}()
	failed := 0
	again := func(i int) {
		hangUp(conns[i])
		var err error
		if conns[i], err = net.DialTimeout("tcp", *addr, answerTime); err != nil {
			conns[i] = nil
			failed++
		}
	}
	for i := range conns {
		again(i)
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d connections failed", failed, silentCrowd)
	}
	fmt.Fprintln(out, silentCrowd, "connected")
	tick := time.NewTicker(silentPause)
	defer tick.Stop()
	for next := 0; ; next = (next + 1) % silentCrowd {
		select {
		case <-tick.C:
			again(next)
		case <-ctx.Done():
			return nil
		}
	}
}

// hangUp closes a connection so that neither end's port stays taken.
func hangUp(c net.Conn) {
	if c == nil {
		return
	}
	_ = c.(*net.TCPConn).SetLinger(0) // of one that was cut nothing stays anyway
	c.Close()
}
