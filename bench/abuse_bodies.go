package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/trust"
)

// Names of figures about bodies.
const (
	figBodySeconds   = "dearest body that is refused: s per MiB"
	figBodyMemory    = "the same, of 2 MiB or more: memory ÷ size"
	figTakenSeconds  = "dearest body that is taken: s per MiB"
	figTakenMemory   = "the same, of 2 MiB or more: memory of one that is taken ÷ size"
	figForeignMemory = "dearest body to another's project: memory ÷ size"
	figQuietBodies   = "quiet tenant, beside one that sends them"
	figFileMemory    = "mezu validate, dearest file: memory ÷ size"
	figPutsMemory    = "memory after ten PUTs of 6 MiB, MiB"
)

// bodyBytes is the size of a hostile body: near the largest that an apply takes.
const bodyBytes = 15 << 20

// hostileBodies are requests that take as much memory, once they are decoded, as their
// size allows.
func hostileBodies() map[string]string {
	many := func(head, part, tail string) string {
		return head + strings.Repeat(part, bodyBytes/len(part)) + tail
	}
	// Each environment at its limit, with routes that are told apart.
	full := func(environments int, route string) string {
		var b strings.Builder
		b.WriteString(`{"dry_run":true,"manifest":{"environments":{`)
		for e := range environments {
			fmt.Fprintf(&b, `"e%d":{"routes":[`, e)
			for i := range mezu.MaxRoutes - 1 {
				fmt.Fprintf(&b, route+`,`, i)
			}
			b.WriteString(`{"exact":"/"}]},`)
		}
		return strings.TrimSuffix(b.String(), ",") + `}}}`
	}
	manifest := `{"manifest":{"environments":{`
	return map[string]string{
		"empty routes":            many(manifest+`"e":{"routes":[{}`, `,{}`, `]}}}}`),
		"empty environments":      many(manifest+`"e":{}`, `,"e":{}`, `}}}`),
		"deep nesting":            many(`{"manifest":`, `[`, ``),
		"deep objects":            many(``, `{"manifest":`, ``),
		"a long key":              many(manifest+`"`, `k`, `":{}}}}`),
		"a long key above a list": manifest + `"` + strings.Repeat("k", 400<<10) + `":[` + strings.Repeat("1,", 200<<10) + `1]}}}`,
		"a long text":             many(`{"manifest":{"project":"`, `a`, `"}}`),
		"white space":             many(`{"manifest":`, ` `, `{}}`),
		"full environments":       full(2, `{"exact":"/some/path/%d","methods":["GET","POST"],"upstream":"localhost:8080","timeout":"30s","allow_ips":["10.0.0.0/8"]}`),
		"short routes":            full(8, `{"exact":"/%d"}`),
		"small objects":           full(2, `{"exact":"/%d","headers":{"a":"b"},"redirect":{"to":"/"},"request_headers":{"set":{"a":"b"}},"response_headers":{"set":{"a":"b"}}}`),
		"patterns":                full(2, `{"regexp":"/%d[a-z]+"}`),
	}
}

// hostileFiles are the same for a mezu.yaml.
func hostileFiles() map[string]string {
	const size = 4 << 20
	many := func(head, part, tail string) string { return head + strings.Repeat(part, size/len(part)) + tail }
	var full strings.Builder
	full.WriteString("environments:\n")
	for e := range 2 {
		fmt.Fprintf(&full, "  e%d:\n    routes:\n", e)
		for i := range mezu.MaxRoutes {
			fmt.Fprintf(&full, "    - {exact: /some/rather/long/path/of/a/real/service/%d, methods: [GET, POST], upstream: \"localhost:8080\", timeout: 30s, auth: required, roles: [staff, admin], allow_ips: [10.0.0.0/8]}\n", i)
		}
	}
	return map[string]string{
		"full":         full.String(),
		"nodes":        many("a: [", "1,", "]"),
		"empty routes": many("environments: {e: {routes: [", "{},", "]}}"),
		"deep":         many("", "- ", "x"),
		"lines":        many("project: |\n", " a\n", ""),
	}
}

