package requests

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/backoff"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/cli/tunnel/show"
	"github.com/mezusphere/mezu/local"
)

const (
	// gathering is how long changes are gathered before they are asked for.
	gathering = 50 * time.Millisecond
	// reconnect bounds the wait between looks for a daemon that has ended.
	reconnect = 2 * time.Second
	// maxShown is of how many requests it is remembered that they were shown. It is above what
	// the inspector keeps at most.
	maxShown = 2 * mezu.MaxExchanges
)

// follower shows requests as they come. The stream of events only says that there is something
// new: what it is is asked of the list, with the filter and from the last revision on. So nothing
// that is still kept is missed, whatever happened to the stream.
type follower struct {
	*listOptions
	several bool
	// begun is when the daemon was started that all else is about.
	begun time.Time
	// revision is the inspector's at the last look.
	revision uint64
	// floor is the sequence above which requests are new to this command.
	floor   uint64
	shown   map[string]uint64 // sequences by id
	leftOut uint64
	headed  bool
}

// follow shows what there is, and goes on until ctx ends. A daemon that has ended is waited for.
func (l *listOptions) follow(ctx context.Context) error {
	f := &follower{listOptions: l, shown: map[string]uint64{}}
	c, err := l.client(ctx)
	if err != nil {
		return err
	}
	retry := backoff.Backoff{Last: reconnect}
	away := false
	for {
		if c != nil {
			if away {
				f.Signf(terminal.Good, "the daemon is back")
			}
			away = false
			err = f.stream(ctx, c, retry.Reset)
			c.Close()
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case !errors.Is(err, io.EOF) && mezu.CodeOf(err) != mezu.CodeUnavailable:
			return err
		case !away:
			away = true
			f.Signf(terminal.Waiting, "the daemon has ended; waiting for it to come back")
		}
		if err := retry.Wait(ctx); err != nil {
			return err
		}
		c, err = l.client(ctx)
	}
}

// stream shows what is new until the stream of events ends.
func (f *follower) stream(ctx context.Context, c *local.Client, arrived func()) error {
	is, err := c.Status(ctx)
	if err != nil {
		return err
	}
	events, err := c.Events(ctx, "")
	if err != nil {
		return err
	}
	first := f.begun.IsZero()
	if !first && !is.StartedAt.Equal(f.begun) {
		// What the daemon of before has kept went with it.
		f.revision, f.floor, f.leftOut = 0, 0, 0
		clear(f.shown)
	}
	f.begun = is.StartedAt
	if first {
		if tunnels, err := c.Tunnels(ctx); err == nil {
			f.several = len(tunnels) > 1
		}
	}
	changed, ended := make(chan struct{}, 1), make(chan error, 1)
	var reading sync.WaitGroup
	defer reading.Wait()
	defer events.Close()
	reading.Go(func() { ended <- changes(events, changed) })
	if err := f.read(ctx, c, first); err != nil {
		return err
	}
	arrived()
	for {
		select {
		case <-changed:
			if err := invocation.Pause(ctx, gathering); err != nil {
				return err
			}
			if err := f.read(ctx, c, false); err != nil {
				return err
			}
		case err := <-ended:
			return err
		}
	}
}

// changes rings for each event that may be of a request, until the stream ends.
func changes(events *local.Stream, changed chan<- struct{}) error {
	for {
		e, err := events.Next()
		if err != nil {
			return err
		}
		switch e.Event.Event {
		case mezu.EventRequest, local.EventFrame, local.EventGap:
			select {
			case changed <- struct{}{}:
			default: // it rings already
			}
		}
	}
}

// read shows what is new since the last look.
func (f *follower) read(ctx context.Context, c *local.Client, first bool) error {
	q, most := local.RequestsQuery{Filter: f.Filter, ChangedAfter: f.revision}, mezu.MaxExchanges+mezu.MaxPinned
	if first {
		most = f.Limit
	}
	if most == 0 { // only what comes from now on
		q.Filter, most = "", 1
	}
	items, state, err := page(ctx, c, q, most)
	if err != nil {
		return err
	}
	f.missing(f.revision, state)
	f.revision = state.Revision
	slices.SortFunc(items, func(a, b mezu.Exchange) int {
		if a.Sequence < b.Sequence {
			return -1
		}
		return 1
	})
	if first && len(items) > 0 {
		f.floor = items[0].Sequence - 1
		if f.Limit == 0 {
			f.floor = items[0].Sequence
		}
	}
	for _, e := range items {
		if _, is := f.shown[e.ID]; is || e.Sequence <= f.floor || !ready(e) {
			continue
		}
		f.shown[e.ID] = e.Sequence
		if err := f.print(e); err != nil {
			return err
		}
	}
	if len(f.shown) > maxShown {
		for id, sequence := range f.shown {
			if sequence < state.OldestSequence {
				delete(f.shown, id)
			}
		}
	}
	if first {
		f.state(state)
	}
	return nil
}

// ready reports whether there is enough of a request to show: its end, or, of one that goes on,
// that it began well.
func ready(e mezu.Exchange) bool { return !e.Open || e.Status == 101 || e.Frames > 0 }

// missing says what will not be shown.
func (f *follower) missing(before uint64, s local.InspectorState) {
	full := s.Kept >= s.MaxKept || s.Bytes > s.MaxBytes/10*9
	switch more := s.LeftOut - min(f.leftOut, s.LeftOut); {
	case before == 0:
	case more > 0:
		f.Signf(terminal.Caution, "%s requests were only counted, because there were too many at a time", show.Count(more))
	case full && f.Filter == "" && s.OldestRevision > before:
		// All that was there at the last look has made room, and more may have.
		f.Signf(terminal.Caution, "there were so many requests that some may have gone before they could be shown")
	}
	f.leftOut = s.LeftOut
}

// print writes one request: for people, for awk, or as a line of JSON in other formats.
func (f *follower) print(e mezu.Exchange) error {
	switch {
	case f.Flags.Output != terminal.Table:
		return f.WriteLine(e)
	case !f.OutTerminal:
		return terminal.WriteList(f.Streams, terminal.Table, []mezu.Exchange{e}, columns())
	case !f.headed:
		f.headed = true
		if err := f.Printf("%s\n", f.heading(f.several)); err != nil {
			return err
		}
	}
	return f.Printf("%s\n", f.line(e, f.several))
}
