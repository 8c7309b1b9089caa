package tunnels

import (
	"cmp"
	"slices"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
)

// list takes all tunnels.
func (s *Screen) list(all []mezu.Tunnel) {
	id := s.id()
	s.known, s.away = true, nil
	s.all = slices.Clone(all)
	s.sort()
	s.choose(id)
	there := map[string]bool{}
	for i := range s.all {
		there[s.all[i].ID] = true
	}
	for id := range s.history {
		if !there[id] {
			s.forget(id)
		}
	}
}

func (s *Screen) sort() {
	slices.SortStableFunc(s.all, func(a, b mezu.Tunnel) int { return cmp.Compare(a.Name, b.Name) })
}

// forget forgets a tunnel that is no more.
func (s *Screen) forget(id string) {
	delete(s.history, id)
	delete(s.looks, id)
	delete(s.busy, id)
	delete(s.held, id)
}

// index is that of a tunnel by its id, -1 if it isn't there.
func (s *Screen) index(id string) int {
	for i := range s.all {
		if s.all[i].ID == id {
			return i
		}
	}
	return -1
}

// measure takes the figures of links as they are now. Of their states there are events.
func (s *Screen) measure(id string, now []mezu.Link) {
	i := s.index(id)
	if i < 0 {
		return
	}
	links := slices.Clone(s.all[i].Links)
	for n := range links {
		l := &links[n]
		if at := slices.IndexFunc(now, func(o mezu.Link) bool { return o.Edge == l.Edge && o.State == l.State }); at >= 0 {
			l.RoundTripMS, l.Connections = now[at].RoundTripMS, now[at].Connections
		}
	}
	s.all[i].Links = links
}

// event takes one of the daemon's.
func (s *Screen) event(e *local.Event) {
	switch e.Event.Event {
	case local.EventTunnel, local.EventStats, local.EventLink:
	default:
		return // most are of requests
	}
	i := s.index(e.TunnelID)
	switch e.Event.Event {
	case local.EventTunnel:
		id := s.id()
		switch {
		case e.Record == nil && i >= 0:
			s.all = slices.Delete(s.all, i, i+1)
			s.forget(e.TunnelID)
		case e.Record != nil && i >= 0:
			stats := s.all[i].Stats
			if s.all[i] = *e.Record; e.Record.Stats.Requests < stats.Requests {
				s.all[i].Stats = stats
			}
		case e.Record != nil && len(s.all) < 2*mezu.MaxTunnels:
			s.all = append(s.all, *e.Record)
			s.sort()
		}
		s.choose(id)
	case local.EventStats:
		if i < 0 || e.Stats == nil {
			return
		}
		s.all[i].Stats = *e.Stats
		h := s.history[e.TunnelID]
		if h == nil {
			h = &history{}
			s.history[e.TunnelID] = h
		}
		h.add(e.Time, *e.Stats)
	case local.EventLink:
		if i < 0 || e.Link == nil {
			return
		}
		links := slices.Clone(s.all[i].Links)
		if at := slices.IndexFunc(links, func(l mezu.Link) bool { return l.Edge == e.Link.Edge }); at >= 0 {
			links[at] = *e.Link
		} else {
			links = append(links, *e.Link)
		}
		s.all[i].Links = links
	}
}
