package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// Names of figures about changes of configuration.
const (
	figEffectiveP50 = "effective at the edge: p50 ms"
	figEffectiveP99 = "effective at the edge: p99 ms"
	figAcknowledged = "acknowledged: p50 ms"
	figChanges      = "changes/s"
)

// The load of changes: changesRate a second, each to another environment in turn,
// so that one is not changed again before its last change is seen.
const (
	changesRate         = 50
	changesEnvironments = 100
	// effectivePause lies between two checks whether a change is in force. It is short
	// compared with what is measured, and so long that the checks are no load.
	effectivePause      = 4 * time.Millisecond
	changesOrganization = "changes"
	changesProject      = "p"
)

// takeChanges replaces an environment's only route again and again and asks the edge,
// on a kept connection, until the path is no longer unknown. Both times begin with the
// call.
func takeChanges(ctx context.Context, b *bench, round int) error {
	if !b.have() {
		return errNotOurs
	}
	hosts, err := b.changesHosts(ctx)
	if err != nil {
		return err
	}
	client := edgeClient(b.in.https)
	defer client.CloseIdleConnections()
	var mu sync.Mutex
	var acknowledged, effective []float64
	var errs error
	var running sync.WaitGroup
	tick := time.NewTicker(time.Second / changesRate)
	defer tick.Stop()
	begin := time.Now()
	for n := 0; time.Since(begin) < b.o.length; n++ {
		environment := n % len(hosts)
		running.Go(func() {
			ack, seen, err := b.changeOnce(ctx, client, environmentName(environment), hosts[environment], fmt.Sprintf("/%d-%d", round, n))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = errors.Join(errs, err)
				return
			}
			acknowledged = append(acknowledged, milliseconds(ack))
			effective = append(effective, milliseconds(seen))
		})
		select {
		case <-tick.C:
		case <-ctx.Done():
			running.Wait()
			return ctx.Err()
		}
	}
	running.Wait()
	if errs != nil || len(effective) == 0 {
		return errors.Join(errs, fmt.Errorf("%d changes were seen", len(effective)))
	}
	put := func(name string, v float64) { b.results.put(round, "changes", nameOurs, name, v) }
	put(figChanges, float64(len(effective))/time.Since(begin).Seconds())
	slices.Sort(acknowledged)
	slices.Sort(effective)
	put(figAcknowledged, percentile(acknowledged, 50))
	put(figEffectiveP50, percentile(effective, 50))
	put(figEffectiveP99, percentile(effective, 99))
	return nil
}

// changeOnce makes one change and waits until the edge runs it.
func (b *bench) changeOnce(ctx context.Context, client *http.Client, environment, host, path string) (acknowledged, effective time.Duration, err error) {
	begin := time.Now()
	_, err = api.Invoke[api.RoutesState](ctx, b.in.client, api.OpReplaceRoutes, api.RoutesReplace{Routes: []mezu.Route{{Exact: path}}},
		changesOrganization, changesProject, environment)
	if err != nil {
		return 0, 0, err
	}
	acknowledged = time.Since(begin)
	for time.Since(begin) < answerTime {
		req, err := http.NewRequestWithContext(ctx, "GET", "https://"+host+path, nil)
		if err != nil {
			return 0, 0, err
		}
		resp, err := client.Do(req)
		if err != nil {
			return 0, 0, err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound { // 503: the route is there, a Warpgate is not
			return acknowledged, time.Since(begin), nil
		}
		time.Sleep(effectivePause)
	}
	return 0, 0, fmt.Errorf("the edge doesn't run %s of %s", path, host)
}

func environmentName(i int) string { return "e" + strconv.Itoa(i) }

// changesHosts makes the environments once and gives their hosts.
func (b *bench) changesHosts(ctx context.Context) ([]string, error) {
	if b.changed != nil {
		return b.changed, nil
	}
	if _, err := api.Invoke[mezu.Organization](ctx, b.in.client, api.OpCreateOrganization, mezu.Organization{Name: changesOrganization}); err != nil {
		return nil, err
	}
	if _, err := api.Invoke[mezu.Project](ctx, b.in.client, api.OpCreateProject, mezu.Project{Name: changesProject}, changesOrganization); err != nil {
		return nil, err
	}
	var hosts []string
	for i := range changesEnvironments {
		env, err := api.Invoke[mezu.Environment](ctx, b.in.client, api.OpCreateEnvironment, mezu.Environment{Name: environmentName(i)}, changesOrganization, changesProject)
		if err != nil {
			return nil, err
		}
		hosts = append(hosts, env.Endpoint+"."+edgeDomain)
	}
	b.changed = hosts
	return hosts, nil
}

// edgeClient asks whatever host of the edge at this address.
func edgeClient(addr string) *http.Client {
	return &http.Client{Timeout: answerTime, Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		},
		TLSClientConfig:     &tls.Config{InsecureSkipVerify: true},
		MaxIdleConnsPerHost: 4,
	}}
}