// takeBodies is row 2 and 5 of the attacks: what bodies cost the control plane and those
// beside who sends them.
func takeBodies(ctx context.Context, b *bench, round int) error {
	if b.bin.mezusphere == "" {
		return errNotOurs
	}
	in, err := b.freshControl(ctx, "bodies", round)
	defer func() { in.stop() }()
	if err != nil {
		return err
	}
	quietKey, err := in.reader(ctx, "quiet")
	if err != nil {
		return err
	}
	loudKey, err := in.account(ctx, "loud")
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
	s := sender{http: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}, base: "https://" + in.api, key: loudKey}
	bodies := hostileBodies()
	foreign := 0.0
	seconds, memory := map[bool]float64{}, map[bool]float64{} // by whether it is taken
	// Always in the same order. The first body that is accepted finds the least memory
	// to use again, so the dearest of those comes first.
	for _, name := range slices.Sorted(maps.Keys(bodies)) {
		body := bodies[name]
		mib := float64(len(body)) / (1 << 20)
		own, took, status, err := s.cost(ctx, in.control, "POST", "/v1/organizations/loud/projects/p/apply", body)
		if err != nil {
			return err
		}
		theirs, _, _, err := s.cost(ctx, in.control, "POST", "/v1/organizations/quiet/projects/p/apply", body)
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "%-24s %6.2f MiB: %6.3f s, %5.1f MiB; to another's project %5.1f MiB\n", name, mib, took.Seconds(), own, theirs)
		taken := status == http.StatusOK
		seconds[taken] = max(seconds[taken], took.Seconds()/mib)
		if mib >= 2 {
			memory[taken], foreign = max(memory[taken], own/mib), max(foreign, theirs/mib)
		}
	}
	b.results.put(round, "bodies", nameControl, figBodySeconds, seconds[false])
	b.results.put(round, "bodies", nameControl, figBodyMemory, memory[false])
	b.results.put(round, "bodies", nameControl, figTakenSeconds, seconds[true])
	b.results.put(round, "bodies", nameControl, figTakenMemory, memory[true])
	b.results.put(round, "bodies", nameControl, figForeignMemory, foreign)
	length := quietLengths * b.o.length
	alone, err := callSteadily(ctx, quiet, length)
	if err != nil {
		return err
	}
	putPercentiles(b, round, "bodies", nameControl, figQuiet, alone)
	loud, end := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for loud.Err() == nil {
			for _, body := range bodies {
				_, _ = s.send(loud, "POST", "/v1/organizations/loud/projects/p/apply", body)
			}
		}
	}()
	beside, err := callSteadily(ctx, quiet, length)
	end()
	<-ended
	if err != nil {
		return err
	}
	putPercentiles(b, round, "bodies", nameControl, figQuietBodies, beside)
	if err := b.takePuts(ctx, round, in, s); err != nil {
		return err
	}
	return b.takeFiles(ctx, round, in.dir)
}

// takePuts sends ten lists of routes of 6 MiB.
func (b *bench) takePuts(ctx context.Context, round int, in *installation, s sender) error {
	for n := range 10 {
		var body strings.Builder
		body.WriteString(`{"routes":[`)
		for i := range 6000 {
			fmt.Fprintf(&body, `{"exact":"/%d/%d/%0990d"},`, n, i, 0)
		}
		status, err := s.send(ctx, "PUT", "/v1/organizations/loud/projects/p/environments/production/routes", strings.TrimSuffix(body.String(), ",")+`]}`)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("PUT of 6 MiB: status %d", status)
		}
		if err != nil {
			return err
		}
	}
	after, err := in.control.rss()
	if err != nil {
		return err
	}
	b.results.put(round, "bodies", nameControl, figPutsMemory, after/(1<<10))
	return nil
}

