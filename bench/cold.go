package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// Names of figures about an installation with many environments.
const (
	figColdStart    = "cold start ms"
	figColdResident = "control plane MiB"
	figColdMade     = "environments made/s"
	figSnapshot     = "first snapshot at an edge: in force after ms"
	figSnapshotDisk = "first snapshot at an edge: on its disk after ms"
)

const (
	coldRoutes = 10
	// coldPerProject keeps projects of a believable size.
	coldPerProject = 100
	coldWriters    = 16
	// snapshotLook is how often it is looked how far a snapshot has come.
	snapshotLook = 50 * time.Millisecond
)

// snapshotTime bounds the first snapshot of the largest installation.
const snapshotTime = 20 * time.Minute

// takeCold fills a control plane in the first round, and then starts it anew and waits
// until it answers a call that reads; then it has a new edge fetch everything.
func takeCold(ctx context.Context, b *bench, round int) error {
	if b.cold == nil {
		if err := b.fillCold(ctx); err != nil {
			return err
		}
	}
	in := b.cold
	in.control.stop()
	begin := time.Now()
	if err := in.control.launch(false); err != nil {
		return err
	}
	for {
		_, err := api.Invoke[mezu.Organization](ctx, in.client, api.OpGetOrganization, nil, "cold")
		if err == nil {
			break
		}
		if time.Since(begin) > startTime || ctx.Err() != nil || in.control.ended() {
			return fmt.Errorf("the control plane doesn't come back: %w\n%s", err, in.control.tail())
		}
		time.Sleep(pollPause)
	}
	took := time.Since(begin)
	resident, err := in.control.rss()
	if err != nil {
		return err
	}
	put := func(name string, v float64) { b.results.put(round, "cold", nameOurs, name, v) }
	put("environments", float64(b.o.environments))
	put(figColdStart, milliseconds(took))
	put(figColdResident, resident/1024)
	inForce, onDisk, err := b.takeSnapshot(ctx, fmt.Sprintf("edge-%d", round))
	if err != nil {
		return err
	}
	put(figSnapshot, milliseconds(inForce))
	put(figSnapshotDisk, milliseconds(onDisk))
	return nil
}

// takeSnapshot starts an edge that knows nothing, with a certificate of its own, and
// waits until it is in step and until all of it is on its disk.
func (b *bench) takeSnapshot(ctx context.Context, name string) (inForce, onDisk time.Duration, err error) {
	https, err1 := freeAddr()
	admin, err2 := freeAddr()
	if err := errors.Join(err1, err2); err != nil {
		return 0, 0, err
	}
	begin := time.Now()
	edge, err := b.cold.startEdge(ctx, name, https, admin, "--tls-cert", b.pair.cert, "--tls-key", b.pair.key)
	if err != nil {
		return 0, 0, err
	}
	defer edge.stop()
	until := func(reached func() bool) (time.Duration, error) {
		for !reached() {
			if time.Since(begin) > snapshotTime || ctx.Err() != nil || edge.ended() {
				return 0, fmt.Errorf("the edge does not come into step: %s", edge.tail())
			}
			time.Sleep(snapshotLook)
		}
		return time.Since(begin), nil
	}
	if inForce, err = until(func() bool { return ready(admin) }); err != nil {
		return 0, 0, err
	}
	onDisk, err = until(func() bool {
		bundles, err := os.ReadDir(filepath.Join(b.cold.dir, name, "bundles"))
		return err == nil && len(bundles) >= b.o.environments
	})
	return inForce, onDisk, err
}

// ready asks a program's admin listener.
func ready(admin string) bool {
	resp, err := http.Get("http://" + admin + "/readyz")
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// fillCold makes a control plane of its own with its environments.
func (b *bench) fillCold(ctx context.Context) error {
	if b.bin.mezusphere == "" {
		return errNotOurs
	}
	dir := filepath.Join(b.dir, "cold")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	in, err := startControl(ctx, dir, b.bin)
	b.cold = in
	if err != nil {
		return err
	}
	if _, err := api.Invoke[mezu.Organization](ctx, in.client, api.OpCreateOrganization, mezu.Organization{Name: "cold"}); err != nil {
		return err
	}
	begin := time.Now()
	projects := make(chan int)
	var mu sync.Mutex
	var errs error
	var writers sync.WaitGroup
	for range coldWriters {
		writers.Go(func() {
			for p := range projects {
				if err := in.fillProject(ctx, p, min(coldPerProject, b.o.environments-p*coldPerProject)); err != nil {
					mu.Lock()
					errs = errors.Join(errs, err)
					mu.Unlock()
				}
			}
		})
	}
	for p := 0; p*coldPerProject < b.o.environments; p++ {
		projects <- p
	}
	close(projects)
	writers.Wait()
	rate := float64(b.o.environments) / time.Since(begin).Seconds()
	fmt.Fprintf(b.log, "cold: %d environments at %.0f a second\n", b.o.environments, rate)
	b.results.put(0, "cold", nameOurs, figColdMade, rate)
	return errs
}

// fillProject makes one project and its environments.
func (in *installation) fillProject(ctx context.Context, p, environments int) error {
	project := fmt.Sprintf("p%d", p)
	if _, err := api.Invoke[mezu.Project](ctx, in.client, api.OpCreateProject, mezu.Project{Name: project}, "cold"); err != nil {
		return err
	}
	routes := make([]mezu.Route, coldRoutes)
	for i := range routes {
		routes[i] = mezu.Route{Prefix: fmt.Sprintf("/part-%d/", i), Methods: []string{"GET", "POST"}}
	}
	for i := range environments {
		name := environmentName(i)
		if _, err := api.Invoke[mezu.Environment](ctx, in.client, api.OpCreateEnvironment, mezu.Environment{Name: name}, "cold", project); err != nil {
			return err
		}
		if _, err := api.Invoke[api.RoutesState](ctx, in.client, api.OpReplaceRoutes, api.RoutesReplace{Routes: routes}, "cold", project, name); err != nil {
			return err
		}
	}
	return nil
}
