package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/mezusphere/mezu/bench/inprocess"
)

// bench is everything that runs.
type bench struct {
	o       *options
	log     io.Writer
	dir     string // of this run, removed at its end
	self    string // this program
	results results
	// Installations of package inprocess over either engine.
	overBadger, overEtcd storeEngine

	pair     certificateFiles
	bin      programs
	workload *process
	upstream string // the workload's plain address
	helpers  []*process
	in       *installation
	before   *installation // of an earlier build, if one is asked for
	warpgate *process
	ours     target
	targets  []target      // all of them, in the order of tables
	changed  []string      // hosts of takeChanges, once they are made
	cold     *installation // of takeCold, once it is made
	logins   *site         // once they are there
}

// newBench starts workload, references, control plane, edge and Warpgate, and
// returns when each of them serves. What can't be started is left out with a
// note, but the workload.
func newBench(ctx context.Context, o *options, log io.Writer) (b *bench, err error) {
	b = &bench{o: o, log: log,
		overBadger: storeEngine{measure: "users", name: nameEngine, open: inprocess.Open},
		overEtcd:   storeEngine{measure: "etcd", name: nameEtcd, open: inprocess.OpenEtcd}}
	if b.self, err = os.Executable(); err != nil {
		return nil, err
	}
	if b.dir, err = os.MkdirTemp("", "mezu-bench-"); err != nil {
		return nil, err
	}
	begun := b // what is returned beside an error is nil
	defer func() {
		if err != nil {
			err = errors.Join(err, begun.close())
		}
	}()
	if !o.needsProcesses() {
		return b, nil
	}
	if b.pair, err = makeCertificate(b.dir); err != nil {
		return nil, err
	}
	if err := b.startReferences(ctx); err != nil {
		return nil, err
	}
	if err := b.startOurs(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		b.results.note("starting edge and Warpgate: %v", err)
		fmt.Fprintln(log, "starting edge and Warpgate:", err)
	} else {
		b.targets = append(b.targets, b.ours)
	}
	if o.before != "" {
		if err := b.startBefore(ctx); err != nil {
			return nil, fmt.Errorf("starting the programs of -before: %w", err)
		}
	}
	for _, t := range b.targets {
		if _, err := awaitGood(ctx, t); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// startReferences starts the workload, and the proxies that ours are compared with.
func (b *bench) startReferences(ctx context.Context) error {
	p, line, err := b.startHelper("workload", "-addr", b.o.workload, "-cert", b.pair.cert, "-key", b.pair.key)
	if err != nil {
		return err
	}
	b.workload = p
	plain, secured, _ := strings.Cut(line, " ")
	b.upstream = plain
	b.targets = append(b.targets,
		target{name: nameDirect, host: referenceHost, addr: plain},
		target{name: nameDirectTLS, host: referenceHost, addr: secured, secure: true})
	if p, line, err = b.startHelper("goproxy", "-upstream", plain, "-cert", b.pair.cert, "-key", b.pair.key, "-collect", filepath.Join(b.dir, "goproxy.sock")); err != nil {
		return err
	}
	b.targets = append(b.targets, target{name: nameGoProxy, host: referenceHost, addr: line, secure: true, h2: true, procs: []*process{p}})
	p, addr, err := startNginx(ctx, b.dir, plain, b.pair)
	if p != nil {
		b.helpers = append(b.helpers, p)
	}
	if err != nil {
		return err
	}
	b.targets = append(b.targets, target{name: nameNginx, host: referenceHost, addr: addr, secure: true, h2: true, procs: []*process{p}})
	b.targets = append(b.targets, b.o.peers...)
	return nil
}

// startHelper starts this program as something else and reads its first line.
func (b *bench) startHelper(args ...string) (*process, string, error) {
	p, err := start(b.dir, args[0], true, nil, append([]string{b.self}, args...)...)
	if err != nil {
		return nil, "", err
	}
	line, err := p.line()
	go p.discard()
	if err != nil {
		return nil, "", err
	}
	b.helpers = append(b.helpers, p)
	return p, line, nil
}

// startOurs builds the programs and starts control plane, edge and Warpgate.
func (b *bench) startOurs(ctx context.Context) (err error) {
	if b.bin, err = b.buildPrograms(ctx); err != nil {
		return err
	}
	b.in, b.warpgate, b.ours, err = b.startPrograms(ctx, "installation", b.bin)
	return err
}

// startBefore starts the same of an earlier build, as one target more.
func (b *bench) startBefore(ctx context.Context) error {
	bin, err := programsIn(b.o.before)
	if err != nil {
		return err
	}
	in, warpgate, t, err := b.startPrograms(ctx, "before", bin)
	b.before = in
	if warpgate != nil {
		b.helpers = append(b.helpers, warpgate)
	}
	if err != nil {
		return err
	}
	t.name = nameBefore
	b.targets = append(b.targets, t)
	return nil
}

// startPrograms starts control plane, edge and Warpgate, and waits until they serve.
func (b *bench) startPrograms(ctx context.Context, name string, bin programs) (in *installation, warpgate *process, t target, err error) {
	dir := filepath.Join(b.dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, nil, t, err
	}
	if in, err = startInstallation(ctx, dir, bin); err != nil {
		return in, nil, t, err
	}
	if warpgate, err = in.startWarpgate("warpgate", b.upstream, false); err != nil {
		return in, nil, t, err
	}
	t = in.target(warpgate)
	if _, err = awaitGood(ctx, t); err != nil {
		err = fmt.Errorf("%w\nedge: %s\nWarpgate: %s", err, in.edge.tail(), warpgate.tail())
	}
	return in, warpgate, t, err
}

// freshControl starts a control plane on a fresh state, for one round of a measure.
// What it gives is to be stopped, also with an error.
func (b *bench) freshControl(ctx context.Context, name string, round int, more ...string) (*installation, error) {
	dir := filepath.Join(b.dir, fmt.Sprintf("%s-%d", name, round))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	return startControl(ctx, dir, b.bin, more...)
}

// installations are ours and, if one is asked for, that of an earlier build, by the names
// of their targets.
func (b *bench) installations() map[string]*installation {
	all := map[string]*installation{nameOurs: b.in}
	if b.before != nil {
		all[nameBefore] = b.before
	}
	return all
}

// buildPrograms finds or makes the programs.
func (b *bench) buildPrograms(ctx context.Context) (programs, error) {
	if b.o.binaries != "" {
		return programsIn(b.o.binaries)
	}
	dir := filepath.Join(b.dir, "bin")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return programs{}, err
	}
	return build(ctx, dir, "")
}

// have reports whether edge and Warpgate run.
func (b *bench) have() bool { return b.ours.name != "" }

// close ends all processes and removes what they wrote.
func (b *bench) close() error {
	if b.warpgate != nil {
		b.warpgate.stop()
	}
	b.in.stop()
	b.before.stop()
	b.cold.stop()
	b.logins.stop()
	for _, p := range b.helpers {
		p.stop()
	}
	var err error
	for _, e := range []storeEngine{b.overBadger, b.overEtcd} {
		if e.opened != nil {
			err = errors.Join(err, e.opened.Close())
		}
	}
	return errors.Join(err, os.RemoveAll(b.dir))
}

// inTurn calls take for each target that fits, beginning with another one each
// round, so that none is always the first.
func (b *bench) inTurn(ctx context.Context, round int, fits func(target) bool, take func(target) error) error {
	var chosen []target
	for _, t := range b.targets {
		if fits(t) {
			chosen = append(chosen, t)
		}
	}
	return inTurn(ctx, round, chosen, take)
}

func inTurn(ctx context.Context, round int, chosen []target, take func(target) error) error {
	var errs error
	for i := range chosen {
		t := chosen[(i+round)%len(chosen)]
		if err := take(t); err != nil {
			errs = errors.Join(errs, fmt.Errorf("%s: %w", t.name, err))
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return errs
}

// usage is what a process has used: seconds of CPU, and calls that read or write.
type usage struct{ cpu, calls float64 }

// usage is that of each process of a target, in its order.
func (t target) usage() ([]usage, error) {
	out := make([]usage, len(t.procs))
	for i, p := range t.procs {
		var err error
		if out[i].cpu, err = p.cpu(); err != nil {
			return nil, err
		}
		if out[i].calls, err = p.calls(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// putCPU keeps the CPU time since before, divided by units: the sum, and each
// process by itself if there are several.
func (b *bench) putCPU(round int, measure, name string, t target, before []usage, units float64) error {
	return b.putUsage(round, measure, name, t, before, func(u usage) float64 { return u.cpu / units })
}

// putCalls does the same with calls that read or write. nginx makes others, which are not
// counted.
func (b *bench) putCalls(round int, measure, name string, t target, before []usage, units float64) error {
	if t.name == nameNginx {
		return nil
	}
	return b.putUsage(round, measure, name, t, before, func(u usage) float64 { return u.calls / units })
}

func (b *bench) putUsage(round int, measure, name string, t target, before []usage, part func(usage) float64) error {
	after, err := t.usage()
	if err != nil || len(t.procs) == 0 {
		return err
	}
	used := make([]float64, len(after))
	total := 0.0
	for i := range after {
		used[i] = part(after[i]) - part(before[i])
		total += used[i]
	}
	b.results.put(round, measure, t.name, name, total)
	if len(t.procs) == 1 {
		return nil
	}
	for i, p := range t.procs {
		b.results.put(round, measure, t.name, name+", "+p.name, used[i])
	}
	return nil
}
