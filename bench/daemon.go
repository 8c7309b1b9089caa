package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/mezusphere/mezu"
)

// Names of figures about mezu on a developer's machine.
const (
	nameDaemon      = "edge + local daemon"
	nameDaemonShown = "the same, shown by mezu tunnel"

	figVersion     = "mezu version: ms"
	figDaemonReady = "daemon ready: ms"
	figFirstMade   = "first byte, all made: ms"
	figFirstWarm   = "first byte, warm daemon: ms"
	figDaemonIdle  = "daemon with 5 tunnels: MiB"
	figDaemonCPU   = "daemon with 5 tunnels: % of a core"
	figPerTunnel   = "each further tunnel: MiB"
	figSideCPU     = "its own CPU-s per 100,000 requests"
	figNetworkBack = "network returns: ms"
	figDaemonBack  = "daemon killed: ms"
)

const (
	// versionRuns and firstRuns are how often short commands run in a round.
	versionRuns = 20
	firstRuns   = 5
	// rateTurns is how often each is loaded in a round: what else the machine does meanwhile
	// hits all of them alike. The first turn isn't counted: new tunnels open their data
	// connections in it, which the Warpgate has from other measures.
	rateTurns = 1 + 3
	// fewTunnels idle first, and then moreTunnels further ones.
	fewTunnels  = 5
	moreTunnels = 20
	// daemonRest is how long an idle daemon is watched.
	daemonRest = 20 * time.Second
	// outage is how long the network is away, so that pauses between tries have grown.
	outage = 15 * time.Second
)

// developer is the machine of somebody who runs mezu.
type developer struct {
	b    *bench
	in   *installation
	home string
	env  []string
	n    int // commands that were started
}

func (b *bench) developer(in *installation, name string) (*developer, error) {
	d := &developer{b: b, in: in, home: filepath.Join(b.dir, name)}
	if err := os.MkdirAll(d.home, 0o700); err != nil {
		return nil, err
	}
	d.env = []string{"MEZU_HOME=" + d.home, "MEZU_TOKEN=" + in.token, "MEZU_API=https://" + in.api, "MEZU_CA_FILE=" + in.ca, "MEZU_ORG=bench", "CI=true"}
	return d, nil
}

// run runs a command to its end and gives how long it took.
func (d *developer) run(ctx context.Context, args ...string) (time.Duration, error) {
	c := exec.CommandContext(ctx, d.in.bin.mezu, args...)
	c.Env = append(os.Environ(), d.env...)
	begin := time.Now()
	out, err := c.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("mezu %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return time.Since(begin), nil
}

// tunnel starts a command that holds a tunnel to the workload open, in an environment of the
// caller's own, and gives how long it took until a request had come through.
func (d *developer) tunnel(ctx context.Context, project string) (p *process, t target, took time.Duration, err error) {
	d.n++
	begin := time.Now()
	p, err = start(d.b.dir, filepath.Base(d.home)+"-tunnel-"+strconv.Itoa(d.n), true, d.env,
		d.in.bin.mezu, "tunnel", "--json", "--project", project, d.b.upstream)
	if err != nil {
		return p, t, 0, err
	}
	defer func() { go p.discard() }()
	defer time.AfterFunc(startTime, func() { p.cmd.Process.Kill() }).Stop()
	for {
		line, err := p.line()
		if err != nil {
			return p, t, 0, err
		}
		var e mezu.Event
		if json.Unmarshal([]byte(line), &e) != nil || e.Event != mezu.EventReady {
			continue
		}
		took = time.Since(begin)
		address, err := url.Parse(e.URL)
		if err != nil {
			return p, t, 0, err
		}
		return p, target{name: nameDaemon, host: address.Hostname(), addr: d.in.https, secure: true, h2: true}, took, nil
	}
}

// daemon is the process of the local daemon.
func (d *developer) daemon(ctx context.Context) (*process, error) {
	c := exec.CommandContext(ctx, d.in.bin.mezu, "daemon", "status", "-o", "json")
	c.Env = append(os.Environ(), d.env...)
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("mezu daemon status: %w", err)
	}
	var status struct {
		PID int `json:"pid"`
	}
	err = json.Unmarshal(out, &status)
	return &process{name: "daemon", pids: []int{status.PID}}, err
}

// stop ends the daemon.
func (d *developer) stop() error {
	_, err := d.run(context.Background(), "daemon", "stop")
	return err
}

