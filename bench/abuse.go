package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/trust"
)

// Names of figures about abuse.
const (
	figCrowd      = "beside 5,000 slow heads"
	figQuiet      = "quiet tenant, alone"
	figQuietNoisy = "quiet tenant, beside a loud one"
)

const (
	// slowCrowd is how many connections send the beginning of a head and then a byte
	// now and then; the edge cuts them after ten seconds.
	slowCrowd   = 5000
	slowDialers = 32
	// crowdLength is shorter than what is left of those ten seconds when the last of
	// the crowd is there.
	crowdLength = 2 * time.Second
	// The quiet tenant asks every quietPause; the loud one has loudClients that never
	// pause, some hundred times as much.
	quietPause  = 20 * time.Millisecond
	loudClients = 8
)

// takeCrowd is case P19: what small requests take beside a crowd of slow heads.
func takeCrowd(ctx context.Context, b *bench, round int) error {
	if !b.have() {
		return errNotOurs
	}
	alone, err := smallRequests(ctx, b.ours, crowdLength)
	if err != nil {
		return err
	}
	conns := make(chan *conn, slowCrowd)
	defer func() {
		close(conns)
		for c := range conns {
			c.Close()
		}
	}()
	if err := b.openCrowd(ctx, conns); err != nil {
		return err
	}
	beside, err := smallRequests(ctx, b.ours, crowdLength)
	if err != nil {
		return err
	}
	for name, took := range map[string][]float64{figAlone: alone, figCrowd: beside} {
		slices.Sort(took)
		b.results.put(round, "crowd", nameOurs, name+p50Suffix, percentile(took, 50))
		b.results.put(round, "crowd", nameOurs, name+p99Suffix, percentile(took, 99))
	}
	return nil
}

func (b *bench) openCrowd(ctx context.Context, conns chan<- *conn) error {
	var mu sync.Mutex
	var errs error
	var dialers sync.WaitGroup
	for range slowDialers {
		dialers.Go(func() {
			for range slowCrowd / slowDialers {
				c, err := dial(ctx, b.ours)
				if err == nil {
					_, err = c.Write([]byte("GET / HTTP/1.1\r\nHost: "))
					conns <- c
				}
				if err != nil {
					mu.Lock()
					errs = errors.Join(errs, err)
					mu.Unlock()
					return
				}
			}
		})
	}
	dialers.Wait()
	return errs
}

// takeTenants is case A8: what one tenant's calls take beside another's that never
// pause, under the limit of calls that a control plane has when nothing else is said.
func takeTenants(ctx context.Context, b *bench, round int) error {
	if b.bin.mezusphere == "" {
		return errNotOurs
	}
	dir := filepath.Join(b.dir, fmt.Sprintf("tenants-%d", round))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	in, err := startControl(ctx, dir, b.bin, "--call-rate", "0")
	defer func() { in.stop() }()
	if err != nil {
		return err
	}
	quiet, err := in.reader(ctx, "quiet")
	if err != nil {
		return err
	}
	loud, err := in.reader(ctx, "loud")
	if err != nil {
		return err
	}
	put := func(name string, took []float64) {
		slices.Sort(took)
		b.results.put(round, "tenants", nameControl, name+p50Suffix, percentile(took, 50))
		b.results.put(round, "tenants", nameControl, name+p99Suffix, percentile(took, 99))
	}
	took, err := callSteadily(ctx, quiet, b.o.length)
	if err != nil {
		return err
	}
	put(figQuiet, took)
	noise, cancel := context.WithCancel(ctx)
	var clients sync.WaitGroup
	for range loudClients {
		clients.Go(func() {
			for noise.Err() == nil {
				_, _ = api.Invoke[any](noise, loud, api.OpSelf, nil) // most are refused, which is the point
			}
		})
	}
	took, err = callSteadily(ctx, quiet, b.o.length)
	cancel()
	clients.Wait()
	if err == nil {
		put(figQuietNoisy, took)
	}
	return err
}

// reader is a client with the key of a service account of an organization of its own.
func (in *installation) reader(ctx context.Context, organization string) (*api.Client, error) {
	const project = "p"
	if _, err := api.Invoke[mezu.Organization](ctx, in.client, api.OpCreateOrganization, mezu.Organization{Name: organization}); err != nil {
		return nil, err
	}
	if _, err := api.Invoke[mezu.Project](ctx, in.client, api.OpCreateProject, mezu.Project{Name: project}, organization); err != nil {
		return nil, err
	}
	account := mezu.ServiceAccount{Name: "reader", Permissions: []mezu.Permission{mezu.PermProjectsRead}}
	made, err := api.Invoke[api.ServiceAccountCreated](ctx, in.client, api.OpCreateServiceAccount, account, organization, project)
	if err != nil {
		return nil, err
	}
	roots, err := trust.LoadRoots(in.ca)
	if err != nil {
		return nil, err
	}
	return api.NewClient(api.ClientConfig{BaseURL: "https://" + in.api, TLS: &tls.Config{RootCAs: roots}, UserAgent: "bench",
		Token: func() (string, error) { return made.Key, nil }})
}

// callSteadily calls at a steady pace and gives milliseconds.
func callSteadily(ctx context.Context, c *api.Client, length time.Duration) ([]float64, error) {
	var took []float64
	tick := time.NewTicker(quietPause)
	defer tick.Stop()
	for end := time.Now().Add(length); time.Now().Before(end); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		begin := time.Now()
		if _, err := api.Invoke[api.Self](ctx, c, api.OpSelf, nil); err != nil {
			return nil, err
		}
		took = append(took, milliseconds(time.Since(begin)))
	}
	return took, nil
}
