package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Names of figures.
const (
	figRate         = "requests/s"
	figP50          = "p50 ms"
	figP99          = "p99 ms"
	figCPU          = "CPU-s per 100,000"
	figCalls        = "reads and writes per request"
	callsSuffix     = ", reads and writes per MiB"
	figCPU1         = "over HTTP/1.1: CPU-s per 100,000"
	figP50us        = "p50 µs"
	figP99us        = "p99 µs"
	figDown1        = "down ×1 MB/s"
	figDown8        = "down ×8 MB/s"
	figUp1          = "up ×1 MB/s"
	figUp8          = "up ×8 MB/s"
	cpuSuffix       = ", CPU-s/GiB"
	figAlone        = "alone"
	figStalled      = "2 stalled + bulk"
	figSlowFast     = "slow + fast"
	p50Suffix       = ": p50 ms"
	p99Suffix       = ": p99 ms"
	rateSuffix      = ": MB/s"
	figPerWarpgate  = "KiB per Warpgate, edge"
	figPerSocket    = "KiB per WebSocket"
	uncollected     = ", with garbage"
	figEdgeBack     = "edge: ms from listening"
	figWarpgateBack = "Warpgate: ms from start"
	figSize         = "warpgate MB"
	figResident     = "warpgate idle MiB"
	figRegistration = "registration ms"
)

// measure is one kind of load or event.
type measure struct {
	name, about string
	take        func(ctx context.Context, b *bench, round int) error
}

// alone are the measures that run without edge, Warpgate and references.
var alone = []string{"sessions", "users", "etcd", "manyusers", "opening"}

var measures = []measure{
	{"http1", "Requests for 1 KiB over 64 connections of HTTP/1.1 (wrk)", takeHTTP1},
	{"http2", "Requests for 1 KiB over 8 connections of HTTP/2 with 8 streams each (h2load)", takeHTTP2},
	{"latency", "Requests for 1 KiB over one connection of HTTP/1.1, one after the other, targets in turn", takeLatency},
	{"bulk", "512 MiB down and up, over one connection and over eight", takeBulk},
	{"connections", "New TLS connections, each a full handshake and one request", takeConnections},
	{"line", "200 small requests a second: alone, beside two readers that stalled and a bulk download, and beside a slow and a fast download", takeLine},
	{"loss", "Small requests where edge and Warpgate are at either end of a link of 50 ms there and back, 200 Mbit/s and 50 ms of queue, without loss and with 1 % lost each way: at a steady pace from 16 connections (150 a second) and from 64 (600), and from 64 one after the other (wrk). Needs Linux and root", takeLoss},
	{"bulk-h2", "512 MiB down and up over one connection of HTTP/2, as one stream and as eight", takeBulkH2},
	{"grpc", "Unary calls of gRPC over 8 connections with 8 at a time each (grpc-go), through HTTP/2 to a server of h2c", takeGRPC},
	{"line-h2", "200 small requests a second over one connection of HTTP/2: alone, beside two streams that stalled and a bulk download, and beside a slow and a fast download, all on that connection", takeLineH2},
	{"idle", "Resident memory of idle Warpgates and WebSockets", takeIdle},
	{"idle-h2", "Resident memory of idle connections of HTTP/2, and of idle WebSockets on them", takeIdleH2},
	{"start", "From a fresh state to the first answer", takeStart},
	{"recovery", "Requests good again after kill -9 and one second of absence", takeRecovery},
	{"changes", "50 changes of routes a second, until the edge runs each", takeChanges},
	{"cold", "Starts of a control plane with many environments of 10 routes each (-environments), and of an edge that has none of them yet", takeCold},
	{"crowd", "200 small requests a second, alone and beside 5,000 connections that sent the beginning of a head and send a byte now and then", takeCrowd},
	{"attack", "200 small requests a second, alone and beside 5,000 hostile connections of another address of each kind: heads and bodies of which a byte comes every ten seconds, readers that take nothing, and handshakes that end with their first message, 500 new ones a second; and what one takes of the memory. Beside them is measured when all have what they wait for", takeAttack},
	{"firewall", "300 requests of each kind, one after the other, with the firewall off and on (paranoia 1): a GET with a query and a browser's fields, and 900 bytes of JSON with 48 values; the worst head and the worst body; and 50 guarded requests a second, alone and beside another address that sends worst bodies over eight connections", takeFirewall},
	{"silent", "Small requests and calls, alone and beside 4,500 connections that say nothing, 1,000 of them new each second, where the process may open 4,096 files", takeSilent},
	{"slowreaders", "Memory of edge and Warpgate per reader that takes nothing of a large response, by the workload's version of HTTP", takeSlowReaders},
	{"readers-h2", "Memory of edge and Warpgate per reader that takes nothing, in use after a collection, by the reader's version of HTTP and the workload's", takeReadersH2},
	{"floods", "200 small requests a second over HTTP/2, alone and beside another client's floods of frames", takeFloods},
	{"refusals", "4,000 POSTs of 7 bytes to a workload of HTTP/2 that refuses streams and ends connections, and net/http's client beside", takeRefusals},
	{"places", "200 small requests a second, alone and beside thousands of bodies of which one address sends a byte now and then", takePlaces},
	{"tenants", "One tenant's calls of the API, alone and beside another tenant with a hundred times as many", takeTenants},
	{"revocations", "200,000 revocations of users and sessions in force in one directory: start and memory of an edge and of a Warpgate, the registration of a Warpgate that they concern, and what is asked for each request", takeRevocations},
	{"login-grant", "Requests for 1 KiB over 64 connections of HTTP/1.1 (this program): without a session, and with sessions that are known or seen for the first time; CPU is of one request", takeGrants},
	{"login-revoke", "From the call that suspends a user until that user's streams through two edges are cut", takeRevoke},
	{"login-refresh", "50 refreshes of sessions a second, and as many users shown by the same control plane", takeRefreshes},
	{"login-page", "The login page through an edge, one after the other, in turn with a probe of the way to the Warpgate", takeLoginPage},
	{"login-hash", "Requests for 1 KiB over 64 connections of HTTP/1.1 (wrk), alone and beside more logins with wrong passwords than can be hashed", takeHashing},
	{"developer", "mezu on a developer's machine: commands, the first answer through a new tunnel, requests for 1 KiB through the local daemon and through the program warpgate (wrk), the daemon killed, and idle", takeDeveloper},
	{"inspector", "Requests for 1 KiB (wrk) through the local daemon without recording, with it, and beside a dashboard; how soon that draws and answers, what it takes, and the program warpgate by itself", takeInspector},
	{"network", "A tunnel of the local daemon when the network returns that was away for 15 s", takeNetwork},
	{"bodies", "Bodies of the API and files of mezu validate that cost as much as their size lets them", takeBodies},
	{"patterns", "One request to an environment with the dearest patterns that are accepted, and small requests of another beside them", takePatterns},
	{"sessions", "What a session adds to a request at an edge and at a Warpgate, by the functions that find it, with 1 session and with 100,000", takeSessions},
	{"users", "Operations on one record, or a page of 100, and the bare engine with the same bytes, in turn; one after the other", takeUsers},
	{"etcd", "The same over a cluster of three members of etcd, and its plain client", takeEtcd},
	{"manyusers", "Finding and listing in directories of rising size (-users), in turn", takeManyUsers},
	{"opening", "Opening an embedded store of 1 GiB with every table verified, and the bare engine with the same, in turn", takeOpening},
}