// takeDeveloper is what somebody waits for who runs mezu, and what its daemon takes.
func takeDeveloper(ctx context.Context, b *bench, round int) (err error) {
	if !b.have() {
		return errNotOurs
	}
	d, err := b.developer(b.in, fmt.Sprintf("developer-%d", round))
	if err != nil {
		return err
	}
	put := func(name string, v float64) { b.results.put(round, "developer", nameDaemon, name, v) }
	if err := d.takeCommands(ctx, put); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	if err := d.takeFirst(ctx, put); err != nil {
		return err
	}
	if err := d.takeRate(ctx, round); err != nil {
		return err
	}
	if err := d.takeKill(ctx, put); err != nil {
		return err
	}
	return d.takeIdle(ctx, put)
}

// takeCommands times what needs no tunnel.
func (d *developer) takeCommands(ctx context.Context, put func(string, float64)) error {
	var took []float64
	for range versionRuns {
		t, err := d.run(ctx, "version")
		if err != nil {
			return err
		}
		took = append(took, milliseconds(t))
	}
	slices.Sort(took)
	put(figVersion, percentile(took, 50))
	t, err := d.run(ctx, "daemon", "start")
	put(figDaemonReady, milliseconds(t))
	return err
}

// takeFirst times commands until the first answer: with project, environment and route made by
// them, and again when these are there. The daemon runs already.
func (d *developer) takeFirst(ctx context.Context, put func(string, float64)) error {
	var made, warm []float64
	for i := range firstRuns {
		project := fmt.Sprintf("%s-%d", filepath.Base(d.home), i)
		for _, into := range []*[]float64{&made, &warm} {
			p, _, took, err := d.tunnel(ctx, project)
			p.stop()
			if err != nil {
				return err
			}
			*into = append(*into, milliseconds(took))
		}
	}
	slices.Sort(made)
	slices.Sort(warm)
	put(figFirstMade, percentile(made, 50))
	put(figFirstWarm, percentile(warm, 50))
	return nil
}

// runHere runs the daemon in the session of the bench, as the program warpgate runs. Linux gives
// each session its own share of the CPU, and so one in a session of its own would interrupt the
// edge that works for it after each request.
func (d *developer) runHere(ctx context.Context, name string) (*process, error) {
	if err := d.stop(); err != nil {
		return nil, err
	}
	p, err := start(d.b.dir, name, false, d.env, d.in.bin.mezu, "daemon", "run")
	if err != nil {
		return p, err
	}
	for end := time.Now().Add(startTime); ; {
		if is, err := d.daemon(ctx); err == nil && is.pids[0] == p.pids[0] {
			return p, nil
		}
		if time.Now().After(end) || ctx.Err() != nil || p.ended() {
			return p, fmt.Errorf("mezu daemon run is not ready:\n%s", p.tail())
		}
	}
}

// takeRate drives HTTP/1.1 through the program warpgate, through the daemon, and through the
// daemon while a command shows requests.
func (d *developer) takeRate(ctx context.Context, round int) error {
	daemon, err := d.runHere(ctx, fmt.Sprintf("daemon-here-%d", round))
	defer daemon.stop()
	if err != nil {
		return err
	}
	project := filepath.Base(d.home) + "-rate"
	if _, err := d.run(ctx, "tunnel", "--detach", "--wait", "--project", project, d.b.upstream); err != nil {
		return err
	}
	shown, t, _, err := d.tunnel(ctx, project+"-shown")
	defer shown.stop()
	if err != nil {
		return err
	}
	alone := t
	alone.name, alone.host = nameDaemon, strings.Replace(t.host, project+"-shown", project, 1)
	t.name = nameDaemonShown
	three := []struct {
		target
		by        *process
		rate, p99 []float64
		requests  float64
		cpu       float64
	}{{target: d.b.ours, by: d.b.warpgate}, {target: alone, by: daemon}, {target: t, by: daemon}}
	for turn := range rateTurns * len(three) {
		t := &three[(turn+turn/len(three)+round)%len(three)]
		before, err := t.by.cpu()
		if err != nil {
			return err
		}
		l, err := wrk(ctx, d.b.dir, t.target, d.b.o.length)
		if err == nil {
			err = l.failed()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		after, err := t.by.cpu()
		if err != nil {
			return err
		}
		if turn < len(three) {
			continue
		}
		t.rate, t.p99 = append(t.rate, l.perSecond), append(t.p99, l.p99)
		t.requests, t.cpu = t.requests+l.requests, t.cpu+after-before
	}
	for _, t := range three {
		slices.Sort(t.rate)
		slices.Sort(t.p99)
		d.b.results.put(round, "developer", t.name, figRate, percentile(t.rate, 50))
		d.b.results.put(round, "developer", t.name, figP99, percentile(t.p99, 50))
		d.b.results.put(round, "developer", t.name, figSideCPU, 100_000*t.cpu/t.requests)
	}
	return nil
}

// takeKill kills the daemon beside a command that holds a tunnel open.
func (d *developer) takeKill(ctx context.Context, put func(string, float64)) error {
	p, t, _, err := d.tunnel(ctx, filepath.Base(d.home)+"-kill")
	defer p.stop()
	if err != nil {
		return err
	}
	daemon, err := d.daemon(ctx)
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := syscall.Kill(daemon.pids[0], syscall.SIGKILL); err != nil {
		return err
	}
	for ctx.Err() == nil { // the edge needs a moment to see that the daemon is gone
		if once(ctx, t, t.head("GET", pathSmall, "")) != nil {
			break
		}
	}
	answered, err := awaitGood(ctx, t)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, p.tail())
	}
	put(figDaemonBack, milliseconds(answered.Sub(begin)))
	return nil
}

