package warpgate

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/tunnel"
)

// Snapshot is how a Warpgate is at one moment.
type Snapshot struct {
	// ID is the Warpgate's, empty before its first registration.
	ID string
	// URL is the public address of its environment. Organization, Project and Environment
	// are names. All are those of the last registration, empty before the first.
	URL, Organization, Project, Environment string
	// Ready and Why are as Warpgate.Ready says.
	Ready bool
	Why   string
	// Issued and NotAfter are those of the certificate, zero while there is none.
	Issued, NotAfter time.Time
	// Applied is the position of the configuration that is in force and on disk.
	Applied mezu.Position
	// Away says that the last call of the control plane got no answer. Calls are made to
	// register and to renew, which is about once a day.
	Away Away
	// Links are those to the edges, by name. Tries don't change Since: it is when the link
	// connected, began to drain or was lost. The round-trip time is that of the connection
	// that was dialled, which may lead to a proxy.
	Links []mezu.Link
}

// Away is a control plane that doesn't answer.
type Away struct {
	// Since is the first call in a row that got no answer, zero if the last one got one.
	Since time.Time
	// Err is what came of the last call, nil if it got an answer.
	Err error
}

// Snapshot is that of now. It may be called at any time, before Listen and after Run too.
func (g *Warpgate) Snapshot() Snapshot {
	g.listen.Lock()
	st := g.state
	g.listen.Unlock()
	if st == nil {
		return Snapshot{Why: notRegistered}
	}
	out := Snapshot{ID: st.Identity().ID, Applied: st.Applied(), Away: g.away.now()}
	if r := st.Registration(); r != nil {
		out.URL, out.Organization, out.Project, out.Environment = r.URL, r.Organization, r.Project, r.Environment
	}
	out.Issued, out.NotAfter = st.Lifetime()
	out.Ready, out.Why = g.Ready()
	if s := g.session.Load(); s != nil {
		out.Links = s.snapshot()
	}
	return out
}

// snapshot is that of the links.
func (s *session) snapshot() []mezu.Link {
	s.mu.Lock()
	links := slices.Collect(maps.Values(s.links))
	s.mu.Unlock()
	out := make([]mezu.Link, len(links))
	for i, l := range links {
		out[i] = l.snapshot()
	}
	slices.SortFunc(out, func(a, b mezu.Link) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Edge, b.Edge)) })
	return out
}

// snapshot is how the link is now. Tries in between change nothing: a link that was lost is
// down, and one that the edge refused is refused, until something else is known.
func (l *link) snapshot() mezu.Link {
	out := mezu.Link{Edge: l.edge.ID, Name: l.edge.Name, Address: l.edge.TunnelAddress, State: mezu.LinkConnecting, Since: l.made}
	l.mu.Lock()
	t, refused, since := l.current, l.refused, l.refusedSince
	l.mu.Unlock()
	if t == nil {
		return out
	}
	st := t.Status()
	out.Since, out.Connections, out.RoundTripMS = st.Since, st.Conns, float64(st.RoundTrip)/float64(time.Millisecond)
	switch {
	case refused != nil:
		out.State, out.Since, st.Err = mezu.LinkRefused, since, refused
	case st.State == tunnel.LinkConnected:
		out.State = mezu.LinkConnected
	case st.State == tunnel.LinkDraining:
		out.State = mezu.LinkDraining
	case st.Err != nil || st.State == tunnel.LinkDisconnected:
		out.State = mezu.LinkDown
	}
	if st.Err != nil {
		out.Error = st.Err.Error()
	}
	return out
}

// away notes whether the control plane answers.
type away struct {
	mu sync.Mutex
	is Away
}

func (a *away) now() Away {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.is
}

// note takes what came of a call. An answer is one whatever it says, unless it says that
// the control plane can do nothing.
func (a *away) note(err error, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !api.Away(err) {
		a.is = Away{}
		return
	}
	if a.is.Since.IsZero() {
		a.is.Since = now
	}
	a.is.Err = err
}
