package main

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Names of figures over a link with delay.
const (
	figShared  = ", % shared"
	closedLoop = "64 connections, closed loop"
	lossless   = "no loss, "
	withLoss   = "1 % lost, "
)

// lossPaces keep half of the connections busy if nothing is lost: an answer takes a little
// over 50 ms.
var lossPaces = []pace{{16, time.Second / 150}, {64, time.Second / 600}}

// lossWarm is how long a load runs before it is measured: connections of the tunnel are dialled
// as they are needed, which takes some round trips.
const lossWarm = time.Second

// takeLoss has a Warpgate and its workload behind a link with delay, with and without loss,
// each time with everything fresh: what an edge has learned of one path is not true of the
// next. All lose the same packets in a round.
func takeLoss(ctx context.Context, b *bench, round int) error {
	if err := canLink(); err != nil {
		return err
	}
	if !b.have() {
		return errNotOurs
	}
	all := map[string]programs{nameOurs: b.bin}
	if b.before != nil {
		all[nameBefore] = b.before.bin
	}
	for _, s := range []struct {
		name string
		loss float64
	}{{lossless, 0}, {withLoss, linkLoss}} {
		err := b.inTurn(ctx, round, func(t target) bool { return all[t.name].warpgate != "" }, func(t target) error {
			dir := filepath.Join(b.dir, fmt.Sprintf("loss-%d-%d-%t", round, slices.Index([]string{nameOurs, nameBefore}, t.name), s.loss > 0))
			if err := os.Mkdir(dir, 0o700); err != nil {
				return err
			}
			return b.takeFar(ctx, round, dir, t.name, all[t.name], s.name, s.loss)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// takeFar starts everything, with the link between edge and Warpgate, and takes all paces.
func (b *bench) takeFar(ctx context.Context, round int, dir, name string, bin programs, scene string, loss float64) error {
	in, err := startControl(ctx, dir, bin)
	defer func() { in.stop() }()
	if err != nil {
		return err
	}
	link, line, err := b.startHelper("link", "-control", in.api, "-loss", strconv.FormatFloat(loss, 'g', -1, 64), "-seed", strconv.Itoa(round))
	if err != nil {
		return err
	}
	defer link.stop()
	network, near, _ := strings.Cut(line, " ")
	in.inside = []string{"nsenter", "--net=" + network, "--"}
	workload, err := start(dir, "workload", true, nil, append(slices.Clone(in.inside), b.self, "workload", "-addr", "127.0.0.1:0", "-cert", b.pair.cert, "-key", b.pair.key)...)
	defer workload.stop()
	if err != nil {
		return err
	}
	line, err = workload.line()
	go workload.discard()
	if err != nil {
		return err
	}
	upstream, _, _ := strings.Cut(line, " ")
	admin, err := freeAddr()
	if err != nil {
		return err
	}
	free, err := freeAddr()
	if err != nil {
		return err
	}
	tunnel := near + ":" + port(free)
	if in.edge, err = in.startEdge(ctx, "edge", in.https, admin, "--tunnel-addr", tunnel, "--tunnel-address", tunnel, "--max-conns", maxConns); err != nil {
		return err
	}
	if _, err := in.edge.awaitReady(ctx, admin); err != nil {
		return err
	}
	warpgate, err := in.startWarpgate("warpgate", upstream, false)
	defer warpgate.stop()
	if err != nil {
		return err
	}
	t := in.target(warpgate)
	if _, err := awaitGood(ctx, t); err != nil {
		return fmt.Errorf("%w\nedge: %s\nWarpgate: %s", err, in.edge.tail(), warpgate.tail())
	}
	put := func(figure string, v float64) { b.results.put(round, "loss", name, scene+figure, v) }
	for _, p := range lossPaces {
		if _, err := steadyRequests(ctx, t, p, lossWarm); err != nil {
			return err
		}
		before := sharedExchanges(ctx, admin)
		took, err := steadyRequests(ctx, t, p, b.o.length)
		if err != nil {
			return err
		}
		figure := fmt.Sprintf("%d connections", p.connections)
		putPercentiles(b, round, "loss", name, scene+figure, took)
		put(figure+figShared, 100*(sharedExchanges(ctx, admin)-before)/float64(len(took)))
	}
	before := sharedExchanges(ctx, admin)
	l, err := wrk(ctx, b.dir, t, b.o.length)
	if err != nil {
		return err
	}
	put(closedLoop+": "+figRate, l.perSecond)
	put(closedLoop+p50Suffix, l.p50)
	put(closedLoop+p99Suffix, l.p99)
	// wrk doesn't count those that its end cut off.
	put(closedLoop+figShared, min(100, 100*(sharedExchanges(ctx, admin)-before)/l.requests))
	return l.failed()
}

// sharedExchanges asks an edge how many exchanges have shared a connection; not a number if it
// knows nothing of that.
func sharedExchanges(ctx context.Context, admin string) float64 {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/metrics", nil)
	if err != nil {
		return math.NaN()
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return math.NaN()
	}
	defer resp.Body.Close()
	for s := bufio.NewScanner(resp.Body); s.Scan(); {
		if n, is := strings.CutPrefix(s.Text(), "mezu_edge_shared_exchanges_total "); is {
			if v, err := strconv.ParseFloat(n, 64); err == nil {
				return v
			}
		}
	}
	return math.NaN()
}
