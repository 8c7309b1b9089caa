package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Names of figures about places in a tunnel, and their kinds by the name of a figure.
const (
	figSmallSlow  = "beside 5,000 slow small bodies, HTTP/2"
	figSmallSlow1 = "beside 5,000 slow small bodies, HTTP/1.1"
	figLargeSlow  = "beside 3,000 slow large bodies, HTTP/2"
)

const (
	// hoarders is how many small bodies one address sends slowly, and largeHoarders how
	// many large ones, each of which holds a data connection. Over HTTP/1.1 each body has
	// a connection of its own.
	hoarders, largeHoarders = 5000, 3000
	// A crowd is complete once steadyLooks counts of a target's descriptors, steadyLook
	// apart, were equal. The wait for that ends after steadyTime: the bodies have 20 s,
	// and the measure needs some of them.
	steadyLook, steadyLooks, steadyTime = 100 * time.Millisecond, 6, 15 * time.Second
	// hoardStreams is how many of them are on one connection of HTTP/2: what the edge
	// allows.
	hoardStreams = 100
	// hoardAddress is where they come from; whoever is timed beside them has another
	// address.
	hoardAddress = "127.0.0.2"
	// hoardPause lies between two bytes of one body.
	hoardPause = 5 * time.Second
	// hoardLength is shorter than the grace that a slow body has.
	hoardLength = 4 * time.Second
	// Lengths of the bodies: what is held until it is whole, and what isn't.
	smallHoard, largeHoard = 1 << 10, 1 << 20
)

// takePlaces is row 7: how long small requests take beside one address's slow bodies. The
// reference is ReverseProxy beside the same crowd, because part of the delay comes from
// the crowd's own process, which shares the CPUs.
func takePlaces(ctx context.Context, b *bench, round int) error {
	return b.inTurn(ctx, round, func(t target) bool { return t.name == nameOurs || t.name == nameBefore || t.name == nameGoProxy }, func(t target) error {
		alone, err := smallRequests(ctx, t, hoardLength)
		if err != nil {
			return err
		}
		putPercentiles(b, round, "places", t.name, figAlone, alone)
		for _, kind := range []struct {
			name      string
			n, length int
			h2        bool
		}{{figSmallSlow, hoarders, smallHoard, true}, {figSmallSlow1, hoarders, smallHoard, false}, {figLargeSlow, largeHoarders, largeHoard, true}} {
			if err := b.takePlacesOf(ctx, round, t, kind.name, kind.n, kind.length, kind.h2); err != nil {
				return fmt.Errorf("%s: %w", kind.name, err)
			}
		}
		return nil
	})
}

func (b *bench) takePlacesOf(ctx context.Context, round int, t target, name string, n, length int, h2 bool) error {
	p, _, err := b.startHelper("hoard", "-addr", t.addr, "-host", t.host, "-n", strconv.Itoa(n), "-length", strconv.Itoa(length), "-h2="+strconv.FormatBool(h2))
	if err != nil {
		return err
	}
	defer p.stop()
	if err := awaitSteady(ctx, t); err != nil {
		return err
	}
	beside, err := smallRequests(ctx, t, hoardLength)
	if err != nil {
		return err
	}
	putPercentiles(b, round, "places", t.name, name, beside)
	p.stop()
	return awaitSteady(ctx, t) // what is measured next has nothing of its end
}

// awaitSteady waits until the number of a target's connections, of all kinds, stays the
// same: the crowd is complete, or gone.
func awaitSteady(ctx context.Context, t target) error {
	tick := time.NewTicker(steadyLook)
	defer tick.Stop()
	alike, was := 0, -1
	for end := time.Now().Add(steadyTime); alike < steadyLooks; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		n := 0
		for _, p := range t.procs {
			d, err := p.descriptors()
			if err != nil {
				return err
			}
			n += d
		}
		if alike++; n != was {
			alike, was = 0, n
		}
		if time.Now().After(end) {
			return fmt.Errorf("the crowd is not complete after %v: %d descriptors", steadyTime, n)
		}
	}
	return nil
}

// runHoard is one address that sends many bodies, a byte of each now and then. It says so
// when all of them have begun.
func runHoard(ctx context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("hoard", flag.ContinueOnError)
	t := target{secure: true}
	f.StringVar(&t.addr, "addr", "", "")
	f.StringVar(&t.host, "host", "", "")
	n, length, h2 := f.Int("n", 1, ""), f.Int("length", smallHoard, ""), f.Bool("h2", true, "")
	if err := f.Parse(args); err != nil {
		return err
	}
	each := 1
	if *h2 {
		each = hoardStreams
	}
	conns := make([]*hoarder, *n/each)
	var next atomic.Int64
	var dialers sync.WaitGroup
	faults := make(chan error, slowDialers)
	for range slowDialers {
		dialers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(conns)); i = next.Add(1) - 1 {
				c, err := dialHoarder(ctx, t, *h2, *length)
				if err != nil {
					faults <- err
					return
				}
				conns[i] = c
			}
		})
	}
	dialers.Wait()
	select {
	case err := <-faults:
		return err
	default:
	}
	fmt.Fprintln(out, *n, "begun")
	tick := time.NewTicker(hoardPause / time.Duration(*n))
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-tick.C:
			conns[i%len(conns)].more(i / len(conns) % each) // one that was cut takes no more, which is no failure
		case <-ctx.Done():
			return nil
		}
	}
}

// hoarder is one connection with slow bodies.
type hoarder struct {
	net.Conn
	f *http2.Framer // nil with HTTP/1.1
}

func dialHoarder(ctx context.Context, t target, h2 bool, length int) (*hoarder, error) {
	raw, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(hoardAddress)}}).DialContext(ctx, "tcp", t.addr)
	if err != nil {
		return nil, err
	}
	protocol := "http/1.1"
	if h2 {
		protocol = "h2"
	}
	conn := tls.Client(raw, &tls.Config{ServerName: t.host, InsecureSkipVerify: true, NextProtos: []string{protocol}})
	if err := conn.HandshakeContext(ctx); err != nil && h2 {
		return nil, err
	}
	c := &hoarder{Conn: conn}
	if !h2 {
		// Beyond the address's share of connections it is cut, which is no failure.
		_, _ = fmt.Fprintf(c, "%sx", t.head("POST", pathSink, fmt.Sprintf("Content-Length: %d\r\n", length)))
		return c, nil
	}
	var all bytes.Buffer
	all.WriteString(http2.ClientPreface)
	c.f = http2.NewFramer(&all, nil)
	c.f.WriteSettings()
	for i := range hoardStreams {
		var block bytes.Buffer
		enc := hpack.NewEncoder(&block)
		enc.SetMaxDynamicTableSize(0) // each block by itself
		for _, field := range [][2]string{{":method", "POST"}, {":scheme", "https"}, {":authority", t.authority()}, {":path", pathSink}, {"content-length", strconv.Itoa(length)}} {
			enc.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]})
		}
		c.f.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*i + 1), BlockFragment: block.Bytes(), EndHeaders: true})
		c.f.WriteData(uint32(2*i+1), false, []byte("x"))
	}
	if _, err := c.Write(all.Bytes()); err != nil {
		return nil, err
	}
	c.f = http2.NewFramer(conn, conn)
	go io.Copy(io.Discard, conn) // what the server says, until the process ends
	return c, nil
}

// more sends a byte of one body.
func (c *hoarder) more(stream int) {
	if c.f == nil {
		io.WriteString(c.Conn, "x")
		return
	}
	_ = c.f.WriteData(uint32(2*stream+1), false, []byte("x")) // of one that was cut it is no failure
}
