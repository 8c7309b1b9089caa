package fleet

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// presenceDelay is how long changes of presence are collected before the Warpgates are sent
// again, because an edge may report thousands at a time.
const presenceDelay = 200 * time.Millisecond

// presence follows what edges report of Warpgates, for one watch. It is for one goroutine.
type presence struct {
	held, edges store.Watcher
	live        map[string]liveEdge
	all         bool            // an edge came or went, and any Warpgate may be concerned
	items       map[string]bool // ids of Warpgates
	due         <-chan time.Time
}

// watchPresence begins to follow presence, until ctx ends.
func (s *Fleet) watchPresence(ctx context.Context) (*presence, error) {
	page, err := s.records.Store.List(ctx, prefixLive, "", 1)
	if err != nil {
		return nil, err
	}
	p := &presence{items: map[string]bool{}}
	if p.held, err = s.records.Store.Watch(ctx, prefixHeld, page.Position); err != nil {
		return nil, err
	}
	if p.edges, err = s.records.Store.Watch(ctx, prefixLive, page.Position); err != nil {
		return nil, err
	}
	p.live, err = s.LiveEdges(ctx)
	return p, err
}

// Watchers implements record's Beside.
func (p *presence) Watchers() [2]store.Watcher { return [2]store.Watcher{p.held, p.edges} }

// Note implements record's Beside.
func (p *presence) Note(i int, e store.Event) {
	if i == 0 {
		p.noteWarpgates(e)
	} else {
		p.noteEdges(e)
	}
}

// Due implements record's Beside.
func (p *presence) Due() <-chan time.Time { return p.due }

// Changed gives the ids of the Warpgates that may have to be shown differently now, or says
// that all may.
func (p *presence) Changed() (items []string, all bool) {
	items, all = slices.Sorted(maps.Keys(p.items)), p.all
	clear(p.items)
	p.all, p.due = false, nil
	return items, all
}

// Missed tells that changes of presence may have been missed until now.
func (p *presence) Missed() {
	p.all = true
	p.note()
}

func (p *presence) note() {
	if p.due == nil {
		p.due = time.After(presenceDelay)
	}
}

func (p *presence) noteWarpgates(e store.Event) {
	for _, ch := range e.Changes {
		id, _, _ := strings.Cut(ch.Key[len(prefixHeld):], "/")
		p.items[id] = true
	}
	p.note()
}

// noteEdges notes edges that came or went. Most events are not about that, but about the
// bundles that an edge has.
func (p *presence) noteEdges(e store.Event) {
	for _, ch := range e.Changes {
		id := ch.Key[len(prefixLive):]
		if _, was := p.live[id]; was != ch.Deleted {
			continue
		}
		if ch.Deleted {
			delete(p.live, id)
		} else {
			p.live[id] = liveEdge{} // only the key matters
		}
		p.all = true
		p.note()
	}
}

// WatchWarpgates watches an environment's Warpgates with their status. A new time at which a
// Warpgate was last seen is no event by itself.
func (s *Fleet) WatchWarpgates(ctx context.Context, c access.Caller, p access.Path, last string, sink record.WatchSink) error {
	if _, err := s.access.InEnvironment(ctx, c, api.OpWatchWarpgates, p); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the watches that follow presence
	live, err := s.watchPresence(ctx)
	if err != nil {
		return err
	}
	return access.Watch(ctx, s.access, c, last, sink, func(ctx context.Context, c access.Caller) (w record.Collection[Warpgate, mezu.Warpgate], err error) {
		sc, err := s.access.InEnvironment(ctx, c, api.OpWatchWarpgates, p)
		show := func(ctx context.Context, f record.Record[Warpgate]) (mezu.Warpgate, error) {
			return s.ShownWarpgate(ctx, f.Value, live.live)
		}
		return record.Collection[Warpgate, mezu.Warpgate]{Prefix: WarpgatesOf(sc.Environment.Value.ID), Show: show, Same: sameWarpgate, Beside: live}, err
	})
}

// sameWarpgate reports whether a Warpgate is as it was sent before, apart from when it was
// last seen. It also does so for an earlier state of the record, because presence is read
// before the changes of the record come.
func sameWarpgate(was, is mezu.Warpgate) bool {
	if is.Revision != was.Revision {
		return is.Revision < was.Revision
	}
	was.LastSeenAt, is.LastSeenAt = time.Time{}, time.Time{}
	return reflect.DeepEqual(was, is)
}