func overTLS(t target) bool { return t.secure }

func overHTTP2(t target) bool { return t.h2 }

func every(target) bool { return true }

// takeHTTP1 drives HTTP/1.1 with wrk.
func takeHTTP1(ctx context.Context, b *bench, round int) error {
	return b.inTurn(ctx, round, every, func(t target) error { return b.takeLoad(ctx, round, "http1", t, wrk) })
}

// takeHTTP2 drives HTTP/2 with h2load. Ours are driven over HTTP/1.1 next, so that one
// round has the CPU of both.
func takeHTTP2(ctx context.Context, b *bench, round int) error {
	return b.inTurn(ctx, round, overHTTP2, func(t target) error {
		if err := b.takeLoad(ctx, round, "http2", t, h2load); err != nil || t.name != nameOurs && t.name != nameBefore {
			return err
		}
		before, err := t.usage()
		if err != nil {
			return err
		}
		l, err := wrk(ctx, b.dir, t, b.o.length)
		if err != nil {
			return err
		}
		return errors.Join(b.putCPU(round, "http2", figCPU1, t, before, l.requests/100_000), l.failed())
	})
}

type generator func(ctx context.Context, dir string, t target, length time.Duration) (load, error)

func (b *bench) takeLoad(ctx context.Context, round int, name string, t target, drive generator) error {
	before, err := t.usage()
	if err != nil {
		return err
	}
	l, err := drive(ctx, b.dir, t, b.o.length)
	if err != nil {
		return err
	}
	b.results.put(round, name, t.name, figRate, l.perSecond)
	b.results.put(round, name, t.name, figP50, l.p50)
	b.results.put(round, name, t.name, figP99, l.p99)
	return errors.Join(b.putCPU(round, name, figCPU, t, before, l.requests/100_000),
		b.putCalls(round, name, figCalls, t, before, l.requests), l.failed())
}

