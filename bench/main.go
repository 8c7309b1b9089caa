// Command bench measures an edge and a Warpgate against references on one machine:
// it starts all of them as processes of their own, drives them in turn with the
// same load, and prints figures, their ratios and the goals of docs/performance.md. See
// docs/performance.md.
//
// What lives here: load, references, the reading of clocks and memory, tables. What
// may not: anything that a program of ours needs; nothing imports it. It imports
// what it must to set an installation up (the domain, api, trust) and to be many
// Warpgates (daemon).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Defaults of the flags. Medians of five rounds of four seconds are what the
// figures of docs/performance.md are made of.
const (
	defaultRounds       = 5
	defaultSeconds      = 4
	defaultEnvironments = 100_000
	defaultUsers        = 1_000_000
)

const about = `bench - measure edge and Warpgate against references on this machine

Usage:
   go run ./bench [FLAGS]

Flags:
   -run REGEXP          measures to take (-list names them); default all
   -rounds N            rounds, each target once per round in changing order (default 5)
   -seconds N           length of one load (default 4)
   -peer NAME=URL       another proxy or tunnel in front of -workload, by the https address it
                        listens on; #PID,PID behind the URL counts its CPU (repeatable)
   -workload HOST:PORT  where the workload listens, for peers (default a free port)
   -environments N      environments of the measure cold (default 100000)
   -out markdown|json   form of the result on stdout (default markdown)
   -users N             users of the largest directory of manyusers (default 1000000)
   -before DIR          measure the programs mezusphere and warpgate in DIR, of an earlier build, in
                        turn with today's, and print the ratios round by round
   -control-plane DIR   use the programs mezusphere and warpgate in DIR instead of building them
   -profile DIR         afterwards, build the programs with a profiler, load them as http1,
                        http2, connections, bulk, bulk-h2 and grpc do, write profiles of edge
                        and Warpgate to DIR and print what leads them; with the measures idle,
                        idle-h2 and readers-h2, heaps too
   -list                name the measures

Needs wrk, h2load (nghttp2-client) and nginx (nginx-light), and etcd (etcd-server) for the measure
etcd. Load stays on 127.0.0.1.
`

// options are the command line.
type options struct {
	run          *regexp.Regexp
	rounds       int
	length       time.Duration
	peers        []target
	workload     string
	json, list   bool
	binaries     string
	before       string
	profileFiles string
	environments int
	users        int
}

// needsProcesses reports whether a chosen measure drives processes.
func (o *options) needsProcesses() bool {
	return o.profileFiles != "" || slices.ContainsFunc(measures, func(m measure) bool { return o.run.MatchString(m.name) && !slices.Contains(alone, m.name) })
}

func parse(args []string) (*options, error) {
	o := &options{run: regexp.MustCompile("")}
	out, seconds := "markdown", float64(defaultSeconds)
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.Func("run", "", func(v string) (err error) { o.run, err = regexp.Compile(v); return err })
	f.IntVar(&o.rounds, "rounds", defaultRounds, "")
	f.Float64Var(&seconds, "seconds", seconds, "")
	f.Func("peer", "", func(v string) error {
		t, err := parsePeer(v)
		o.peers = append(o.peers, t)
		return err
	})
	f.IntVar(&o.users, "users", defaultUsers, "")
	f.StringVar(&o.workload, "workload", "127.0.0.1:0", "")
	f.StringVar(&out, "out", out, "")
	f.StringVar(&o.binaries, "control-plane", "", "")
	f.StringVar(&o.before, "before", "", "")
	f.StringVar(&o.profileFiles, "profile", "", "")
	f.IntVar(&o.environments, "environments", defaultEnvironments, "")
	f.BoolVar(&o.list, "list", false, "")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	o.length = time.Duration(seconds * float64(time.Second))
	o.json = out == "json"
	switch {
	case f.NArg() > 0:
		return nil, fmt.Errorf("no argument is expected, not %q", f.Arg(0))
	case out != "json" && out != "markdown":
		return nil, fmt.Errorf("-out is markdown or json, not %q", out)
	case o.environments < 1:
		return nil, errors.New("-environments is at least 1")
	case o.users < leastUsers:
		return nil, fmt.Errorf("-users is at least %d", leastUsers)
	case o.rounds < 1 || o.length < time.Second:
		return nil, errors.New("-rounds and -seconds are at least 1")
	}
	return o, nil
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is the program, or one of its helpers when it was started as that.
func run(args []string, out, log io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if helper := helpers[first(args)]; helper != nil {
		err = helper(ctx, args[1:], out)
	} else {
		err = measureAll(ctx, args, out, log)
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(out, about)
	case err != nil:
		fmt.Fprintln(log, "bench:", err)
		return 1
	}
	return 0
}

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// helpers are what the program is when it starts itself. Each says in its first
// line that it is ready, and ends with ctx.
var helpers = map[string]func(ctx context.Context, args []string, out io.Writer) error{
	"workload":    runWorkload,
	"goproxy":     runGoProxy,
	"fetch":       runFetch,
	"warpgates":   runWarpgates,
	"crowd":       runCrowd,
	"hoard":       runHoard,
	"hostile":     runHostile,
	"attack":      runAttack,
	"worstbodies": runWorstBodies,
	"silent":      runSilent,
	"loud":        runLoud,
	"refuser":     runRefuser,
	"h2workload":  runH2Workload,
	"calls":       runCallsWorkload,
	"flood":       runFlood,
	"link":        runLink,
}

// measureAll starts everything, takes the measures, and prints them.
func measureAll(ctx context.Context, args []string, out, log io.Writer) (err error) {
	o, err := parse(args)
	if err != nil {
		return err
	}
	if o.list {
		for _, m := range measures {
			fmt.Fprintf(out, "%-12s %s\n", m.name, m.about)
		}
		return nil
	}
	if o.profileFiles != "" {
		if err := os.MkdirAll(o.profileFiles, 0o755); err != nil {
			return err
		}
	}
	b, err := newBench(ctx, o, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	busy := loadAverage()
	for _, m := range measures {
		if !o.run.MatchString(m.name) {
			continue
		}
		for round := range o.rounds {
			fmt.Fprintf(log, "%s %s, round %d of %d\n", time.Now().Format(time.TimeOnly), m.name, round+1, o.rounds)
			if err := m.take(ctx, b, round); err != nil {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				b.results.note("%s, round %d: %v", m.name, round+1, err)
				fmt.Fprintf(log, "%s: %v\n", m.name, err)
			}
		}
	}
	b.results.about = fmt.Sprintf("%d cores, load average %s before and %s after, medians of %d rounds", runtime.NumCPU(), busy, loadAverage(), o.rounds)
	if o.profileFiles != "" {
		if err := b.profile(ctx, out); err != nil {
			return err
		}
	}
	if o.json {
		return b.results.writeJSON(out)
	}
	return b.results.writeMarkdown(out, strings.Join(append([]string{"go run ./bench"}, args...), " "))
}
