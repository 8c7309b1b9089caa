package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"
)

const (
	// proofWait is how long the edge may take to answer a PING after a wake. A link whose
	// round trip is long gets longer, up to maxProofWait: longer than that and whoever
	// waits for traffic would rather have a new connection.
	proofWait    = 700 * time.Millisecond
	maxProofWait = 2 * time.Second
	// roundTrips is how many round trips an answer may take: one, and what it takes to
	// notice that one was lost.
	roundTrips = 4
	// youngTry is the age at which a wake leaves a try to register alone. An older one may
	// wait for an answer to what was lost before, which TCP repeats ever less often.
	youngTry = time.Second
)

var (
	// errAnew ends a try to register, because another one has better chances.
	errAnew = errors.New("trying anew after a wake")
	// errSucceeded ends a registration that gave no answer after a wake.
	errSucceeded = errors.New("the edge holds a newer registration")
)

// Wake says that the machine was asleep, or that its addresses changed: what was learnt
// about the network is void. Waits are over, and a try that hangs begins anew. A
// registration that looks alive has to prove it: without a quick answer from the edge the
// Link registers anew. Exchanges under way go on until that has succeeded, or for good if
// the answer comes first. It does not wait.
func (l *Link) Wake() {
	l.mu.Lock()
	if l.anew != nil && time.Since(l.tried) > youngTry {
		l.anew(errAnew)
	}
	for _, r := range l.live {
		r.woken()
	}
	l.mu.Unlock()
	l.woken.Ring()
}

// attend waits until r drains or ends, and says why, or until it has a successor.
func (l *Link) attend(ctx context.Context, r *registration) (next *registration, err error) {
	woken := l.woken.Rung()
	for next == nil && err == nil {
		select {
		case <-r.draining:
			return nil, ErrDraining
		case <-r.ctx.Done():
			return nil, context.Cause(r.ctx)
		case <-woken:
			woken = l.woken.Rung() // an answer proves nothing after another wake
			next, err = l.prove(ctx, r)
		}
	}
	return next, err
}

// prove has the edge answer on r's control connection. If it doesn't, prove gives a
// successor, or says that r ended before there was one. An edge that answers no PING is
// found dead by its silence alone.
func (l *Link) prove(ctx context.Context, r *registration) (next *registration, err error) {
	if !r.pings {
		return nil, nil
	}
	trying, stop := context.WithCancel(ctx)
	defer stop()
	r.ping(stop)
	if !addressGone(r.out.conn) {
		timer := time.NewTimer(l.proof(roundTrip(r.out.conn)))
		defer timer.Stop()
		select {
		case <-trying.Done():
			return nil, nil
		case <-r.draining:
			return nil, nil
		case <-r.ctx.Done():
			return nil, nil
		case <-timer.C:
		}
	}
	l.log.Info("no answer after a wake; registering anew", "edge", l.cfg.Edge.ID, "address", l.cfg.Edge.TunnelAddress)
	defer context.AfterFunc(r.ctx, stop)()
	pace := l.pace()
	for trying.Err() == nil {
		woken := l.woken.Rung()
		next, err := l.register(ctx, trying)
		if err == nil {
			return next, nil
		}
		var refusal *RefusedError
		switch {
		case errors.Is(err, errAnew):
			pace.Reset()
			continue
		case errors.As(err, &refusal):
			if refusal.Permanent {
				return nil, nil
			}
			pace.Ask(refusal.RetryAfter)
		}
		pace.Because(err)
		pace.WaitOr(trying, woken)
	}
	if r.ctx.Err() != nil { // perhaps in favour of a successor whose answer is lost
		return nil, fmt.Errorf("%w since a wake", ErrSilent)
	}
	return nil, nil
}

// proofTime is how long a link of this round trip has to prove itself.
func proofTime(roundTrip time.Duration) time.Duration {
	return min(max(proofWait, roundTrips*roundTrip), maxProofWait)
}

// addressGone reports whether this machine has no longer the address from which c was dialled.
func addressGone(c net.Conn) bool {
	local, ok := rawConn(c).LocalAddr().(*net.TCPAddr)
	if !ok || local.IP.IsLoopback() {
		return false
	}
	addrs, err := net.InterfaceAddrs()
	return err == nil && !slices.ContainsFunc(addrs, func(a net.Addr) bool {
		own, ok := a.(*net.IPNet)
		return !ok || own.IP.Equal(local.IP)
	})
}

// woken forgets the failures of data connections.
func (r *registration) woken() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pace.Reset()
}

// ping sends a PING. answered is called when the edge has answered it.
func (r *registration) ping(answered func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pinged++
	r.answered = answered
	r.out.send(appendCount(nil, framePing, r.pinged))
}

// pong takes the answer to a PING. Only that to the last one counts.
func (r *registration) pong(number uint32) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if number == 0 || number > r.pinged {
		return fmt.Errorf("%w: %v of a PING that was not sent", ErrProtocol, framePong)
	}
	if number == r.pinged && r.answered != nil {
		r.answered()
		r.answered = nil
	}
	return nil
}