// takeIdle leaves tunnels alone.
func (d *developer) takeIdle(ctx context.Context, put func(string, float64)) error {
	open := func(from, to int) error {
		for i := from; i < to; i++ {
			project := fmt.Sprintf("%s-idle-%d", filepath.Base(d.home), i)
			if _, err := d.run(ctx, "tunnel", "--detach", "--wait", "--project", project, d.b.upstream); err != nil {
				return err
			}
		}
		return nil
	}
	watch := func() (resident, share float64, err error) {
		p, err := d.daemon(ctx)
		if err != nil {
			return 0, 0, err
		}
		if err := pauseFor(ctx, restTime); err != nil {
			return 0, 0, err
		}
		before, err := p.cpu()
		if err != nil {
			return 0, 0, err
		}
		begin := time.Now()
		if err := pauseFor(ctx, daemonRest); err != nil {
			return 0, 0, err
		}
		after, err := p.cpu()
		if err != nil {
			return 0, 0, err
		}
		resident, err = p.rss()
		return resident / 1024, 100 * (after - before) / time.Since(begin).Seconds(), err
	}
	// What the load before took is not what an idle daemon takes.
	if err := d.stop(); err != nil {
		return err
	}
	if err := open(0, fewTunnels); err != nil {
		return err
	}
	few, share, err := watch()
	if err != nil {
		return err
	}
	put(figDaemonIdle, few)
	put(figDaemonCPU, share)
	if err := open(fewTunnels, fewTunnels+moreTunnels); err != nil {
		return err
	}
	many, _, err := watch()
	put(figPerTunnel, (many-few)/moreTunnels)
	return err
}

func pauseFor(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// takeNetwork is how long a tunnel takes to come back when the network does.
func takeNetwork(ctx context.Context, b *bench, round int) (err error) {
	if !b.have() {
		return errNotOurs
	}
	in, err := b.freshControl(ctx, "network", round)
	defer in.stop()
	if err != nil {
		return err
	}
	wire, err := layWire(in.https)
	if err != nil {
		return err
	}
	defer wire.cut()
	if in.edge, err = in.startEdge(ctx, "edge", in.https, "", "--tunnel-address", wire.address, "--max-conns", maxConns); err != nil {
		return err
	}
	d, err := b.developer(in, fmt.Sprintf("network-home-%d", round))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	p, t, _, err := d.tunnel(ctx, "load")
	defer p.stop()
	if err != nil {
		return err
	}
	wire.cut()
	if err := pauseFor(ctx, outage); err != nil {
		return err
	}
	if err := wire.lay(); err != nil {
		return err
	}
	begin := time.Now()
	answered, err := awaitGood(ctx, t)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, p.tail())
	}
	b.results.put(round, "network", nameDaemon, figNetworkBack, milliseconds(answered.Sub(begin)))
	return nil
}

// wire is the network between a machine and an edge.
type wire struct {
	address, to string

	mu    sync.Mutex
	in    net.Listener // nil while it is cut
	conns map[net.Conn]bool
}

// layWire listens and carries all connections to an address.
func layWire(to string) (*wire, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	w := &wire{address: addr, to: to}
	return w, w.lay()
}

// lay carries connections from now on.
func (w *wire) lay() error {
	l, err := net.Listen("tcp", w.address)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.in, w.conns = l, map[net.Conn]bool{}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go w.carry(c)
		}
	}()
	return nil
}

func (w *wire) carry(a net.Conn) {
	b, err := net.Dial("tcp", w.to)
	if err != nil {
		a.Close()
		return
	}
	w.mu.Lock()
	if w.in == nil {
		w.mu.Unlock()
		a.Close()
		b.Close()
		return
	}
	w.conns[a], w.conns[b] = true, true
	w.mu.Unlock()
	go func() {
		io.Copy(a, b)
		a.Close()
	}()
	io.Copy(b, a)
	b.Close()
}

// cut ends all connections and takes no more. It may be called twice.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.in == nil {
		return
	}
	w.in.Close()
	for c := range w.conns {
		c.Close()
	}
	w.in, w.conns = nil, nil
}
