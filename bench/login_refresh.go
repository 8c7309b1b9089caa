package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// Names of figures about refreshes and pages.
const (
	figRefresh      = "refresh"
	figShowUser     = "show a user"
	sessionCPU      = ": cores of the control plane"
	figLoginPage    = "login page: p50 ms"
	figLoginPageP99 = "login page: p99 ms"
	figProbe        = "probe: p50 ms"
)

const (
	// refreshRate is how many refreshes a second are asked for.
	refreshRate = 50
	// refreshSessions are refreshed by turns. One comes again after 12 s: within 10 s it would
	// get the same answer, which is cheaper.
	refreshSessions = 600
	refreshClients  = 16
	// pageSamples is how many pages are timed in a round, over pageConns connections from
	// networks of their own.
	pageSamples = 200
	pageConns   = 40
)

// going is a session that goes on.
type going struct {
	user  mezu.User
	grant string
}

// takeRefreshes refreshes real sessions at a steady pace, as an edge does, and beside it has
// the same control plane show users at the same pace.
func takeRefreshes(ctx context.Context, b *bench, round int) error {
	p, err := b.site(ctx)
	if err != nil {
		return err
	}
	for len(p.going) < refreshSessions {
		u, err := p.join(ctx)
		if err != nil {
			return err
		}
		for range min(refreshSessions-len(p.going), maxSessionsOfUser) {
			cookie, err := p.login(ctx, u)
			if err != nil {
				return err
			}
			_, compact, _ := mezu.SplitSession([]byte(cookie))
			p.going = append(p.going, &going{u, string(compact)})
		}
	}
	cells := []struct {
		name string
		call func(g *going) error
	}{
		{figRefresh, func(g *going) error {
			out, err := api.Invoke[api.EdgeRefreshed](ctx, p.edge, api.OpEdgeRefresh, api.EdgeRefreshRequest{Grant: g.grant})
			if err == nil && out.Grant == g.grant {
				err = errors.New("a session was refreshed to what it had")
			}
			g.grant = out.Grant
			return err
		}},
		{figShowUser, func(g *going) error {
			_, err := api.Invoke[mezu.User](ctx, p.in.client, api.OpGetUser, nil, p.directory(g.user.ID)...)
			return err
		}},
	}
	for i := range cells {
		c := cells[(i+round)%len(cells)]
		if err := b.takePaced(ctx, round, p, c.name, c.call); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

// maxSessionsOfUser is how many of the sessions are of one user, who may have 50.
const maxSessionsOfUser = 40

// takePaced makes calls at the rate of refreshes, and keeps from when each was due until it
// was answered.
func (b *bench) takePaced(ctx context.Context, round int, p *site, name string, call func(*going) error) error {
	type one struct {
		g  *going
		at time.Time
	}
	due := make(chan one, refreshSessions)
	var mu sync.Mutex
	var took []float64
	var errs error
	var calling sync.WaitGroup
	for range refreshClients {
		calling.Go(func() {
			for o := range due {
				err := call(o.g)
				mu.Lock()
				took, errs = append(took, milliseconds(time.Since(o.at))), errors.Join(errs, err)
				mu.Unlock()
			}
		})
	}
	before, err := p.in.control.cpu()
	begin := time.Now()
	tick := time.NewTicker(time.Second / refreshRate)
	defer tick.Stop()
	for range int(b.o.length.Seconds() * refreshRate) {
		at := <-tick.C
		g := p.going[0]
		p.going = append(p.going[1:], g)
		due <- one{g, at}
	}
	close(due)
	calling.Wait()
	elapsed := time.Since(begin).Seconds()
	after, cpuErr := p.in.control.cpu()
	if err := errors.Join(err, cpuErr, errs); err != nil {
		return err
	}
	slices.Sort(took)
	put := func(figure string, v float64) { b.results.put(round, "login-refresh", nameControl, name+figure, v) }
	put(sessionRate, float64(len(took))/elapsed)
	put(p50Suffix, percentile(took, 50))
	put(p99Suffix, percentile(took, 99))
	put(sessionCPU, (after-before)/elapsed)
	return nil
}

// takeLoginPage gets the login page through an edge, in turn with a probe, which the edge
// sends to the Warpgate and back. Each connection comes from a network of its own: an edge
// gives one only so many pages a second.
func takeLoginPage(ctx context.Context, b *bench, round int) error {
	p, err := b.site(ctx)
	if err != nil {
		return err
	}
	conns := make([]*conn, pageConns)
	for i := range conns {
		t := p.t
		t.from = elsewhere()
		if conns[i], err = dial(ctx, t); err != nil {
			return err
		}
		defer conns[i].Close()
	}
	var pages, probes []float64
	time1 := func(c *conn, path string, want int) (float64, error) {
		c.SetDeadline(time.Now().Add(answerTime))
		begin := time.Now()
		if _, err := c.Write(p.t.head("GET", path, "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n")); err != nil {
			return 0, err
		}
		n, err := c.answer(want)
		if err == nil {
			err = discard(c.r, n)
		}
		return milliseconds(time.Since(begin)), err
	}
	for i := range pageSamples + pageConns {
		c := conns[i%len(conns)]
		page, err := time1(c, mezu.ReservedPath+"login", 200)
		if err != nil {
			return fmt.Errorf("the login page: %w", err)
		}
		probe, err := time1(c, mezu.ReservedPath+"probe", 204)
		if err != nil {
			return fmt.Errorf("the probe: %w", err)
		}
		if i >= pageConns { // the first of each connection warms
			pages, probes = append(pages, page), append(probes, probe)
		}
	}
	slices.Sort(pages)
	slices.Sort(probes)
	put := func(name string, v float64) { b.results.put(round, "login-page", nameOurs, name, v) }
	put(figLoginPage, percentile(pages, 50))
	put(figLoginPageP99, percentile(pages, 99))
	put(figProbe, percentile(probes, 50))
	return nil
}
