package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// Names of figures about the end of sessions.
const (
	figCutEdge1     = "cut at the first edge: p50 ms"
	figCutEdge2     = "cut at the second edge: p50 ms"
	figCutWarpgate  = "cut at the Warpgate, both streams: p50 ms"
	figCutAll       = "cut everywhere: p50 ms"
	figCutLast      = "cut everywhere: longest ms"
	figCallAnswered = "the call is answered: p50 ms"
)

const (
	// suspensions is how many users are suspended in a round, one after the other, and
	// warmSuspensions how many before the first.
	suspensions     = 50
	warmSuspensions = 5
	revokeEnv       = "streams"
)

// revocable are users with sessions, and an environment whose workload is in this process: so
// it is seen when the Warpgate lets go.
type revocable struct {
	users    []mezu.User
	cookies  [][]byte // by user
	host     string
	warpgate *process
	workload *letGo
}

func (r *revocable) stop() {
	if r == nil {
		return
	}
	r.warpgate.stop()
	r.workload.close()
}

// takeRevoke suspends users who have a stream through each of two edges, and waits until all
// of it is cut.
func takeRevoke(ctx context.Context, b *bench, round int) error {
	p, err := b.site(ctx)
	if err != nil {
		return err
	}
	if p.revoked == nil {
		if err := p.makeRevocable(ctx, warmSuspensions+suspensions*b.o.rounds); err != nil {
			return err
		}
		for range warmSuspensions {
			if _, err := p.suspend(ctx); err != nil {
				return err
			}
		}
	}
	figures := map[string][]float64{}
	for range suspensions {
		c, err := p.suspend(ctx)
		if err != nil {
			return err
		}
		for name, d := range map[string]time.Duration{figCutEdge1: c.edges[0], figCutEdge2: c.edges[1], figCutWarpgate: c.workload, figCutAll: c.last(), figCallAnswered: c.answered} {
			figures[name] = append(figures[name], milliseconds(d))
		}
	}
	for _, name := range []string{figCallAnswered, figCutEdge1, figCutEdge2, figCutWarpgate, figCutAll} {
		slices.Sort(figures[name])
		b.results.put(round, "login-revoke", nameOurs, name, percentile(figures[name], 50))
	}
	all := figures[figCutAll]
	b.results.put(round, "login-revoke", nameOurs, figCutLast, all[len(all)-1])
	return nil
}

func (p *site) makeRevocable(ctx context.Context, n int) (err error) {
	r := &revocable{}
	if r.workload, err = startLetGo(); err != nil {
		return err
	}
	p.revoked = r
	defer func() {
		if err != nil {
			p.revoked = nil
			r.stop()
		}
	}()
	made, err := api.Invoke[mezu.Environment](ctx, p.in.client, api.OpCreateEnvironment, mezu.Environment{Name: revokeEnv}, siteOrganization, siteProject)
	if err != nil {
		return err
	}
	env, err := p.ask(ctx, revokeEnv)
	if err != nil {
		return err
	}
	r.host = made.Endpoint + "." + edgeDomain
	if r.warpgate, err = p.in.startWarpgate("streams", r.workload.l.Addr().String(), false, "--environment", revokeEnv); err != nil {
		return err
	}
	for range n {
		u, err := p.user(ctx)
		if err != nil {
			return err
		}
		r.users = append(r.users, u)
	}
	r.cookies, err = p.sessions(ctx, n, func(i int, g *mezu.Grant) { g.User, g.Environment = r.users[i].ID, env.ID })
	if err != nil {
		return err
	}
	for i := range p.edges {
		if _, err := awaitGood(ctx, p.way(i)); err != nil {
			return err
		}
	}
	return nil
}

// way is the way to the environment with the streams by way of an edge.
func (p *site) way(edge int) target {
	return target{name: nameOurs, host: p.revoked.host, addr: p.https[edge], secure: true}
}

// cut says how long after the call everything was cut.
type cut struct {
	edges              [2]time.Duration
	workload, answered time.Duration
}

func (c cut) last() time.Duration { return max(c.edges[0], c.edges[1], c.workload) }

// suspend suspends the next user.
func (p *site) suspend(ctx context.Context) (c cut, err error) {
	r := p.revoked
	u, cookie := r.users[0], r.cookies[0]
	r.users, r.cookies = r.users[1:], r.cookies[1:]
	let := r.workload.expect(len(p.edges))
	var streams [2]*conn
	for i := range streams {
		s, err := dial(ctx, p.way(i))
		if err != nil {
			return c, err
		}
		defer s.Close()
		if err := s.greet(pathMine+pathEcho, cookieField(cookie)); err != nil {
			return c, fmt.Errorf("a stream through edge %d: %w", i+1, err)
		}
		s.SetDeadline(time.Now().Add(answerTime))
		streams[i] = s
	}
	var waiting sync.WaitGroup
	defer waiting.Wait()
	begin := time.Now()
	var errs [2]error
	for i, s := range streams {
		waiting.Go(func() {
			var one [1]byte
			_, err := s.Read(one[:])
			c.edges[i] = time.Since(begin)
			var late net.Error
			if errors.As(err, &late) && late.Timeout() {
				errs[i] = fmt.Errorf("edge %d goes on with a session that was ended", i+1)
			}
		})
	}
	_, err = api.Invoke[mezu.User](ctx, p.in.client, api.OpUpdateUser, map[string]any{"status": mezu.UserSuspended}, p.directory(u.ID)...)
	c.answered = time.Since(begin)
	if err != nil {
		for _, s := range streams {
			s.Close()
		}
		return c, err
	}
	select {
	case at := <-let:
		c.workload = at.Sub(begin)
	case <-time.After(answerTime):
		err = errors.New("the Warpgate goes on with a session that was ended")
	}
	waiting.Wait()
	return c, errors.Join(err, errors.Join(errs[:]...))
}

// letGo is a workload that says when its clients have gone.
type letGo struct {
	l         net.Listener
	accepting sync.WaitGroup

	mu   sync.Mutex
	left int
	gone chan time.Time
}

func startLetGo() (*letGo, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	w := &letGo{l: l}
	if err == nil {
		w.accepting.Go(func() { acceptWorkload(watched{l, w}) })
	}
	return w, err
}

func (w *letGo) close() {
	w.l.Close()
	w.accepting.Wait()
}

// expect gives the moment at which n streams that begin from now on have ended.
func (w *letGo) expect(n int) <-chan time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left, w.gone = n, make(chan time.Time, 1)
	return w.gone
}

// ended counts down.
func (w *letGo) ended() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.left--; w.left == 0 {
		w.gone <- time.Now()
	}
}

// watched has a workload look at its connections.
type watched struct {
	net.Listener
	w *letGo
}

// Accept implements net.Listener.
func (l watched) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &watchedConn{Conn: c, w: l.w}, nil
}

// watchedConn tells of its end if it was a stream.
type watchedConn struct {
	net.Conn
	w      *letGo
	stream bool
}

// Write implements net.Conn.
func (c *watchedConn) Write(p []byte) (int, error) {
	c.stream = c.stream || bytes.HasPrefix(p, []byte("HTTP/1.1 101"))
	return c.Conn.Write(p)
}

// Close implements net.Conn.
func (c *watchedConn) Close() error {
	if c.stream {
		c.stream = false
		c.w.ended()
	}
	return c.Conn.Close()
}
