package service

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/mezusphere/mezu/edgesvc/store"
)

// presenceSettle is how long changes of presence are gathered before what they concern
// is shown anew: an edge tells of thousands of Warpgates at once.
const presenceSettle = 200 * time.Millisecond

// presence follows what edges say of Warpgates, for one watch. A nil one says nothing
// ever. It is for one goroutine.
type presence struct {
	held, edges store.Watcher
	live        map[string]liveEdge
	all         bool            // an edge came or went, and any Warpgate may be concerned
	items       map[string]bool // ids of Warpgates
	settle      <-chan time.Time
}

// watchPresence begins to follow presence, until ctx ends.
func (s *Service) watchPresence(ctx context.Context) (*presence, error) {
	page, err := s.store.List(ctx, prefixLive, "", 1)
	if err != nil {
		return nil, err
	}
	p := &presence{items: map[string]bool{}}
	if p.held, err = s.store.Watch(ctx, prefixHeld, page.Position); err != nil {
		return nil, err
	}
	if p.edges, err = s.store.Watch(ctx, prefixLive, page.Position); err != nil {
		return nil, err
	}
	p.live, err = s.liveEdges(ctx)
	return p, err
}

// ofWarpgates are the events of what edges say of Warpgates.
func (p *presence) ofWarpgates() <-chan store.Event {
	if p == nil {
		return nil
	}
	return p.held.Events()
}

// ofEdges are the events of edges that come, report or go.
func (p *presence) ofEdges() <-chan store.Event {
	if p == nil {
		return nil
	}
	return p.edges.Events()
}

// due receives when changed has something to tell.
func (p *presence) due() <-chan time.Time {
	if p == nil {
		return nil
	}
	return p.settle
}

// changed gives the ids of the Warpgates of which something else may be shown now, or
// says that all may be.
func (p *presence) changed() (items []string, all bool) {
	items, all = slices.Sorted(maps.Keys(p.items)), p.all
	clear(p.items)
	p.all, p.settle = false, nil
	return items, all
}

// missed says that presence was not followed until now.
func (p *presence) missed() {
	if p != nil {
		p.all = true
		p.note()
	}
}

func (p *presence) note() {
	if p.settle == nil {
		p.settle = time.After(presenceSettle)
	}
}

func (p *presence) noteWarpgates(e store.Event) {
	for _, ch := range e.Changes {
		id, _, _ := strings.Cut(ch.Key[len(prefixHeld):], "/")
		p.items[id] = true
	}
	p.note()
}

// noteEdges notes edges that came or went; most events say which bundles one has.
func (p *presence) noteEdges(e store.Event) {
	for _, ch := range e.Changes {
		id := ch.Key[len(prefixLive):]
		if _, was := p.live[id]; was != ch.Deleted {
			continue
		}
		if ch.Deleted {
			delete(p.live, id)
		} else {
			p.live[id] = liveEdge{} // that it is there is what counts
		}
		p.all = true
		p.note()
	}
}
