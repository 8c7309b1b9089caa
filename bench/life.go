package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/mezusphere/mezu"
)

// absence is how long a killed process is away.
const absence = time.Second

var errNotOurs = errors.New("edge and Warpgate don't run")

// takeStart starts an installation of its own from nothing.
func takeStart(ctx context.Context, b *bench, round int) error {
	if !b.have() {
		return errNotOurs
	}
	dir := filepath.Join(b.dir, fmt.Sprintf("fresh-%d", round))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	begin := time.Now()
	in, err := startAll(ctx, dir, b.bin)
	defer in.stop()
	if err != nil {
		return err
	}
	ready := time.Now()
	p, err := in.startWarpgate("warpgate", b.upstream, true)
	if err != nil {
		return err
	}
	connected, err := awaitConnected(p)
	go p.discard()
	defer p.stop()
	if err != nil {
		return err
	}
	answered, err := awaitGood(ctx, in.target(p))
	if err != nil {
		return err
	}
	put := func(name string, v float64) { b.results.put(round, "start", nameOurs, name, v) }
	put("installation ms", milliseconds(ready.Sub(begin)))
	put(figRegistration, milliseconds(connected.Sub(ready)))
	put("first answer ms", milliseconds(answered.Sub(ready)))
	put("all ms", milliseconds(answered.Sub(begin)))
	time.Sleep(rampTime)
	resident, err := p.rss()
	if err != nil {
		return err
	}
	put(figResident, resident/1024)
	for name, path := range map[string]string{figSize: b.bin.warpgate, "mezusphere MB": b.bin.mezusphere} {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		put(name, float64(info.Size())/1e6)
	}
	return nil
}

// awaitConnected reads events until the Warpgate is connected. One that isn't in
// time is killed.
func awaitConnected(p *process) (time.Time, error) {
	defer time.AfterFunc(startTime, func() { p.cmd.Process.Kill() }).Stop()
	for {
		line, err := p.line()
		if err != nil {
			return time.Time{}, err
		}
		var e mezu.Event
		if json.Unmarshal([]byte(line), &e) == nil && e.Event == mezu.EventWarpgate && e.Status == string(mezu.WarpgateConnected) {
			return time.Now(), nil
		}
	}
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1000 }

// takeRecovery kills each part in turn.
func takeRecovery(ctx context.Context, b *bench, round int) error {
	if !b.have() {
		return errNotOurs
	}
	put := func(name string, v time.Duration) { b.results.put(round, "recovery", nameOurs, name, milliseconds(v)) }
	listening, good, err := b.comeback(ctx, b.in.edge, b.in.https)
	if err != nil {
		return fmt.Errorf("edge: %w", err)
	}
	put(figEdgeBack, good.Sub(listening))
	started, good, err := b.comeback(ctx, b.warpgate, "")
	if err != nil {
		return fmt.Errorf("the Warpgate: %w", err)
	}
	put(figWarpgateBack, good.Sub(started))
	if listening, good, err = b.comeback(ctx, b.workload, b.upstream); err != nil {
		return fmt.Errorf("workload: %w", err)
	}
	put("workload: ms from listening", good.Sub(listening))
	return b.withoutControl(ctx, round)
}

// comeback kills a process, waits, and starts it again. It gives when the process listened
// on addr (if that is empty, when it was started) and when requests came through again.
func (b *bench) comeback(ctx context.Context, p *process, addr string) (from, good time.Time, err error) {
	p.kill()
	time.Sleep(absence)
	if p == b.workload {
		// On the addresses that everybody knows.
		p.args = withAddresses(p.args, b.targets)
	}
	from = time.Now()
	if err := p.launch(false); err != nil {
		return from, good, err
	}
	if addr != "" {
		if from, err = p.awaitListening(ctx, addr); err != nil {
			return from, good, err
		}
	}
	good, err = awaitGood(ctx, b.ours)
	return from, good, err
}

// withAddresses makes the workload's arguments name where it listened before.
func withAddresses(args []string, targets []target) []string {
	out := append([]string(nil), args...)
	for i, flag := range []string{"-addr", "-tls-addr"} {
		out = append(out, flag, targets[i].addr)
	}
	return out
}

// withoutControl kills the control plane and counts what fails until it is back.
func (b *bench) withoutControl(ctx context.Context, round int) error {
	b.in.control.kill()
	head := b.ours.head("GET", pathSmall, "")
	failed, asked := 0, 0
	ask := func() {
		asked++
		if once(ctx, b.ours, head) != nil {
			failed++
		}
	}
	for end := time.Now().Add(absence); time.Now().Before(end); time.Sleep(5 * pollPause) {
		ask()
	}
	from := time.Now()
	if err := b.in.control.launch(false); err != nil {
		return err
	}
	for {
		c, err := net.DialTimeout("tcp", b.in.api, time.Second)
		ask()
		if err == nil {
			c.Close()
			break
		}
		if ctx.Err() != nil || time.Since(from) > startTime {
			return fmt.Errorf("the control plane doesn't come back: %w", err)
		}
		time.Sleep(pollPause)
	}
	b.results.put(round, "recovery", nameOurs, "control plane: ms from start to listening", milliseconds(time.Since(from)))
	b.results.put(round, "recovery", nameOurs, "requests failed without it, %", 100*float64(failed)/float64(asked))
	return nil
}