// takeFiles runs mezu validate.
func (b *bench) takeFiles(ctx context.Context, round int, dir string) error {
	program := filepath.Join(dir, "mezu")
	if out, err := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", program, "github.com/mezusphere/mezu/cmd/mezu").CombinedOutput(); err != nil {
		return fmt.Errorf("building mezu: %w: %s", err, out)
	}
	run := func(text string) (float64, error) {
		file := filepath.Join(dir, "mezu.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return 0, err
		}
		cmd := exec.CommandContext(ctx, program, "validate", "-f", file)
		cmd.Env = append(os.Environ(), "HOME="+dir)
		if err := cmd.Start(); err != nil {
			return 0, err
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = cmd.Wait() // most files are refused
		}()
		most := 0.0
		for {
			kib, err := peakOf(cmd.Process.Pid)
			if err == nil {
				most = max(most, kib)
			}
			select {
			case <-ended:
				return most / (1 << 10), nil
			case <-time.After(time.Millisecond):
			}
		}
	}
	idle, err := run("project: p\n")
	if err != nil {
		return err
	}
	worst := 0.0
	files := hostileFiles()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		text := files[name]
		took, err := run(text)
		if err != nil {
			return err
		}
		mib := float64(len(text)) / (1 << 20)
		fmt.Fprintf(os.Stderr, "mezu validate, %-12s %6.2f MiB: %5.1f MiB over %.1f of an empty file\n", name, mib, took-idle, idle)
		worst = max(worst, (took-idle)/mib)
	}
	b.results.put(round, "bodies", nameControl, figFileMemory, worst)
	return nil
}

// sender calls the API with bodies as they are.
type sender struct {
	http      *http.Client
	base, key string
}

// send gives the status of the answer, zero if the connection was closed before it.
func (s sender) send(ctx context.Context, method, path, body string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.base+path, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+s.key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.http.Do(req)
	if err != nil {
		return 0, ctx.Err()
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, nil
}

// cost sends a body. It gives by how many MiB the process grew at most, how long the call
// took, and the status of the answer.
func (s sender) cost(ctx context.Context, p *process, method, path, body string) (mib float64, took time.Duration, status int, err error) {
	before, err := p.rss()
	if err == nil {
		err = p.resetPeak()
	}
	if err != nil {
		return 0, 0, 0, err
	}
	begin := time.Now()
	if status, err = s.send(ctx, method, path, body); err != nil {
		return 0, 0, 0, err
	}
	took = time.Since(begin)
	peak, err := p.peak()
	return max(0, (peak-before)/(1<<10)), took, status, err
}

// resetPeak begins the peak of resident memory anew.
func (p *process) resetPeak() error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.pids[0]), []byte("5"), 0)
}

// peak is the most resident memory since, in KiB.
func (p *process) peak() (float64, error) { return peakOf(p.pids[0]) }

func peakOf(pid int) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := bytes.Cut(status, []byte("VmHWM:"))
	var kib float64
	_, err = fmt.Sscan(string(rest), &kib)
	return kib, err
}

// account makes an organization with an environment and a service account that may do
// everything to it.
func (in *installation) account(ctx context.Context, organization string) (string, error) {
	if _, err := in.reader(ctx, organization); err != nil {
		return "", err
	}
	if _, err := api.Invoke[mezu.Environment](ctx, in.client, api.OpCreateEnvironment, mezu.Environment{Name: "production"}, organization, "p"); err != nil {
		return "", err
	}
	account := mezu.ServiceAccount{Name: "writer", Permissions: []mezu.Permission{mezu.PermProjectsRead, mezu.PermEnvironmentsRead, mezu.PermEnvironmentsWrite, mezu.PermRoutesRead, mezu.PermRoutesWrite, mezu.PermDirectoriesRead}}
	made, err := api.Invoke[api.ServiceAccountCreated](ctx, in.client, api.OpCreateServiceAccount, account, organization, "p")
	return made.Key, err
}
