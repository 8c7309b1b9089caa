package front

import (
	"context"
	"slices"
	"sync"
	"time"
)

const (
	// FirstGrace is how long a draining edge waits for the first request of a connection
	// that it had accepted before: a handshake and a head over a slow link. Without it a
	// client that came just then would be taken and dropped.
	FirstGrace = 5 * time.Second
	// drainTick is how often a draining edge looks which connections may be closed.
	drainTick = 25 * time.Millisecond
)

// Draining reports whether Drain was called.
func (f *Front) Draining() bool { return f.draining.Load() }

// Drain lets nobody in any more, and returns when the connections of the public have
// ended or ctx has: each that was accepted before gets its answer, and the word that it is
// the last. Connections of peers go on.
func (f *Front) Drain(ctx context.Context) {
	f.draining.Store(true)
	f.cfg.Listener.Close()
	<-f.taken
	var wg sync.WaitGroup
	begun := make(chan struct{})
	wg.Go(func() { f.drainPublic(ctx, f.cfg.FirstGrace, func() { close(begun) }) })
	<-begun
	if d, ok := f.cfg.Public.Handler.(Drainer); ok {
		d.Drain(ctx)
	}
	wg.Wait()
}

// drainPublic closes the connections that wait for a request, and waits until the others
// have ended or ctx has. One that had no request yet is closed when grace is over. begun is
// called when every connection has had its first request, or grace is over: from then on
// the Drainer drains its own.
func (f *Front) drainPublic(ctx context.Context, grace time.Duration, begun func()) {
	tick := time.NewTicker(drainTick)
	defer tick.Stop()
	late := time.Now().Add(grace)
	begun = sync.OnceFunc(begun)
	defer begun()
	for {
		graceEnded := !time.Now().Before(late)
		busy, fresh := f.drainOnce(graceEnded)
		if graceEnded || fresh == 0 {
			begun()
			if busy == 0 {
				return
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// drainOnce closes what may be closed now, and counts what is waited for: connections with
// a request under way, and those without any request yet.
func (f *Front) drainOnce(graceEnded bool) (busy, fresh int) {
	for _, c := range slices.Concat(f.cfg.Arriving.All(), f.cfg.Public.Places.All()) {
		switch {
		case c.Silent() && !graceEnded:
			fresh++
		case c.Entrusted():
		case c.Busy() || !c.Retire():
			busy++
		}
	}
	return busy, fresh
}
