package main

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"math"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Parts of the names of figures beside hostile connections.
const (
	beforeAttack, besideAttack = "alone before ", "beside 5,000 "
	amidAttack                 = "while what they ask for comes, 5,000 "
	perHostile                 = ": KiB each"
	letIn                      = ": of them let in"
)

const (
	// hostileCrowd is how many there are of each kind.
	hostileCrowd = 5000
	// hostileBody is what slow bodies say that they have, and hostileResponse what slow readers
	// ask for: more than is to wait in memory, and not what fills the kernel's buffers.
	hostileBody, hostileResponse = 20_000, 256 << 10
	// hostileBuffer is all that a slow reader takes of it.
	hostileBuffer = 4 << 10
	// hostileTrickle lies between two bytes of all slow heads or bodies together: each sends one
	// in ten seconds.
	hostileTrickle = 10 * time.Second / hostileCrowd
	// hostileHello lies between two new connections that send the first message of a
	// handshake and nothing else: 500 a second, so that 5,000 are there for ten seconds each.
	hostileHello = 2 * time.Millisecond
	// Hostile connections have all that they wait for when the target takes less than quiet of a
	// core for quietStep. quietTime is the longest wait for that: slow heads are cut soon.
	quiet     = 0.25
	quietStep = 250 * time.Millisecond
	quietTime = 5 * time.Second
)

// hostileKind is what one kind of hostile connection says first, and whether it sends a byte
// now and then, or makes room for the next one instead.
type hostileKind struct {
	name            string
	begin           func(ctx context.Context, t target) (net.Conn, error)
	trickles, anews bool
}

var hostileKinds = []hostileKind{
	{name: "slow heads", begin: saying(func(target) string { return "GET / HTTP/1.1\r\nHost: " }), trickles: true},
	{name: "slow bodies", begin: saying(func(t target) string {
		return string(t.head("POST", pathSink, "Content-Length: "+strconv.Itoa(hostileBody)+"\r\n")) + "a"
	}), trickles: true},
	{name: "slow readers", begin: saying(func(t target) string { return string(t.head("GET", pathBytes+strconv.Itoa(hostileResponse), "")) })},
	{name: "handshakes", anews: true}, // which runAttack begins
}

// saying makes a connection and says something on it.
func saying(what func(t target) string) func(ctx context.Context, t target) (net.Conn, error) {
	return func(ctx context.Context, t target) (net.Conn, error) {
		raw, err := dialTCP(ctx, t)
		if err != nil {
			return nil, err
		}
		if err := raw.(*net.TCPConn).SetReadBuffer(hostileBuffer); err != nil {
			raw.Close()
			return nil, err
		}
		c := tls.Client(raw, clientTLS(t, "http/1.1"))
		within, cancel := context.WithTimeout(ctx, answerTime)
		defer cancel()
		if err := c.HandshakeContext(within); err != nil {
			raw.Close()
			return nil, err
		}
		if _, err = io.WriteString(c, what(t)); err != nil {
			raw.Close()
			return nil, err
		}
		return c, nil
	}
}

// sayingHello begins a handshake, and leaves it at that.
func sayingHello(hello []byte) func(ctx context.Context, t target) (net.Conn, error) {
	return func(ctx context.Context, t target) (net.Conn, error) {
		raw, err := dialTCP(ctx, t)
		if err != nil {
			return nil, err
		}
		if _, err = raw.Write(hello); err != nil {
			raw.Close()
			return nil, err
		}
		return raw, nil
	}
}

// helloOf is the first message of a handshake.
func helloOf(t target) ([]byte, error) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	said := make(chan error, 1)
	go func() { said <- tls.Client(ours, clientTLS(t, "http/1.1")).Handshake() }()
	b := make([]byte, 16<<10)
	n, err := theirs.Read(b)
	ours.Close()
	<-said // which failed, of course
	return b[:n], err
}

// takeAttack is what small requests of another address take right before hostile connections of
// each kind and beside them, on connections that were there before and on new ones, and what one of them takes
// of the edge's memory.
func takeAttack(ctx context.Context, b *bench, round int) error {
	return b.inTurn(ctx, round, crowdTargets, func(t target) error {
		for _, kind := range hostileKinds {
			if err := b.takeAttackOf(ctx, round, t, kind.name); err != nil {
				return fmt.Errorf("%s: %w", kind.name, err)
			}
		}
		return nil
	})
}

