// Package feed brings to the dashboard what the local daemon tells: the tunnels that it has, and
// events as they come, many at once.
//
// What lives here: the source of these messages, and its pauses. What may not: what a screen
// makes of them, and a client of the daemon, which cmd/mezu has. Screens of tui import it.
package feed

import (
	"context"
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
	events, opened, ended := make(chan local.Event), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- d.Follow(ctx, func() { close(opened) }, func(e local.Event) {
			select {
			case events <- e:
			case <-ctx.Done():
			}
		})
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
	return gather(events, ended, send)
}

// gather sends events as batches.
func gather(events <-chan local.Event, ended <-chan error, send func(tea.Msg)) error {
	var batch []local.Event
	flush := func() {
		if len(batch) > 0 {
			send(Batch{Events: batch})
			batch = nil
		}
	}
	timer := time.NewTimer(gatherFor)
	defer timer.Stop()
	for {
		select {
		case e := <-events:
			if batch = append(batch, e); len(batch) == 1 {
				timer.Reset(gatherFor)
			}
			if len(batch) == maxBatch {
				flush()
			}
		case <-timer.C:
			flush()
		case err := <-ended:
			flush()
			return err
		}
	}
}
