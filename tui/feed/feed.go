// Package feed brings to the dashboard what the local daemon tells: the tunnels that it has, and
// events as they come, many at once.
//
// What lives here: the source of these messages, and its pauses. What may not: what a screen
// makes of them, and a client of the daemon, which cmd/mezu has. Screens of tui import it.
package feed

import (
	"context"
	"sync"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/backoff"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/tui/screen"
)

const (
	// gatherFor is how long events are gathered before the dashboard gets them: less than
	// anybody sees, and few messages under load.
	gatherFor = 50 * time.Millisecond
	// maxBatch bounds the events of one message. Then the daemon waits, which leaves out what
	// nobody reads.
	maxBatch = 1000
	// againWithin bounds the pauses between two tries to reach a daemon.
	againWithin = 2 * time.Second
	// listTime bounds the question which tunnels there are.
	listTime = 5 * time.Second
)

// Daemon is the local daemon.
type Daemon interface {
	// Tunnels are all that it has.
	Tunnels(ctx context.Context) ([]mezu.Tunnel, error)
	// Follow calls see with each event of all tunnels, one after another, until ctx or the
	// stream ends. It calls open before, once the stream is open.
	Follow(ctx context.Context, open func(), see func(local.Event)) error
}

// Listing are all tunnels, when a stream of events begins.
type Listing struct{ Tunnels []mezu.Tunnel }

// Batch are events in their order.
type Batch struct{ Events []local.Event }

// Requests reports whether something may have changed among the requests.
func (b Batch) Requests() bool {
	for i := range b.Events {
		switch b.Events[i].Event.Event {
		case mezu.EventRequest, local.EventFrame, local.EventGap:
			return true
		}
	}
	return false
}

// Away says that there is no daemon, or that its stream broke. It is tried again.
type Away struct{ Err error }

// Source follows the daemon until its context ends.
func Source(d Daemon) screen.Source {
	return func(ctx context.Context, send func(tea.Msg)) {
		pause := backoff.Backoff{Last: againWithin}
		for {
			err := follow(ctx, d, send, pause.Reset)
			if ctx.Err() != nil {
				return
			}
			send(Away{Err: err})
			if pause.Wait(ctx) != nil {
				return
			}
		}
	}
}

// follow reads one stream to its end. reached is called when the daemon has answered.
func follow(ctx context.Context, d Daemon, send func(tea.Msg), reached func()) error {
	ctx, end := context.WithCancel(ctx)
	opened, ended := make(chan struct{}), make(chan error, 1)
	events := &gathered{some: make(chan struct{}, 1), full: make(chan []local.Event)}
	go func() {
		ended <- d.Follow(ctx, func() { close(opened) }, func(e local.Event) { events.add(ctx, e) })
		close(ended)
	}()
	defer func() {
		end()
		for range ended {
		}
	}()
	select {
	case <-opened:
	case err := <-ended:
		return err
	}
	// The list is asked for when the stream is open: what is removed after it is told.
	asking, asked := context.WithTimeout(ctx, listTime)
	all, err := d.Tunnels(asking)
	asked()
	if err != nil {
		return err
	}
	reached()
	send(Listing{Tunnels: all})
	return events.pass(ended, send)
}

// gathered are events that have come and were not sent yet. To hand over each by itself would wake
// whoever sends them hundreds of times a second.
type gathered struct {
	mu     sync.Mutex
	events []local.Event
	some   chan struct{}      // takes one word: there is a first
	full   chan []local.Event // maxBatch of them, handed over by whoever adds, who waits for it
}

// add adds an event, and waits if there are too many.
func (g *gathered) add(ctx context.Context, e local.Event) {
	g.mu.Lock()
	g.events = append(g.events, e)
	n := len(g.events)
	g.mu.Unlock()
	switch n {
	case 1:
		select {
		case g.some <- struct{}{}:
		default: // the word of before waits there
		}
	case maxBatch:
		select {
		case g.full <- g.take():
		case <-ctx.Done():
		}
	}
}

func (g *gathered) take() []local.Event {
	g.mu.Lock()
	defer g.mu.Unlock()
	events := g.events
	g.events = nil
	return events
}

// pass sends events as batches, until the stream has ended.
func (g *gathered) pass(ended <-chan error, send func(tea.Msg)) error {
	flush := func(events []local.Event) {
		if len(events) > 0 {
			send(Batch{Events: events})
		}
	}
	timer := time.NewTimer(gatherFor)
	defer timer.Stop()
	for {
		select {
		case <-g.some:
			timer.Reset(gatherFor)
		case events := <-g.full:
			flush(events)
		case <-timer.C:
			flush(g.take())
		case err := <-ended:
			flush(g.take())
			return err
		}
	}
}