func (b *bench) takeAttackOf(ctx context.Context, round int, t target, kind string) error {
	alone, err := smallRequests(ctx, t, crowdLength)
	if err != nil {
		return err
	}
	before, err := t.procs[0].rss()
	if err != nil {
		return err
	}
	p, line, err := b.startHelper("attack", "-addr", t.addr, "-host", t.host, "-kind", kind)
	if err != nil {
		return err
	}
	defer p.stop()
	var in float64
	if _, err := fmt.Sscan(line, &in); err != nil {
		return fmt.Errorf("it said %q: %w", line, err)
	}
	amid, err := amidRequests(ctx, t)
	if err != nil {
		return err
	}
	beside, err := smallRequests(ctx, t, crowdLength)
	if err != nil {
		return err
	}
	after, err := t.procs[0].rss()
	if err != nil {
		return err
	}
	putPercentiles(b, round, "attack", t.name, beforeAttack+kind, alone)
	putPercentiles(b, round, "attack", t.name, amidAttack+kind, amid)
	putPercentiles(b, round, "attack", t.name, besideAttack+kind, beside)
	b.results.put(round, "attack", t.name, besideAttack+kind+letIn, in)
	if t.name != nameNginx { // whose workers hold its connections
		b.results.put(round, "attack", t.name, besideAttack+kind+perHostile, (after-before)/max(in, 1))
	}
	return nil
}

// amidRequests are small requests until the target is quiet.
func amidRequests(ctx context.Context, t target) (took []float64, err error) {
	ask := make(chan error, 1)
	amid, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		var err error
		took, err = smallRequests(amid, t, quietTime)
		ask <- err
	}()
	for used := math.Inf(1); used > quiet && len(ask) == 0; {
		before, err := t.usage()
		if err == nil {
			err = pauseFor(ctx, quietStep)
		}
		if err != nil {
			return nil, err
		}
		after, err := t.usage()
		if err != nil {
			return nil, err
		}
		used = 0
		for i := range after {
			used += (after[i].cpu - before[i].cpu) / quietStep.Seconds()
		}
	}
	stop()
	return took, <-ask
}

// runAttack is many hostile connections of one kind. It says how many were let in when all of
// them have tried.
func runAttack(ctx context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("attack", flag.ContinueOnError)
	t := target{secure: true, from: &net.TCPAddr{IP: net.ParseIP(floodAddress)}}
	f.StringVar(&t.addr, "addr", "", "")
	f.StringVar(&t.host, "host", "", "")
	name := f.String("kind", "", "")
	if err := f.Parse(args); err != nil {
		return err
	}
	i := slices.IndexFunc(hostileKinds, func(k hostileKind) bool { return k.name == *name })
	if i < 0 {
		return fmt.Errorf("no hostile connection is called %q", *name)
	}
	kind := hostileKinds[i]
	hello, err := helloOf(t)
	if err != nil {
		return err
	}
	if kind.anews {
		kind.begin = sayingHello(hello)
	}
	conns := make([]net.Conn, hostileCrowd)
	defer func() {
		for _, c := range conns {
			if c != nil {
				c.Close()
			}
		}
	}()
	fmt.Fprintln(out, openHostile(ctx, t, kind, conns), "connected")
	every := hostileTrickle
	if kind.anews {
		every = hostileHello
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for next := 0; ; next = (next + 1) % len(conns) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		switch {
		case kind.anews:
			hangUp(conns[next])
			conns[next], _ = kind.begin(ctx, t) // nil if it was refused
		case kind.trickles && conns[next] != nil:
			// One that was cut takes no more, which is no failure.
			_, _ = io.WriteString(conns[next], "a")
		}
	}
}

// openHostile opens all of them, and gives how many were let in: an edge refuses what it has no
// place for.
func openHostile(ctx context.Context, t target, kind hostileKind, conns []net.Conn) int {
	var next, in atomic.Int64
	var dialers sync.WaitGroup
	for range slowDialers {
		dialers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(conns)); i = next.Add(1) - 1 {
				if c, err := kind.begin(ctx, t); err == nil {
					conns[i] = c
					in.Add(1)
				}
			}
		})
	}
	dialers.Wait()
	return int(in.Load())
}
