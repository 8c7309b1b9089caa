package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/trust"
)

// Names of figures about abuse.
const (
	figCrowd      = "beside 5,000 slow heads"
	figPerHead    = "KiB per slow head"
	figQuiet      = "quiet tenant, alone"
	figQuietNoisy = "quiet tenant, beside a loud one"
	figLoudRate   = "loud tenant: answers/s"
	figLoudCPU    = "the server's part of one core beside it"
)

// nameRefuser is a server that does nothing but refuse the loud one.
const nameRefuser = "net/http, refusing"

const (
	// slowCrowd is how many connections send the beginning of a head and then a byte
	// now and then; the edge cuts them after ten seconds.
	slowCrowd = 5000
	// crowdLength is shorter than what is left of those ten seconds once the whole crowd
	// has connected.
	crowdLength = 4 * time.Second
	// The quiet tenant calls every quietPause, for so long that some ten calls are beyond
	// the 99th percentile. The loud one calls loudTimes as often.
	quietPause   = 20 * time.Millisecond
	quietLengths = 5
	loudTimes    = 100
)

// crowdTargets are those beside which a crowd of slow heads is put.
func crowdTargets(t target) bool {
	return t.secure && slices.Contains([]string{nameOurs, nameGoProxy, nameNginx}, t.name)
}

// takeCrowd is case P19: what small requests take beside a crowd of slow heads.
func takeCrowd(ctx context.Context, b *bench, round int) error {
	return b.inTurn(ctx, round, crowdTargets, func(t target) error { return b.takeCrowdAt(ctx, round, t) })
}

func (b *bench) takeCrowdAt(ctx context.Context, round int, t target) error {
	alone, err := smallRequests(ctx, t, crowdLength)
	if err != nil {
		return err
	}
	before, err := t.procs[0].rss()
	if err != nil {
		return err
	}
	crowd, _, err := b.startHelper("crowd", "-addr", t.addr, "-host", t.host, "-n", strconv.Itoa(slowCrowd))
	if err != nil {
		return err
	}
	defer crowd.stop()
	beside, err := smallRequests(ctx, t, crowdLength)
	if err != nil {
		return err
	}
	after, err := t.procs[0].rss()
	if err != nil {
		return err
	}
	putPercentiles(b, round, "crowd", t.name, figAlone, alone)
	putPercentiles(b, round, "crowd", t.name, figCrowd, beside)
	if t.name != nameNginx { // whose workers hold its connections
		b.results.put(round, "crowd", t.name, figPerHead, (after-before)/slowCrowd)
	}
	return nil
}

// putPercentiles keeps the median and the 99th percentile of milliseconds.
func putPercentiles(b *bench, round int, measure, target, name string, took []float64) {
	slices.Sort(took)
	b.results.put(round, measure, target, name+p50Suffix, percentile(took, 50))
	b.results.put(round, measure, target, name+p99Suffix, percentile(took, 99))
}

// takeTenants is case A8: how long one tenant's calls take beside a tenant that makes a
// hundred times as many, with the default limit of calls. A server that only refuses
// shows how much of that is the machine.
func takeTenants(ctx context.Context, b *bench, round int) error {
	if b.bin.mezusphere == "" {
		return errNotOurs
	}
	takes := []func(context.Context, *bench, int) error{takeTenantsOfControl, takeTenantsOfRefuser}
	var errs error
	for i := range takes {
		errs = errors.Join(errs, takes[(i+round)%len(takes)](ctx, b, round))
	}
	return errs
}

func takeTenantsOfControl(ctx context.Context, b *bench, round int) error {
	in, err := b.freshControl(ctx, "tenants", round, "--call-rate", "0")
	defer func() { in.stop() }()
	if err != nil {
		return err
	}
	quietKey, err := in.reader(ctx, "quiet")
	if err != nil {
		return err
	}
	loudKey, err := in.reader(ctx, "loud")
	if err != nil {
		return err
	}
	roots, err := trust.LoadRoots(in.ca)
	if err != nil {
		return err
	}
	quiet, err := apiClient(in.api, &tls.Config{RootCAs: roots}, quietKey)
	if err != nil {
		return err
	}
	return b.takeTenantsAt(ctx, round, nameControl, in.control, in.api, quiet, loudKey)
}

func takeTenantsOfRefuser(ctx context.Context, b *bench, round int) error {
	p, addr, err := b.startHelper("refuser", "-cert", b.pair.cert, "-key", b.pair.key)
	if err != nil {
		return err
	}
	defer p.stop()
	quiet, err := apiClient(addr, &tls.Config{InsecureSkipVerify: true}, quietToken)
	if err != nil {
		return err
	}
	return b.takeTenantsAt(ctx, round, nameRefuser, p, addr, quiet, "loud")
}

// takeTenantsAt times the quiet tenant's calls, first alone and then beside the loud
// tenant, which runs as a process of its own.
func (b *bench) takeTenantsAt(ctx context.Context, round int, name string, server *process, addr string, quiet *api.Client, loudKey string) error {
	length := quietLengths * b.o.length
	took, err := callSteadily(ctx, quiet, length)
	if err != nil {
		return err
	}
	putPercentiles(b, round, "tenants", name, figQuiet, took)
	key := filepath.Join(b.dir, "loud.key")
	if err := os.WriteFile(key, []byte(loudKey), 0o600); err != nil {
		return err
	}
	loud, err := start(b.dir, "loud", true, nil, b.self, "loud", "-addr", addr, "-key", key, "-pause", (quietPause / loudTimes).String(), "-for", (length + 2*rampTime).String())
	if err != nil {
		return err
	}
	defer loud.stop()
	ended := make(chan string, 1)
	_, err = loud.line()
	go func() {
		defer loud.discard()
		said, _ := loud.line()
		ended <- said
	}()
	if err != nil {
		return err
	}
	time.Sleep(rampTime) // its burst is over then
	before, err := server.cpu()
	if err != nil {
		return err
	}
	if took, err = callSteadily(ctx, quiet, length); err != nil {
		return err
	}
	after, err := server.cpu()
	if err != nil {
		return err
	}
	putPercentiles(b, round, "tenants", name, figQuietNoisy, took)
	b.results.put(round, "tenants", name, figLoudCPU, (after-before)/length.Seconds())
	rate, err := strconv.ParseFloat(<-ended, 64)
	if err != nil {
		return fmt.Errorf("the loud tenant: %w", err)
	}
	b.results.put(round, "tenants", name, figLoudRate, rate)
	return nil
}

func apiClient(addr string, config *tls.Config, key string) (*api.Client, error) {
	return api.NewClient(api.ClientConfig{BaseURL: "https://" + addr, TLS: config, UserAgent: "bench", Token: func() (string, error) { return key, nil }})
}

// reader makes an organization with a service account and gives its key.
func (in *installation) reader(ctx context.Context, organization string) (string, error) {
	const project = "p"
	if _, err := api.Invoke[mezu.Organization](ctx, in.client, api.OpCreateOrganization, mezu.Organization{Name: organization}); err != nil {
		return "", err
	}
	if _, err := api.Invoke[mezu.Project](ctx, in.client, api.OpCreateProject, mezu.Project{Name: project}, organization); err != nil {
		return "", err
	}
	account := mezu.ServiceAccount{Name: "reader", Permissions: []mezu.Permission{mezu.PermProjectsRead}}
	made, err := api.Invoke[api.ServiceAccountCreated](ctx, in.client, api.OpCreateServiceAccount, account, organization, project)
	return made.Key, err
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