// latencyRequests is how many requests of one connection a median is of, over all
// rounds at least.
const latencyRequests = 5_000

// takeLatency asks each target in turn, so that all see the same machine.
func takeLatency(ctx context.Context, b *bench, round int) error {
	type probe struct {
		c    *conn
		head []byte
		took []float64
	}
	probes := make([]*probe, len(b.targets))
	for i, t := range b.targets {
		c, err := dial(ctx, t)
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		defer c.Close()
		probes[i] = &probe{c: c, head: t.head("GET", pathSmall, "")}
	}
	const warm = 50
	for i := range warm + max(1000, latencyRequests/b.o.rounds) {
		for j, p := range probes {
			begin := time.Now()
			if err := p.c.get(p.head); err != nil {
				return fmt.Errorf("%s: %w", b.targets[j].name, err)
			}
			if i >= warm {
				p.took = append(p.took, time.Since(begin).Seconds()*1e6)
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	for i, t := range b.targets {
		slices.Sort(probes[i].took)
		b.results.put(round, "latency", t.name, figP50us, percentile(probes[i].took, 50))
		b.results.put(round, "latency", t.name, figP99us, percentile(probes[i].took, 99))
	}
	return nil
}

// bulkBytes are moved in each cell.
const bulkBytes = 512 << 20

// cell is one direction and number of streams.
type cell struct {
	name string
	move func(ctx context.Context, t target) (time.Duration, error)
}

// takeBulk moves bytes both ways over HTTP/1.1, each stream on a connection of its own.
func takeBulk(ctx context.Context, b *bench, round int) error {
	cells := make([]cell, 0, 4)
	for _, c := range []struct {
		name    string
		streams int64
		move    func(*conn, int64) error
	}{{figDown1, 1, (*conn).download}, {figDown8, 8, (*conn).download}, {figUp1, 1, (*conn).upload}, {figUp8, 8, (*conn).upload}} {
		cells = append(cells, cell{c.name, func(ctx context.Context, t target) (time.Duration, error) { return moveBulk(ctx, t, c.streams, c.move) }})
	}
	return b.takeCells(ctx, round, "bulk", overTLS, cells)
}

// takeCells moves bulkBytes in each cell, by each target in turn.
func (b *bench) takeCells(ctx context.Context, round int, measure string, fits func(target) bool, cells []cell) error {
	for _, cell := range cells {
		err := b.inTurn(ctx, round, fits, func(t target) error {
			before, err := t.usage()
			if err != nil {
				return err
			}
			took, err := cell.move(ctx, t)
			if err != nil {
				return fmt.Errorf("%s: %w", cell.name, err)
			}
			b.results.put(round, measure, t.name, cell.name, bulkBytes/1e6/took.Seconds())
			return errors.Join(b.putCPU(round, measure, cell.name+cpuSuffix, t, before, bulkBytes/float64(1<<30)),
				b.putCalls(round, measure, cell.name+callsSuffix, t, before, bulkBytes/float64(1<<20)))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// moveBulk connects first and then moves all streams' shares at once.
func moveBulk(ctx context.Context, t target, streams int64, move func(*conn, int64) error) (time.Duration, error) {
	conns := make([]*conn, streams)
	for i := range conns {
		c, err := dial(ctx, t)
		if err != nil {
			return 0, err
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(cellTime))
		conns[i] = c
	}
	return moveAll(int(streams), func(i int) error { return move(conns[i], bulkBytes/streams) })
}

// moveAll moves the shares of so many streams at once.
func moveAll(streams int, move func(i int) error) (time.Duration, error) {
	errs := make([]error, streams)
	var wg sync.WaitGroup
	begin := time.Now()
	for i := range errs {
		wg.Go(func() { errs[i] = move(i) })
	}
	wg.Wait()
	return time.Since(begin), errors.Join(errs...)
}

// connect makes a connection for each request.
func connect(ctx context.Context, _ string, t target, length time.Duration) (load, error) {
	head := t.head("GET", pathSmall, "Connection: close\r\n")
	var made, failed atomic.Int64
	begin := time.Now()
	var wg sync.WaitGroup
	for range 2 * runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for time.Since(begin) < length && ctx.Err() == nil {
				if once(ctx, t, head) == nil {
					made.Add(1)
				} else {
					failed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	l := load{requests: float64(made.Load()), perSecond: float64(made.Load()) / time.Since(begin).Seconds()}
	if n := failed.Load(); n > 0 {
		return l, fmt.Errorf("%d connections failed", n)
	}
	return l, nil
}

func takeConnections(ctx context.Context, b *bench, round int) error {
	return b.inTurn(ctx, round, overTLS, func(t target) error {
		before, err := t.usage()
		if err != nil {
			return err
		}
		l, err := connect(ctx, b.dir, t, b.o.length)
		b.results.put(round, "connections", t.name, figRate, l.perSecond)
		return errors.Join(err, b.putCPU(round, "connections", figCPU, t, before, l.requests/100_000))
	})
}

// Small requests beside others.
const (
	smallPause   = 5 * time.Millisecond // 200 a second
	smallClients = 16
	slowPause    = 50 * time.Millisecond // between two reads of 64 KiB: 1.3 MB/s
	rampTime     = 300 * time.Millisecond
)

// takeLine looks for what holds up small requests.
func takeLine(ctx context.Context, b *bench, round int) error {
	return b.takeScenes(ctx, round, overTLS, b.takeScene)
}

// scene is what small requests are beside.
type scene struct {
	name          string
	stalled, slow int
	bulk          bool
}

// takeScenes takes all scenes, each by all targets in turn.
func (b *bench) takeScenes(ctx context.Context, round int, fits func(target) bool, take func(ctx context.Context, round int, t target, s scene) error) error {
	for _, s := range []scene{{figAlone, 0, 0, false}, {figStalled, 2, 0, true}, {figSlowFast, 0, 1, true}} {
		if err := b.inTurn(ctx, round, fits, func(t target) error { return take(ctx, round, t, s) }); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

func (b *bench) takeScene(ctx context.Context, round int, t target, s scene) error {
	for i := range s.stalled + s.slow {
		c, err := dial(ctx, t)
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := c.Write(t.head("GET", pathEndless, "")); err != nil {
			return err
		}
		if i >= s.stalled {
			go readSlowly(c)
		}
	}
	var fetch *process
	if s.bulk {
		var err error
		length := rampTime + b.o.length
		fetch, err = start(b.dir, "fetch", true, nil, b.self, "fetch", "-addr", t.addr, "-host", t.host, "-secure="+strconv.FormatBool(t.secure), "-for", length.String())
		if err != nil {
			return err
		}
	}
	time.Sleep(rampTime)
	took, err := smallRequests(ctx, t, b.o.length)
	if fetch != nil {
		line, lineErr := fetch.line()
		fetch.discard()
		if lineErr != nil {
			return lineErr
		}
		rate, parseErr := strconv.ParseFloat(line, 64)
		if parseErr != nil {
			return parseErr
		}
		defer b.results.put(round, "line", t.name, s.name+rateSuffix, rate/1e6)
	}
	if err != nil {
		return err
	}
	putPercentiles(b, round, "line", t.name, s.name, took)
	return nil
}

// readSlowly reads until the connection is closed.
func readSlowly(c *conn) {
	for buf := make([]byte, copySize); ; time.Sleep(slowPause) {
		if _, err := c.Conn.Read(buf); err != nil {
			return
		}
	}
}

// smallRequests asks at a steady pace, however late answers are. It gives the milliseconds
// from when each request was due.
func smallRequests(ctx context.Context, t target, length time.Duration) ([]float64, error) {
	return steadyRequests(ctx, t, pace{smallClients, smallPause}, length)
}

// pace is how many connections ask, and the time between two requests of all together.
type pace struct {
	connections int
	pause       time.Duration
}

// steadyRequests is smallRequests at another pace.
func steadyRequests(ctx context.Context, t target, p pace, length time.Duration) ([]float64, error) {
	asks := make([]func() error, p.connections)
	head := t.head("GET", pathSmall, "")
	for i := range asks {
		c, err := dial(ctx, t)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		asks[i] = func() error { return c.get(head) }
	}
	return askSteadily(ctx, asks, p.pause, length)
}

// askSteadily has clients ask in turn, each one question after the other.
func askSteadily(ctx context.Context, asks []func() error, pause, length time.Duration) ([]float64, error) {
	due := make(chan time.Time, 1024)
	var mu sync.Mutex
	var took []float64
	var failure error
	var wg sync.WaitGroup
	for _, ask := range asks {
		wg.Go(func() {
			for at := range due {
				err := ask()
				mu.Lock()
				if took = append(took, time.Since(at).Seconds()*1e3); err != nil {
					failure = err
				}
				mu.Unlock()
			}
		})
	}
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for end := time.Now().Add(length); time.Now().Before(end) && ctx.Err() == nil; {
		<-tick.C
		due <- time.Now()
	}
	close(due)
	wg.Wait()
	return took, failure
}
