package forward

import (
	"cmp"
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
)

// headStart is how long the address that answered last is tried alone (RFC 8305, 5): a
// loopback address answers or refuses at once, so that more is never needed.
const headStart = 250 * time.Millisecond

// Dialer connects to one address; it is a net.Dialer outside of tests.
type Dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// Dial connects to the workload at u, at whichever of its addresses answers first, within a
// bound. If none does, the error is that of the first.
func Dial(ctx context.Context, d Dialer, u mezu.Upstream, within time.Duration) (net.Conn, error) {
	return newWay(u).dial(ctx, d, within)
}

// way is how one workload is reached. It remembers at which of its addresses something
// answered: a server that listens on ::1 alone costs one connection each time, not two.
type way struct {
	to        mezu.Upstream
	addresses []string
	answered  atomic.Int32 // last, the number of an address counted from 1; 0 at first
}

func newWay(to mezu.Upstream) *way { return &way{to: to, addresses: to.Addresses()} }

// dial connects. All addresses are tried at once, but the one that answered last goes before
// the others.
func (w *way) dial(ctx context.Context, d Dialer, within time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	if len(w.addresses) == 1 {
		return d.DialContext(ctx, w.to.Network(), w.addresses[0])
	}
	r := &race{way: w, d: d, ctx: ctx, ends: make(chan int, len(w.addresses)), conns: make([]net.Conn, len(w.addresses)), errs: make([]error, len(w.addresses))}
	defer r.dials.Wait()
	defer cancel() // before the losers are waited for
	best := int(w.answered.Load()) - 1
	if best >= 0 {
		r.start(best)
		timer := time.NewTimer(headStart)
		defer timer.Stop()
		if conn := r.wait(1, timer.C); conn != nil {
			return conn, nil
		}
	}
	for i := range w.addresses {
		if i != best {
			r.start(i)
		}
	}
	if conn := r.wait(len(w.addresses), nil); conn != nil {
		return conn, nil
	}
	return nil, cmp.Or(r.errs[0], ctx.Err())
}

// race is one dial of several addresses.
type race struct {
	*way
	d     Dialer
	ctx   context.Context
	dials sync.WaitGroup
	ends  chan int // numbers of addresses whose dial has ended
	ended int
	won   atomic.Bool
	conns []net.Conn
	errs  []error
}

// start dials one address. If another has won by then, the connection is closed.
func (r *race) start(i int) {
	r.dials.Go(func() {
		conn, err := r.d.DialContext(r.ctx, r.to.Network(), r.addresses[i])
		if err == nil && r.won.Swap(true) {
			conn.Close()
			conn = nil
		}
		r.conns[i], r.errs[i] = conn, err
		r.ends <- i
	})
}

// wait waits until one of the dials has won, n have ended or enough says so. It returns the
// connection of the winner.
func (r *race) wait(n int, enough <-chan time.Time) net.Conn {
	for r.ended < n {
		select {
		case i := <-r.ends:
			r.ended++
			if r.conns[i] != nil {
				r.answered.Store(int32(i) + 1)
				return r.conns[i]
			}
		case <-enough:
			return nil
		}
	}
	return nil
}
