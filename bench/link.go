package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"time"
)

// A link like one across a continent or to a mobile network.
const (
	linkDelay = 25 * time.Millisecond // each way
	linkRate  = 200e6 / 8             // bytes a second each way
	// linkQueue is how long a packet may wait for its turn. One that would wait longer is
	// dropped.
	linkQueue = 50 * time.Millisecond
	linkLoss  = 1 // percent each way, of the lossy one
)

// hop is one direction of a link.
type hop struct {
	loss float64 // of 1
	// chance decides which packets are lost: from the same seed the same ones in their order.
	chance *rand.Rand
	free   time.Time // when the last packet will have been sent
}

// newHop makes a direction that loses so many percent.
func newHop(percent float64, seed, way uint64) *hop {
	return &hop{loss: percent / 100, chance: rand.New(rand.NewPCG(seed, way))}
}

// take says when a packet of so many bytes that comes now arrives, if it does. A lost packet
// has taken its time on the link.
func (h *hop) take(now time.Time, bytes int) (at time.Time, arrives bool) {
	lost := h.chance.Float64() < h.loss
	if h.free.Before(now) {
		h.free = now
	}
	if h.free.Sub(now) > linkQueue {
		return at, false
	}
	h.free = h.free.Add(time.Duration(float64(bytes) / linkRate * float64(time.Second)))
	return h.free.Add(linkDelay), !lost
}

const (
	linkPacket = 1500 // bytes of the largest packet, the usual MTU
	// linkPackets bounds those that are under way each way: what the rate allows for queue and
	// delay, if they are as small as acknowledgements.
	linkPackets = 1 << 16
)

// packet is one under way.
type packet struct {
	at    time.Time
	bytes []byte
}

// carryPackets takes packets from one device to another, until either is closed.
func (h *hop) carryPackets(from io.Reader, to io.Writer) error {
	underway := make(chan packet, linkPackets)
	delivered := make(chan error, 1)
	go func() {
		var failed error
		for p := range underway {
			time.Sleep(time.Until(p.at))
			if _, err := to.Write(p.bytes); failed == nil {
				failed = err
			}
		}
		delivered <- failed
	}()
	buf := make([]byte, linkPacket)
	for {
		n, err := from.Read(buf)
		if err != nil {
			close(underway)
			return errors.Join(err, <-delivered)
		}
		if at, arrives := h.take(time.Now(), n); arrives {
			underway <- packet{at, append([]byte(nil), buf[:n]...)}
		}
	}
}

// runLink is a link between this network and another one, which is empty but for the link's
// far end and a way to the control plane that loses nothing. It says how programs are started
// over there, by the path of the network, and the address of the near end. Both networks and
// the link are gone when the process ends, however that ends.
func runLink(ctx context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("link", flag.ContinueOnError)
	loss := f.Float64("loss", 0, "")
	seed := f.Uint64("seed", 0, "")
	control := f.String("control", "", "")
	if err := f.Parse(args); err != nil {
		return err
	}
	l, err := layLink(*control)
	if err != nil {
		return err
	}
	defer l.cut()
	ended := make(chan error, 2)
	go func() { ended <- newHop(*loss, *seed, 0).carryPackets(l.near, l.far) }()
	go func() { ended <- newHop(*loss, *seed, 1).carryPackets(l.far, l.near) }()
	if _, err := fmt.Fprintln(out, l.path, l.address); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-ended:
		return err
	}
}
