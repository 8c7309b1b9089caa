package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/warpgate"
)

// registering is how many Warpgates register at once.
const registering = 8

// runWarpgates is many Warpgates in one process, each with an identity, a state
// directory and tunnels of its own.
func runWarpgates(ctx context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("warpgates", flag.ContinueOnError)
	n := f.Int("n", 1, "")
	api, ca, key, state := f.String("api", "", ""), f.String("ca", "", ""), f.String("key", "", ""), f.String("state", "", "")
	if err := f.Parse(args); err != nil {
		return err
	}
	secret := func() (string, error) {
		text, err := os.ReadFile(*key)
		return string(text), err
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	turns := make(chan struct{}, registering)
	connected, failed := make(chan struct{}, *n), make(chan error, *n)
	go func() {
		for i := range *n {
			turns <- struct{}{}
			once := sync.OnceFunc(func() {
				<-turns
				connected <- struct{}{}
			})
			d, err := warpgate.New(warpgate.Config{API: *api, CAFile: *ca, Token: secret,
				Upstream: "127.0.0.1:1", StateDir: filepath.Join(*state, strconv.Itoa(i)), DrainTimeout: stopTime,
				Events: func(e mezu.Event) {
					if e.Event == mezu.EventWarpgate && e.Status == mezu.WarpgateConnected {
						once()
					}
				}})
			if err == nil {
				running.Go(func() { failed <- d.Run(ctx) })
				continue
			}
			failed <- err
			return
		}
	}()
	for range *n {
		select {
		case <-connected:
		case err := <-failed:
			return errors.Join(errors.New("a Warpgate ended early"), err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	fmt.Fprintln(out, *n, "connected")
	<-ctx.Done()
	return nil
}
