package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
)

// Names of figures about requests with a session: each begins with how many there are.
const (
	figNoSession    = "no session"
	figOneSession   = "1 session"
	figManySessions = "100,000 sessions"
	figFirstSight   = "first sight"
	sessionRate     = ": requests/s"
	sessionP99      = ": p99 ms"
	sessionEdge     = ": edge µs of CPU"
	sessionWarpgate = ": Warpgate µs of CPU"
)

const (
	firstSights  = 5_000 // in a round
	sessionConns = 64
)

// grants are cookies of sessions that nobody logged in for.
type grants struct {
	known [][]byte
	fresh [][]byte // shown once each
}

// takeGrants has requests ask for a path that asks for a login, with sessions, in turn with
// requests that need none. What a session costs is the difference of the CPU time that edge
// and Warpgate take for a request, in the same round.
func takeGrants(ctx context.Context, b *bench, round int) error {
	p, err := b.site(ctx)
	if err != nil {
		return err
	}
	if p.grants == nil {
		all, err := p.sessions(ctx, manySessions+firstSights*b.o.rounds, func(int, *mezu.Grant) {})
		if err != nil {
			return err
		}
		p.grants = &grants{all[:manySessions], all[manySessions:]}
		fmt.Fprintf(b.log, "login-grant: %d sessions of %d bytes\n", len(all), len(all[0]))
		if _, err := visitAll(ctx, p.t, p.grants.known); err != nil {
			return err
		}
	}
	cells := []struct {
		name    string
		cookies [][]byte
	}{{figNoSession, nil}, {figOneSession, p.grants.known[:1]}, {figManySessions, p.grants.known}}
	for i := range cells {
		c := cells[(i+round)%len(cells)]
		if err := b.takeVisits(ctx, round, p.t, c.name, func(v *visits) (load, error) { return v.during(ctx, c.cookies, b.o.length) }); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	fresh := p.grants.fresh[:firstSights]
	p.grants.fresh = p.grants.fresh[firstSights:]
	return b.takeVisits(ctx, round, p.t, figFirstSight, func(v *visits) (load, error) { return v.each(ctx, fresh) })
}

// takeVisits keeps what requests cost, but for the connections that they come over.
func (b *bench) takeVisits(ctx context.Context, round int, t target, name string, drive func(*visits) (load, error)) error {
	v, err := openVisits(ctx, t)
	if err != nil {
		return err
	}
	defer v.close()
	before, err := t.usage()
	if err != nil {
		return err
	}
	l, err := drive(v)
	if err != nil {
		return err
	}
	after, err := t.usage()
	if err != nil {
		return err
	}
	put := func(figure string, v float64) { b.results.put(round, "login-grant", nameOurs, name+figure, v) }
	put(sessionRate, l.perSecond)
	put(sessionP99, l.p99)
	put(sessionEdge, (after[0].cpu-before[0].cpu)/l.requests*1e6)
	put(sessionWarpgate, (after[1].cpu-before[1].cpu)/l.requests*1e6)
	return nil
}

// visits are kept connections over which visitors ask.
type visits struct {
	t     target
	conns []*conn
}

func openVisits(ctx context.Context, t target) (*visits, error) {
	v := &visits{t: t}
	for range sessionConns {
		c, err := dial(ctx, t)
		if err != nil {
			v.close()
			return nil, err
		}
		v.conns = append(v.conns, c)
		if err := c.get(t.head("GET", pathSmall, "")); err != nil {
			v.close()
			return nil, err
		}
	}
	return v, nil
}

func (v *visits) close() {
	for _, c := range v.conns {
		c.Close()
	}
}

// visitAll shows each session once.
func visitAll(ctx context.Context, t target, cookies [][]byte) (load, error) {
	v, err := openVisits(ctx, t)
	if err != nil {
		return load{}, err
	}
	defer v.close()
	return v.each(ctx, cookies)
}

// each shows each session once.
func (v *visits) each(ctx context.Context, cookies [][]byte) (load, error) {
	return v.drive(ctx, cookies, func(n int) bool { return n < len(cookies) })
}

// during shows sessions by turns for a time, or asks without one if there are none.
func (v *visits) during(ctx context.Context, cookies [][]byte, length time.Duration) (load, error) {
	end := time.Now().Add(length)
	return v.drive(ctx, cookies, func(int) bool { return time.Now().Before(end) })
}

// drive asks over all connections at once, one request after the other on each.
func (v *visits) drive(ctx context.Context, cookies [][]byte, goesOn func(n int) bool) (load, error) {
	public, mine := v.t.head("GET", pathSmall, ""), v.t.head("GET", pathMine+pathSmall, "")
	mine = append(mine[:len(mine)-len("\r\n")], "Cookie: "+mezu.SessionCookie+"="...)
	var next atomic.Int64
	var mu sync.Mutex
	var took []float64
	var errs error
	var asking sync.WaitGroup
	begin := time.Now()
	for _, c := range v.conns {
		asking.Go(func() {
			c.SetDeadline(time.Now().Add(cellTime))
			var own []float64
			var buf []byte
			var err error
			for n := int(next.Add(1)) - 1; goesOn(n) && err == nil && ctx.Err() == nil; n = int(next.Add(1)) - 1 {
				head := public
				if cookies != nil {
					buf = append(append(append(buf[:0], mine...), cookies[n%len(cookies)]...), "\r\n\r\n"...)
					head = buf
				}
				at := time.Now()
				err = c.exchange(head)
				own = append(own, milliseconds(time.Since(at)))
			}
			mu.Lock()
			defer mu.Unlock()
			took, errs = append(took, own...), errors.Join(errs, err)
		})
	}
	asking.Wait()
	l := load{requests: float64(len(took)), perSecond: float64(len(took)) / time.Since(begin).Seconds()}
	slices.Sort(took)
	l.p50, l.p99 = percentile(took, 50), percentile(took, 99)
	return l, errs
}
