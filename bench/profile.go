package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// profiler is source that an overlay adds to the programs: they are not made to be
// profiled by themselves.
//
//go:embed profiler.txt
var profiler []byte

// topFunctions is how many functions of a profile are shown.
const topFunctions = 25

// profileOverlay writes the overlay that adds the profiler to each program.
func profileOverlay(ctx context.Context, dir string) (string, error) {
	module, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("finding the module: %w", err)
	}
	source := filepath.Join(dir, "profiler.go")
	if err := os.WriteFile(source, profiler, 0o600); err != nil {
		return "", err
	}
	replace := map[string]string{}
	for _, program := range []string{"mezusphere", "warpgate"} {
		replace[filepath.Join(strings.TrimSpace(string(module)), "cmd", program, "zz_profiler.go")] = source
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, text, 0o600)
}

// instrumented builds the programs with the profiler, once.
func (b *bench) instrumented(ctx context.Context) (programs, error) {
	dir := filepath.Join(b.dir, "instrumented")
	bin := programs{mezusphere: filepath.Join(dir, "mezusphere"), warpgate: filepath.Join(dir, "warpgate")}
	if _, err := os.Stat(bin.warpgate); err == nil {
		return bin, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return bin, err
	}
	overlay, err := profileOverlay(ctx, b.dir)
	if err != nil {
		return bin, err
	}
	return build(ctx, dir, overlay)
}

// observed is an installation, with one Warpgate, of programs with the profiler.
type observed struct {
	in       *installation
	warpgate *process
	t        target
}

func (i *observed) start(ctx context.Context, b *bench, dir string, bin programs) (err error) {
	if i.in, err = startInstallation(ctx, dir, bin); err != nil {
		return err
	}
	if i.warpgate, err = i.in.startWarpgate("warpgate", b.upstream, false); err != nil {
		return err
	}
	i.t = i.in.target(i.warpgate)
	_, err = awaitGood(ctx, i.t)
	return err
}

func (i *observed) stop() {
	i.warpgate.stop()
	i.in.stop()
}

// profileSocket tells a program with the profiler where to serve it.
func profileSocket(dir, name string) []string {
	return []string{"MEZU_BENCH_PROFILE=" + filepath.Join(dir, name+".sock")}
}

// profile takes CPU profiles of edge and Warpgate at once, under small requests, new
// connections and bulk, and prints what leads them.
func (b *bench) profile(ctx context.Context, out io.Writer) error {
	if !b.have() {
		return errNotOurs
	}
	bin, err := b.instrumented(ctx)
	if err != nil {
		return err
	}
	i := &observed{}
	defer i.stop()
	dir := filepath.Join(b.dir, "profiled")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if err := i.start(ctx, b, dir, bin); err != nil {
		return err
	}
	for _, kind := range []struct {
		name  string
		drive generator
	}{{"http1", wrk}, {"http2", h2load}, {"connections", connect}, {"down", keepMoving((*conn).download)}, {"up", keepMoving((*conn).upload)},
		{"down-h2", keepMovingH2((*h2conn).download)}, {"up-h2", keepMovingH2((*h2conn).upload)}} {
		if err := b.profileUnder(ctx, out, i, kind.name, kind.drive); err != nil {
			return err
		}
	}
	server, addr, err := b.startHelper("calls")
	if err != nil {
		return err
	}
	defer server.stop()
	calls := &observed{in: i.in}
	if calls.warpgate, calls.t, err = i.in.addWorkload(ctx, "calls", "h2c://"+addr); err != nil {
		return err
	}
	defer calls.warpgate.stop()
	return b.profileUnder(ctx, out, calls, "grpc", keepCalling)
}

// profileUnder takes the profiles under one kind of load.
func (b *bench) profileUnder(ctx context.Context, out io.Writer, i *observed, name string, drive generator) error {
	parts := []string{"edge", "warpgate"}
	programs := []*process{i.in.edge, i.warpgate}
	errs := make([]error, len(parts)+1)
	var wg sync.WaitGroup
	wg.Go(func() { _, errs[len(parts)] = drive(ctx, b.dir, i.t, b.o.length+4*rampTime) })
	time.Sleep(rampTime)
	for n, part := range parts {
		wg.Go(func() {
			errs[n] = fetchProfile(ctx, filepath.Join(i.in.dir, programs[n].name+".sock"), int(b.o.length.Seconds()), b.profileFile(part, name))
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, part := range parts {
		for _, order := range []string{"-flat", "-cum"} {
			top, err := exec.CommandContext(ctx, "go", "tool", "pprof", "-top", order, fmt.Sprintf("-nodecount=%d", topFunctions), b.profileFile(part, name)).Output()
			if err != nil {
				return fmt.Errorf("reading a profile: %w", err)
			}
			fmt.Fprintf(out, "### %s, %s, %s\n\n```\n%s```\n\n", part, name, order[1:], top)
		}
	}
	return nil
}

// keepMoving is bulk over eight connections as a load of some length.
func keepMoving(move func(*conn, int64) error) generator {
	return func(ctx context.Context, _ string, t target, length time.Duration) (l load, err error) {
		for end := time.Now().Add(length); err == nil && time.Now().Before(end); {
			_, err = moveBulk(ctx, t, 8, move)
		}
		return l, err
	}
}

// keepMovingH2 is bulk over eight streams of one connection as a load of some length.
func keepMovingH2(move func(*h2conn, int64) error) generator {
	return func(ctx context.Context, _ string, t target, length time.Duration) (l load, err error) {
		for end := time.Now().Add(length); err == nil && time.Now().Before(end); {
			_, err = moveBulkH2(ctx, t, 8, move)
		}
		return l, err
	}
}

func (b *bench) profileFile(part, name string) string {
	return filepath.Join(b.o.profileFiles, part+"-"+name+".pprof")
}

// fetchProfile has a program profile itself.
func fetchProfile(ctx context.Context, socket string, seconds int, path string) error {
	data, err := askProfiler(ctx, socket, fmt.Sprintf("/debug/pprof/profile?seconds=%d", seconds))
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}

// maxProfile bounds a profile; real ones have some 100 KiB.
const maxProfile = 64 << 20

// askProfiler gets a page of a program that was built with the profiler.
func askProfiler(ctx context.Context, socket, page string) ([]byte, error) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	transport := &http.Transport{DialContext: dial}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, cellTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://profiler"+page, nil)
	if err != nil {
		return nil, err
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking the profiler: %w", err)
	}
	defer resp.Body.Close()
	return io.ReadAll(io.LimitReader(resp.Body, maxProfile))
}
