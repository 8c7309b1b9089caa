package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// Figures of the firewall.
const (
	firewallOff, firewallOn = "off: ", "on: "
	figEdgeCPU              = "CPU-ms of the edge for each "
	figWorstHead            = "worst head: ms of CPU"
	figWorstBody            = "worst body: ms of CPU"
	figFirewallAlone        = "guarded requests alone"
	figFirewallBeside       = "guarded requests beside one address that sends the worst bodies"
)

const (
	firewallRequests = 300 // of each kind, one after the other
	firewallWorst    = 20
	firewallLength   = 5 * time.Second
	firewallPause    = 20 * time.Millisecond // between two guarded requests of all connections together
	worstSenders     = 8
)

// firewallKinds are what is sent with the firewall off and on: a GET with a query and the fields of a
// browser, and JSON of 48 values.
func firewallKinds(t target) map[string][]byte {
	fields := "User-Agent: Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0\r\nAccept: application/json\r\nAccept-Language: de-AT,de;q=0.9\r\nCookie: theme=dark; cart=3b1f0c2d\r\nReferer: https://shop.example/\r\n"
	var body strings.Builder
	for i := range 48 {
		fmt.Fprintf(&body, `,"key%02d":"value %02d"`, i, i)
	}
	json := "{" + body.String()[1:] + "}"
	return map[string][]byte{
		"GET":  t.head("GET", pathSmall+"?page=2&sort=-created&q=blue+shoes", fields),
		"JSON": append(t.head("POST", pathSink, fields+fmt.Sprintf("Content-Type: application/json\r\nContent-Length: %d\r\n", len(json))), json...),
	}
}

// worstHead and worstBody are as long as the firewall looks at, of the signs that cost most, and no
// attack.
func worstHead(t target) []byte {
	fields := "User-Agent: Mozilla/5.0\r\nAccept: */*\r\n"
	for range worstCookies {
		fields += "Cookie: " + strings.ReplaceAll(worstForm(250/worstCookies, 15_000/worstCookies), "&", "; ") + "\r\n"
	}
	return t.head("GET", pathSmall, fields)
}

// worstCookies is how many fields the cookies are sent in: the workload takes no longer ones.
const worstCookies = 5

func worstBody(t target) []byte {
	body := worstForm(250, 60_000)
	return append(t.head("POST", pathSink, fmt.Sprintf("User-Agent: Mozilla/5.0\r\nAccept: */*\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n", len(body))), body...)
}

func worstForm(values, size int) string {
	const letters = "on load script x select from union whr1"
	r := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	for i := range values {
		fmt.Fprintf(&b, "&k%d=", i)
		for range size/values - 6 {
			c := letters[r.IntN(len(letters))]
			if c == ' ' {
				c = '+'
			}
			b.WriteByte(c)
		}
	}
	return b.String()[1:]
}

// takeFirewall is what the firewall costs.
func takeFirewall(ctx context.Context, b *bench, round int) error {
	return b.inTurn(ctx, round, func(t target) bool { return t.name == nameOurs }, func(t target) error { return b.takeFirewallOf(ctx, round, t) })
}

func (b *bench) takeFirewallOf(ctx context.Context, round int, t target) error {
	put := func(name string, v float64) { b.results.put(round, "firewall", t.name, name, v) }
	for name, request := range firewallKinds(t) {
		ms, err := edgeCPU(ctx, t, request, firewallRequests)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		put(firewallOff+figEdgeCPU+name, ms)
	}
	if err := b.guard(ctx, mezu.WAFDetect); err != nil {
		return err
	}
	defer b.guard(context.WithoutCancel(ctx), mezu.WAFOff)
	for name, request := range firewallKinds(t) {
		if _, err := edgeCPU(ctx, t, request, 10); err != nil { // the rules are compiled
			return err
		}
		ms, err := edgeCPU(ctx, t, request, firewallRequests)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		put(firewallOn+figEdgeCPU+name, ms)
	}
	for name, request := range map[string][]byte{figWorstHead: worstHead(t), figWorstBody: worstBody(t)} {
		if _, err := edgeCPU(ctx, t, request, 2); err != nil {
			return err
		}
		ms, err := edgeCPU(ctx, t, request, firewallWorst)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		put(name, ms)
	}
	before, err := steadyRequests(ctx, t, pace{smallClients, firewallPause}, firewallLength)
	if err != nil {
		return err
	}
	putPercentiles(b, round, "firewall", t.name, figFirewallAlone, before)
	p, _, err := b.startHelper("worstbodies", "-addr", t.addr, "-host", t.host)
	if err != nil {
		return err
	}
	defer p.stop()
	beside, err := steadyRequests(ctx, t, pace{smallClients, firewallPause}, firewallLength)
	if err != nil {
		return err
	}
	putPercentiles(b, round, "firewall", t.name, figFirewallBeside, beside)
	return nil
}

// guard sets the firewall of the environment, and waits until the edge runs with it.
func (b *bench) guard(ctx context.Context, mode mezu.WAFMode) error {
	at := []string{"bench", "load", mezu.EnvironmentProduction}
	if _, err := api.Invoke[api.EnvironmentWritten](ctx, b.in.client, api.OpUpdateEnvironment, map[string]any{"waf": mode}, at...); err != nil {
		return err
	}
	for deadline := time.Now().Add(startTime); ; time.Sleep(pollPause) {
		s, err := api.Invoke[api.RoutesState](ctx, b.in.client, api.OpListRoutes, nil, at...)
		behind := slices.ContainsFunc(s.Applied, func(a api.Applied) bool { return a.Position.Compare(s.Position) < 0 })
		if err == nil && !behind && len(s.Applied) > 0 {
			return nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return fmt.Errorf("waiting for the edge to run with waf: %s: %w", mode, cmp.Or(err, ctx.Err(), context.DeadlineExceeded))
		}
	}
}

// edgeCPU is the milliseconds of CPU that the edge takes for each of n requests that one connection
// sends one after the other.
func edgeCPU(ctx context.Context, t target, request []byte, n int) (float64, error) {
	c, err := dial(ctx, t)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	before, err := t.procs[0].cpu()
	if err != nil {
		return 0, err
	}
	for range n {
		if err := c.get(request); err != nil {
			return 0, err
		}
	}
	after, err := t.procs[0].cpu()
	return (after - before) * 1e3 / float64(n), err
}

// runWorstBodies sends the worst bodies from an address of its own, on some connections, until it is
// ended.
func runWorstBodies(ctx context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("worstbodies", flag.ContinueOnError)
	t := target{secure: true, from: &net.TCPAddr{IP: net.ParseIP(floodAddress)}}
	f.StringVar(&t.addr, "addr", "", "")
	f.StringVar(&t.host, "host", "", "")
	if err := f.Parse(args); err != nil {
		return err
	}
	request := worstBody(t)
	for range worstSenders {
		go func() {
			for ctx.Err() == nil {
				if c, err := dial(ctx, t); err == nil {
					for c.get(request) == nil && ctx.Err() == nil {
					}
					c.Close()
				}
			}
		}()
	}
	fmt.Fprintln(out, "sending")
	<-ctx.Done()
	return nil
}
